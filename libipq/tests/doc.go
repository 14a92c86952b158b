// Package tests shows that programs written for libipq work: what the library
// itself promises, and one small program for every way in which real programs
// were found to use it, run with real packets. The tests need a C compiler; those
// with packets need iptables-legacy, the last front end that knows -j QUEUE.
package tests
