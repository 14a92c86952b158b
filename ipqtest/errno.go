//go:build !plan9

package ipqtest

import "syscall"

// errno is what the kernel answers a request with.
type errno = syscall.Errno

const (
	eperm      = syscall.EPERM
	enoent     = syscall.ENOENT
	ebusy      = syscall.EBUSY
	enodev     = syscall.ENODEV
	einval     = syscall.EINVAL
	erange     = syscall.ERANGE
	eopnotsupp = syscall.EOPNOTSUPP
	enotsupp   = errno(524) // ENOTSUPP, which the kernel should not let out and does
)
