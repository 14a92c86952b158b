package main

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"ipq/ipqueue"
)

// servicePath is the socket where programs that use libipq look for the service.
func servicePath() string {
	if path := os.Getenv("IPQ_SOCKET"); path != "" {
		return path
	}
	return ipqueue.DefaultSocket
}

// noService reports whether an error says that no service listens at a path.
func noService(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errors.ErrUnsupported)
}

// service looks for what serves programs that were written for libipq.
func (r *report) service(path string) {
	const name = "ip_queue service"
	_, err := ipqueue.ReadStatus(path)
	switch {
	case err == nil:
		r.add(name, stateOK, "runs at "+printable(path)+", for programs that were written for libipq", "")
	case noService(err):
		finding := "none answers at " + printable(path) + ": a program that was written for libipq fails"
		if path == ipqueue.DefaultSocket && errors.Is(err, fs.ErrNotExist) {
			finding += ` with "Protocol not supported"`
		}
		r.add(name, stateNote, finding, "start ipq emulate, if there are such programs")
	case errors.Is(err, fs.ErrPermission):
		r.add(name, stateNote, "the socket "+printable(path)+" is there, and closed to this user", "run ipq doctor as root or as a member of the service's group")
	default:
		r.add(name, stateNote, printable(err.Error()), "start ipq emulate again")
	}
}
