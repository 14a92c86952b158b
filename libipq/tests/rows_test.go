//go:build linux

package tests_test

import (
	"slices"
	"strings"
	"testing"
)

// rows are the ways in which 24 code bases of 2001 to 2014 were found to use
// libipq, how many of them each, and the programs or tests that show it. Those
// that no code base was counted for are promises of ours.
var rows = []struct {
	use   string
	bases int
	shown string
}{
	{"select or poll on h->fd, then ipq_read", 8, "select"},
	{"getsockopt and setsockopt of SO_RCVBUF on h->fd", 2, "rcvbuf"},
	{"never ipq_read: recvfrom with MSG_PEEK, then into &h->peer, length 12 and port 0", 1, "peek"},
	{"handle first, then daemon()", 2, "daemon_after"},
	{"daemon() first, then the handle", 6, "daemon_before"},
	{"a forked child sends the verdict", 1, "child_verdict"},
	{"fork, exec and system while the handle is open", 5, "exec_open"},
	{"threads, two of which read and decide at once; longjmp out of ipq_read", 5, "threads longjmp"},
	{"verdicts after seconds, and out of order", 5, "defer"},
	{"IPv6", 5, "ipv6"},
	{"IPv4 and IPv6 together, with select on both", 2, "both"},
	{"payload replaced: the same length, shorter, longer", 6, "payload"},
	{"NF_DROP with a payload", 1, "drop_payload"},
	{"data_len 0 with a buffer", 1, "zero_length"},
	{"a timeout above 0: 1 us, 500 ms, 1 s", 5, "timeout"},
	{"a timeout below 0", 2, "poll_once"},
	{"IPQ_COPY_META", 3, "meta"},
	{"ranges 0, 21, 68, 65631, 131072", 5, "range"},
	{"a buffer of exactly header, message and range", 3, "exact_buffer"},
	{"ipq_destroy_handle(NULL)", 8, "destroy_null"},
	{"timestamp_sec drives logic", 4, "timestamp"},
	{"hw_addr drives logic", 3, "hardware"},
	{"hook, indev_name and outdev_name drive logic", 7, "hook"},
	{"ignores the message type", 2, "ignore_type"},
	{"answers twice and relies on the error", 1, "double_verdict"},
	{"ipq_create_handle with one argument", 2, "old_create"},
	{"includes <linux/netfilter_ipv4/ip_queue.h>", 3, "kernel_header"},
	{"includes <libipq/libipq.h>", 4, "nested_header"},
	{"the header inside extern \"C\"", 1, "extern_c TestHeaders"},
	{"static link, by -lipq or the path of libipq.a", 3, "TestPrograms TestInstall"},
	{"autoconf and pkg-config look for libipq", 4, "TestInstall"},
	{"no libipq: a NETLINK_FIREWALL socket without bind", 2, "raw"},
	{"verdict NF_STOLEN", 1, "stolen"},
	{"verdict NF_STOP", 1, "stop"},
	{"errno after a success", 1, "errno_after"},

	{"<linux/netfilter.h> before <netinet/in.h>, as before Linux 2.6", 0, "header_order"},
	{"a module that a program loads later", 0, "TestModule"},
	{"the queue handler is killed and started again", 0, "TestRestart TestEnded"},
	{"the environment is cleaned before the handle", 0, "TestEnvironmentAtStart"},
	{"the manual page's example", 0, "passer TestManualExample"},
	{"one handle for each family and process", 0, "second_handle"},
	{"the results of the original library on Linux 3.4", 0, "replies"},
	{"EBUSY and EPERM reach the program", 0, "refused"},
}

// Every row is shown, by programs that run, and every program is in a row.
func TestRows(t *testing.T) {
	var listed, run []string
	for _, r := range rows {
		for name := range strings.FieldsSeq(r.shown) {
			if !strings.HasPrefix(name, "Test") {
				listed = append(listed, name)
			}
		}
		if r.shown == "" {
			t.Errorf("nothing shows %q", r.use)
		}
	}
	for _, p := range patterns {
		run = append(run, p.name)
	}
	slices.Sort(listed)
	slices.Sort(run)
	if run = slices.Compact(run); !slices.Equal(listed, run) {
		t.Errorf("in rows are\n%v\nrun are\n%v", listed, run)
	}
}
