package wire

// Message types, attributes and flags of nfnetlink_queue. Source: include/uapi/linux/netfilter/nfnetlink_queue.h.
const (
	TypePacket       = subsysQueue     // NFQNL_MSG_PACKET
	TypeVerdict      = subsysQueue | 1 // NFQNL_MSG_VERDICT
	TypeConfig       = subsysQueue | 2 // NFQNL_MSG_CONFIG
	TypeVerdictBatch = subsysQueue | 3 // NFQNL_MSG_VERDICT_BATCH

	attrPacketHdr  = 1  // NFQA_PACKET_HDR
	attrVerdictHdr = 2  // NFQA_VERDICT_HDR
	attrMark       = 3  // NFQA_MARK
	attrTimestamp  = 4  // NFQA_TIMESTAMP
	attrIn         = 5  // NFQA_IFINDEX_INDEV
	attrOut        = 6  // NFQA_IFINDEX_OUTDEV
	attrPhysIn     = 7  // NFQA_IFINDEX_PHYSINDEV
	attrPhysOut    = 8  // NFQA_IFINDEX_PHYSOUTDEV
	attrHWAddr     = 9  // NFQA_HWADDR
	attrPayload    = 10 // NFQA_PAYLOAD
	attrCT         = 11 // NFQA_CT
	attrCTInfo     = 12 // NFQA_CT_INFO
	attrCapLen     = 13 // NFQA_CAP_LEN
	attrSKBInfo    = 14 // NFQA_SKB_INFO
	attrUID        = 16 // NFQA_UID
	attrGID        = 17 // NFQA_GID
	attrSecCtx     = 18 // NFQA_SECCTX
	attrVLAN       = 19 // NFQA_VLAN
	attrL2Header   = 20 // NFQA_L2HDR
	attrPriority   = 21 // NFQA_PRIORITY
	attrCgroup     = 22 // NFQA_CGROUP_CLASSID

	attrVLANProto = 1 // NFQA_VLAN_PROTO
	attrVLANTCI   = 2 // NFQA_VLAN_TCI

	attrCfgCmd    = 1 // NFQA_CFG_CMD
	attrCfgParams = 2 // NFQA_CFG_PARAMS
	attrCfgMaxLen = 3 // NFQA_CFG_QUEUE_MAXLEN
	attrCfgMask   = 4 // NFQA_CFG_MASK
	attrCfgFlags  = 5 // NFQA_CFG_FLAGS

	CmdBind   = 1 // NFQNL_CFG_CMD_BIND
	CmdUnbind = 2 // NFQNL_CFG_CMD_UNBIND

	CopyNone   = 0 // NFQNL_COPY_NONE
	CopyMeta   = 1 // NFQNL_COPY_META
	CopyPacket = 2 // NFQNL_COPY_PACKET

	FlagFailOpen  = 1 << 0 // NFQA_CFG_F_FAIL_OPEN
	FlagConntrack = 1 << 1 // NFQA_CFG_F_CONNTRACK
	FlagGSO       = 1 << 2 // NFQA_CFG_F_GSO
	FlagUIDGID    = 1 << 3 // NFQA_CFG_F_UID_GID
	FlagSecCtx    = 1 << 4 // NFQA_CFG_F_SECCTX

	SKBChecksumNotReady    = 1 << 0 // NFQA_SKB_CSUMNOTREADY
	SKBGSO                 = 1 << 1 // NFQA_SKB_GSO
	SKBChecksumNotVerified = 1 << 2 // NFQA_SKB_CSUM_NOTVERIFIED
)

// Verdicts as the kernel numbers them. Source: include/uapi/linux/netfilter.h.
const (
	NFDrop   = 0 // NF_DROP
	NFAccept = 1 // NF_ACCEPT
	NFStolen = 2 // NF_STOLEN
	NFQueue  = 3 // NF_QUEUE
	NFRepeat = 4 // NF_REPEAT
	NFStop   = 5 // NF_STOP

	NFQueueBypass = 0x8000 // NF_VERDICT_FLAG_QUEUE_BYPASS
)
