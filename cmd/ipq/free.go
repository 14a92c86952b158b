package main

import (
	"errors"

	"ipq"
)

// firstFree is where the search for a queue that nobody uses begins: people
// give low numbers to the queues of their own rules.
const firstFree = 60000

// openFree opens a queue, or what begins with one, at the first number from
// firstFree up that nobody has, which only the kernel can tell.
func openFree[T any](open func(number uint16) (T, error)) (T, error) {
	for n := firstFree; ; n++ {
		t, err := open(uint16(n))
		if err == nil || n == 0xffff || !errors.Is(err, ipq.ErrQueueBusy) {
			return t, err
		}
	}
}
