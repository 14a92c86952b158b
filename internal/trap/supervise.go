//go:build linux

package trap

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// launcherFD is the supervisor's end of its conversation with the launcher.
const launcherFD = 3

// Supervise is all that the process which [Launch] starts does, from its main
// goroutine. It opens the handler first, and when that fails tells the launcher
// why instead of serving. It returns when the last descendant of the program is
// gone. The watcher that it starts has the same command line, and calls Supervise,
// too.
//
// The process is a session leader with no terminal, ignores the signals that
// are meant for the program, and keeps no file of the program's open, but for
// standard error, which report may write to: that one until the first process of
// the program is gone, so that nobody waits for it longer than for the program.
func Supervise(open func() (Handler, error), report func(message string)) error {
	if os.Getenv(environWatcher) != "" {
		return watch(report)
	}
	conn := os.NewFile(launcherFD, "launcher")
	if sid, err := unix.Getsid(0); err != nil || sid != os.Getpid() {
		return detach(conn)
	}
	defer conn.Close()
	ignoreSignals("ipq run")
	self, err := thread(os.Getpid()).identity()
	if err != nil {
		return err
	}

	handler, err := open()
	if err != nil {
		conn.WriteString(err.Error())
		return nil // told to the launcher, who tells the user
	}
	if _, err := fmt.Fprint(conn, sayReady, os.Getpid()); err != nil {
		handler.Close()
		return nil // the launcher is gone
	}
	fd, err := receiveListener(conn)
	if err != nil {
		handler.Close()
		return nil // the same, or it failed and said so
	}
	s := supervisor{listener: listener{fd}, handler: handler, report: report, outside: self.filters}
	watcher, err := s.prepare(conn)
	// All that the supervisor needs is open from here on.
	if err == nil {
		_, err = conn.WriteString(sayServing)
	}
	if err != nil {
		conn.WriteString("trap: " + err.Error())
		handler.Close()
		return nil
	}
	conn.Close()
	if err := s.serve(); err != nil {
		return err // and the watcher terminates the program
	}
	handler.Close()
	watcher.dismiss()
	return nil
}

// ignoreSignals ignores what is meant for the program: SIGTERM too, as a service
// manager sends it to all processes of a unit, and the program may still need its
// packets to end well. It also names the process, which else is "exe".
func ignoreSignals(name string) {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	os.WriteFile("/proc/self/comm", []byte(name), 0)
}

// prepare opens all that is needed beside the handler and the listener.
func (s *supervisor) prepare(conn *os.File) (*watcher, error) {
	var err error
	if s.maxFD, err = maxFD(); err != nil {
		return nil, err
	}
	if s.sockets, err = newSockets(); err != nil {
		return nil, err
	}
	if err := s.listener.probe(); err != nil {
		return nil, err
	}
	first, err := launcherPidfd(conn)
	if err != nil {
		return nil, err
	}
	watcher, err := startWatcher(s.sockets, first, s.outside)
	if err != nil {
		unix.Close(first)
		return nil, err
	}
	return watcher, leaveStandardError(first)
}

// detach starts the supervisor proper, as a session leader and, as this process
// ends now, nobody's child.
func detach(conn *os.File) error {
	// The program's own descriptors are not for us, and a pipe that stays open
	// here would have its reader wait.
	if err := unix.CloseRange(launcherFD+1, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("trap: close_range: %w: Linux 5.14 or later is needed", err)
	}
	cmd := exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        os.Args,
		Dir:         "/",
		Stderr:      os.Stderr,
		ExtraFiles:  []*os.File{conn},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("trap: start the supervisor: %w", err)
	}
	return cmd.Process.Release()
}

// receiveListener waits for the descriptor that sendFile sends.
func receiveListener(conn *os.File) (int, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	var oobn int
	for {
		var err error
		_, oobn, _, _, err = unix.Recvmsg(int(conn.Fd()), b, oob, unix.MSG_CMSG_CLOEXEC)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return -1, err
		}
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return -1, err
	}
	if len(messages) != 1 {
		return -1, errors.New("trap: no listener came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.New("trap: no listener came")
	}
	return fds[0], nil
}

// launcherPidfd returns a pidfd of the process on the other end of conn, which is
// to become the program.
func launcherPidfd(conn *os.File) (int, error) {
	who, err := unix.GetsockoptUcred(int(conn.Fd()), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, fmt.Errorf("SO_PEERCRED: %w", err)
	}
	pidfd, err := unix.PidfdOpen(int(who.Pid), 0) // it waits for us, so it is the same process
	if err != nil {
		return -1, fmt.Errorf("pidfd_open: %w", err)
	}
	return pidfd, nil
}

// leaveStandardError gives standard error back when the process of a pidfd is
// gone. It takes the pidfd over, if there is no error.
func leaveStandardError(pidfd int) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	go func() {
		defer unix.Close(pidfd)
		defer null.Close()
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		for fds[0].Revents == 0 {
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
				return
			}
		}
		unix.Dup3(int(null.Fd()), 2, 0)
	}()
	return nil
}
