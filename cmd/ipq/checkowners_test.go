package main

import (
	"strings"
	"testing"

	"ipq/internal/privilege"
)

// What a process may do is judged by what its part takes, and its name is its own choice.
func TestOwnerCheck(t *testing.T) {
	restricted := func(c privilege.Capabilities) privilege.Status {
		return privilege.Status{Capabilities: c, NoNewPrivs: true, Filtered: true}
	}
	for _, c := range []struct {
		comm  string
		has   privilege.Status
		state string
		says  string
	}{
		{"ipq", restricted(privilege.NetAdmin), stateOK, "may use CAP_NET_ADMIN; no_new_privs yes, seccomp filter yes"},
		{"ipq", restricted(0), stateOK, "may use none;"},
		{"ipq run", restricted(supervisorKeeps), stateOK, "CAP_SYS_PTRACE"},
		{"ipq", restricted(supervisorKeeps), stateNote, "more than it takes"},
		{"suricata", privilege.Status{Capabilities: 1<<41 - 1}, stateNote, "may use 41 capabilities; no_new_privs no, seccomp filter no: more"},
		{"\x1b[31mred", restricted(privilege.NetAdmin), stateOK, ""},
	} {
		var r report
		r.owner(7, c.comm, c.has)
		got := r.Checks[0]
		if got.State != c.state || !strings.Contains(got.Finding, c.says) || (got.Fix != "") != (c.state == stateNote) ||
			!strings.HasPrefix(got.Name, "process 7 (") || strings.Contains(got.Name, "\x1b") {
			t.Errorf("%q, %+v: %+v", c.comm, c.has, got)
		}
	}
}
