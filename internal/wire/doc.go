// Package wire turns bytes into structs and back for the two protocols that ipq speaks: nfnetlink_queue, the kernel's
// own, and ip_queue, the one that libipq programs speak. It does no I/O and keeps no state.
//
// Decoders return views into the message they were given: nothing is copied, and nothing in a result outlives the
// buffer. They accept any bytes; what does not fit is an error, never a panic or a read past the end.
package wire
