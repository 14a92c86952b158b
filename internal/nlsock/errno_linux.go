package nlsock

import "syscall"

// The kernel's errors that somebody tells apart. They are here because not every system's package syscall has them.
var (
	EPERM           error = syscall.EPERM
	ENOENT          error = syscall.ENOENT
	EBUSY           error = syscall.EBUSY
	ENODEV          error = syscall.ENODEV
	EINVAL          error = syscall.EINVAL
	ENOMEM          error = syscall.ENOMEM
	EPIPE           error = syscall.EPIPE
	ENOBUFS         error = syscall.ENOBUFS
	ENOTCONN        error = syscall.ENOTCONN
	ECONNRESET      error = syscall.ECONNRESET
	EOPNOTSUPP      error = syscall.EOPNOTSUPP
	EPROTONOSUPPORT error = syscall.EPROTONOSUPPORT
)

// Errno is the error with the kernel's number n.
func Errno(n int32) error { return syscall.Errno(n) }
