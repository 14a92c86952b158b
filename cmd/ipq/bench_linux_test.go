package main_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchOutput is what -o json prints.
type benchOutput struct {
	Machine struct {
		CPU, Kernel, Go string
		Cores           int
	}
	Queue struct {
		Length        int
		ReceiveBuffer int `json:"receive_buffer"`
	}
	Rounds  int
	Figures map[string]map[string]float64
}

// benchKeys are the figures of every measurement.
func benchKeys() map[string][]string {
	trip, stream := []string{"median_us", "p90_us", "p99_us"}, "gbit_per_second"
	keys := map[string][]string{
		"drain":                 {"waiting", "cpu_ns_per_packet", "packets_per_second"},
		"flood":                 {"packets_per_second", "lost_percent"},
		"round_trip_not_queued": trip,
		"round_trip_one_core":   trip,
		"tcp_not_queued":        {stream},
		"tcp":                   {stream, "lost_percent"},
	}
	if min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) > 1 {
		keys["round_trip_two_cores"], keys["round_trip_busy_poll"] = trip, trip
	}
	return keys
}

func TestBench(t *testing.T) {
	requireTry(t)
	before := boundQueues(t)
	args := []string{"bench", "--time", "1s", "-o", "json"}
	for name, cmd := range map[string]*exec.Cmd{"root": prepare(t, args...), "ordinary user": asOrdinary(t, prepare(t, args...))} {
		t.Run(name, func(t *testing.T) {
			e := wait(t, cmd)
			list := objects[benchOutput](t, e.stdout)
			if e.status != 0 || e.stderr != "" || len(list) != 1 {
				t.Fatalf("status %d\n%s%s", e.status, e.stdout, e.stderr)
			}
			o := list[0]
			if m := o.Machine; m.CPU == "" || m.Cores != runtime.NumCPU() || m.Kernel == "" || m.Go != runtime.Version() {
				t.Errorf("%+v", m)
			}
			if o.Rounds < 3 || o.Queue.Length == 0 || o.Queue.ReceiveBuffer == 0 {
				t.Errorf("%+v", o)
			}
			want := benchKeys()
			if len(o.Figures) != len(want) {
				t.Errorf("%d measurements, want %d: %s", len(o.Figures), len(want), e.stdout)
			}
			for measurement, keys := range want {
				figures := o.Figures[measurement]
				if len(figures) != len(keys) {
					t.Errorf("%s: %v, want %q", measurement, figures, keys)
				}
				for _, key := range keys {
					x, ok := figures[key]
					if percent := strings.HasSuffix(key, "_percent"); !ok || x < 0 || !percent && x == 0 || percent && x > 100 {
						t.Errorf("%s: %s is %v", measurement, key, x)
					}
				}
				if figures["median_us"] > figures["p90_us"] || figures["p90_us"] > figures["p99_us"] {
					t.Errorf("%s: %v", measurement, figures)
				}
			}
			// What passed a queue took another way than what did not, and the kernel's part alone takes some time.
			if o.Figures["round_trip_one_core"]["median_us"] <= o.Figures["round_trip_not_queued"]["median_us"] {
				t.Errorf("the queue takes no time: %s", e.stdout)
			}
			if d := o.Figures["drain"]; d["cpu_ns_per_packet"] < 100 || d["waiting"] > float64(o.Queue.Length) {
				t.Errorf("%v", d)
			}
		})
	}
	if after := boundQueues(t); after != before {
		t.Errorf("before: %s, after: %s", before, after)
	}
}

func TestBenchTable(t *testing.T) {
	requireTry(t)
	e := run(t, "bench", "--time", "1s")
	if e.status != 0 || e.stderr != "" {
		t.Fatalf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
	if first := e.lines()[0]; !strings.Contains(first, runtime.Version()) || !strings.Contains(first, "core") {
		t.Errorf("the machine is %q", first)
	}
	_, table, _ := strings.Cut(e.stdout, "\n\n")
	head, rows, _ := strings.Cut(table, "\n")
	means := strings.Index(head, "MEANING")
	if means < 0 {
		t.Fatalf("%s", e.stdout)
	}
	count := map[string]int{}
	for line := range strings.Lines(rows) {
		name, _, _ := strings.Cut(line, ",")
		count[name]++
		// The signs before the last column may take more than a byte each.
		if strings.Contains(line, "?") || len(strings.TrimSpace(line)) < means+10 {
			t.Errorf("%q", line)
		}
	}
	trips := 2
	if _, ok := benchKeys()["round_trip_busy_poll"]; ok {
		trips = 4
	}
	if len(count) != 4 || count["drain"] != 2 || count["flood"] != 2 || count["round trip"] != trips || count["TCP"] != 3 {
		t.Errorf("%v in\n%s", count, e.stdout)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{{"--time", "10ms"}, {"--time", "-1s"}, {"--time", "long"}, {"extra"}, {"-o", "xml"}, {"--worker", "sleep"}} {
		e := run(t, append([]string{"bench"}, args...)...)
		if e.status != 64 || e.stdout != "" || strings.Count(e.stderr, "\n") != 1 {
			t.Errorf("ipq bench %q: status %d\n%s%s", args, e.status, e.stdout, e.stderr)
		}
	}
}

// Whoever ends it early does not wait longer than for what is being measured.
func TestBenchSignals(t *testing.T) {
	requireTry(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			cmd := asOrdinary(t, prepare(t, "bench", "--time", "10m"))
			out := begin(t, cmd)
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Wait() // what it returns, ProcessState says
			if got := cmd.ProcessState.ExitCode(); got != 0 || time.Since(began) > patience/2 {
				t.Errorf("status %d after %v\n%s", got, time.Since(began), rest)
			}
		})
	}
}

// A bench that is killed leaves no traffic behind.
func TestBenchKilled(t *testing.T) {
	requireTry(t)
	cmd := prepare(t, "bench", "--time", "10m")
	out := begin(t, cmd)
	until(t, "a worker runs", func() bool { return processes(t, "--worker") > 0 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, out)
	cmd.Wait() // what it returns is that it was killed
	until(t, "all have ended", func() bool { return processes(t, "bench") == 0 })
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience / 2); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", patience/2, what)
		}
	}
}

// processes counts those that run the command with an argument.
func processes(t *testing.T, arg string) (n int) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		program, _ := os.Readlink(p + "/exe") // of those that have ended meanwhile there is none
		args, _ := os.ReadFile(p + "/cmdline")
		if program == binary(t) && slices.Contains(strings.Split(string(args), "\x00"), arg) {
			n++
		}
	}
	return n
}

// Where namespaces are forbidden there is nothing to measure in, and bench says what to change.
func TestBenchForbidden(t *testing.T) {
	requireTry(t)
	shell := program(t, "sh", "-c", `
		echo 0 >/proc/sys/user/max_user_namespaces &&
		echo 0 >/proc/sys/user/max_net_namespaces &&
		exec "$0" bench`, binary(t))
	shell.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
	}
	e := wait(t, shell)
	if e.status != 2 || e.stdout != "" || !strings.Contains(e.stderr, "sysctl -w user.max_user_namespaces=") {
		t.Errorf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
}
