//go:build linux

// Client is a program as old as ip_queue, for the tests of package trap: it
// knows netlink sockets and nothing of ipq. Its argument names a scenario; what
// the system calls returned goes to standard output, a line each.
//
// It uses the system call package only, so it is static, and with GOARCH=386 it
// makes its socket calls through socketcall.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

var scenarios = map[string]func(args []string){
	"basic":     basic,
	"direct":    direct,
	"unbound":   unbound,
	"autobind":  autobind,
	"ports":     ports,
	"bad-bind":  badBind,
	"bad-name":  badName,
	"groups":    groups,
	"others":    others,
	"flags":     flags,
	"dup":       dup,
	"many":      many,
	"threads":   threads,
	"daemon":    daemon,
	"exec":      execute,
	"inherited": inherited,
	"limit":     limit,
	"kill":      kill,
	"loop":      loop,
	"wait":      wait,
	"hidden":    hidden,
	"cat":       cat,
	"passer":    passer,
	"accept":    accept,
	"refused":   refused,
	"give":      give,
	"again":     again,
	"few":       few,
	"hostile":   hostile,
	"hammer":    hammer,
	"repeat":    repeat,
}

func main() {
	f := scenarios[os.Args[1]]
	if f == nil {
		say("no scenario", os.Args[1])
		os.Exit(99)
	}
	f(os.Args[2:])
}

func say(words ...any) { fmt.Println(words...) }

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		say(err)
		os.Exit(99)
	}
	return n
}

// name is how an errno is printed: by number, which needs no table.
func name(err error) string {
	if err == nil {
		return "ok"
	}
	return fmt.Sprint("errno ", int(err.(syscall.Errno)))
}

func netlink(protocol int) int {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, protocol)
	if err != nil {
		say("socket:", name(err))
		os.Exit(1)
	}
	return fd
}

func bind(fd int, port uint32) error {
	return syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Pid: port})
}

// sockname is getsockname without the checks of the syscall package.
func sockname(fd int) (family uint16, port uint32, length uint32, err error) {
	var b [32]byte
	length = 32
	err = getsockname(fd, unsafe.Pointer(&b), unsafe.Pointer(&length))
	return binary.NativeEndian.Uint16(b[:]), binary.NativeEndian.Uint32(b[4:]), length, err
}

// sayName prints the port as "pid" when it is the process id, so that what is
// printed is the same each time.
func sayName(fd int) {
	family, port, length, err := sockname(fd)
	if err != nil {
		say("getsockname:", name(err))
		return
	}
	say("getsockname: family", family, "port", portName(port), "length", length)
}

func portName(port uint32) string {
	if port == uint32(os.Getpid()) {
		return "pid"
	}
	return fmt.Sprint(int32(port))
}

// exchange sends a datagram to port 0 and prints the answer, as libipq does it.
func exchange(fd int, text string) {
	to := &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}
	if err := syscall.Sendto(fd, []byte(text), 0, to); err != nil {
		say("sendto:", name(err))
		return
	}
	receive(fd)
}

func receive(fd int) {
	var b [256]byte
	var from [32]byte
	length := uint32(len(from))
	n, err := recvfrom(fd, b[:], unsafe.Pointer(&from), unsafe.Pointer(&length))
	if err != nil {
		say("recvfrom:", name(err))
		return
	}
	say("recvfrom:", string(b[:n]), "from port", binary.NativeEndian.Uint32(from[4:]), "address length", length)
}

// basic is what ipq_create_handle does, then one message each way.
func basic(args []string) {
	fd := netlink(number(args[0]))
	say("bind:", name(bind(fd, uint32(os.Getpid()))))
	sayName(fd)
	exchange(fd, "hello")
}

// direct makes the calls that i386 has had since Linux 4.3 beside socketcall.
func direct(args []string) {
	fd, _, errno := syscall.RawSyscall(directSocket, syscall.AF_NETLINK, syscall.SOCK_RAW, uintptr(number(args[0])))
	say("socket:", name(errnoErr(errno)))
	a := nladdr(16, uint32(os.Getpid()), 0)
	_, _, errno = syscall.RawSyscall(directBind, fd, uintptr(unsafe.Pointer(&a)), 12)
	say("bind:", name(errnoErr(errno)))
	length := uint32(12)
	_, _, errno = syscall.RawSyscall(directGetsockname, fd, uintptr(unsafe.Pointer(&a)), uintptr(unsafe.Pointer(&length)))
	say("getsockname:", name(errnoErr(errno)), "family", binary.NativeEndian.Uint16(a[:]), "length", length)
	exchange(int(fd), "hello")
}

