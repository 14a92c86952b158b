package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/rules"
)

// echoer sends datagrams to itself over lo.
type echoer struct {
	t *testing.T
	*net.UDPConn
}

// echoes opens a socket at a port.
func echoes(t *testing.T, port int) echoer {
	t.Helper()
	s, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return echoer{t, s}
}

func (s echoer) send(n int) {
	s.t.Helper()
	for range n {
		if _, err := s.WriteTo([]byte("x"), s.LocalAddr()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// echo sends so many and waits for each to arrive before it sends the next.
func (s echoer) echo(n int) {
	s.t.Helper()
	for range n {
		s.send(1)
		s.SetReadDeadline(time.Now().Add(patience))
		if _, err := s.Read(make([]byte, 9)); err != nil {
			s.t.Fatalf("a datagram does not arrive: %v", err)
		}
	}
}

// queued is how many packets the kernel has put into a queue, and the port of its socket, which is the process id of the
// program that has bound it if that socket is its first.
func queued(t *testing.T, queue int) (packets, port int) {
	t.Helper()
	for row := range strings.Lines(boundQueues(t)) {
		if f := strings.Fields(row); len(f) > 7 && f[0] == strconv.Itoa(queue) {
			packets, _ = strconv.Atoi(f[7])
			port, _ = strconv.Atoi(f[1])
			return packets, port
		}
	}
	t.Fatalf("queue %d is not bound", queue)
	return 0, 0
}

// echoUntilQueued is echo until the first watcher's rules queue, and returns how many it took.
func (s echoer) echoUntilQueued() (n int) {
	s.t.Helper()
	before, _ := queued(s.t, firstQueue)
	until(s.t, "the rules queue", func() bool {
		s.echo(1)
		n++
		now, _ := queued(s.t, firstQueue)
		return now != before
	})
	return n
}

// firstQueue is the queue of the first watcher.
const firstQueue = 60000

// A watcher that the terminal stops queues nothing until it goes on, and says what passed, whoever runs it.
func TestWatchTakesStops(t *testing.T) {
	sandbox.Setup(t, 1)
	for who, user := range watchUsers(t) {
		for _, signal := range []syscall.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
			t.Run(fmt.Sprint(who, " ", unix.SignalName(signal)), func(t *testing.T) {
				// In a group of its own, whose leader has a parent in the same session: the kernel stops no orphaned group.
				attr := &syscall.SysProcAttr{Setpgid: true}
				if user != nil {
					attr.Credential, attr.AmbientCaps = user.Credential, user.AmbientCaps
				}
				w := startWatchAs(t, attr, "-o", "json", "udp", "dst", "port", "4711")
				s := echoes(t, 4711)
				const stops = 3
				sent := 0
				for range stops {
					sent += s.echoUntilQueued()
					w.cmd.Process.Signal(signal)
					waitStopped(t, w.cmd.Process.Pid)
					s.echo(2 * watchLength)
					sent += 2 * watchLength
					w.cmd.Process.Signal(unix.SIGCONT)
				}
				sent += s.echoUntilQueued()
				rows, end := read(t, w.end(unix.SIGINT))
				if end.Packets != sent || end.Accepted < stops+1 || end.Lost < stops*2*watchLength {
					t.Errorf("of %d packets: %+v", sent, end)
				}
				stopped, unseen := 0, 0 // the latter when the rules were about to come back
				for _, r := range rows {
					stopped += r.Stopped
					unseen += r.Unseen
				}
				if stopped < stops*2*watchLength || stopped+unseen != end.Lost {
					t.Errorf("the rows say that %d passed while it was stopped, and %d else, the end %+v", stopped, unseen, end)
				}
			})
		}
	}
}

// Where the rules are not its own they would go on queueing: a watcher does not let itself be stopped.
func TestWatchOwnQueueTakesNoStops(t *testing.T) {
	sandbox.Setup(t, 1)
	cmd := prepare(t, "watch", "-o", "json", "--queue", "9")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	says := bytesOf(t, cmd)
	until(t, "it watches", func() bool {
		return strings.Contains(says.String(), "watching through queue 9; Ctrl-C ends, Ctrl-Z does nothing\n")
	})
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 9}, Chains: []rules.Chain{
		{Hook: rules.Input, Match: []rules.Match{{DstPorts: []rules.PortRange{rules.Port(4711)}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	s := echoes(t, 4711)
	for _, signal := range []syscall.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
		cmd.Process.Signal(signal)
		s.echo(1)
	}
	if err := table.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	cmd.Process.Signal(unix.SIGINT)
	if err := cmd.Wait(); err != nil || !strings.Contains(stdout.String(), `"accepted":3`) {
		t.Errorf("%v, and it prints\n%s%s", err, &stdout, says)
	}
}

// locked is a buffer that may be read while it is written.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// bytesOf starts a command and returns what it writes to standard error.
func bytesOf(t *testing.T, cmd *exec.Cmd) *locked {
	t.Helper()
	says := new(locked)
	cmd.Stderr = says
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return says
}

// watching waits until a watcher's rules are in.
func watching(t *testing.T, says *locked) {
	t.Helper()
	until(t, "it watches", func() bool { return strings.Contains(says.String(), "watching through") })
}

// terminal is a pseudo terminal.
type terminal struct {
	t             *testing.T
	master, slave *os.File
	text          locked // what was written to it
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	sandbox.Require(t, "terminal", err == nil, "there are no pseudo terminals")
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	term := &terminal{t: t, master: master, slave: os.NewFile(fd, "slave")}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(&term.text, master) // until no process has the slave open
	}()
	t.Cleanup(func() {
		term.slave.Close()
		<-done
		master.Close()
	})
	return term
}

// shows waits until a text was written to the terminal so many times.
func (x *terminal) shows(text string, times int) {
	x.t.Helper()
	until(x.t, text, func() bool { return strings.Count(x.text.String(), text) >= times })
}

func (x *terminal) types(keys string) {
	x.t.Helper()
	if _, err := x.master.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// foreground waits until the group in the foreground is the shell's, or another's.
func (x *terminal) foreground(shell *exec.Cmd, own bool) {
	x.t.Helper()
	until(x.t, "the foreground changes", func() bool {
		group, err := unix.IoctlGetInt(int(x.master.Fd()), unix.TIOCGPGRP)
		return err == nil && (group == shell.Process.Pid) == own
	})
}

// A shell's job control works: ^Z, bg, the stop of a background job that writes to the terminal, fg, ^C.
func TestWatchInAShell(t *testing.T) {
	sandbox.Setup(t, 1)
	bash, err := exec.LookPath("bash")
	sandbox.Require(t, "bash", err == nil, "the command bash has job control")
	x := newTerminal(t)
	shell := exec.Command(bash, "--norc", "--noprofile", "--noediting", "-i")
	shell.Env = append(os.Environ(), "HISTFILE=", "TERM=dumb")
	shell.Stdin, shell.Stdout, shell.Stderr = x.slave, x.slave, x.slave
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		shell.Process.Kill()
		shell.Wait()
	})
	x.types("stty tostop; " + binary(t) + " watch -n -t udp dst port 4711\n")
	x.shows("watching through", 1)
	_, pid := queued(t, firstQueue)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the watcher's state is %s, and the terminal shows\n%s", processState(pid), &x.text)
		}
		unix.Kill(pid, unix.SIGKILL)
	})
	s := echoes(t, 4711)
	sent := s.echoUntilQueued()

	x.types("\x1a")
	x.shows("Stopped", 1)
	waitStopped(t, pid)
	s.echo(2 * watchLength)
	sent += 2 * watchLength

	x.types("bg\n") // it has a row to write, and may not
	for end := time.Now().Add(patience); strings.Count(x.text.String(), "Stopped") < 2; time.Sleep(20 * time.Millisecond) {
		if x.types("\n"); time.Now().After(end) { // the shell says what has become of its jobs before each prompt
			t.Fatalf("not stopped in the background:\n%s", &x.text)
		}
	}
	waitStopped(t, pid)
	s.echo(2 * watchLength)
	sent += 2 * watchLength

	x.types("fg\n")
	x.foreground(shell, false)
	sent += s.echoUntilQueued()
	x.types("\x03")
	x.shows(" modified, ", 1)
	last := regexp.MustCompile(`(\d+) packets?: \d+ accepted.* (\d+) lost`).FindStringSubmatch(x.text.String())
	if last == nil || last[1] != strconv.Itoa(sent) || !strings.Contains(x.text.String(), "packets: ipq was stopped") {
		t.Errorf("of %d packets it shows %q:\n%s", sent, last, &x.text)
	}
	x.foreground(shell, true)
	if left := tables(t); len(left) != 0 {
		t.Errorf("tables left behind: %v", left)
	}
}

