package ipq_test

import (
	"testing"

	"ipq"
	"ipq/internal/wire"
)

// Everything that NFQA_SKB_INFO says can be read.
func TestChecksumState(t *testing.T) {
	peer, q := newPeer(t, ipq.Config{Flags: ipq.FlagGSO})
	var b ipq.Batch
	for i, test := range []struct {
		info                     uint32
		gso, pending, unverified bool
	}{
		{0, false, false, false},
		{wire.SKBChecksumNotReady | wire.SKBGSO, true, true, false},
		{wire.SKBChecksumNotVerified, false, false, true},
	} {
		peer.send(wire.AppendPacket(nil, &wire.Packet{Family: 2, ID: uint32(i + 1), Fields: wire.HasSKBInfo, SKBInfo: test.info}))
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		p := b.Packet(0)
		if p.GSO() != test.gso || p.ChecksumPending() != test.pending || p.ChecksumUnverified() != test.unverified {
			t.Errorf("SKB_INFO %#x: GSO %v, pending %v, unverified %v", test.info, p.GSO(), p.ChecksumPending(), p.ChecksumUnverified())
		}
		if err := p.SetVerdict(ipq.Accept); err != nil {
			t.Error(err)
		}
	}
}
