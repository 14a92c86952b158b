package ipqueue

// DefaultMaxLen is the longest queue of a family when Config says nothing, as
// in ip_queue.
const DefaultMaxLen = 1024

// Config says what a Handler serves, and whom. The zero value works: queue 0
// for both families, as -j QUEUE feeds it, and programs of user 0.
type Config struct {
	// Queue4 and Queue6 are the NFQUEUE numbers that feed the handler of IPv4 and
	// of IPv6. They may be the same; packets of the other family are then told
	// apart by their family. -j QUEUE always feeds queue 0.
	Queue4, Queue6 uint16

	// MaxLen is how many packets of a family may wait for a verdict; more are
	// dropped. 0 means 1,024 (DefaultMaxLen). ip_queue had it in
	// /proc/sys/net/ipv4/ip_queue_maxlen.
	MaxLen uint32

	// Allow decides whether the sender of a message may use the handler; a
	// message that it refuses is answered with EPERM. It is asked whenever a
	// socket's sender is another than that of the message before, from several
	// goroutines at once, and must be quick. nil means Root, which comes closest
	// to the CAP_NET_ADMIN that ip_queue asked for.
	Allow func(Credentials) bool
}

// Credentials tell who sent a message, in the numbers of the handler's user
// namespace (65534 is anyone without a number there). The kernel vouches for
// them. Capabilities do not show.
type Credentials struct {
	PID      int32
	UID, GID uint32 // real, not effective

	// Groups are the supplementary groups of the process that asked the service
	// for the socket, when the message has that process's user id. Not to be
	// modified.
	Groups []uint32
}

// Root allows user 0.
func Root(c Credentials) bool { return c.UID == 0 }

// RootOrGroup allows user 0 and the members of a group.
func RootOrGroup(gid uint32) func(Credentials) bool {
	return func(c Credentials) bool {
		if c.UID == 0 || c.GID == gid {
			return true
		}
		for _, g := range c.Groups {
			if g == gid {
				return true
			}
		}
		return false
	}
}
