// Package trap makes unmodified programs talk to the queue handler: it is the
// machinery behind "ipq run". It serves the binaries that nothing else can
// reach, those that carry their own libipq, or none: statically linked ones and
// 32-bit ones too.
//
// # How it works
//
// [Launch] starts a supervisor, a separate process that calls [Supervise],
// installs a seccomp filter with a listener on its own thread, hands the
// listener over and executes the program in its own place. So the exit status,
// the signals, the terminal and the children are the program's own; the
// supervisor is nobody's child and in a session of its own.
//
// The kernel now stops four system calls of the program and of all its
// descendants, and asks the supervisor about each:
//
//	socket(AF_NETLINK, *, 3 or 13)   answered with a socket from the queue handler
//	bind, getsockname                answered for those sockets, as netlink would
//	socketcall                       the same three, as old 32-bit programs make them
//
// Everything else, and the same calls on any other socket, runs natively. The
// supervisor tells its sockets by inode, so that dup, fork, exec and descriptor
// passing need no bookkeeping. It lives until the listener hangs up, which is
// when the last descendant is gone: a daemon that was left behind is still
// served. A socket that a process from elsewhere holds is served beyond that,
// until it is closed.
//
// # When the supervisor ends
//
// Killed, the supervisor takes the queue handler with it. The injected sockets
// are at their end then, and the caught calls fail with ENOSYS. Many programs
// take a failed read for one to try again, and would do that for ever. So the
// supervisor starts a watcher, a process that does nothing but wait for the
// supervisor's end. When that comes unexpectedly, the watcher writes one line to
// standard error and sends SIGTERM to the processes that hold an injected socket,
// and SIGKILL to those that still hold one five seconds later. Processes without
// one are left alone, those that are not under the filter, and those that the user
// who opened the socket may not signal: sockets can be passed on. The supervisor
// does the same two seconds after the other end of a socket was closed, which is
// when the service was stopped or a queue has failed.
//
// # The injected socket
//
// The injected socket is an AF_UNIX one that looks like netlink to a reader and
// a writer (package ipqueue). What still tells it from netlink: the address
// family that recvfrom reports, getpeername, connect, getsockopt of SO_DOMAIN
// and SO_PROTOCOL, and SOL_NETLINK options, which are refused. The port that a
// socket is bound to is told to the queue handler, which gives one to a socket
// that sends before it is bound, as netlink did. getsockname binds a socket, too,
// where netlink had port 0 for one that has sent nothing yet.
//
// # What the supervisor believes
//
// The filter is no security boundary, and the program gets no power from it
// that the queue handler does not give to whoever asks. A program can change
// its memory between our look and the kernel's, so memory is read for two
// purposes only: the arguments of socketcall, where a program that cheats gets
// the call that it made natively; and the address given to bind for one of our
// own sockets, which the kernel never looks at. Process ids are used again, so
// every file of a thread in /proc is opened first, then the kernel is asked
// whether the call still waits (then the thread is still the one that made
// it), and only then is the file used. Memory is written through such a file,
// for getsockname of our own sockets only.
//
// Every caught call is answered. Where the supervisor lacks a descriptor to look
// at a thread, the call waits up to a second for others to give one back, and
// then fails with ENFILE. New sockets are refused, with ENFILE too, before the
// last descriptors are in use.
//
// # What it costs
//
// On a virtual machine with two CPUs and Linux 6.18 (go test -bench Continued):
//
//	any system call              80 ns alone, 88 ns with the filter
//	bind, getsockname            0.2 µs alone, 2.7 µs with a supervisor,
//	                             4 µs when the program has an ip_queue socket
//
// The last two are a round trip to another process, which must look whose socket
// it is. Before Linux 6.6, which can wake the other side on the same CPU, that
// takes 10 µs. On i386 a socket call through socketcall pays the same. sendto,
// recvfrom and their like are never caught.
//
// A signal whose handler was set without SA_RESTART, and which arrives in the
// moment before the supervisor has taken a call, ends that call with EINTR.
// Alone these calls never end so.
//
// Requires at least Linux 5.14.
package trap
