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
int libipq_open_socket(int family, __u32 port, int patience, int *unbound)
{
	int fd;

	/* The kernel never says EINTR here; under "ipq run" a signal may. */
	do {
		fd = socket(PF_NETLINK, SOCK_RAW, family == PF_INET ? PROTOCOL_IPV4 : PROTOCOL_IPV6);
	} while (fd < 0 && errno == EINTR);
	*unbound = fd >= 0;
	return fd >= 0 ? fd : libipq_ask_service(family, port, patience, errno);
}

int libipq_bind_socket(int fd, const struct sockaddr_nl *local)
{
	int result;

	do {
		result = bind(fd, (const struct sockaddr *)local, sizeof *local);
	} while (result < 0 && errno == EINTR);
	return result;
}
