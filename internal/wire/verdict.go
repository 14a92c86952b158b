package wire

import (
	"encoding/binary"
	"fmt"
)

// Verdict is one NFQNL_MSG_VERDICT: the answer for one packet.
type Verdict struct {
	Queue   uint16
	Verdict uint32 // NF_ACCEPT and so on, the queue number of NF_QUEUE in the upper 16 bits
	ID      uint32

	SetMark bool
	Mark    uint32

	ConnMark, ConnMarkMask     uint32 // sent when the mask is not 0
	ConnLabels, ConnLabelsMask Labels // sent when the mask is not 0

	SetPayload bool
	Payload    []byte
}

// AppendVerdict appends the message up to, and without, the bytes of the payload, which the caller sends right behind
// it (so that they need not be copied) followed by zero bytes to a multiple of four. Its sequence number is the
// packet's id: an error that the kernel sends back names the packet without a table.
func AppendVerdict(b []byte, v *Verdict) []byte {
	start := len(b)
	b = appendHeader(b, TypeVerdict, FlagRequest, v.ID, 0, v.Queue)
	b = appendVerdictHeader(b, v.Verdict, v.ID)
	if v.SetMark {
		b = appendAttr32(b, attrMark, v.Mark)
	}
	if v.ConnMarkMask != 0 || v.ConnLabelsMask != (Labels{}) {
		b = appendVerdictConntrack(b, v)
	}
	if !v.SetPayload {
		return finish(b, start, 0)
	}
	b = appendAttrHeader(b, attrPayload, len(v.Payload))
	return finish(b, start, len(v.Payload))
}

func appendVerdictConntrack(b []byte, v *Verdict) []byte {
	size := 0
	if v.ConnMarkMask != 0 {
		size += 2 * (attrHeaderSize + 4)
	}
	if v.ConnLabelsMask != (Labels{}) {
		size += 2 * (attrHeaderSize + len(Labels{}))
	}
	b = appendAttrHeader(b, attrCT|attrNested, size)
	if v.ConnMarkMask != 0 {
		b = appendAttr32(b, attrCTMark, v.ConnMark)
		b = appendAttr32(b, attrCTMarkMask, v.ConnMarkMask)
	}
	if v.ConnLabelsMask != (Labels{}) {
		b = appendAttrBytes(b, attrCTLabels, v.ConnLabels[:])
		b = appendAttrBytes(b, attrCTLabelsMask, v.ConnLabelsMask[:])
	}
	return b
}

// AppendVerdictBatch appends an NFQNL_MSG_VERDICT_BATCH, which answers every packet still in the queue whose id is not
// after maxID. Its sequence number is maxID. Requires at least Linux 3.1.
func AppendVerdictBatch(b []byte, queue uint16, verdict, maxID uint32, setMark bool, mark uint32) []byte {
	start := len(b)
	b = appendHeader(b, TypeVerdictBatch, FlagRequest, maxID, 0, queue)
	b = appendVerdictHeader(b, verdict, maxID)
	if setMark {
		b = appendAttr32(b, attrMark, mark)
	}
	return finish(b, start, 0)
}

func appendVerdictHeader(b []byte, verdict, id uint32) []byte {
	b = appendAttrHeader(b, attrVerdictHdr, 8)
	b = binary.BigEndian.AppendUint32(b, verdict)
	return binary.BigEndian.AppendUint32(b, id)
}

// DecodeVerdict reads the body of an NFQNL_MSG_VERDICT or NFQNL_MSG_VERDICT_BATCH, as the kernel would.
func DecodeVerdict(v *Verdict, body []byte) error {
	*v = Verdict{}
	if len(body) < nfgenSize {
		return fmt.Errorf("nfgenmsg: %w", ErrShort)
	}
	v.Queue = binary.BigEndian.Uint16(body[2:])
	a := attrs{b: body[nfgenSize:]}
	headed := false
	for {
		typ, val, ok := a.next()
		if !ok {
			break
		}
		switch typ {
		case attrVerdictHdr:
			if len(val) < 8 {
				return fmt.Errorf("verdict header: %w", ErrShort)
			}
			v.Verdict, v.ID = binary.BigEndian.Uint32(val), binary.BigEndian.Uint32(val[4:])
			headed = true
		case attrMark:
			if len(val) < 4 {
				return fmt.Errorf("verdict mark: %w", ErrShort)
			}
			v.SetMark, v.Mark = true, binary.BigEndian.Uint32(val)
		case attrCT:
			ct, err := DecodeConntrack(val)
			if err != nil {
				return err
			}
			v.ConnMark, v.ConnMarkMask = ct.Mark, ct.MarkMask
			v.ConnLabels, v.ConnLabelsMask = ct.Labels, ct.LabelsMask
		case attrPayload:
			v.SetPayload, v.Payload = true, val
		}
	}
	if a.err == nil && !headed {
		return fmt.Errorf("verdict message: %w: it has no NFQA_VERDICT_HDR", ErrShort)
	}
	return a.err
}
