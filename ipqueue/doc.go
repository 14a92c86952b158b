// Package ipqueue is the ip_queue protocol and the queue handler behind it: old
// programs, written against libipq, on one side, package ipq and the kernel's
// NFQUEUE on the other.
//
// Until Linux 3.4 the kernel modules ip_queue and ip6_queue gave packets to one
// program per address family, over a netlink socket, and took verdicts back. A
// Handler does what they did, message for message. It hands each program a
// socket that looks like that netlink socket: through Connect in this process,
// or through Serve and Dial from any other.
//
// What differs from the kernel modules is written down in
// docs/ip_queue-differences.md.
package ipqueue
