package main

import (
	"errors"

	"ipq"
)

// firstFree is where the search for a queue that nobody uses begins: people
// give low numbers to the queues of their own rules.
const firstFree = 60000

// openFree opens the first queue from firstFree up that nobody has, which only
// the kernel can tell.
func openFree(c ipq.Config) (*ipq.Queue, error) {
	for n := firstFree; ; n++ {
		c.Queue = uint16(n)
		q, err := ipq.Open(c)
		if err == nil || n == 0xffff || !errors.Is(err, ipq.ErrQueueBusy) {
			return q, err
		}
	}
}
