package main

import (
	"errors"

	"ipq"
)

// firstFree is where the search for a queue that nobody uses begins: people
// give low numbers to the queues of their own rules.
const firstFree = 60000

// openFree opens a queue, or what begins with one, at the first number from
// firstFree up that nobody has, which only the kernel can tell. When it can be
// none, the error is that of the first: a process without rights over the
// network is told of each queue that it may be another's.
func openFree[T any](open func(number uint16) (T, error)) (T, error) {
	t, first := open(firstFree)
	err := first
	for n := firstFree + 1; n <= 0xffff && errors.Is(err, ipq.ErrQueueBusy); n++ {
		t, err = open(uint16(n))
	}
	if errors.Is(err, ipq.ErrQueueBusy) {
		err = first
	}
	return t, err
}
