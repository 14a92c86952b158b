package sandbox_test

import (
	"fmt"
	"strings"
	"testing"

	"ipq/internal/sandbox"
)

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
