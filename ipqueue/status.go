package ipqueue

import "fmt"

// maxStatus is the most bytes a status may have on the service's socket.
const maxStatus = 64 << 10

// Status is what a Handler does: for each family what /proc/net/ip_queue and
// /proc/net/ip6_queue showed, and how many programs hold a socket.
type Status struct {
	IPv4, IPv6 FamilyStatus
}

// FamilyStatus is the state of one family's handler.
type FamilyStatus struct {
	Family         uint8  // IPv4 or IPv6
	Queue          uint16 // the NFQUEUE number that feeds it
	Programs       int    // sockets that are open, the peer's included
	PeerPID        uint32 // nlmsg_pid of the peer, 0 when there is none
	CopyMode       uint8  // 0 none, 1 metadata, 2 packets
	CopyRange      uint32 // bytes; 0 is the whole packet
	Length         uint32 // packets that wait for a verdict
	MaxLength      uint32
	QueueDropped   uint32 // because the queue was full
	NetlinkDropped uint32 // because the peer's socket was full, or gone
}

// String is the text of /proc/net/ip_queue, or of /proc/net/ip6_queue, as a
// kernel 3.4 had it.
func (s FamilyStatus) String() string {
	last := "Netlink dropped"
	if s.Family == IPv6 {
		last = "Netfilter dropped"
	}
	return fmt.Sprintf("%-18s: %d\n%-18s: %d\n%-18s: %d\n%-18s: %d\n%-18s: %d\n%-18s: %d\n%-18s: %d\n",
		"Peer PID", s.PeerPID, "Copy mode", s.CopyMode, "Copy range", s.CopyRange, "Queue length", s.Length,
		"Queue max. length", s.MaxLength, "Queue dropped", s.QueueDropped, last, s.NetlinkDropped)
}
