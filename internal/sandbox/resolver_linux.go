package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// The files by which the resolvers of programs know whom to ask: glibc's looks at both, those of musl and of Go's net at the
// first, Go's at the second too.
const (
	resolvConf   = "/etc/resolv.conf"
	nsswitchConf = "/etc/nsswitch.conf"
)

// resolverSockets are those of services outside that glibc asks beside the files: a Unix socket leads out of any network
// namespace.
var resolverSockets = []string{"/run/nscd/socket", "/var/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"}

// WithResolver calls f on a thread of its own, which sees files of its own in place of those by which programs look names
// up: the commands that f starts ask this host's name server. Goroutines that f starts see the files of the machine, and
// those files are not touched. Where this cannot be done, f is called all the same, with the reason.
//
// The thread ends when f returns: a command with Pdeathsig must have ended by then.
func (h *Host) WithResolver(f func(unresolved error) error) error {
	return onThread(func() error {
		err := h.replaceResolver()
		if err != nil {
			err = fmt.Errorf("sandbox: names are not looked up inside: %w", err)
		}
		return f(err)
	})
}

// replaceResolver moves the calling thread into a mount namespace of its own and changes what is seen there.
func (h *Host) replaceResolver() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	// No mount may get out.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := cover(resolvConf, "nameserver "+h.IPv4.String()+"\n"); err != nil {
		return err
	}
	nsswitch, err := os.ReadFile(nsswitchConf)
	if err == nil {
		err = cover(nsswitchConf, onlyDNS(string(nsswitch)))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without the file, glibc asks the name server
		return err
	}
	for _, socket := range resolverSockets {
		if err := cover(socket, ""); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// cover lays a file with other content over the one at path, or where that leads: on many machines resolv.conf is a link
// to a file of systemd-resolved. The file has no name, and goes with the mount namespace.
func cover(path, content string) error {
	f, err := os.CreateTemp("", "ipq-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	if err := unix.Mount(f.Name(), path, "", unix.MS_BIND, ""); err != nil {
		return &fs.PathError{Op: "mount over", Path: path, Err: err}
	}
	return nil
}

// onlyDNS returns the text of an nsswitch.conf with host names from /etc/hosts and the name server alone.
func onlyDNS(nsswitch string) string {
	var b strings.Builder
	for line := range strings.Lines(nsswitch) {
		if database, _, _ := strings.Cut(line, ":"); strings.TrimSpace(database) != "hosts" {
			b.WriteString(line)
		}
	}
	return strings.TrimSuffix(b.String(), "\n") + "\nhosts: files dns\n"
}
