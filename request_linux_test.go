package ipq_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ipq"
	"ipq/internal/wire"
)

// Open says everything in one message, and packets that come before its acknowledgement are the first to be received, in
// order.
func TestOpenKeepsEarlyPackets(t *testing.T) {
	p, opened := opening(t, ipq.Config{Queue: 5, Range: 100, MaxLen: 7, Flags: ipq.FlagGSO, Require: ipq.FlagUIDGID})
	h, c := p.config()
	flags := uint32(ipq.FlagGSO | ipq.FlagUIDGID)
	want := wire.Config{Queue: 5, Cmd: wire.CmdBind, SetParams: true, CopyMode: wire.CopyPacket, CopyRange: 100, MaxLen: 7, Mask: flags, Flags: flags}
	if c != want {
		t.Errorf("the queue is bound with %+v, want %+v", c, want)
	}
	const early = 100 // more than one batch
	for id := range uint32(early) {
		p.packet(id+1, "early")
	}
	p.ack(h)
	q, err := opened()
	if err != nil {
		t.Fatal(err)
	}
	p.packet(early+1, "late")
	var got []uint32
	for len(got) <= early {
		var b ipq.Batch
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		for x := range b.All() {
			got = append(got, x.ID.Uint32())
		}
	}
	for i, id := range got {
		if id != uint32(i+1) {
			t.Fatalf("packets came as %v", got)
		}
	}
}

// A request whose acknowledgement was lost is sent again, and a queue that is bound by then is no obstacle.
func TestAcknowledgementLost(t *testing.T) {
	p, opened := opening(t, ipq.Config{})
	first, _ := p.config()
	second, c := p.config()
	if second.Seq == first.Seq || c.Cmd != wire.CmdBind {
		t.Errorf("the second try is %+v, %+v", second, c)
	}
	p.refuse(second, syscall.EBUSY)
	third, c := p.config()
	if c.Cmd != 0 || !c.SetParams {
		t.Errorf("after EBUSY comes %+v", c)
	}
	p.ack(first) // far too late, and nobody's
	p.ack(third)
	q, err := opened()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- q.SetMode(ipq.ModeMeta, 0) }()
	p.config()
	h, _ := p.config()
	p.refuse(h, syscall.EPERM)
	if err := soon(t, done, "SetMode"); !errors.Is(err, syscall.EPERM) {
		t.Errorf("SetMode: %v", err)
	}
	// One that is late, and not lost, is as good as that of the message that was sent again, and comes before it.
	go func() { done <- q.SetMode(ipq.ModeMeta, 0) }()
	h, _ = p.config()
	p.config()
	p.ack(h)
	if err := soon(t, done, "SetMode"); err != nil {
		t.Errorf("SetMode, acknowledged late: %v", err)
	}
}

// What Open does with each refusal, and with an end that hangs up or says nothing of use.
func TestOpenRefused(t *testing.T) {
	for _, test := range []struct {
		answer func(p *peer, h wire.Header)
		want   error
	}{
		{func(p *peer, h wire.Header) { p.refuse(h, syscall.EPERM) }, ipq.ErrQueueBusy},
		{func(p *peer, h wire.Header) { p.refuse(h, syscall.EINVAL) }, errors.ErrUnsupported},
		{func(p *peer, h wire.Header) { p.refuse(h, syscall.ENOMEM) }, syscall.ENOMEM},
		{func(p *peer, h wire.Header) { p.file.Close() }, nil},
	} {
		p, opened := opening(t, ipq.Config{})
		h, _ := p.config()
		start := time.Now()
		test.answer(p, h)
		if q, err := opened(); q != nil || err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("Open: %v, %v, want %v", q, err, test.want)
		}
		if d := time.Since(start); d > patience/2 {
			t.Errorf("Open took %v to see it", d)
		}
	}
}

// Only flags that are refused one by one are left out.
func TestOpenProbesFlags(t *testing.T) {
	all := ipq.FlagFailOpen | ipq.FlagConntrack | ipq.FlagGSO
	p, opened := opening(t, ipq.Config{Flags: all})
	var asked []string
	for len(asked) < 5 {
		h, c := p.config()
		asked = append(asked, fmt.Sprintf("%d:%v", c.Cmd, ipq.Flags(c.Flags)))
		switch {
		case ipq.Flags(c.Flags)&ipq.FlagConntrack != 0:
			p.refuse(h, syscall.EOPNOTSUPP)
		case c.Cmd == 0:
			p.refuse(h, syscall.ENODEV) // the queue is not bound yet, and the flag is known
		default:
			p.ack(h)
		}
	}
	q, err := opened()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1:fail-open,conntrack,gso", "0:fail-open", "0:conntrack", "0:gso", "1:fail-open,gso"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if q.Flags() != all&^ipq.FlagConntrack {
		t.Errorf("granted %v", q.Flags())
	}
}

// Mistakes in a Config are named before anything is opened, and the file is closed all the same.
func TestConfigMistakes(t *testing.T) {
	for field, c := range map[string]ipq.Config{
		"Config.Mode":           {Mode: 2},
		"Config.Range":          {Range: 65532},
		"Config.RecvBuffer":     {RecvBuffer: -1},
		"Config.MaxHeld":        {MaxHeld: -1},
		"Config.HandlerTimeout": {HandlerTimeout: -1},
		"Config.Flags":          {Flags: 1 << 20},
		"Config.Default":        {Default: ipq.Hold},
		"Config.Netns":          {Netns: "/proc/self/ns/net"},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		c.File = r
		_, err = ipq.Open(c)
		if err == nil || !strings.HasPrefix(err.Error(), "open queue 0: "+field+":") {
			t.Errorf("%s: %v", field, err)
		}
		if _, err := r.Stat(); err == nil {
			t.Errorf("%s: the file is still open", field)
		}
	}
}

// A mode comes behind the answers that were given before it.
func TestSetModeFollowsAnswers(t *testing.T) {
	p, q := newPeer(t, ipq.Config{})
	p.packet(1, "x")
	var b ipq.Batch
	if err := q.Recv(&b); err != nil {
		t.Fatal(err)
	}
	for x := range b.All() {
		if err := q.SetVerdict(x.ID, ipq.Accept, ipq.Changes{More: true}); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- q.SetMode(ipq.ModeMeta, 0) }()
	if v, _ := p.verdict(); v.ID != 1 {
		t.Errorf("the verdict is for packet %d", v.ID)
	}
	p.ack(p.expect(wire.TypeConfig))
	if err := soon(t, done, "SetMode"); err != nil {
		t.Error(err)
	}
}
