package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ipq"
	"ipq/packet"
)

// row is a record as its reader declares it.
type row struct {
	Event        *string
	Time         time.Time
	Queue        *uint16
	ID           *uint32
	Hook         string
	In, Out      *string
	Family       string
	Proto        *string
	Src, Dst     *netip.Addr
	Sport, Dport *uint16
	Length       *int
	Mark         *uint32
	Verdict      *string
	Modified     *bool
}

// readRecord reads a record strictly, and checks that it is one line of visible
// ASCII.
func readRecord(t *testing.T, line []byte) row {
	t.Helper()
	if n := len(line); n == 0 || bytes.IndexByte(line, '\n') != n-1 {
		t.Fatalf("not one line: %q", line)
	}
	for _, c := range line[:len(line)-1] {
		if c < ' ' || c > '~' {
			t.Fatalf("byte %#x in %q", c, line)
		}
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var r row
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return r
}

// checkRecord compares a record with its packet.
func checkRecord(t *testing.T, e *event) {
	t.Helper()
	var out records
	r := readRecord(t, out.packet(nil, e))
	var h packet.Headers
	h.Parse(e.Payload)
	switch {
	case r.Event != nil || !r.Time.Equal(e.Time) || *r.Queue != e.Queue || *r.ID != e.ID || *r.Length != e.Length || *r.Verdict != e.Verdict.String():
		t.Errorf("metadata: %+v", r)
	case (r.In != nil) != (e.In != "") || (r.Out != nil) != (e.Out != "") || (r.Mark != nil) != (e.Mark != 0) || (r.Modified != nil) != e.Modified:
		t.Errorf("presence: %+v", r)
	case r.Mark != nil && *r.Mark != e.Mark:
		t.Errorf("mark %d, want %d", *r.Mark, e.Mark)
	case (r.Proto != nil) != (h.Version != 0) || (r.Src != nil) != (h.Version != 0) || (r.Dst != nil) != (h.Version != 0):
		t.Errorf("presence of IP: %+v", r)
	case r.Src != nil && (*r.Src != h.Src || *r.Dst != h.Dst || *r.Proto != h.Protocol.String()):
		t.Errorf("addresses: %+v", r)
	case (r.Sport != nil) != h.Has(packet.HasPorts) || (r.Dport != nil) != h.Has(packet.HasPorts):
		t.Errorf("presence of ports: %+v", r)
	case r.Sport != nil && (*r.Sport != h.SrcPort || *r.Dport != h.DstPort):
		t.Errorf("ports: %+v", r)
	case e.In != "" && bytes.ContainsAny([]byte(e.In), "\"\\\x1b") == false && json.Valid([]byte(`"`+e.In+`"`)) && *r.In != string([]rune(e.In)):
		t.Errorf("name %q, want %q", *r.In, e.In)
	}
}

func TestRecord(t *testing.T) {
	m := builder{t}
	at := time.Date(2026, 11, 23, 7, 4, 36, 1000, time.FixedZone("", 3600))
	var r records
	udp := m.ip(4, 17, m.udp(40000, 53, make([]byte, 34)))
	for _, c := range []struct {
		e    event
		want string
	}{
		{event{Time: at, Queue: 60000, ID: 1, Family: ipq.IPv4, Hook: ipq.Output, Out: "eth0", Length: 62, Payload: udp, Mark: 5, Verdict: ipq.Accept},
			`{"time":"2026-11-23T06:04:36.000001000Z","queue":60000,"id":1,"hook":"output","out":"eth0","family":"ip","proto":"udp",` +
				`"src":"10.7.0.1","sport":40000,"dst":"10.7.0.2","dport":53,"length":62,"mark":5,"verdict":"accept"}`},
		{event{Time: at, Family: ipq.IPv6, Hook: ipq.Input, In: "a\"\\\x1b\u00e9\U0001f600\xff", Length: 49, Payload: m.ip(6, 58, []byte{128, 0, 0, 0, 0, 1, 0, 2, 3}),
			Verdict: ipq.Requeue(5), Modified: true},
			`{"time":"2026-11-23T06:04:36.000001000Z","queue":0,"id":0,"hook":"input","in":"a\"\\\u001b\u00e9\ud83d\ude00\ufffd","family":"ip6","proto":"icmp6",` +
				`"src":"fd07::1","dst":"fd07::2","length":49,"verdict":"queue 5","modified":true}`},
		{event{Time: at, Family: ipq.Bridge, Hook: ipq.Forward, Length: 28, Payload: nil, Verdict: ipq.Drop},
			`{"time":"2026-11-23T06:04:36.000001000Z","queue":0,"id":0,"hook":"forward","family":"bridge","length":28,"verdict":"drop"}`},
	} {
		if got := string(r.packet(nil, &c.e)); got != c.want+"\n" {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
		checkRecord(t, &c.e)
	}
}

func TestRecordHex(t *testing.T) {
	r := records{Hex: true}
	got := string(r.packet(nil, &event{Payload: []byte{0x45, 0, 0xff}, Length: 3, Verdict: ipq.Accept}))
	if !strings.HasSuffix(got, `"verdict":"accept","hex":"4500ff"}`+"\n") || !json.Valid([]byte(got)) {
		t.Error(got)
	}
}

func TestRecordOfLossAndEnd(t *testing.T) {
	at := time.Date(2026, 11, 23, 7, 4, 36, 0, time.UTC)
	var r records
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{r.loss(nil, &loss{Time: at, QueueDropped: 10, UserDropped: 2}),
			`{"event":"loss","time":"2026-11-23T07:04:36.000000000Z","lost":12,"queue_dropped":10,"user_dropped":2}`},
		{r.loss(nil, &loss{Time: at, Unseen: 3, Hidden: 4}),
			`{"event":"loss","time":"2026-11-23T07:04:36.000000000Z","lost":3,"unseen":3,"hidden":4}`},
		{r.loss(nil, &loss{Time: at, Flushed: 1, Stopped: 5}),
			`{"event":"loss","time":"2026-11-23T07:04:36.000000000Z","lost":6,"flushed":1,"stopped":5}`},
		{r.end(nil, at, tally{Accepted: 5, Dropped: 2, Modified: 1, Lost: 3}),
			`{"event":"end","time":"2026-11-23T07:04:36.000000000Z","packets":10,"accepted":5,"dropped":2,"modified":1,"lost":3}`},
		{r.end(nil, at, tally{LostUnknown: true}),
			`{"event":"end","time":"2026-11-23T07:04:36.000000000Z","packets":0,"accepted":0,"dropped":0,"modified":0}`},
	} {
		if string(c.got) != c.want+"\n" {
			t.Errorf("\n got %s\nwant %s", c.got, c.want)
		}
	}
}

func BenchmarkPrinting(b *testing.B) {
	m := builder{b}
	e := event{Time: time.Now(), Queue: 60000, Family: ipq.IPv4, Hook: ipq.Output, Out: "eth0", Verdict: ipq.Accept,
		Payload: m.ip(4, 6, m.tcp(0x18, []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, []byte("hello")))}
	var buf []byte
	b.Run("line", func(b *testing.B) {
		l := &lines{Names: names{Numeric: true}}
		b.ReportAllocs()
		for b.Loop() {
			buf = l.packet(buf[:0], &e)
		}
	})
	b.Run("record", func(b *testing.B) {
		var r records
		b.ReportAllocs()
		for b.Loop() {
			buf = r.packet(buf[:0], &e)
		}
	})
}
