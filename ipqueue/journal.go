package ipqueue

const (
	journalBytes   = 256 << 10 // a power of two
	journalRecords = 1024      // a power of two
)

// journal remembers the latest verdicts that were passed on, so that when the
// kernel says later that the packet was no longer there, the program gets its
// message back with ENOENT, as it did when ip_queue looked for the packet
// itself. The kernel tells at once, so little has to be remembered. K names a
// packet to its queue, C a program.
type journal[K comparable, C any] struct {
	bytes   []byte // a ring
	head    uint64 // bytes ever written
	records [journalRecords]record[K, C]
	n       uint64 // records ever written
}

type record[K comparable, C any] struct {
	key     K
	program C
	at      uint64 // of the request, in bytes ever written
	size    int    // 0 when it has been found
}

// add remembers the request that held a verdict. One that would fill much of the
// ring is not kept.
func (j *journal[K, C]) add(key K, program C, request []byte) {
	if len(request) > journalBytes/2 {
		return
	}
	if j.bytes == nil {
		j.bytes = make([]byte, journalBytes)
	}
	n := copy(j.bytes[j.head%journalBytes:], request)
	copy(j.bytes, request[n:])
	j.records[j.n%journalRecords] = record[K, C]{key, program, j.head, len(request)}
	j.head += uint64(len(request))
	j.n++
}

// take finds the request that answered a packet, copies it, and forgets it.
func (j *journal[K, C]) take(key K) (program C, request []byte, ok bool) {
	for i := range min(j.n, journalRecords) {
		r := &j.records[(j.n-1-i)%journalRecords]
		if j.head-r.at > journalBytes {
			break // overwritten, and so is everything before it
		}
		if r.key != key || r.size == 0 {
			continue
		}
		from := r.at % journalBytes
		request = append(request, j.bytes[from:min(from+uint64(r.size), journalBytes)]...)
		request = append(request, j.bytes[:r.size-len(request)]...)
		program, r.size = r.program, 0
		return program, request, true
	}
	return program, nil, false
}