func unbound(args []string) {
	fd := netlink(number(args[0]))
	exchange(fd, "hello")
	sayName(fd)
}

func autobind([]string) {
	a, b, c := netlink(3), netlink(3), netlink(3)
	say("bind:", name(bind(a, 0)))
	sayName(a)
	say("bind:", name(bind(b, 0)))
	sayName(b)
	sayName(c)
	syscall.Close(a)
	syscall.Close(b)
	d := netlink(3)
	sayName(d)
}

func ports([]string) {
	a, b := netlink(3), netlink(3)
	say("a to 77:", name(bind(a, 77)))
	say("a to 77 again:", name(bind(a, 77)))
	say("a to 78:", name(bind(a, 78)))
	say("a to 0:", name(bind(a, 0)))
	say("b to 77:", name(bind(b, 77)))
	say("other protocol to 77:", name(bind(netlink(13), 77)))
	copy, _ := syscall.Dup(a)
	syscall.Close(a)
	say("b to 77, a open as a duplicate:", name(bind(b, 77)))
	syscall.Close(copy)
	say("b to 77, a closed:", name(bind(b, 77)))
	sayPlain(b)
}

func sayPlain(fd int) {
	family, port, length, err := sockname(fd)
	say("getsockname:", name(err), "family", family, "port", port, "length", length)
}

func nladdr(family uint16, port, groups uint32) (b [128]byte) {
	binary.NativeEndian.PutUint16(b[:], family)
	binary.NativeEndian.PutUint32(b[4:], port)
	binary.NativeEndian.PutUint32(b[8:], groups)
	return b
}

func badBind([]string) {
	fd := netlink(3)
	good := nladdr(16, 5, 0)
	inet := nladdr(2, 5, 0)
	try := func(what string, p unsafe.Pointer, length int) {
		say(what+":", name(bindRaw(fd, p, length)))
	}
	try("length 0", unsafe.Pointer(&good), 0)
	try("length 11", unsafe.Pointer(&good), 11)
	try("length 129", unsafe.Pointer(&good), 129)
	try("length -1", unsafe.Pointer(&good), -1)
	try("family 2", unsafe.Pointer(&inet), 12)
	try("null", nil, 12)
	try("page 1", outside(4096), 12)
	try("top", outside(^uintptr(11)), 12)
	page := mapping(syscall.PROT_READ | syscall.PROT_WRITE)
	try("over the end of a mapping", unsafe.Pointer(&page[len(page)-11]), 12)
	copy(page[len(page)-12:], good[:12])
	try("up to the end of a mapping", unsafe.Pointer(&page[len(page)-12]), 12)
	try("length 128", unsafe.Pointer(&good), 128)
	sayPlain(fd)
}

func badName([]string) {
	fd := netlink(3)
	bind(fd, 9)
	var b [32]byte
	try := func(what string, p unsafe.Pointer, length int32) {
		b = [32]byte{}
		err := getsockname(fd, p, unsafe.Pointer(&length))
		say(what+":", name(err), "length", length, "bytes", fmt.Sprintf("%x", b[:12]))
	}
	try("length 32", unsafe.Pointer(&b), 32)
	try("length 12", unsafe.Pointer(&b), 12)
	try("length 5", unsafe.Pointer(&b), 5)
	try("length 0", unsafe.Pointer(&b), 0)
	try("length 0, null", nil, 0)
	try("length -1", unsafe.Pointer(&b), -1)
	try("null", nil, 12)
	try("top", outside(^uintptr(11)), 12)
	page := mapping(syscall.PROT_READ)
	try("read-only", unsafe.Pointer(&page[0]), 12)
	say("length pointer null:", name(getsockname(fd, unsafe.Pointer(&b), nil)))
	say("length pointer read-only:", name(getsockname(fd, unsafe.Pointer(&b), unsafe.Pointer(&page[0]))), fmt.Sprintf("%x", b[:12]))
	page = mapping(syscall.PROT_READ | syscall.PROT_WRITE)
	try("over the end of a mapping", unsafe.Pointer(&page[len(page)-11]), 12)
	try("up to the end of a mapping", unsafe.Pointer(&page[len(page)-12]), 12)
	say(fmt.Sprintf("%x", page[len(page)-12:]))
}

