package ipqtest_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ipq/internal/nlsock"
	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/ipqtest"
)

// attr encodes an attribute; its value is big-endian integers, bytes, or attributes.
func attr(typ uint16, values ...any) []byte {
	b := make([]byte, 4)
	for _, v := range values {
		switch v := v.(type) {
		case []byte:
			b = append(b, v...)
		default:
			b, _ = binary.Append(b, binary.BigEndian, v)
		}
	}
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	binary.NativeEndian.PutUint16(b[2:], typ)
	return wire.Pad(b)
}

// message encodes a request for queue 7. Its sequence number is its place among the messages of a test.
func message(typ uint16, attrs ...[]byte) []byte {
	b := make([]byte, 16)
	b = append(b, 0, 0, 0, 7)
	b = append(b, slices.Concat(attrs...)...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], typ)
	binary.NativeEndian.PutUint16(b[6:], wire.FlagRequest)
	return b
}

// asked is a request that is acknowledged.
func asked(b []byte) []byte {
	b[6] |= wire.FlagAck
	return b
}

const (
	cfg, ver, bat = wire.TypeConfig, wire.TypeVerdict, wire.TypeVerdictBatch
	pfUnbind      = 4 // NFQNL_CFG_CMD_PF_UNBIND, always acknowledged
)

var (
	bind   = message(cfg, attr(1, uint8(wire.CmdBind), []byte{0, 0, 0}))
	unbind = message(cfg, attr(1, uint8(wire.CmdUnbind), []byte{0, 0, 0}))
	pass   = uint32(wire.NFAccept)
)

func command(c uint8) []byte { return attr(1, c, []byte{0, 0, 0}) }
func params(mode uint8, rng uint32) []byte {
	return attr(2, rng, mode)
}
func flags(mask, flags uint32) []byte { return append(attr(4, mask), attr(5, flags)...) }

