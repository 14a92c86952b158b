// Package ipqtest plays the kernel's side of a packet queue inside the test process, so that a program's handlers can be
// tested without privileges, namespaces or rules.
//
//	k := ipqtest.New(t)
//	q, err := ipq.Open(ipq.Config{File: k.File()})
//	// … go q.Serve(ctx, handler)
//	e := k.Inject(ipqtest.Packet{Hook: ipq.Input, Payload: syn})
//	if got := e.Result(); got.Verdict != ipq.Drop {
//		t.Errorf("the SYN was answered with %v", got.Verdict)
//	}
//
// It is the production code that runs on the program's side: Config.File takes one end of a socketpair, and the other
// end speaks nfnetlink_queue as Linux does. One suite of tests runs against this package and against a real kernel.
//
// What a kernel can do to a program can be done here on purpose: packets are cut to the copy range, dropped because the
// queue or the socket's buffer is full ([Packet.Overrun]), flushed ([Kernel.Flush]), and answered with an error when the
// verdict comes too late; flags may be missing and ids may wrap ([Config]); the queue can be owned by somebody else (open
// it twice) or lost ([Kernel.Unbind]); and any bytes at all can be sent ([Kernel.Raw]).
//
// What it does not have is the network stack around a queue: no rules, so that a repeated or requeued packet goes
// nowhere; no segmentation; no checksums.
package ipqtest
