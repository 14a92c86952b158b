/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdlib.h>

/* Returns the descriptor, or -1 with errno and the library's error set. */
static int open_bound(int family, const struct sockaddr_nl *local)
{
	int unbound, fd = libipq_open_socket(family, local->nl_pid, LIBIPQ_PATIENCE, &unbound);

	if (fd < 0) {
		libipq_set_error(errno == EADDRINUSE ? ERR_BIND : ERR_SOCKET);
		return -1;
	}
	/* The port is our pid: a second handle of this family is refused. */
	if (unbound && libipq_bind_socket(fd, local) < 0) {
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

	if (protocol == PF_INET || protocol == PF_INET6) {
		h->fd = open_bound((int)protocol, &h->local);
		if (h->fd < 0)
			saved = errno;
	} else {
		h->fd = -1;
		libipq_set_error(ERR_PROTOCOL);
	}
	if (h->fd < 0) {
		free(h);
		errno = saved;
		return NULL;
	}
	libipq_keep(h, (int)protocol);
	errno = saved;
	return h;
}

LIBIPQ_PUBLIC int ipq_destroy_handle(struct ipq_handle *h)
{
	if (h) {
		libipq_forget(h);
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