// What the kernel replies to requests for a queue in which no packet waits: the errno for each, in order; "-" for silence.
var protocol = []struct {
	name string
	send [][]byte
	want string
}{
	{"bind", [][]byte{bind, asked(message(cfg, params(2, 100))), unbind}, "- ok -"},
	{"silence", [][]byte{bind, unbind}, "- -"},
	{"bind twice", [][]byte{bind, bind, unbind}, "- EBUSY -"},
	{"unbind unbound", [][]byte{unbind}, "ENODEV"},
	{"mode of unbound", [][]byte{message(cfg, params(2, 100))}, "ENODEV"},
	{"flags of unbound", [][]byte{message(cfg, flags(4, 4))}, "ENODEV"},
	{"nothing of unbound", [][]byte{message(cfg)}, "ENODEV"},
	{"nothing", [][]byte{bind, asked(message(cfg)), unbind}, "- ok -"},
	{"unknown mode", [][]byte{bind, asked(message(cfg, params(3, 100))), unbind}, "- ok -"},
	{"unknown command", [][]byte{bind, message(cfg, command(9)), unbind}, "- EOPNOTSUPP -"},
	{"unknown command of unbound", [][]byte{message(cfg, command(9))}, "EOPNOTSUPP"},
	{"pf bind", [][]byte{asked(message(cfg, command(3))), asked(message(cfg, command(4), params(2, 1)))}, "ok ok"},
	{"flags without mask", [][]byte{bind, message(cfg, attr(5, uint32(4))), unbind}, "- EINVAL -"},
	{"mask without flags", [][]byte{bind, asked(message(cfg, attr(4, uint32(4)))), unbind}, "- ok -"},
	{"unknown flag", [][]byte{bind, message(cfg, flags(32, 32)), unbind}, "- EOPNOTSUPP -"},
	{"unknown flag outside of mask", [][]byte{bind, message(cfg, flags(4, 32)), unbind}, "- EOPNOTSUPP -"},
	{"unknown mask", [][]byte{bind, asked(message(cfg, flags(0xffffffff, 4))), unbind}, "- ok -"},
	{"flags before owner and command", [][]byte{message(cfg, command(wire.CmdBind), flags(64, 64)), unbind}, "EOPNOTSUPP ENODEV"},
	{"refused flags bind nothing", [][]byte{message(cfg, command(wire.CmdBind), flags(64, 64)), bind, unbind}, "EOPNOTSUPP - -"},
	{"one message", [][]byte{asked(message(cfg, command(wire.CmdBind), params(2, 0), attr(3, uint32(9)), flags(12, 12))), bind, unbind}, "ok EBUSY -"},
	{"short command", [][]byte{message(cfg, attr(1, uint8(1)))}, "ERANGE"},
	{"short mode", [][]byte{bind, message(cfg, attr(2, uint32(1))), unbind}, "- ERANGE -"},
	{"short length", [][]byte{bind, message(cfg, attr(3, uint16(1))), unbind}, "- ERANGE -"},
	{"unknown attribute", [][]byte{bind, asked(message(cfg, attr(77, uint16(1)))), unbind}, "- ok -"},

	{"verdict for unbound", [][]byte{message(ver, attr(2, pass, uint32(1)))}, "ENODEV"},
	{"range for unbound", [][]byte{message(bat, attr(2, pass, uint32(1)))}, "ENODEV"},
	{"verdict for nobody", [][]byte{bind, message(ver, attr(2, pass, uint32(1))), unbind}, "- ENOENT -"},
	{"range for nobody", [][]byte{bind, message(bat, attr(2, pass, uint32(1))), unbind}, "- ENOENT -"},
	{"short verdict", [][]byte{bind, message(ver, attr(2, pass)), unbind}, "- ERANGE -"},
	{"short verdict for unbound", [][]byte{message(ver, attr(2, pass))}, "ERANGE"},
	{"short mark", [][]byte{bind, message(ver, attr(2, pass, uint32(1)), attr(3, uint16(1))), unbind}, "- ERANGE -"},
	{"stolen", [][]byte{bind, message(ver, attr(2, uint32(wire.NFStolen), uint32(1))), unbind}, "- EINVAL -"},
	{"stop", [][]byte{bind, message(ver, attr(2, uint32(wire.NFStop), uint32(1))), unbind}, "- ENOENT -"},
	{"verdict 6", [][]byte{bind, message(ver, attr(2, uint32(6), uint32(1))), unbind}, "- EINVAL -"},
	{"verdict 6 of a range", [][]byte{bind, message(bat, attr(2, uint32(6), uint32(1))), unbind}, "- EINVAL -"},
	{"verdict 255", [][]byte{bind, message(ver, attr(2, uint32(255), uint32(1))), unbind}, "- EINVAL -"},
	{"verdict 256", [][]byte{bind, message(ver, attr(2, uint32(256), uint32(1))), unbind}, "- ENOENT -"},
	{"requeue to anywhere", [][]byte{bind, message(ver, attr(2, uint32(0x12348003), uint32(1))), unbind}, "- ENOENT -"},
	{"acknowledged and refused once", [][]byte{asked(message(ver, attr(2, pass, uint32(1))))}, "ENODEV"},

	{"packet", [][]byte{message(wire.TypePacket)}, "ENOTSUPP"},
	{"unknown type", [][]byte{message(wire.TypePacket + 4)}, "EINVAL"},
	{"no request", [][]byte{notRequest(bind), unbind}, "- ENODEV"},
	{"no request, asked", [][]byte{asked(notRequest(bind)), unbind}, "ok ENODEV"},
	{"no generic header", [][]byte{short(message(cfg)), asked(short(message(cfg)))}, "- ok"},
	{"control type", [][]byte{asked(message(3))}, "ok"},
}

// Where the fake differs, none of which package ipq ever sends: the decoders do not tell an attribute that is 0 from one
// that is not there, and refuse what the kernel passes over.
var differences = []struct {
	name       string
	send       [][]byte
	real, fake string
}{
	{"no command", [][]byte{bind, message(cfg, command(0)), unbind}, "- EOPNOTSUPP -", "- - -"},
	{"no flags without mask", [][]byte{bind, message(cfg, attr(5, uint32(0))), unbind}, "- EINVAL -", "- - -"},
	{"attribute beyond the end", [][]byte{bind, asked(message(cfg, []byte{200, 0, 3, 0})), unbind}, "- ok -", "- ERANGE -"},
	{"verdict without a header", [][]byte{bind, message(ver), unbind}, "- EINVAL -", "- ERANGE -"},
	{"range without a header", [][]byte{bind, message(bat), unbind}, "- EINVAL -", "- ERANGE -"},
	{"verdict without a header for unbound", [][]byte{message(ver)}, "ENODEV", "ERANGE"},
}

