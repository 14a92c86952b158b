/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Old kernel headers lack them, new ones rename them. */
#define PROTOCOL_IPV4 3  /* NETLINK_FIREWALL */
#define PROTOCOL_IPV6 13 /* NETLINK_IP6_FW */

int libipq_close(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

/*
 * The kernel's own queue handler comes first, so that kernels which still have
 * one are served by it. Where socket() fails (always since Linux 3.5, and
 * before that when the module is missing and cannot be loaded), the service
 * takes its place. Kernels up to about 2.6.18 let socket() succeed without the
 * module; there ipq_set_mode fails with ECONNREFUSED, as it always has.
 */
static int open_socket(int family, int protocol, const struct sockaddr_nl *local)
{
	int fd, result;

	/* The kernel never says EINTR here; under "ipq run" a signal may. */
	do {
		fd = socket(PF_NETLINK, SOCK_RAW, protocol);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		fd = libipq_ask_handler(family, local->nl_pid, errno);
		if (fd < 0)
			libipq_set_error(errno == EADDRINUSE ? ERR_BIND : ERR_SOCKET);
		return fd;
	}
	/* The port is our pid: a second handle of this family is refused. */
	do {
		result = bind(fd, (const struct sockaddr *)local, sizeof *local);
	} while (result < 0 && errno == EINTR);
	if (result < 0) {
		libipq_set_error(ERR_BIND);
		return libipq_close(fd);
	}
	return fd;
}

LIBIPQ_PUBLIC struct ipq_handle *ipq_create_handle(__u32 flags, __u32 protocol)
{
	int saved = errno;
	struct ipq_handle *h = calloc(1, sizeof *h);

	(void)flags;
	if (!h) {
		libipq_set_error(ERR_HANDLE);
		return NULL;
	}
	h->local.nl_family = AF_NETLINK;
	h->local.nl_pid = (__u32)getpid();
	h->peer.nl_family = AF_NETLINK;

	switch (protocol) {
	case PF_INET:
		h->fd = open_socket(PF_INET, PROTOCOL_IPV4, &h->local);
		break;
	case PF_INET6:
		h->fd = open_socket(PF_INET6, PROTOCOL_IPV6, &h->local);
		break;
	default:
		h->fd = -1;
		libipq_set_error(ERR_PROTOCOL);
		errno = saved;
	}
	if (h->fd < 0) {
		saved = errno;
		free(h);
		errno = saved;
		return NULL;
	}
	errno = saved;
	return h;
}

LIBIPQ_PUBLIC int ipq_destroy_handle(struct ipq_handle *h)
{
	if (h) {
		close(h->fd);
		free(h);
	}
	return 0;
}

LIBIPQ_PUBLIC int ipq_ctl(const struct ipq_handle *h, int request, ...)
{
	(void)h;
	(void)request;
	return 1;
}
