//go:build !linux

package ipqueue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

var errNoLinux = fmt.Errorf("ipqueue: the queue handler needs Linux: %w", errors.ErrUnsupported)

// Handler takes the place of the kernel's ip_queue and ip6_queue modules. It
// exists on Linux only.
type Handler struct{}

// Open fails with errors.ErrUnsupported.
func Open(Config) (*Handler, error) { return nil, errNoLinux }

// Connect fails with errors.ErrUnsupported.
func (h *Handler) Connect(Hello) (*os.File, error) { return nil, errNoLinux }

// Bind fails with errors.ErrUnsupported.
func (h *Handler) Bind(uint32, uint32) (uint32, error) { return 0, errNoLinux }

// Serve fails with errors.ErrUnsupported.
func (h *Handler) Serve(context.Context, *Listener) error { return errNoLinux }

// Status returns nothing.
func (h *Handler) Status() Status { return Status{} }

// Close fails with errors.ErrUnsupported.
func (h *Handler) Close() error { return errNoLinux }

// Listener is the service's socket. It exists on Linux only.
type Listener struct{}

// Listen fails with errors.ErrUnsupported.
func Listen(string, fs.FileMode, int) (*Listener, error) { return nil, errNoLinux }

// Dial fails with errors.ErrUnsupported.
func Dial(string, Hello) (*os.File, error) { return nil, errNoLinux }

// DialBind fails with errors.ErrUnsupported.
func DialBind(string, uint32, uint32) (uint32, error) { return 0, errNoLinux }

// ReadStatus fails with errors.ErrUnsupported.
func ReadStatus(string) (Status, error) { return Status{}, errNoLinux }

// Wait fails with errors.ErrUnsupported.
func (h *Handler) Wait() error { return errNoLinux }
