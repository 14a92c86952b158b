// Package ipq receives packets that the Linux kernel queues for a verdict, and returns the verdicts.
//
// A rule sends packets to a numbered queue (nftables "queue", iptables "-j NFQUEUE" or "-j QUEUE"; package ipq/rules
// installs such rules), and the kernel keeps each of them until the program that owns the queue has decided:
//
//	q, err := ipq.Open(ipq.Config{Queue: 0})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer q.Close()
//	err = q.Serve(ctx, func(p *ipq.Packet) ipq.Verdict {
//		return ipq.Accept
//	})
//
// # Packets, buffers and verdicts
//
// A Packet, and every slice in it, is valid until the handler returns; Clone makes a copy that stays. What the library
// is given to send it has taken when the call returns, so one scratch buffer may serve for every packet. A payload that
// is edited in place is sent from where it is, a short one behind its message.
//
// Each packet gets exactly one verdict. An answer given before the handler returns wins over what it returns; any other
// second answer is ErrAnswered. Where the program gives none, Config.Default does, and Config.OnDefault is called. A
// handler that returns Hold keeps the packet in the kernel's queue until Queue.SetVerdict, from any goroutine and in any
// order.
//
// Packets leave the queue in the order in which they were answered. Answers are sent together: at the end of each batch
// that was received, and within a millisecond. None waits for an acknowledgement. What the kernel refuses comes back
// later, to Config.OnVerdictError.
//
// # Where packets are lost
//
// The kernel drops packets when the queue is full (Config.MaxLen), when the socket's buffer is full (Config.RecvBuffer),
// and those that wait in any queue of the namespace when rules are changed there (Config.OnFlush has the cases) or their
// interface goes down. Stats has the kernel's own count of the first two. Segments of a train of UDP datagrams can be lost
// without any count: see Hold. The rule's bypass flag covers only the case that no program owns the queue.
//
// # Concurrency
//
// A Queue may be used by many goroutines:
//
//	Recv, Serve                        one at a time; a second is ErrReading
//	SetVerdict, Packet.SetVerdict      any goroutine, beside everything
//	SetMode, SetReadDeadline, Stats    any goroutine, beside everything, also from a handler
//	InterfaceName, Number, Flags,
//	RecvBuffer                         any goroutine, beside everything
//	Close                              any goroutine, beside everything, also from a handler
//	Drain                              any goroutine but not a handler; ends Recv and Serve
//
// A Group is the same for each of its queues; its Serve and ServeEach are one at a time, Queues returns the same slice
// each time, and its other methods are those of a Queue.
//
// Supervise may be called from any goroutine, once for each queue. Latency and ConnLabels are values.
//
// Config's functions are called from Recv, Serve and Drain, and may call everything that a handler may; they must not
// panic, because packets that are just being received would then have no verdict before Close. A Packet and a Batch belong
// to one goroutine at a time.
//
// # Builds
//
// The package builds on every system; Open fails with errors.ErrUnsupported where the kernel is not Linux.
//
// In a build with the race detector, the buffer of a packet is overwritten when its lease has ended: what a program reads
// of it later is rubbish, and from another goroutine a race that is reported.
package ipq
