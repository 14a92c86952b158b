package privilege

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestString(t *testing.T) {
	for c, want := range map[Capabilities]string{
		0:                               "none",
		NetAdmin:                        "CAP_NET_ADMIN",
		DACOverride | SysPtrace | 1<<40: "CAP_DAC_OVERRIDE CAP_SYS_PTRACE CAP_CHECKPOINT_RESTORE",
		1 << 41:                         "CAP_41",
	} {
		if c.String() != want {
			t.Errorf("%#x is %q, want %q", uint64(c), c, want)
		}
	}
}

// A process is as strong as its strongest thread.
func TestOf(t *testing.T) {
	proc := t.TempDir()
	thread := func(tid, text string) {
		dir := filepath.Join(proc, "7", "task", tid)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "status"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	thread("7", "Name:\tipq\nCapPrm:\t0000000000001000\nNoNewPrivs:\t1\nSeccomp:\t2\n")
	if s, err := Of(proc, 7); err != nil || s != (Status{NetAdmin, true, true}) {
		t.Errorf("%+v, %v", s, err)
	}
	thread("8", "CapPrm:\t0000000000000002\nNoNewPrivs:\t0\nSeccomp:\t0\n")
	if s, err := Of(proc, 7); err != nil || s != (Status{NetAdmin | DACOverride, false, false}) {
		t.Errorf("%+v, %v", s, err)
	}
	thread("9", "CapPrm:\tnothing\n")
	if _, err := Of(proc, 7); err == nil {
		t.Error("no error for a malformed file")
	}
	if _, err := Of(proc, 6); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such process: %v", err)
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte("CapPrm:\t0000000000001000\nNoNewPrivs:\t1\nSeccomp:\t2\n"))
	f.Add([]byte("CapPrm:\nSeccomp"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStatus(b)
		if err != nil && s != (Status{}) {
			t.Errorf("%+v with %v", s, err)
		}
	})
}