// outside makes a pointer to nothing of ours, which the compiler would not.
func outside(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// mapping returns a page with nothing mapped after it.
func mapping(protection int) []byte {
	page := os.Getpagesize()
	b, err := syscall.Mmap(-1, 0, 2*page, protection, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		say("mmap:", name(err))
		os.Exit(1)
	}
	syscall.Syscall(syscall.SYS_MUNMAP, uintptr(unsafe.Pointer(&b[page])), uintptr(page), 0)
	return b[:page:page]
}

func groups([]string) {
	fd := netlink(3)
	a := nladdr(16, 5, 1)
	say("bind with groups:", name(bindRaw(fd, unsafe.Pointer(&a), 12)))
}

// others makes calls that are nobody's business but the kernel's.
func others([]string) {
	try := func(domain, kind, protocol int) {
		fd, err := syscall.Socket(domain, kind, protocol)
		say("socket:", domain, kind, protocol, name(err))
		if err == nil {
			syscall.Close(fd)
		}
	}
	try(syscall.AF_NETLINK, syscall.SOCK_RAW, 8)
	try(syscall.AF_NETLINK, syscall.SOCK_RAW, 99)
	try(syscall.AF_NETLINK, syscall.SOCK_STREAM, 3)
	try(syscall.AF_NETLINK, syscall.SOCK_RAW|0x1000, 3)
	try(syscall.AF_NETLINK, syscall.SOCK_RAW, -3)
	try(syscall.AF_INET, syscall.SOCK_RAW, 300)
	try(syscall.AF_INET, syscall.SOCK_STREAM, 3)
	try(-1, syscall.SOCK_RAW, 3)
	fd := netlink(syscall.NETLINK_ROUTE)
	say("bind:", name(bind(fd, 0)))
	sayName(fd)
	say("bind again:", name(bind(fd, 1)))
	syscall.Close(fd)
	say("bind, closed:", name(bind(fd, 1)))
	_, _, _, err := sockname(-1)
	say("getsockname, no descriptor:", name(err))
	_, _, _, err = sockname(0)
	say("getsockname, standard input:", name(err))
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	say("inet:", name(err))
	say("bind:", name(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})))
	say("bind to a bad address:", name(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{1, 2, 3, 4}})))
	say("bind to a bad pointer:", name(bindRaw(fd, outside(4096), 16)))
	family, _, length, err := sockname(fd)
	say("getsockname:", family, length, name(err))
	otherSocketcalls()
}

func flags([]string) {
	for _, kind := range []int{0, syscall.SOCK_CLOEXEC, syscall.SOCK_NONBLOCK, syscall.SOCK_CLOEXEC | syscall.SOCK_NONBLOCK} {
		for _, raw := range []int{syscall.SOCK_RAW, syscall.SOCK_DGRAM} {
			fd, err := syscall.Socket(syscall.AF_NETLINK, raw|kind, 3)
			if err != nil {
				say("socket:", name(err))
				continue
			}
			closeOnExec, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
			status, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
			say("cloexec", closeOnExec, "nonblock", status&syscall.O_NONBLOCK != 0)
			if status&syscall.O_NONBLOCK != 0 {
				receive(fd)
			}
			syscall.Close(fd)
		}
	}
}

func dup([]string) {
	a := netlink(3)
	b, _ := syscall.Dup(a)
	say("bind:", name(bind(b, 5)))
	sayPlain(a)
	syscall.Close(a)
	exchange(b, "duplicate")
	syscall.Dup2(b, 100)
	syscall.Close(b)
	sayPlain(100)
	syscall.Dup2(0, 100)
	_, _, _, err := sockname(100)
	say("getsockname of what is there now:", name(err))
}

// many opens and closes, then holds, many sockets.
func many(args []string) {
	for range number(args[0]) {
		syscall.Close(netlink(3))
	}
	var held []int
	for range number(args[1]) {
		held = append(held, netlink(13))
	}
	say("held", len(held))
	next()
	for i, fd := range held {
		if err := bind(fd, uint32(1000+i)); err != nil {
			say("bind:", name(err))
		}
		syscall.Close(fd)
	}
	say("closed")
	next()
}

// next waits for a byte on standard input.
func next() { os.Stdin.Read(make([]byte, 1)) }

// wait makes a socket and binds it when it is told to.
func wait([]string) {
	fd := netlink(3)
	say("made")
	next()
	say("bind:", name(bind(fd, 5)))
	_, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 13)
	say("socket:", name(err))
}

