//go:build !linux

package nlsock

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// errOS is what every operation fails with where the kernel is not Linux.
var errOS = fmt.Errorf("packet queues exist on Linux only, this is %s: %w", runtime.GOOS, errors.ErrUnsupported)

const QueueTable = os.DevNull

type (
	Conn   struct{}
	Ring   struct{}
	Vector struct{}
	Alarm  struct{}
)

const MaxPieces = 1

func Dial() (*Conn, error)                       { return nil, errOS }
func Adopt(f *os.File) (*Conn, error)            { f.Close(); return nil, errOS }
func InNetns(string, func() error) error         { return errOS }
func OwnNetns() os.FileInfo                      { return nil }
func CheckNetns(string, os.FileInfo) error       { return errOS }
func MayAdminister() bool                        { return false }
func NewRing(n, size int) *Ring                  { return &Ring{} }
func (c *Conn) Netlink() bool                    { return false }
func (c *Conn) Port() uint32                     { return 0 }
func (c *Conn) Recv(*Ring) (int, error)          { return 0, errOS }
func (c *Conn) TryRecv(*Ring) (int, error)       { return 0, errOS }
func (c *Conn) Send(*Vector) error               { return errOS }
func (c *Conn) SetReadDeadline(time.Time) error  { return errOS }
func (c *Conn) SetWriteDeadline(time.Time) error { return errOS }
func (c *Conn) Close() error                     { return errOS }
func (c *Conn) SetRecvBuffer(int) (int, error)   { return 0, errOS }
func (c *Conn) SetSendBuffer(int) error          { return errOS }
func (c *Conn) MaxSend() (int, error)            { return 0, errOS }
func (c *Conn) InterfaceName(uint32) string      { return "" }
func (c *Conn) Drops() uint64                    { return 0 }
func (c *Conn) Backlog() (used, size int)        { return 0, 0 }
func (r *Ring) Len() int                         { return 0 }
func (r *Ring) Size() int                        { return 0 }
func (r *Ring) Datagram(int) []byte              { return nil }
func (r *Ring) Cut(int) bool                     { return false }
func (r *Ring) Put(int, []byte, bool)            {}
func (v *Vector) Reset()                         {}
func (v *Vector) Add([]byte)                     {}
func (v *Vector) Pieces() int                    { return 0 }
func NewAlarm() (*Alarm, error)                  { return nil, errOS }
func (a *Alarm) Set(time.Duration)               {}
func (a *Alarm) Wait() error                     { return errOS }
func (a *Alarm) Close() error                    { return errOS }
func (v *Vector) Bytes() int                     { return 0 }

// errNever is no error that anything returns here.
var errNever = errors.New("no error of this system")

var (
	EPERM           = errNever
	ENOENT          = errNever
	EBUSY           = errNever
	ENODEV          = errNever
	EINVAL          = errNever
	ENOMEM          = errNever
	EPIPE           = errNever
	ENOBUFS         = errNever
	ENOTCONN        = errNever
	ECONNRESET      = errNever
	EOPNOTSUPP      = errNever
	EPROTONOSUPPORT = errNever
)

func Errno(int32) error { return errNever }
