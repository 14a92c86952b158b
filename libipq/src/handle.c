/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdlib.h>

LIBIPQ_PUBLIC struct ipq_handle *ipq_create_handle(__u32 flags, __u32 protocol)
{
	int saved = errno, code = ERR_PROTOCOL;
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
		h->fd = libipq_open_socket((int)protocol, &h->local, LIBIPQ_PATIENCE, &code);
		if (h->fd < 0)
			saved = errno;
	} else {
		h->fd = -1;
	}
	if (h->fd < 0) {
		libipq_set_error(code);
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
