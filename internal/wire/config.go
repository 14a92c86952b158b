package wire

import (
	"encoding/binary"
	"fmt"
)

// Config is one NFQNL_MSG_CONFIG message. Parts that are not set are not sent, and the kernel leaves them as they are.
type Config struct {
	Queue uint16
	Cmd   uint8 // CmdBind, CmdUnbind, or 0 for none

	SetParams bool
	CopyMode  uint8
	CopyRange uint32 // bytes; 0 and everything above 65531 mean 65531

	MaxLen uint32 // packets; 0 is never sent, because a queue of length 0 drops everything

	Mask, Flags uint32 // which flags to change, and to what
}

// AppendConfig appends c as one request that the kernel acknowledges. The kernel checks the flags before it binds and
// does the rest in one step, so a queue made by one message is never seen half configured.
func AppendConfig(b []byte, c Config, seq uint32) []byte {
	start := len(b)
	b = appendHeader(b, TypeConfig, FlagRequest|FlagAck, seq, 0, c.Queue)
	if c.Cmd != 0 {
		b = appendAttrHeader(b, attrCfgCmd, 4)
		b = append(b, c.Cmd, 0, 0, 0) // struct nfqnl_msg_config_cmd; pf is unused since Linux 3.8
	}
	if c.SetParams {
		b = appendAttrHeader(b, attrCfgParams, 5)
		b = binary.BigEndian.AppendUint32(b, c.CopyRange)
		b = Pad(append(b, c.CopyMode))
	}
	if c.MaxLen != 0 {
		b = appendAttr32(b, attrCfgMaxLen, c.MaxLen)
	}
	if c.Mask != 0 {
		b = appendAttr32(b, attrCfgMask, c.Mask)
		b = appendAttr32(b, attrCfgFlags, c.Flags)
	}
	return finish(b, start, 0)
}

// DecodeConfig reads the body of an NFQNL_MSG_CONFIG message, as the kernel would.
func DecodeConfig(body []byte) (Config, error) {
	var c Config
	if len(body) < nfgenSize {
		return c, fmt.Errorf("nfgenmsg: %w", ErrShort)
	}
	c.Queue = binary.BigEndian.Uint16(body[2:])
	a := attrs{b: body[nfgenSize:]}
	for {
		typ, v, ok := a.next()
		if !ok {
			break
		}
		need := 4
		if typ == attrCfgParams {
			need = 5
		}
		if typ >= attrCfgCmd && typ <= attrCfgFlags && len(v) < need {
			return c, fmt.Errorf("config attribute %d: %w: %d bytes", typ, ErrShort, len(v))
		}
		switch typ {
		case attrCfgCmd:
			c.Cmd = v[0]
		case attrCfgParams:
			c.SetParams, c.CopyRange, c.CopyMode = true, binary.BigEndian.Uint32(v), v[4]
		case attrCfgMaxLen:
			c.MaxLen = binary.BigEndian.Uint32(v)
		case attrCfgMask:
			c.Mask = binary.BigEndian.Uint32(v)
		case attrCfgFlags:
			c.Flags = binary.BigEndian.Uint32(v)
		}
	}
	return c, a.err
}