// Signals that follow the first at once are the same wish: the command ends in order.
func TestWatchSignalledAgain(t *testing.T) {
	sandbox.Setup(t, 1)
	// Where SIGHUP is ignored, as under nohup, the command would inherit that. What is caught here, it has at its default.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	defer signal.Stop(hangup)
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		for range 5 {
			cmd := prepare(t, "watch", "-n")
			var stdout bytes.Buffer
			cmd.Stdout = &stdout
			watching(t, bytesOf(t, cmd))
			for range 20 {
				cmd.Process.Signal(sig)
				time.Sleep(50 * time.Microsecond) // for more than one to arrive; not for anything to happen
			}
			if err := cmd.Wait(); err != nil || !strings.HasSuffix(stdout.String(), " 0 lost\n") {
				t.Errorf("%v: %v, and it prints %q", sig, err, &stdout)
			}
		}
	}
}

// An output that is not read holds the end up no longer than a moment, whatever it is.
func TestWatchNotRead(t *testing.T) {
	sandbox.Setup(t, 1)
	s := echoes(t, 4711)
	unread := func(t *testing.T, cmd *exec.Cmd) {
		t.Helper()
		s.echo(200)
		cmd.Process.Signal(unix.SIGINT)
		cmd.Wait() // what it returns, ProcessState says
		if got := cmd.ProcessState.ExitCode(); got != 1 {
			t.Errorf("status %d, want 1", got)
		}
		if left := tables(t); len(left) != 0 {
			t.Errorf("tables left behind: %v", left)
		}
	}
	t.Run("pipe", func(t *testing.T) {
		r, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer out.Close()
		if _, err := unix.FcntlInt(out.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
			t.Fatal(err)
		}
		cmd := prepare(t, "watch", "-n")
		cmd.Stdout = out
		says := bytesOf(t, cmd)
		watching(t, says)
		unread(t, cmd)
		if !strings.Contains(says.String(), "the output is not read") {
			t.Errorf("it says %q", says)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		x := newTerminal(t)
		cmd := prepare(t, "watch", "-n")
		cmd.Stdout, cmd.Stderr = x.slave, x.slave
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		x.shows("watching through", 1)
		if err := unix.IoctlSetInt(int(x.slave.Fd()), unix.TCXONC, unix.TCOOFF); err != nil {
			t.Fatal(err)
		}
		unread(t, cmd)
	})
}

// A reader that goes away after the first line has seen enough: try and watch end as if all were done.
func TestReaderGone(t *testing.T) {
	n := sandbox.Setup(t, 1)
	requireTry(t)
	for _, args := range [][]string{{"watch", "-n", "icmp"}, {"watch", "-o", "json"}, {"try"}, {"try", "-o", "json"}} {
		r, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := prepare(t, args...)
		cmd.Stdout = out
		says := bytesOf(t, cmd)
		out.Close()
		ping := func() {}
		if args[0] == "watch" {
			watching(t, says)
			ping = func() { exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Hosts[0]}) }
		}
		ping()
		if line, err := bufio.NewReader(r).ReadString('\n'); err != nil {
			t.Errorf("ipq %q: %q, %v", args, line, err)
		}
		r.Close()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		until(t, "it ends", func() bool {
			ping()
			select {
			case err = <-ended:
				return true
			default:
				return false
			}
		})
		if says := says.String(); err != nil || strings.Count(says, "\n") != strings.Count(says, "watching through") {
			t.Errorf("ipq %q: %v, and it says %q", args, err, says)
		}
		if left := tables(t); len(left) != 0 {
			t.Errorf("ipq %q: tables left behind: %v", args, left)
		}
	}
}

