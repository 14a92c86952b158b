//go:build linux

package nlsock

import "golang.org/x/sys/unix"

// mmsghdr is struct mmsghdr of recvmmsg(2). Go pads it behind n as C does; a field of no size there would add to it.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// Ring is a set of receive buffers, filled by one Recv. It is allocated once and reused.
type Ring struct {
	size  int
	slab  []byte
	iovs  []unix.Iovec
	heads []mmsghdr
}

// NewRing makes n buffers of size bytes each.
func NewRing(n, size int) *Ring {
	size = (size + 7) &^ 7
	r := &Ring{
		size:  size,
		slab:  make([]byte, n*size),
		iovs:  make([]unix.Iovec, n),
		heads: make([]mmsghdr, n),
	}
	for i := range n {
		r.iovs[i].Base = &r.slab[i*size]
		r.iovs[i].SetLen(size)
		r.heads[i].hdr.Iov = &r.iovs[i]
		r.heads[i].hdr.SetIovlen(1)
	}
	return r
}

// Len is the number of buffers.
func (r *Ring) Len() int { return len(r.heads) }

// Size is the size of each buffer, bytes.
func (r *Ring) Size() int { return r.size }

// Datagram returns what Recv put into buffer i. Its capacity reaches to the end of the buffer.
func (r *Ring) Datagram(i int) []byte {
	off := i * r.size
	n := min(int(r.heads[i].n), r.size)
	return r.slab[off : off+n : off+r.size]
}

// Cut reports whether the datagram in buffer i was longer than the buffer.
func (r *Ring) Cut(i int) bool { return r.heads[i].hdr.Flags&unix.MSG_TRUNC != 0 }

// Put stores a datagram in buffer i, as if it had been received; cut says that it was longer once.
func (r *Ring) Put(i int, datagram []byte, cut bool) {
	n := copy(r.slab[i*r.size:(i+1)*r.size], datagram)
	r.heads[i].n = uint32(n)
	r.heads[i].hdr.Flags = 0
	if cut || n < len(datagram) {
		r.heads[i].hdr.Flags = unix.MSG_TRUNC
	}
}
