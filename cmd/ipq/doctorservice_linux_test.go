package main_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ipq/internal/sandbox"
)

// doctor says whether the ip_queue service is there, and names the command that starts it.
func TestDoctorService(t *testing.T) {
	sandbox.RequireQueue(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ipq.sock")
	check := func(state, says, fix string) {
		t.Helper()
		cmd := prepare(t, "doctor", "-o", "json")
		cmd.Env = append(os.Environ(), "IPQ_SOCKET="+path)
		e := wait(t, cmd)
		d := objects[diagnosis](t, e.stdout)
		if len(d) != 1 {
			t.Fatalf("status %d\n%s%s", e.status, e.stdout, e.stderr)
		}
		for _, c := range d[0].Checks {
			if c.Name == "ip_queue service" && c.State == state && strings.Contains(c.Finding, says) && strings.Contains(c.Fix, fix) {
				return
			}
		}
		t.Errorf("want the state %q, %q and the fix %q\n%s", state, says, fix, e.stdout)
	}
	check("note", "none answers at "+path, "ipq emulate")

	emulate(t, nil, "--socket", path)
	check("ok", "runs at "+path, "")

	path = filepath.Join(dir, "left")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close() // as a service leaves it that was killed
	check("note", "none answers at "+path, "ipq emulate")
}
