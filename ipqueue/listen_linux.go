package ipqueue

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Listen makes the service's socket at path (DefaultSocket when empty), with the
// given permissions and group (-1 leaves the group). A socket that a service
// left behind when it was killed is replaced; one that is still served is not,
// and the error is EADDRINUSE.
func Listen(path string, mode fs.FileMode, gid int) (*net.UnixListener, error) {
	if path == "" {
		path = DefaultSocket
	}
	fail := func(err error) (*net.UnixListener, error) {
		return nil, fmt.Errorf("ipqueue: listening at %s: %w", path, err)
	}
	if err := vacant(path); err != nil {
		return fail(err)
	}
	// Made under another name and renamed, so that it never has other permissions
	// than it should, and that replacing an old one leaves no gap.
	made := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: made, Net: "unixpacket"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	if err := place(made, path, mode, gid); err != nil {
		l.Close()
		os.Remove(made)
		return fail(err)
	}
	return l, nil
}

func place(made, path string, mode fs.FileMode, gid int) error {
	if gid >= 0 {
		if err := os.Chown(made, -1, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(made, mode); err != nil {
		return err
	}
	return os.Rename(made, path)
}

// vacant fails when something other than a dead socket is at path.
func vacant(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("something that is not a socket is there: %w", unix.EEXIST)
	}
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err == nil {
		c.Close()
		return fmt.Errorf("a service runs there already: %w", unix.EADDRINUSE)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return nil
}
