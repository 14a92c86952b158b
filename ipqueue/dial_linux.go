package ipqueue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serviceTimeout bounds the exchange of a hello and its answer, on both sides.
const serviceTimeout = 5 * time.Second

// Dial asks the service that listens at path (DefaultSocket when empty) for a
// program's socket: what Handler.Connect returns, from another process. The
// caller owns the file.
func Dial(path string, hello Hello) (*os.File, error) {
	if hello.WordSize == 0 {
		hello.WordSize = strconv.IntSize
	}
	if err := hello.check(); err != nil {
		return nil, fmt.Errorf("ipqueue: dial: %w", err)
	}
	_, file, err := ask(path, hello.append(nil), 0)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, errors.New("ipqueue: the service answered without a socket")
	}
	return file, nil
}

// ReadStatus asks the service that listens at path (DefaultSocket when empty)
// what its handler does.
func ReadStatus(path string) (Status, error) {
	request := append([]byte(statusMagic), helloVersion)
	body, file, err := ask(path, append(request, make([]byte, helloSize-len(request))...), maxStatus)
	if file != nil {
		file.Close()
	}
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.Unmarshal(body, &s); err != nil {
		return Status{}, fmt.Errorf("ipqueue: the service's status: %w", err)
	}
	return s, nil
}

// ask sends one request and reads the answer: up to room bytes of a body, and a
// file when one came along.
func ask(path string, request []byte, room int) ([]byte, *os.File, error) {
	if path == "" {
		path = DefaultSocket
	}
	fail := func(err error) ([]byte, *os.File, error) {
		return nil, nil, fmt.Errorf("ipqueue: asking the service at %s: %w", path, err)
	}
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return fail(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(serviceTimeout)); err != nil {
		return fail(err)
	}
	if _, err := c.Write(request); err != nil {
		return fail(err)
	}
	b := make([]byte, answerSize+room)
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return fail(err)
	}
	file := receivedFile(oob[:oobn])
	if n < answerSize || string(b[:4]) != answerMagic || flags&unix.MSG_TRUNC != 0 {
		if file != nil {
			file.Close()
		}
		return fail(errors.New("the answer is not one of this protocol"))
	}
	if errno := syscall.Errno(binary.NativeEndian.Uint32(b[4:])); errno != 0 {
		if file != nil {
			file.Close()
		}
		return fail(errno)
	}
	// The service hangs up when its own copy of the file is closed. From then on
	// the socket is closed when the program closes it.
	_, _ = c.Read(b[:1])
	return b[answerSize:n:n], file, nil
}

// receivedFile returns the file that came in ancillary data, or nil.
func receivedFile(oob []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err == nil && len(fds) > 0 {
			return os.NewFile(uintptr(fds[0]), "ip_queue")
		}
	}
	return nil
}
