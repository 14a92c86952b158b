package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"ipq/internal/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// recorder is a TB that only notes how the test would have ended.
type recorder struct{ end, message string }

func (r *recorder) Helper()                   {}
func (r *recorder) Skipf(f string, a ...any)  { r.end, r.message = "skip", fmt.Sprintf(f, a...) }
func (r *recorder) Fatalf(f string, a ...any) { r.end, r.message = "fail", fmt.Sprintf(f, a...) }

func TestRequire(t *testing.T) {
	for _, c := range []struct {
		list string
		ok   bool
		want string
	}{
		{"", true, ""},
		{"all", true, ""},
		{"", false, "skip"},
		{"gcc", false, "skip"},
		{"nfqueue-extra", false, "skip"},
		{"nfqueue", false, "fail"},
		{"gcc, nfqueue", false, "fail"},
		{"all", false, "fail"},
	} {
		t.Setenv("IPQ_REQUIRE", c.list)
		var r recorder
		sandbox.Require(&r, "nfqueue", c.ok, "because")
		if r.end != c.want {
			t.Errorf("IPQ_REQUIRE=%q ok=%v: %q, want %q", c.list, c.ok, r.end, c.want)
		}
		if r.end != "" && !(strings.Contains(r.message, "nfqueue") && strings.Contains(r.message, "because")) {
			t.Errorf("the message %q does not say what is missing and why", r.message)
		}
	}
}

// In a new network namespace there is lo, on, and no other link that is on.
func TestInside(t *testing.T) {
	sandbox.RequireNamespaces(t)
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if up := l.Flags&net.FlagUp != 0; up != (l.Name == "lo") {
			t.Errorf("link %s: up is %v", l.Name, up)
		}
	}
	outside, err := os.Readlink("/proc/1/ns/net")
	if err == nil { // only root can read it
		if inside, _ := os.Readlink("/proc/self/ns/net"); inside == outside {
			t.Fatal("the tests run in the network namespace of process 1")
		}
	}
	if _, err := os.ReadFile("/proc/self/net/netfilter/nfnetlink_queue"); err != nil && !os.IsNotExist(err) {
		t.Errorf("the namespace's own files cannot be read: %v", err)
	}
}
