package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a running reader, seen from the harness. peers/control.h describes what the two say to each other.
type process struct {
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr strings.Builder
}

// A progress is what a reader says of itself.
type progress struct {
	packets int
	allocs  int // -1: not counted
}

// start runs a contestant's reader and returns once its queue is bound.
func (a *arena) start(c contestant) (*process, error) {
	command := append(append([]string{}, a.readers.commands[c.reader]...), c.settings.words()...)
	p := &process{name: c.name, cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Stderr = &p.stderr
	p.cmd.Env = append(os.Environ(), "GODEBUG=cgocheck=0") // chifflier's binding hands Go pointers to C
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := startOn(p.cmd, c.settings.cores); err != nil {
		return nil, err
	}
	a.last = p
	if err := p.expect("ready\n"); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) expect(format string, into ...any) error {
	line, err := p.out.ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, format, into...)
	}
	if err != nil {
		p.stop()
		return fmt.Errorf("the reader answered %q: %w", line, err)
	}
	return nil
}

// pause stops the reader where it is, so that packets gather; resume lets it go on.
func (p *process) pause() error {
	if err := p.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	// Without WNOWAIT an exit, the other thing to wait for, would be taken from cmd.Wait.
	return unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
}

func (p *process) resume() error { return p.cmd.Process.Signal(unix.SIGCONT) }

func (p *process) report() (progress, error) {
	var r progress
	if _, err := io.WriteString(p.in, "report\n"); err != nil {
		return r, err
	}
	err := p.expect("report %d %d\n", &r.packets, &r.allocs)
	return r, err
}

// stop ends the reader; it may be called twice.
func (p *process) stop() {
	p.in.Close()
	kill := time.AfterFunc(2*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	kill.Stop()
}

// lastWords is what the reader started last has complained about.
func (a *arena) lastWords() string {
	if a.last == nil || a.last.stderr.Len() == 0 {
		return ""
	}
	return "; the reader said: " + strings.TrimSpace(a.last.stderr.String())
}

// cpu returns the user and system time of all the reader's threads so far. It is read from outside: asking the reader
// would wake it, which costs a Go program as much as hundreds of packets.
func (p *process) cpu() (time.Duration, error) {
	const cpuClockSched = 2 // as clock_getcpuclockid(3) makes it
	var t unix.Timespec
	err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|cpuClockSched), &t)
	return time.Duration(t.Nano()), err
}

// family lists the reader and its children.
func (p *process) family() ([]int, error) {
	pids := []int{p.cmd.Process.Pid}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pids[0]))
	if err != nil {
		return nil, err
	}
	for _, task := range tasks { // a child is one of the thread that made it
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pids[0], task.Name()))
		if err != nil {
			return nil, err
		}
		for _, child := range strings.Fields(string(children)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// pauseFamily is pause for a reader that is several processes.
func (p *process) pauseFamily() (resume func() error, err error) {
	pids, err := p.family()
	if err != nil {
		return nil, err
	}
	each := func(signal unix.Signal) error {
		for _, pid := range pids {
			if err := unix.Kill(pid, signal); err != nil {
				return fmt.Errorf("process %d of reader %s: %w", pid, p.name, err)
			}
		}
		return nil
	}
	if err := each(unix.SIGSTOP); err != nil {
		return nil, err
	}
	for _, pid := range pids {
		for {
			stopped, err := isStopped(pid)
			if err != nil {
				return nil, err
			}
			if stopped {
				break
			}
			time.Sleep(50 * time.Microsecond)
		}
	}
	return func() error { return each(unix.SIGCONT) }, nil
}

// isStopped reports whether every thread of a process has stopped.
func isStopped(pid int) (bool, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false, err
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, task.Name()))
		if err != nil {
			return false, err
		}
		if _, after, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(after, "T") {
			return false, nil
		}
	}
	return true, nil
}

// memory returns the reader's resident memory, in MiB.
func (p *process) memory() (float64, error) { return residentMemory(p.cmd.Process.Pid) }

// familyMemory is memory, with that of the reader's children.
func (p *process) familyMemory() (float64, error) {
	pids, err := p.family()
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, pid := range pids {
		n, err := residentMemory(pid)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func residentMemory(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return float64(kib) / 1024, nil
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", pid)
}
