/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>
#include <string.h>

/*
 * The type has no public name, yet the array is exported: the library of
 * iptables exported it, so a program may be linked against it.
 */
struct errmap {
	int errcode;
	char *message;
};

extern struct errmap ipq_errmap[ERR_PROTOCOL + 1];

LIBIPQ_PUBLIC struct errmap ipq_errmap[ERR_PROTOCOL + 1] = {
	{ ERR_NONE, "Unknown error" },
	{ ERR_IMPL, "Implementation error" },
	{ ERR_HANDLE, "Unable to create netlink handle" },
	{ ERR_SOCKET, "Unable to create netlink socket" },
	{ ERR_BIND, "Unable to bind netlink socket" },
	{ ERR_BUFFER, "Unable to allocate buffer" },
	{ ERR_RECV, "Failed to receive netlink message" },
	{ ERR_NLEOF, "Received EOF on netlink socket" },
	{ ERR_ADDRLEN, "Invalid peer address length" },
	{ ERR_STRUNC, "Sent message truncated" },
	{ ERR_RTRUNC, "Received message truncated" },
	{ ERR_NLRECV, "Received error from netlink" },
	{ ERR_SEND, "Failed to send netlink message" },
	{ ERR_SUPP, "Operation not supported" },
	{ ERR_RECVBUF, "Receive buffer size invalid" },
	{ ERR_TIMEOUT, "Timeout" },
	{ ERR_PROTOCOL, "Invalid protocol specified" }
};

/*
 * One for the process and without a lock, as ever: what one thread's call left
 * here another thread may print.
 */
static volatile int current_error = ERR_NONE;

void libipq_set_error(int code)
{
	current_error = code;
}

static char *message_for(int code)
{
	if (code < ERR_NONE || code > ERR_PROTOCOL)
		code = ERR_IMPL;
	return ipq_errmap[code].message;
}

LIBIPQ_PUBLIC char *ipq_errstr(void)
{
	return message_for(current_error);
}

LIBIPQ_PUBLIC void ipq_perror(const char *s)
{
	int saved = errno;
	int code = current_error;

	fputs(s ? s : "ERROR", stderr);
	if (code != ERR_NONE)
		fprintf(stderr, ": %s", message_for(code));
	if (saved != 0)
		fprintf(stderr, ": %s", strerror(saved));
	fputc('\n', stderr);
	errno = saved;
}
