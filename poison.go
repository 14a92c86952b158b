//go:build !race

package ipq

// poison does something only in a build with the race detector.
func (b *Batch) poison() {}
