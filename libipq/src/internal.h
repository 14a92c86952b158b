/* SPDX-License-Identifier: MIT */
/* What the files of the library share; none of it is visible outside the shared library. */
#ifndef LIBIPQ_INTERNAL_H
#define LIBIPQ_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* secure_getenv */
#endif

#include <libipq/libipq.h>

#define LIBIPQ_HIDDEN __attribute__((visibility("hidden")))
#define LIBIPQ_PUBLIC __attribute__((visibility("default")))

/* Indices into ipq_errmap. Programs never see them, only their strings. */
enum {
	ERR_NONE,
	ERR_IMPL,
	ERR_HANDLE,
	ERR_SOCKET,
	ERR_BIND,
	ERR_BUFFER,
	ERR_RECV,
	ERR_NLEOF,
	ERR_ADDRLEN,
	ERR_STRUNC,
	ERR_RTRUNC,
	ERR_NLRECV,
	ERR_SEND,
	ERR_SUPP,
	ERR_RECVBUF,
	ERR_TIMEOUT,
	ERR_PROTOCOL
};

/* Makes code what ipq_errstr reports, for good: no success resets it. */
LIBIPQ_HIDDEN void libipq_set_error(int code);

/*
 * Asks the queue handler that serves a Unix socket for a descriptor of the
 * family, which then behaves like a NETLINK_FIREWALL socket. Returns it, or -1
 * with errno set: EADDRINUSE when the process has a handle of that family
 * already, absent when there is no service where one is by default.
 */
LIBIPQ_HIDDEN int libipq_ask_handler(int family, __u32 pid, int absent);

/* Closes fd, keeps errno, returns -1. */
LIBIPQ_HIDDEN int libipq_close(int fd);

#endif
