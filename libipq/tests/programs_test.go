//go:build linux

package tests_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ipq/internal/sandbox"
)

// pattern is one way in which real programs use libipq.
type pattern struct {
	name  string   // of the source file
	args  []string // of the program
	flags []string // of the compiler
	// drive sends packets and looks at what becomes of them.
	drive func(t *testing.T, p *process)
	// slow patterns wait for long on one target, and are told to be quick elsewhere.
	slow bool
	// exists says in which ways, nil in all.
	exists func(s *starter) bool
	// require skips the test when something else is missing.
	require func(t *testing.T, s *starter)
}

// passerFlags allow what programs of its time took for granted: exit without a
// declaration.
var passerFlags = []string{"-std=gnu89", "-w"}

// headerOrderFlags are those of docs/libipq.md for sources from before Linux 2.6.
var headerOrderFlags = []string{"-std=gnu89", "-fcommon", "-include", "netinet/in.h", "-w"}

const local = "127.0.0.1:"

// passes sends n packets and expects them all, the program saying after each
// what it says.
func passes(n int, says string) func(*testing.T, *process) {
	return func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		for i := range n {
			text := fmt.Sprint("packet ", i)
			s.send(text)
			s.arrives(text)
			if says != "" {
				p.says(says)
			}
		}
		p.exits(0)
	}
}

// nothing is for programs that receive no packets.
func nothing(_ *testing.T, p *process) { p.exits(0) }

