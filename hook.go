package ipq

import "fmt"

// Family is the protocol family of the hook that queued a packet, as the kernel numbers it (AF_*).
type Family uint8

// The families whose packets can be queued.
const (
	IPv4   Family = 2  // AF_INET
	IPv6   Family = 10 // AF_INET6
	Bridge Family = 7  // AF_BRIDGE; only by the native nft queue statement
)

// String names the family as nft does: "ip", "ip6", "bridge".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ip"
	case IPv6:
		return "ip6"
	case Bridge:
		return "bridge"
	}
	return fmt.Sprintf("family %d", uint8(f))
}

// Hook is the place in the kernel's packet path where a packet was queued.
type Hook uint8

// The hooks, as the kernel numbers them (NF_INET_*, and the same for bridge).
const (
	Prerouting  Hook = iota // every arriving packet, before routing
	Input                   // packets for this host
	Forward                 // packets for other hosts
	Output                  // packets made on this host
	Postrouting             // every leaving packet, after routing
)

// String names the hook as nft does: "prerouting", "input", "forward", "output", "postrouting".
func (h Hook) String() string {
	switch h {
	case Prerouting:
		return "prerouting"
	case Input:
		return "input"
	case Forward:
		return "forward"
	case Output:
		return "output"
	case Postrouting:
		return "postrouting"
	}
	return fmt.Sprintf("hook %d", uint8(h))
}
