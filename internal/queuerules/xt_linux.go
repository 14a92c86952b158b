package queuerules

import (
	"encoding/binary"
	"errors"
)

var errCut = errors.New("cut short")

// nfqueueName is the name of the xtables target.
const nfqueueName = "NFQUEUE"

// nfqueue decodes what a rule says to the xtables target NFQUEUE. Later revisions have the fields of the earlier ones, in
// their places, and the bytes that fill the structure up may follow. Source: include/uapi/linux/netfilter/xt_NFQUEUE.h.
func nfqueue(revision uint32, info []byte) (target, error) {
	field := func(i int) uint16 {
		return binary.NativeEndian.Uint16(info[2*i:])
	}
	sizes := [...]int{2, 4, 6, 6} // struct xt_NFQ_info, and those of v1, v2 and v3
	size := sizes[min(int64(revision), int64(len(sizes)-1))]
	if len(info) < size {
		return target{}, errCut
	}
	t := spread(field(0), 1)
	if revision >= 1 {
		t = spread(field(0), field(1)) // queuenum, queues_total
	}
	switch {
	case revision == 2:
		t.bypass = field(2) != 0 // bypass
	case revision >= 3:
		t.bypass = field(2)&1 != 0 // flags: NFQ_FLAG_BYPASS; NFQ_FLAG_CPU_FANOUT chooses within the range
	}
	return t, nil
}