var patterns = []pattern{
	{name: "passer", flags: passerFlags, drive: pings},
	{name: "select", drive: passes(4, "next")},
	{name: "rcvbuf", drive: passes(1, "")},
	{name: "peek", drive: passes(2, "next")},
	{name: "daemon_before", drive: daemon},
	{name: "daemon_after", drive: daemon},
	{name: "child_verdict", drive: passes(3, "next")},
	{name: "exec_open", drive: passes(2, "next")},
	{name: "threads", args: []string{"200"}, drive: flood(200)},
	{name: "longjmp", drive: passes(1, "")},
	{name: "defer", slow: true, drive: func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		for i := range 5 {
			s.send(fmt.Sprint("packet ", i))
		}
		for i := 4; i >= 0; i-- {
			p.says(fmt.Sprint("answered ", i))
			if i != 2 {
				s.arrives(fmt.Sprint("packet ", i))
			}
		}
		p.exits(0)
		s.none()
	}},
	{name: "ipv6", drive: func(t *testing.T, p *process) {
		s := openSink(t, "[::1]:"+strconv.Itoa(atOutput))
		p.says("ready")
		for range 2 {
			s.send("six")
			s.arrives("six")
			p.says("next")
		}
		p.exits(0)
	}},
	{name: "both", drive: func(t *testing.T, p *process) {
		s4 := openSink(t, local+strconv.Itoa(atOutput))
		s6 := openSink(t, "[::1]:"+strconv.Itoa(atInput))
		p.says("ready")
		for range 3 {
			s4.send("four")
			s6.send("six")
			s4.arrives("four")
			s6.arrives("six")
		}
		p.exits(0)
	}},
	{name: "payload", drive: func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		long := strings.Repeat("0123456789", 500)
		for _, c := range [][2]string{{"same", "SAME"}, {"half of it", "half "}, {"double " + long, "double " + long + "double " + long}} {
			s.send(c[0])
			p.says("next")
			s.arrives(c[1])
		}
		p.exits(0)
	}},
	{name: "drop_payload", drive: secondPasses("next", "next")},
	{name: "zero_length", drive: passes(1, "")},
	{name: "timeout", slow: true, drive: passes(1, "")},
	{name: "poll_once", drive: passes(1, "")},
	{name: "meta", drive: passes(2, "next")},
	{name: "range", args: []string{"0"}, drive: copies(228)},
	{name: "range", args: []string{"21"}, drive: copies(21)},
	{name: "range", args: []string{"68"}, drive: copies(68)},
	{name: "range", args: []string{"65631"}, drive: copies(228)},
	{name: "range", args: []string{"131072"}, drive: copies(228)},
	{name: "exact_buffer", drive: func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		for _, c := range [][2]int{{1000, 100}, {72, 100}, {71, 99}} {
			text := strings.Repeat("x", c[0])
			s.send(text)
			p.says(fmt.Sprint("data_len ", c[1]))
			s.arrives(text)
		}
		p.exits(0)
	}},
	{name: "destroy_null", drive: nothing},
	{name: "timestamp", drive: func(t *testing.T, p *process) {
		// At OUTPUT the kernel gives none, at INPUT it may.
		out, in := openSink(t, local+strconv.Itoa(atOutput)), openSink(t, local+strconv.Itoa(atInput))
		p.says("ready")
		for _, s := range []*sink{out, in} {
			s.send("now")
			if got := p.line(); !strings.HasPrefix(got, "age ") {
				t.Fatalf("it says %q", got)
			}
			s.arrives("now")
		}
		p.exits(0)
	}},
	{name: "hardware", args: []string{"3"}, drive: hardware},
	{name: "hook", args: []string{"7"}, drive: hook},
	{name: "ignore_type", drive: func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		for i := range 20 {
			s.send(fmt.Sprint("packet ", i))
			if i%2 == 0 {
				s.arrives(fmt.Sprint("packet ", i))
			}
		}
		p.exits(0)
		s.none()
	}},
	{name: "double_verdict", drive: passes(2, "next")},
	{name: "old_create", flags: []string{"-DIPQ_OLD_CREATE_HANDLE"}, drive: passes(1, "")},
	{name: "kernel_header", drive: passes(1, "")},
	{name: "header_order", flags: headerOrderFlags, drive: passes(1, "")},
	{name: "nested_header", drive: passes(1, "")},
	{name: "extern_c", drive: passes(1, ""), require: func(t *testing.T, s *starter) {
		flags := []string{s.target.wordFlag()}
		if s.target.static {
			flags = append(flags, "-static")
		}
		requireCompiler(t, "g++", flags...)
	}},
	{name: "raw", drive: passes(3, "next"), exists: func(s *starter) bool {
		return len(s.before) > 0 // only ipq run reaches a program without the library
	}},
	{name: "stolen", drive: func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		s.send("one")
		p.says("stolen")
		s.send("two")
		if line, err := p.lines.Peek(1); err == nil && len(line) > 0 {
			p.says(fmt.Sprint("refused ", 22))
		}
		s.arrives("two")
		p.exits(0)
		s.none()
	}},
	{name: "stop", drive: func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atMangle))
		p.says("ready")
		s.send("accepted, and then dropped by the filter table")
		p.says("next")
		s.send("past the filter table")
		p.says("next")
		s.arrives("past the filter table")
		p.exits(0)
		s.none()
	}},
	{name: "errno_after", drive: flood(50)},
	{name: "second_handle", drive: passes(1, "")},
	{name: "replies", drive: func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		for _, n := range []int{1000, 100} { // and headers of 28 bytes
			text := strings.Repeat("r", n)
			s.send(text)
			p.says("next")
			s.arrives(text)
		}
		p.exits(0)
	}},
	{name: "refused", args: []string{"busy"}, drive: nothing},
	{name: "refused", args: []string{"user"}, drive: nothing, exists: func(s *starter) bool {
		return s.service != "" // whoever can start a queue handler of his own may use it
	}, require: func(t *testing.T, _ *starter) {
		sandbox.Require(t, "another user", hasNobody(), "there is only one in this user namespace: run the tests as root")
	}},
}

// secondPasses sends two packets, of which the second must arrive alone.
func secondPasses(says ...string) func(*testing.T, *process) {
	return func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		for i, line := range says {
			s.send(fmt.Sprint("packet ", i))
			p.says(line)
		}
		s.arrives("packet 1")
		p.exits(0)
		s.none()
	}
}

