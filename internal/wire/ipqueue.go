package wire

// The ip_queue protocol, as <linux/netfilter_ipv4/ip_queue.h> defined it up to
// Linux 3.4. Its structures hold C longs, so every layout exists twice: see
// IPQLayout. All integers are in the byte order of the host, hw_protocol aside.

// Netlink protocols of the two queue handlers.
const (
	IPQProtocol4 = 3  // NETLINK_FIREWALL
	IPQProtocol6 = 13 // NETLINK_IP6_FW
)

// Message types.
const (
	IPQTypeBase    = 0x10 // IPQM_BASE
	IPQTypeMode    = 0x11 // IPQM_MODE
	IPQTypeVerdict = 0x12 // IPQM_VERDICT
	IPQTypePacket  = 0x13 // IPQM_PACKET
	IPQTypeMax     = 0x14 // IPQM_MAX
	IPQTypeError   = 2    // NLMSG_ERROR
)

// Message flags that the protocol looks at.
const (
	IPQFlagRequest   = 0x01 // NLM_F_REQUEST
	IPQFlagMulti     = 0x02 // NLM_F_MULTI
	IPQFlagAck       = 0x04 // NLM_F_ACK
	IPQFlagTruncated = 0x20 // MSG_TRUNC, which ip_queue tested in nlmsg_flags
)

// Copy modes.
const (
	IPQCopyNone   = 0 // IPQ_COPY_NONE
	IPQCopyMeta   = 1 // IPQ_COPY_META
	IPQCopyPacket = 2 // IPQ_COPY_PACKET
)

// Verdict values. Their upper 16 bits must be zero: ip_queue compared the whole
// value with NF_MAX_VERDICT.
const (
	IPQVerdictDrop   = 0 // NF_DROP
	IPQVerdictAccept = 1 // NF_ACCEPT
	IPQVerdictStolen = 2 // NF_STOLEN
	IPQVerdictQueue  = 3 // NF_QUEUE
	IPQVerdictRepeat = 4 // NF_REPEAT
	IPQVerdictStop   = 5 // NF_STOP
	IPQVerdictMax    = 5 // NF_MAX_VERDICT
)

// Sizes that do not depend on the word size, in bytes.
const (
	IPQHeaderSize = 16 // sizeof(struct nlmsghdr)
	IPQErrorSize  = 20 // sizeof(struct nlmsghdr) + the errno of struct nlmsgerr
	IPQAckSize    = 36 // sizeof(struct nlmsghdr) + sizeof(struct nlmsgerr)
	IPQNameSize   = 16 // IFNAMSIZ
	IPQHWAddrSize = 8  // sizeof(((ipq_packet_msg_t *)0)->hw_addr)
)

// IPQMaxRange is the largest copy range that ip_queue kept; it lowered greater
// ones to it.
const IPQMaxRange = 0xffff

// IPQMaxMessage is the size of the largest packet message: the header and the
// packet structure of the 64-bit layout, and 65,535 bytes rounded up to 4.
const IPQMaxMessage = IPQHeaderSize + 96 + 65536