// What the kernel drops while it waits, because another program's chains go, is a row.
func TestWatchFlushed(t *testing.T) {
	sandbox.Setup(t, 1)
	w := startWatch(t, "-o", "json", "udp", "dst", "port", "4711")
	other, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 9}, Chains: []rules.Chain{
		{Hook: rules.Forward, Match: []rules.Match{{Protocols: []rules.Protocol{rules.UDP}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.cmd.Process.Signal(unix.SIGSTOP)
	waitStopped(t, w.cmd.Process.Pid)
	s := echoes(t, 4711)
	s.send(20)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	w.cmd.Process.Signal(unix.SIGCONT)
	rows, end := read(t, w.end(unix.SIGINT))
	flushed := 0
	for _, r := range rows {
		flushed += r.Flushed
	}
	if flushed == 0 || end.Packets != 20 || end.Accepted != 20-flushed {
		t.Errorf("%d were flushed at least, and the end is %+v", flushed, end)
	}
	if last := w.stdout.String(); strings.Contains(last[strings.LastIndex(last, "{"):], `"lost"`) {
		t.Errorf("how many were lost is not known, and it says %s", last[strings.LastIndex(last, "{"):])
	}
}

// Looking at the counters while packets come invents no loss: of these one waits at a time, and none passes unseen.
func TestWatchInventsNoLoss(t *testing.T) {
	sandbox.Setup(t, 1)
	w := startWatch(t, "-o", "json", "udp", "dst", "port", "4711")
	s := echoes(t, 4711)
	sent := 0
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); sent += 100 { // it looks each second
		s.echo(100)
	}
	if _, end := read(t, w.end(unix.SIGINT)); end.Accepted != sent || end.Lost != 0 {
		t.Errorf("of %d packets: %+v", sent, end)
	}
}