// flood sends n packets at once, and expects them all in some order.
func flood(n int) func(*testing.T, *process) {
	return func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atNFQUEUE))
		p.says("ready")
		var want, got []string
		for i := range n {
			want = append(want, fmt.Sprintf("packet %03d", i))
			s.send(want[i])
		}
		for range n {
			got = append(got, s.receive())
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Fatalf("%q arrived", got)
		}
		p.exits(0)
	}
}

// copies sends a packet of 228 bytes.
func copies(want int) func(*testing.T, *process) {
	return func(t *testing.T, p *process) {
		s := openSink(t, local+strconv.Itoa(atOutput))
		p.says("ready")
		text := strings.Repeat("r", 200)
		s.send(text)
		p.says(fmt.Sprint("data_len ", want))
		s.arrives(text)
		p.exits(0)
	}
}

// daemon is for programs whose first process ends at once.
func daemon(t *testing.T, p *process) {
	s := openSink(t, local+strconv.Itoa(atOutput))
	p.says("ready")
	p.cmd.Wait()
	p.ended = true
	for range 2 {
		s.send("for the daemon")
		s.arrives("for the daemon")
		p.says("next")
	}
	p.says("done")
	if got := p.cmd.ProcessState.ExitCode(); got != 0 {
		t.Fatalf("the first process ends with %v", p.cmd.ProcessState)
	}
}

// from sends a packet from a host.
func from(t *testing.T, h *sandbox.Host, to, text string) {
	t.Helper()
	err := h.Do(func() error {
		c, err := net.Dial("udp", to)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func hardware(t *testing.T, p *process) {
	n := sandbox.Setup(t, 1)
	p.says("ready")
	out, in := openSink(t, local+strconv.Itoa(atOutput)), openSink(t, local+strconv.Itoa(atInput))
	out.send("made here")
	p.says("protocol 0800 type 0 address ") // ip_queue had no protocol at OUTPUT, NFQUEUE fills it in
	in.send("looped back")
	p.says("protocol 0800 type 772 address 000000000000")
	link := openSink(t, fmt.Sprintf("%s:%d", n.Router.IPv4, atInput))
	from(t, n.Hosts[0], link.to.String(), "from a link")
	p.says("protocol 0800 type 1 address 020007000002")
	link.arrives("from a link")
	p.exits(0)
}

func hook(t *testing.T, p *process) {
	n := sandbox.Setup(t, 2)
	p.says("ready")
	for port, says := range map[int]string{
		atOutput:      "output >lo mark 0",
		atNFQUEUE:     "output >lo mark 0",
		atInput:       "input lo> mark 0",
		atOutputMark:  "output >lo mark 80000001",
		atPrerouting:  "prerouting lo> mark 0",
		atPostrouting: "postrouting >lo mark 0",
	} {
		s := openSink(t, local+strconv.Itoa(port))
		s.send("to a hook")
		p.says(says)
		s.arrives("to a hook")
	}
	from(t, n.Hosts[0], fmt.Sprintf("%s:%d", n.Hosts[1].IPv4, atForward), "on its way")
	p.says("forward ipq0>ipq1 mark 0")
	p.exits(0)
}

func hasNobody() bool {
	b, _ := os.ReadFile("/proc/self/uid_map")
	var inside, outside, count int
	fmt.Sscan(string(b), &inside, &outside, &count)
	return count > 65534
}

func TestPrograms(t *testing.T) {
	everyWay(t, func(t *testing.T, s *starter) {
		for _, p := range patterns {
			if p.exists != nil && !p.exists(s) {
				continue
			}
			if p.slow && s.target != (target{word: 64}) {
				p.args = []string{"quick"}
			}
			name := strings.Join(append([]string{p.name}, p.args...), " ")
			t.Run(name, func(t *testing.T) {
				if p.require != nil {
					p.require(t, s)
				}
				source := filepath.Join("programs", p.name+".c")
				if p.name == "extern_c" {
					source += "c"
				}
				p.drive(t, s.start(t, source, p.flags, p.args...))
			})
		}
	})
}
