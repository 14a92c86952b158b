//go:build linux

package nlsock

import "golang.org/x/sys/unix"

// MaxPieces is the most pieces one Send may gather (UIO_MAXIOV).
const MaxPieces = 1024

// Vector gathers pieces of memory for one Send. The memory must not move or change until Send has returned.
type Vector struct {
	iovs  []unix.Iovec
	bytes int
}

// Reset empties the vector and keeps its memory.
func (v *Vector) Reset() {
	clear(v.iovs)
	v.iovs, v.bytes = v.iovs[:0], 0
}

// Add appends a piece.
func (v *Vector) Add(b []byte) {
	if len(b) == 0 {
		return
	}
	iov := unix.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	v.iovs = append(v.iovs, iov)
	v.bytes += len(b)
}

// Pieces is the number of pieces.
func (v *Vector) Pieces() int { return len(v.iovs) }

// Bytes is the length of all pieces together.
func (v *Vector) Bytes() int { return v.bytes }
