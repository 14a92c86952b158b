package main

import (
	"fmt"
	"slices"

	"ipq/internal/privilege"
)

// expected is what a program that owns a queue needs at most, by its name. Those of ipq give up the rest.
func expected(name string) privilege.Capabilities {
	if name == "ipq run" {
		return supervisorKeeps
	}
	return privilege.NetAdmin
}

// owners says of each process that owns a queue what it may do: it looks at what strangers send.
func (r *report) owners() {
	var seen []int
	for _, q := range r.Queues {
		if q.PID == 0 || slices.Contains(seen, q.PID) {
			continue
		}
		seen = append(seen, q.PID)
		if s, err := privilege.Of("/proc", q.PID); err == nil { // it may have ended
			r.owner(q.PID, q.Name, s)
		}
	}
}

func (r *report) owner(pid int, comm string, s privilege.Status) {
	const few = 5
	holds := s.Capabilities.String()
	if s.Capabilities.Count() > few {
		holds = fmt.Sprintf("%d capabilities", s.Capabilities.Count())
	}
	finding := fmt.Sprintf("may use %s; no_new_privs %s, seccomp filter %s", holds, yes(s.NoNewPrivs), yes(s.Filtered))
	name := fmt.Sprintf("process %d (%s)", pid, printable(comm))
	if s.Capabilities&^expected(comm) != 0 {
		r.add(name, stateNote, finding+": more than it takes to answer packets",
			"leave it CAP_NET_ADMIN, as in a systemd unit: CapabilityBoundingSet=CAP_NET_ADMIN, NoNewPrivileges=yes")
		return
	}
	r.add(name, stateOK, finding, "")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
