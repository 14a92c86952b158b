package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// emulateReader is a program that uses libipq, and the queue handler that serves it: "ipq emulate" and peers/passer.c.
const emulateReader = "ipq emulate"

// buildEmulate builds the command and the C library of the module that is measured, and the program that uses them.
func (r *readers) buildEmulate(src string) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "ipq").Output()
	module := strings.TrimSpace(string(out))
	if err != nil || module == "" {
		r.why[emulateReader] = fmt.Sprintf("the module ipq was not found: %v", err)
		return
	}
	lib := filepath.Join(r.dir, "libipq")
	for _, step := range []struct {
		dir     string
		command []string
	}{
		{module, []string{"go", "build", "-o", filepath.Join(r.dir, "service"), "./cmd/ipq"}},
		{module, []string{"make", "-s", "-C", "libipq", "O=" + lib, filepath.Join(lib, "libipq.a")}},
		{src, []string{"gcc", "-O2", "-I" + filepath.Join(module, "libipq", "include"), "-o", "passer", "passer.c", "control.c", filepath.Join(lib, "libipq.a"), "-lpthread"}},
	} {
		cmd := exec.Command(step.command[0], step.command[1:]...)
		cmd.Dir = step.dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			first, _, _ := strings.Cut(string(out), "\n")
			r.why[emulateReader] = fmt.Sprintf("%s: %v: %s", step.command[0], err, first)
			return
		}
	}
	if err := r.again(emulateReader); err != nil {
		r.why[emulateReader] = err.Error()
	}
}

// runEmulate is the process of that reader: it starts the service, and a program that answers the harness in its place.
func runEmulate(words []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir := filepath.Dir(os.Args[0])
	if dir == "." {
		dir = filepath.Dir(self)
	}
	socket := filepath.Join(dir, fmt.Sprintf("%d.sock", os.Getpid()))
	service := exec.Command(filepath.Join(dir, "service"), "emulate", "--socket", socket)
	service.Stderr = os.Stderr
	out, err := service.StdoutPipe()
	if err != nil {
		return err
	}
	if err := startOn(service, nil); err != nil {
		return err
	}
	defer func() {
		service.Process.Signal(os.Interrupt)
		service.Wait()
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("ipq emulate said %q: %w", line, err)
	}
	program := exec.Command(filepath.Join(dir, "peers", "passer"), words...)
	program.Env = append(os.Environ(), "IPQ_SOCKET="+socket)
	program.Stdin, program.Stdout, program.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := startOn(program, nil); err != nil {
		return err
	}
	return program.Wait()
}

// burst is how many packets wait at a time: fewer than the 1,024 at which ip_queue drops.
const burst = 1000

// bursts measures how many packets per second a reader takes out of a queue in which they wait, burst by burst: what
// drain does with one program, for those whose queue is short. It fails if a packet is lost.
func bursts(a *arena, c contestant, packets int) (values, error) {
	if err := a.apply(queueUDP(1)); err != nil {
		return nil, err
	}
	p, err := a.startUsual(c)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	g, err := newGenerator(target, 1)
	if err != nil {
		return nil, err
	}
	defer g.close()
	var wall time.Duration
	n := packets / burst
	for i := range n + 1 { // the first one warms up
		took, err := a.burst(p, g)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			wall += took
		}
	}
	s, err := a.queue(0)
	if err != nil {
		return nil, err
	}
	if s.queueDropped+s.userDropped > 0 {
		return nil, fmt.Errorf("the kernel dropped %d packets as the queue was full and %d as the socket's buffer was", s.queueDropped, s.userDropped)
	}
	memory, err := p.familyMemory()
	return values{"throughput": float64(n*burst) / wall.Seconds() / 1000, "memory": memory}, err
}

// burst is the time that a burst takes.
func (a *arena) burst(p *process, g *generator) (time.Duration, error) {
	start, err := passed()
	if err != nil {
		return 0, err
	}
	resume, err := p.pauseFamily()
	if err != nil {
		return 0, err
	}
	if err := g.send(burst); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := resume(); err != nil {
		return 0, err
	}
	if err := a.untilEmpty(1, drainTimeout); err != nil {
		return 0, err
	}
	err = untilPassed(start, burst, accept)
	return time.Since(began), err
}
