//go:build race

package ipq

// poisoned is what a program reads that kept a slice of a packet for too long.
const poisoned = 0xdb

// poison overwrites the packets of the last batch, whose lease has ended, before their buffers are received into again.
// The race detector does not see what the kernel writes, but it sees this: a program that reads a packet in another
// goroutine after its handler has returned is told of a race, and one that reads it in the same gets rubbish every time.
func (b *Batch) poison() {
	if b.ring == nil {
		return
	}
	for i := range b.ring.Len() {
		d := b.ring.Datagram(i)
		for j := range d {
			d[j] = poisoned
		}
	}
}
