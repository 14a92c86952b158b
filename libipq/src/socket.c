/* SPDX-License-Identifier: MIT */
/* Opening the socket of a handle. */
#include "internal.h"

/* Old kernel headers lack them, new ones rename them. */
#define PROTOCOL_IPV4 3  /* NETLINK_FIREWALL */
#define PROTOCOL_IPV6 13 /* NETLINK_IP6_FW */

/*
 * The kernel's own queue handler comes first, so that kernels which still have
 * one are served by it. Where socket() fails (always since Linux 3.5, and
 * before that when the module is missing and cannot be loaded), the service
 * takes its place. Kernels up to about 2.6.18 let socket() succeed without the
 * module; there ipq_set_mode fails with ECONNREFUSED, as it always has.
 */
int libipq_open_socket(int family, const struct sockaddr_nl *local, int patience, int *code)
{
	int fd, result;

	/* The kernel never says EINTR here; under "ipq run" a signal may. */
	do {
		fd = socket(PF_NETLINK, SOCK_RAW, family == PF_INET ? PROTOCOL_IPV4 : PROTOCOL_IPV6);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		fd = libipq_ask_service(family, local->nl_pid, patience, errno);
		if (fd < 0)
			*code = errno == EADDRINUSE ? ERR_BIND : ERR_SOCKET;
		return fd;
	}
	/* The port is our pid: a second handle of this family is refused. */
	do {
		result = bind(fd, (const struct sockaddr *)local, sizeof *local);
	} while (result < 0 && errno == EINTR);
	if (result < 0) {
		*code = ERR_BIND;
		return libipq_close(fd);
	}
	return fd;
}
