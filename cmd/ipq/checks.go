package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"ipq"
)

// check is one line of doctor's report.
type check struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Finding string `json:"finding"`
	Fix     string `json:"fix,omitempty"` // the one thing to do about it
}

const (
	stateOK   = "ok"
	stateNote = "note" // watch works without it
	stateFail = "fail"
)

// report is what doctor finds.
type report struct {
	Watch  bool         `json:"watch"` // whether "ipq watch" works here
	Checks []check      `json:"checks"`
	Queues []hostQueue  `json:"queues"`
	Unread []unreadRule `json:"unread,omitempty"` // rules that feed queues that no program reads
}

func (r *report) add(name, state, finding, fix string) {
	r.Checks = append(r.Checks, check{name, state, finding, fix})
	if state == stateFail {
		r.Watch = false
	}
}

// examine looks at this machine, as this user.
func examine(ctx context.Context) report {
	r := report{Watch: true}
	if runtime.GOOS != "linux" {
		r.add("kernel", stateFail, "this is "+runtime.GOOS+"; packet queues exist on Linux only", "use a Linux machine, or a virtual one")
		return r
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	r.kernel(strings.TrimSpace(string(release)))
	here := probeFeatures()
	inside, forbidden := askInside(ctx)
	r.privilege(here)
	r.namespaces(forbidden)
	switch {
	case !here.Denied:
		if forbidden == nil {
			here.Watch = inside.Watch
		}
		r.features(here)
		r.buffer(here)
	case forbidden == nil:
		r.features(inside) // the same kernel
	default:
		r.add("features", stateNote, "what the kernel can do cannot be found out without privilege", "run ipq doctor as root")
	}
	r.service(servicePath())
	r.queues()
	r.owners()
	return r
}

func (r *report) privilege(here features) {
	if here.Denied {
		path, err := os.Executable()
		if err != nil {
			path = "ipq"
		}
		r.add("privilege", stateFail, "CAP_NET_ADMIN is missing in this network namespace", "run as root, or once: setcap cap_net_admin+ep "+path)
		return
	}
	r.add("privilege", stateOK, "CAP_NET_ADMIN", "")
}

func (r *report) namespaces(forbidden error) {
	if forbidden != nil {
		// The error ends with what to change.
		finding, fix := forbidden.Error(), "allow namespaces"
		if i := strings.LastIndex(finding, ": "); i >= 0 {
			finding, fix = finding[:i], finding[i+2:]
		}
		r.add("namespaces", stateNote, "ipq try does not work: "+finding, fix)
		return
	}
	r.add("namespaces", stateOK, "a private network can be made: ipq try works", "")
}

// options are what a kernel must be built with for a flag.
var options = map[ipq.Flags]string{
	ipq.FlagFailOpen:        "Linux 3.6",
	ipq.FlagConntrack:       "CONFIG_NETFILTER_NETLINK_GLUE_CT",
	ipq.FlagGSO:             "Linux 3.10",
	ipq.FlagUIDGID:          "Linux 3.14",
	ipq.FlagSecurityContext: "CONFIG_NETWORK_SECMARK",
}

func (r *report) features(f features) {
	if f.Queue != "" {
		r.add("queue", stateFail, f.Queue, "load the module nfnetlink_queue (modprobe nfnetlink_queue), or use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE")
	} else {
		r.add("queue", stateOK, "packets can be queued to programs (CONFIG_NETFILTER_NETLINK_QUEUE)", "")
	}
	switch {
	case f.Rules != "":
		r.add("rules", stateFail, f.Rules, "use a kernel with CONFIG_NF_TABLES and CONFIG_NFT_QUEUE (modprobe nft_queue)")
	case f.Encoding == "native":
		r.add("rules", stateOK, "the nft statement queue (CONFIG_NFT_QUEUE)", "")
	default:
		r.add("rules", stateOK, "the xtables target NFQUEUE, by nft's compatibility layer (CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_TARGET_NFQUEUE)", "")
		r.add("native rules", stateNote, "no nft statement queue, so rules of the family bridge cannot queue; "+
			"with br_netfilter bridged packets come to the rules of ip and ip6", "a kernel with CONFIG_NFT_QUEUE")
	}
	if f.Rules == "" && f.Watch != "" {
		r.add("rules of watch", stateFail, f.Watch, "use a kernel with the options named")
	}
	if f.Queue != "" {
		return
	}
	for flag := ipq.Flags(1); flag <= f.Lacking; flag <<= 1 {
		if f.Lacking&flag != 0 {
			r.add(flag.String(), stateNote, "packets come without it", "a kernel with "+options[flag])
		}
	}
}

func (r *report) buffer(f features) {
	if f.Queue != "" {
		return
	}
	if f.Buffer < bufferWanted {
		r.add("buffer", stateNote, fmt.Sprintf("a socket gets %d bytes of the %d that it asks for: bursts may be lost", f.Buffer, bufferWanted),
			fmt.Sprintf("sysctl -w net.core.rmem_max=%d", bufferWanted))
		return
	}
	r.add("buffer", stateOK, fmt.Sprintf("a socket gets the %d bytes that it asks for", bufferWanted), "")
}

func (r *report) queues() {
	v, err := lookAtHost("/proc", "/run/netns")
	asRoot := ""
	if os.Geteuid() != 0 {
		asRoot = "run ipq doctor as root to see every queue, its owner and the rules that feed it"
	}
	switch {
	case err != nil:
		r.add("queues", stateNote, err.Error(), asRoot)
	case len(v.queues) == 0 && len(v.hidden) == 0:
		r.add("queues", stateOK, "none is bound", "")
	}
	for _, h := range v.hidden {
		r.add("queues", stateNote, h, asRoot)
	}
	r.Queues, r.Unread = v.queues, v.unread
	for _, q := range v.queues {
		r.queue(q)
	}
	for _, u := range v.unread {
		r.add(u.name(), stateNote, u.finding(), "start the program that reads it, or delete the rule")
	}
}

// nearlyFull is how many packets must wait for a queue to be close to its
// length, which the kernel does not show: it is taken for the default, 1,024.
const nearlyFull = 768

func (r *report) queue(q hostQueue) {
	name, owner := q.title(), "of "+q.owner()
	switch {
	case q.Refused:
		r.add(name, stateNote, owner+": "+q.refusal(), "that program must keep CAP_NET_ADMIN for as long as it answers (tcpdump: -Z root)")
	case q.Mode == "none":
		r.add(name, stateNote, owner+", in mode none: the kernel drops everything that comes", "that program must set a copy mode")
	case q.QueueDropped != 0:
		r.add(name, stateNote, fmt.Sprintf("%s has lost %d packets because it was full", owner, q.QueueDropped), "that program must answer faster, or set a larger maximum length")
	case q.UserDropped != 0:
		r.add(name, stateNote, fmt.Sprintf("%s has lost %d packets because its socket's buffer was full", owner, q.UserDropped), "that program must read faster, or set a larger receive buffer")
	case q.Waiting >= nearlyFull:
		r.add(name, stateNote, fmt.Sprintf("%s: %d packets wait, and a queue is full at 1024 unless its program has set another length", owner, q.Waiting),
			"that program must answer faster, or set a larger maximum length")
	default:
		r.add(name, stateOK, owner+", nothing lost", "")
	}
}