func notRequest(b []byte) []byte {
	b = slices.Clone(b)
	b[6] &^= wire.FlagRequest
	return b
}

// short cuts a message behind its netlink header.
func short(b []byte) []byte {
	binary.NativeEndian.PutUint32(b, 16)
	return b[:16]
}

// converse sends requests, all in one datagram or each in its own, and returns the replies.
func converse(t *testing.T, c *nlsock.Conn, requests [][]byte, together bool) string {
	t.Helper()
	replies := make([]string, len(requests))
	var all [][]byte
	for i, r := range requests {
		replies[i] = "-"
		r = slices.Clone(r)
		binary.NativeEndian.PutUint32(r[8:], uint32(i))
		all = append(all, r)
	}
	fence := asked(message(cfg, command(pfUnbind)))
	binary.NativeEndian.PutUint32(fence[8:], uint32(len(requests)))
	all = append(all, fence)
	if together {
		all = [][]byte{slices.Concat(all...)}
	}
	for _, b := range all {
		var v nlsock.Vector
		v.Add(b)
		if err := c.Send(&v); err != nil {
			t.Fatal(err)
		}
	}
	ring := nlsock.NewRing(8, 4096)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		n, err := c.Recv(ring)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			h, body, _, ok, err := wire.Next(ring.Datagram(i))
			if !ok || h.Type != wire.TypeError {
				t.Fatalf("not a reply: %x (%v)", ring.Datagram(i), err)
			}
			e, err := wire.DecodeError(body)
			if err != nil || e.Request.Seq != h.Seq {
				t.Fatalf("reply to %d says %+v, %v", h.Seq, e, err)
			}
			if int(h.Seq) == len(requests) {
				return strings.Join(replies, " ")
			}
			if replies[h.Seq] != "-" {
				t.Errorf("a second reply to request %d", h.Seq)
			}
			replies[h.Seq] = errnoName(e.Errno)
		}
	}
}

func errnoName(n int32) string {
	names := map[syscall.Errno]string{
		0: "ok", syscall.EPERM: "EPERM", syscall.EBUSY: "EBUSY", syscall.ENODEV: "ENODEV", syscall.EOPNOTSUPP: "EOPNOTSUPP",
		syscall.EINVAL: "EINVAL", syscall.ENOENT: "ENOENT", syscall.ERANGE: "ERANGE", 524: "ENOTSUPP",
	}
	if name := names[syscall.Errno(n)]; name != "" {
		return name
	}
	return fmt.Sprint(syscall.Errno(n))
}

// The fake and the real kernel give the same replies, whether the requests come together or alone.
func TestProtocol(t *testing.T) {
	for _, kernel := range []struct {
		name string
		dial func(t *testing.T) *nlsock.Conn
	}{
		{"fake", func(t *testing.T) *nlsock.Conn {
			c, err := nlsock.Adopt(ipqtest.New(t).File())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}},
		{"real", func(t *testing.T) *nlsock.Conn {
			sandbox.RequireQueue(t)
			c, err := nlsock.Dial()
			if err != nil {
				t.Fatal(err)
			}
			return c
		}},
	} {
		t.Run(kernel.name, func(t *testing.T) {
			c := kernel.dial(t)
			defer c.Close()
			for _, test := range protocol {
				for _, together := range []bool{false, true} {
					if got := converse(t, c, test.send, together); got != test.want {
						t.Errorf("%s (together %v): %s, want %s", test.name, together, got, test.want)
					}
				}
			}
			for _, d := range differences {
				want := map[string]string{"real": d.real, "fake": d.fake}[kernel.name]
				if got := converse(t, c, d.send, true); got != want {
					t.Errorf("%s: %s, want %s", d.name, got, want)
				}
			}
		})
	}
}
