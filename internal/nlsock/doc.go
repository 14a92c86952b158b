// Package nlsock is the socket under a queue: a descriptor that speaks netlink, with batched receive and scattered send,
// whose readers wait in the Go runtime's poller.
//
// The descriptor is either a real netlink socket, connected to the kernel, or an adopted one: a netlink socket that
// somebody else opened, or one end of a SEQPACKET socketpair whose other end plays the kernel. Receiving and sending
// share no lock.
package nlsock

import "errors"

// ErrNetnsReplaced is ipq.ErrNetnsReplaced and rules.ErrNetnsReplaced.
var ErrNetnsReplaced = errors.New("the network namespace at the path is another one now")
