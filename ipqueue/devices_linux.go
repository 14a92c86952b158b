package ipqueue

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// device is what a packet message says of an interface.
type device struct {
	name   [wire.IPQNameSize]byte
	hwType uint16 // ARPHRD_*
}

// deviceTable knows the interfaces of the handler's network namespace. What it
// was told once it keeps until the kernel reports a change.
type deviceTable struct {
	fd int // any socket of the namespace; ioctls need one

	mu    sync.Mutex
	known map[uint32]device
}

func openDevices() (*deviceTable, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return &deviceTable{fd: fd, known: map[uint32]device{}}, nil
}

func (t *deviceTable) close() { unix.Close(t.fd) }

// device returns what is known of the interface with this index; nothing when
// there is none.
func (t *deviceTable) device(index uint32) device {
	if index == 0 {
		return device{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d, ok := t.known[index]
	if !ok {
		d = t.ask(index)
		t.known[index] = d
	}
	return d
}

func (t *deviceTable) forget(index uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, index)
}

func (t *deviceTable) forgetAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.known)
}

func (t *deviceTable) ask(index uint32) (d device) {
	req, err := unix.NewIfreq("")
	if err != nil {
		return d
	}
	req.SetUint32(index)
	if unix.IoctlIfreq(t.fd, unix.SIOCGIFNAME, req) != nil {
		return d
	}
	copy(d.name[:wire.IPQNameSize-1], req.Name())
	if unix.IoctlIfreq(t.fd, unix.SIOCGIFHWADDR, req) == nil {
		d.hwType = req.Uint16() // sa_family of ifr_hwaddr
	}
	return d
}
