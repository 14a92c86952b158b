package sandbox

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// RequireQueue skips the test outside a sandbox, and where the kernel cannot
// queue packets to programs. The feature is called "nfqueue".
func RequireQueue(t TB) {
	t.Helper()
	RequireNamespaces(t)
	Require(t, "nfqueue", hasQueue(), "the kernel was built without CONFIG_NETFILTER_NETLINK_QUEUE, or its module nfnetlink_queue is not installed")
}

func hasQueue() bool {
	const table = "/proc/self/net/netfilter/nfnetlink_queue"
	if _, err := os.Stat(table); err == nil {
		return true
	}
	// The first message of the subsystem makes the kernel load its module.
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return false
	}
	defer unix.Close(s)
	const config = unix.NFNL_SUBSYS_QUEUE<<8 | 2 // NFQNL_MSG_CONFIG, which with no attribute changes nothing
	b := binary.NativeEndian.AppendUint32(nil, unix.NLMSG_HDRLEN+4)
	b = binary.NativeEndian.AppendUint16(b, config)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 8+4)...) // sequence number, port; struct nfgenmsg for queue 0
	if err := unix.Sendto(s, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false
	}
	_, err = os.Stat(table)
	return err == nil
}
