package ipqueue_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"ipq/internal/wire"
	"ipq/ipqueue"
)

// The dialogues with a real ip_queue; testdata/README.md describes them.

// recording is one file of them.
type recording struct {
	name   string
	family uint8
	layout wire.IPQLayout
	cases  []recorded
}

// other is the address family that a recording is not about.
func (r recording) other() recording {
	r.family = ipqueue.IPv4 + ipqueue.IPv6 - r.family
	return r
}

// recorded is one case.
type recorded struct {
	name  string
	steps []step
}

// step is one line of a case.
type step struct {
	line   int
	text   string
	verb   string
	fields []string          // what follows the verb, options aside
	option map[string]string // key=value
}

func (s step) number(t testing.TB, i int) int {
	t.Helper()
	n, err := strconv.ParseInt(s.fields[i], 0, 64)
	if err != nil {
		t.Fatalf("line %d: %s: %v", s.line, s.text, err)
	}
	return int(n)
}

func recordings(t testing.TB) []recording {
	t.Helper()
	var all []recording
	for _, r := range []recording{
		{name: "v4-64", family: 2, layout: wire.IPQ64},
		{name: "v4-i386", family: 2, layout: wire.IPQ32},
		{name: "v6-64", family: 10, layout: wire.IPQ64},
		{name: "v6-i386", family: 10, layout: wire.IPQ32},
		{name: "devices-64", family: 2, layout: wire.IPQ64},
		{name: "devices-i386", family: 2, layout: wire.IPQ32},
	} {
		r.cases = readCases(t, "testdata/oracle-"+r.name+".txt")
		all = append(all, r)
	}
	return all
}

func readCases(t testing.TB, path string) []recorded {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []recorded
	for i, line := range strings.Split(string(b), "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "case":
			cases = append(cases, recorded{name: words[1]})
		default:
			c := &cases[len(cases)-1]
			c.steps = append(c.steps, newStep(i+1, line, words))
		}
	}
	return cases
}

func newStep(line int, text string, words []string) step {
	s := step{line: line, text: text, verb: words[0], option: map[string]string{}}
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			s.option[key] = value
		} else {
			s.fields = append(s.fields, w)
		}
	}
	return s
}

// unknownID is the id of no packet, in place of the ones that were recorded,
// some of which may have become a packet's here.
const unknownID = 0xfffffff0

// datagram makes the message that a step sends; ids are those of the packets
// seen so far.
func (s step) datagram(layout wire.IPQLayout, ids map[string]uint64) ([]byte, error) {
	port, err := strconv.ParseUint(s.fields[0], 10, 32)
	if err != nil {
		return nil, err
	}
	h := wire.IPQHeader{Flags: wire.IPQFlagRequest, Seq: 0x01020304, PID: uint32(port)}
	for key, to := range map[string]func(uint64){
		"flags": func(n uint64) { h.Flags = uint16(n) },
		"pid":   func(n uint64) { h.PID = uint32(n) },
	} {
		if text, ok := s.option[key]; ok {
			n, err := strconv.ParseUint(text, 0, 32)
			if err != nil {
				return nil, err
			}
			to(n)
		}
	}
	number := func(text string) uint64 {
		n, nerr := strconv.ParseUint(text, 0, 64)
		if nerr != nil {
			err = nerr
		}
		return n
	}
	var body []byte
	switch s.fields[1] {
	case "mode":
		h.Type = wire.IPQTypeMode
		body = layout.AppendMode(nil, wire.IPQMode{Value: uint8(number(s.fields[2])), Range: number(s.fields[3])})
	case "verdict":
		h.Type = wire.IPQTypeVerdict
		v := wire.IPQVerdict{Value: uint32(number(s.fields[2]))}
		if v.ID, err = packetNumber(s.fields[3], ids); err != nil {
			return nil, err
		}
		if text, ok := s.option["data"]; ok {
			v.DataLen = number(text)
		}
		if text, ok := s.option["payload"]; ok {
			if v.Payload, err = decodeBytes(text, layout, ids); err != nil {
				return nil, err
			}
		}
		body = layout.AppendVerdict(nil, v)
	case "raw":
		return decodeBytes(s.fields[2], layout, ids)
	default:
		return nil, fmt.Errorf("unknown message %q", s.fields[1])
	}
	return append(wire.AppendIPQMessage(nil, h, len(body)), body...), err
}

func packetNumber(text string, ids map[string]uint64) (uint64, error) {
	if rest, ok := strings.CutPrefix(text, "?"); ok {
		n, err := strconv.ParseUint(rest, 0, 64)
		if err == nil && n != 0 && n <= 0xffffffff {
			n = unknownID
		}
		return n, err
	}
	id, ok := ids[text]
	if !ok {
		return 0, fmt.Errorf("packet %s has not been seen", text)
	}
	return id, nil
}

func decodeBytes(text string, layout wire.IPQLayout, ids map[string]uint64) ([]byte, error) {
	var b []byte
	for part := range strings.SplitSeq(text, ".") {
		if part == "-" {
			continue
		}
		if strings.HasPrefix(part, "#") {
			id, err := packetNumber(part, ids)
			if err != nil {
				return nil, err
			}
			v := layout.AppendVerdict(nil, wire.IPQVerdict{ID: id})
			b = append(b, v[layout:2*layout]...)
			continue
		}
		digits, times, repeated := strings.Cut(part, "*")
		n := 1
		if repeated {
			var err error
			if n, err = strconv.Atoi(times); err != nil {
				return nil, err
			}
		}
		one, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		for range n {
			b = append(b, one...)
		}
	}
	return b, nil
}
