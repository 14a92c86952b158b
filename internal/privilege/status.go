package privilege

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Status is what a process still has: the most that any of its threads has.
type Status struct {
	Capabilities Capabilities // permitted, so that the process can use it
	NoNewPrivs   bool         // every thread has no_new_privs
	Filtered     bool         // every thread has a seccomp filter
}

// Of reads the status of a process, where the proc file system is mounted at proc. Any user may.
func Of(proc string, pid int) (Status, error) {
	files, err := filepath.Glob(filepath.Join(proc, strconv.Itoa(pid), "task", "*", "status"))
	if err != nil {
		return Status{}, err
	}
	s := Status{NoNewPrivs: true, Filtered: true}
	seen := false
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		t, err := parseStatus(b)
		if err != nil {
			return Status{}, fmt.Errorf("%s: %w", file, err)
		}
		seen = true
		s.Capabilities |= t.Capabilities
		s.NoNewPrivs = s.NoNewPrivs && t.NoNewPrivs
		s.Filtered = s.Filtered && t.Filtered
	}
	if !seen {
		return Status{}, fmt.Errorf("process %d: %w", pid, os.ErrNotExist)
	}
	return s, nil
}

// seccompFilter is SECCOMP_MODE_FILTER.
const seccompFilter = "2"

// parseStatus reads a /proc/PID/task/TID/status file. The line NoNewPrivs came with Linux 4.10.
func parseStatus(b []byte) (s Status, err error) {
	known := false
	for line := range bytes.Lines(b) {
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "CapPrm":
			n, err := strconv.ParseUint(value, 16, 64)
			if err != nil {
				return Status{}, fmt.Errorf("CapPrm: %w", err)
			}
			s.Capabilities, known = Capabilities(n), true
		case "NoNewPrivs":
			s.NoNewPrivs = value == "1"
		case "Seccomp":
			s.Filtered = value == seccompFilter
		}
	}
	if !known {
		return Status{}, errors.New("no line CapPrm")
	}
	return s, nil
}
