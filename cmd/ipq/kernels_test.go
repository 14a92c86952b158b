package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What doctor says about kernels, by their release strings.
func TestKernels(t *testing.T) {
	const old, answers, repeat, queued = "5.12 or later", "when a program answers", "repeat does what accept does", "when a packet is queued"
	const trains, freed = "CVE-2026-45859", "CVE-2026-43084"
	for _, c := range []struct {
		release string
		says    []string // in the findings and fixes that are not ok
	}{
		{"6.18.44-generic", nil},
		{"6.1.0-18-amd64", nil},
		{"5.12.0", nil},
		{"5.11.22-100.fc32.x86_64", []string{old}},
		{"4.18.0-553.el8_10.x86_64", []string{old}},
		{"5.4.43", []string{old}},
		{"5.4.44-1-lts", []string{old, answers}},
		{"5.4.51", []string{old, answers}},
		{"5.4.52", []string{old}},
		{"5.6.15-arch1-1", []string{old}},
		{"5.6.16-1-MANJARO", []string{old, answers}},
		{"5.6.19", []string{old, answers}},
		{"5.7.0-rc7", []string{old}},
		{"5.7.0", []string{old, answers}},
		{"5.7.8", []string{old, answers}},
		{"5.7.9", []string{old}},
		{"6.6.15", nil},
		{"6.7.0-arch3-1", []string{repeat}},
		{"6.7.4-200.fc39.x86_64", []string{repeat}},
		{"6.7.5", nil},
		{"6.8.0-rc3", []string{repeat}},
		{"6.8.0-31-generic", nil},
		{"6.10.14", nil},
		{"6.11.0", []string{trains}},
		{"6.12.74", []string{trains}},
		{"6.12.75", []string{freed}},
		{"6.12.82-1-lts", []string{freed}},
		{"6.12.83", nil},
		{"6.13.0-rc1", []string{trains}},
		{"6.13.12", []string{trains}},
		{"6.14.0-rc7", []string{queued, trains}},
		{"6.14.0-1-default", []string{queued, trains}},
		{"6.14", []string{queued, trains}},
		{"6.14.1-arch1-1", []string{queued, trains}},
		{"6.14.2", []string{trains}},
		{"6.15.0", []string{trains}},
		{"6.18.13", []string{trains}},
		{"6.18.14", []string{freed}},
		{"6.18.23", []string{freed}},
		{"6.18.24", nil},
		{"6.19.0", []string{trains}},
		{"6.19.3", []string{trains}},
		{"6.19.4", []string{freed}},
		{"6.19.13", []string{freed}},
		{"6.19.14", nil},
		{"7.0.0", nil},
		{"", nil},
		{"linux", nil},
		{"6", nil},
		{"99999999999999999999.1", nil},
	} {
		r := report{Watch: true}
		r.kernel(c.release)
		var said []string
		for _, check := range r.Checks {
			if check.State == stateOK {
				continue
			}
			if check.Fix == "" || !strings.HasPrefix(check.Fix, "u") {
				t.Errorf("%q: %q has the fix %q", c.release, check.Finding, check.Fix)
			}
			said = append(said, check.Finding+" / "+check.Fix)
		}
		if len(said) != len(c.says) {
			t.Errorf("%q: %q, want %q", c.release, said, c.says)
			continue
		}
		for i, want := range c.says {
			if !strings.Contains(said[i], want) {
				t.Errorf("%q: %q, want %q", c.release, said[i], want)
			}
		}
		if fails := len(c.says) != 0 && c.says[0] == old; r.Watch == fails {
			t.Errorf("%q: watch works: %v", c.release, r.Watch)
		}
	}
}

// The page about kernels names every fault, and which kernels have it.
func TestKernelsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/kernel-features.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range kernelBugs {
		for _, r := range b.kernels {
			for _, v := range r {
				if v[2] != candidate && !strings.Contains(string(page), v.String()) {
					t.Errorf("%s: %s is not on the page", b.what, v)
				}
			}
		}
	}
}

// Every queue that is in trouble is a note with a fix.
func TestQueueChecks(t *testing.T) {
	for _, c := range []struct {
		queue hostQueue
		says  string // "" is no note
	}{
		{hostQueue{Mode: "packet"}, ""},
		{hostQueue{Mode: "meta", Waiting: 767}, ""},
		{hostQueue{Mode: "packet", Waiting: 768}, "768 packets wait"},
		{hostQueue{Mode: "packet", Waiting: 1024, QueueDropped: 3}, "lost 3 packets because it was full"},
		{hostQueue{Mode: "packet", UserDropped: 2}, "lost 2 packets because its socket's buffer was full"},
		{hostQueue{Mode: "none"}, "drops everything"},
		{hostQueue{Mode: "packet", PID: 7, Name: "x\n", Waiting: 2, QueueDropped: 9, Refused: true}, `process 7 (x\n): packets that wait: 2; the process has no CAP_NET_ADMIN`},
	} {
		r := report{Watch: true}
		r.queue(c.queue)
		got := r.Checks[0]
		if (got.State == stateNote) != (c.says != "") || !strings.Contains(got.Finding, c.says) || (got.Fix != "") != (c.says != "") || !r.Watch {
			t.Errorf("%+v: %+v, want %q", c.queue, got, c.says)
		}
	}
}

// Processes that cannot be looked into are named, a few of them, and what they are called is escaped.
func TestProcessNames(t *testing.T) {
	proc := t.TempDir()
	var pids []string
	for i, name := range []string{"init\n", "a\x1b[31m\n", "", "b\n", "c\n", "d\n", "e\n"} {
		pids = append(pids, fmt.Sprint(i+1))
		if name == "" {
			continue // ended
		}
		dir := filepath.Join(proc, pids[i])
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "comm"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range map[int]string{
		1: "1 (init)",
		5: `1 (init), 2 (a\x1b[31m), 3 (), 4 (b), 5 (c)`,
		7: `1 (init), 2 (a\x1b[31m), 3 (), 4 (b), 5 (c) and 2 more`,
	} {
		if got := processNames(proc, pids[:n]); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// A kernel thread is told by its flags, whatever its name.
func TestIsKernelThread(t *testing.T) {
	for stat, want := range map[string]bool{
		"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0":      true,
		"9 (a) b (c) S 2 0 0 0 -1 69238880 0 0 0":      true,
		"9 (a 0 0 0 0 2129984) S 1 9 9 0 -1 4194560 0": false,
		"9 (cut) S 1 9": false,
		"":              false,
	} {
		proc := t.TempDir()
		if err := os.Mkdir(filepath.Join(proc, "9"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, "9/stat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := isKernelThread(proc, "9"); got != want {
			t.Errorf("%q: %v, want %v", stat, got, want)
		}
	}
}
