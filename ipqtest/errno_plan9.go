package ipqtest

// errno is what the kernel answers a request with. Plan 9 has no such numbers, and
// no kernel is played there.
type errno int32

const (
	eperm errno = 1 + iota
	enoent
	ebusy
	enodev
	einval
	erange
	eopnotsupp
	enotsupp
)
