package packet

import "errors"

// Errors of this package wrap one of these; the text around it names the field, the numbers and the way out.
var (
	// ErrNotIP: the first four bits are neither 4 nor 6, or there are no bytes.
	ErrNotIP = errors.New("packet: not an IPv4 or IPv6 packet")
	// ErrTruncated: the packet states more bytes than the slice has, as after a copy range.
	ErrTruncated = errors.New("packet: bytes are missing")
	// ErrMalformed: lengths in the headers contradict each other.
	ErrMalformed = errors.New("packet: malformed")
	// ErrFragment: the operation needs the whole datagram, and this is one fragment of it.
	ErrFragment = errors.New("packet: a fragment")
	// ErrTooLong: the result would not fit an IP length field.
	ErrTooLong = errors.New("packet: too long")
	// ErrTunnel: the packet carries others, in a way that this package cannot read.
	ErrTunnel = errors.New("packet: what it carries cannot be read")
	// ErrAbsent: the packet has no such field, for example no ports.
	ErrAbsent = errors.New("packet: no such field")
)
