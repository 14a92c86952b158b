/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

int failures;

void expect(int ok, const char *file, int line, const char *what)
{
	if (ok)
		return;
	failures++;
	fprintf(stderr, "%s:%d: not so: %s (errno %d, \"%s\")\n", file, line, what, errno,
		ipq_errstr());
}

void require(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(2);
}

void make_pair(int fds[2], size_t length, __u32 port)
{
	static __u32 unique;
	struct sockaddr_un address;

	require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0, "socketpair");
	memset(&address, 0, sizeof address);
	address.sun_family = AF_UNIX;
	do {
		__u32 name = (__u32)getpid() << 12 | unique++;

		memcpy((char *)&address + 4, &port, 4);
		memcpy((char *)&address + 8, &name, 4);
	} while (bind(fds[1], (struct sockaddr *)&address, (socklen_t)length) < 0 &&
		 errno == EADDRINUSE);
}