// hidden forbids others to look into this process, as programs with secrets do.
func hidden([]string) {
	syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
	fd := netlink(3)
	say("bind:", name(bind(fd, 5)))
}

// again reads again and again when a read fails, as many programs do, and with
// "ignore" it does not end at SIGTERM. It sends args[0] first.
func again(args []string) {
	if len(args) > 1 {
		signal.Ignore(syscall.SIGTERM)
	}
	fd := netlink(3)
	send(fd, []byte(args[0]))
	say("made")
	for {
		syscall.Read(fd, make([]byte, 100))
	}
}

// repeat opens and closes a socket, so many times, and says so when its number is
// that of standard input, output or error.
func repeat(args []string) {
	for range number(args[0]) {
		fd := netlink(3)
		if fd <= 2 {
			say("socket:", fd)
			return
		}
		syscall.Close(fd)
	}
	say("repeated")
}

// few opens sockets until there are no more, and uses those that it got, or with
// "count" says how many.
func few(args []string) {
	var held []int
	var err error
	for {
		var fd int
		if fd, err = syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 3); err != nil {
			break
		}
		held = append(held, fd)
	}
	say("socket:", name(err))
	if len(args) > 0 {
		say("sockets:", len(held))
		return
	}
	var calls sync.WaitGroup
	failed := make(chan string, 2*len(held))
	for i, fd := range held {
		calls.Go(func() {
			if err := bind(fd, uint32(1000+i)); err != nil {
				failed <- "bind: " + name(err)
			}
			if _, port, _, err := sockname(fd); err != nil || port != uint32(1000+i) {
				failed <- "getsockname: " + name(err)
			}
		})
	}
	calls.Wait()
	close(failed)
	for f := range failed {
		say(f)
	}
	for _, fd := range held {
		syscall.Close(fd)
	}
	say("more than a few:", len(held) > 20)
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 3)
	say("socket, with all closed:", name(err))
	exchange(fd, "hello")
}

// give sends a socket to another process, and ends.
func give(args []string) {
	to, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Connect(to, &syscall.SockaddrUnix{Name: args[0]})
	}
	if err == nil {
		err = syscall.Sendmsg(to, []byte{0}, syscall.UnixRights(netlink(3)), nil, 0)
	}
	say("give:", name(err))
}

// cat copies standard input, and ends with the status it is told.
func cat(args []string) {
	netlink(3)
	io.Copy(os.Stdout, os.Stdin)
	os.Exit(number(args[0]))
}

func threads(args []string) {
	var wg sync.WaitGroup
	results := make([]string, number(args[0]))
	for i := range results {
		wg.Go(func() {
			fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 3)
			if err != nil {
				results[i] = name(err)
				return
			}
			port := uint32(5000 + i)
			if err := bind(fd, port); err != nil {
				results[i] = name(err)
				return
			}
			time.Sleep(time.Millisecond)
			_, got, _, err := sockname(fd)
			if err != nil || got != port {
				results[i] = fmt.Sprint(name(err), got)
			}
		})
	}
	wg.Wait()
	for i, r := range results {
		if r != "" {
			say("thread", i, r)
		}
	}
	say("done")
}

func limit([]string) {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 12, Max: 12}); err != nil {
		say("setrlimit:", name(err))
	}
	n := 0
	for {
		_, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 3)
		if err != nil {
			say(n > 3, name(err))
			return
		}
		n++
	}
}

// kill ends by a signal, as if the kernel had sent it.
func kill(args []string) {
	signal := number(args[0])
	var def [64]byte // SIG_DFL
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(signal), uintptr(unsafe.Pointer(&def)), 0, 8, 0, 0)
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	syscall.Kill(os.Getpid(), syscall.Signal(signal))
	time.Sleep(time.Minute)
}

// loop measures a call that is not about our sockets.
func loop(args []string) {
	if args[1] == "with-handle" {
		netlink(3)
	}
	fd, _ := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	n := number(args[2])
	start := time.Now()
	for range n {
		switch args[0] {
		case "getsockname":
			sockname(fd)
		case "bind":
			bind(fd, 0) // refused: a socket can be bound once only
		case "getppid":
			syscall.Getppid()
		}
	}
	fmt.Printf("%.1f\n", float64(time.Since(start).Nanoseconds())/float64(n))
}
