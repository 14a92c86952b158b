/* SPDX-License-Identifier: MIT */
/* What modes and verdicts have in common: their header, and how they are sent. */
#include "internal.h"

#include <poll.h>
#include <string.h>

void libipq_fill_header(struct nlmsghdr *header, const struct ipq_handle *h, int type, size_t len)
{
	header->nlmsg_len = (__u32)len;
	header->nlmsg_type = (__u16)type;
	header->nlmsg_flags = NLM_F_REQUEST;
	header->nlmsg_pid = h->local.nl_pid;
}

/*
 * A kernel queue handler takes a message at once: it neither makes the sender
 * wait, nor is there a signal that could interrupt it, nor SIGPIPE. So none of
 * these may show here, even on a descriptor that the program made non-blocking.
 * (Another program that spoofed us into sending to it deserves no patience.)
 */
ssize_t libipq_send(const struct ipq_handle *h, struct iovec *vector, size_t count)
{
	struct msghdr message;
	struct pollfd p;
	int saved = errno;
	ssize_t n;

	memset(&message, 0, sizeof message);
	message.msg_name = (void *)&h->peer;
	message.msg_namelen = sizeof h->peer;
	message.msg_iov = vector;
	message.msg_iovlen = count;
	p.fd = h->fd;
	p.events = POLLOUT;
	for (;;) {
		n = sendmsg(h->fd, &message, MSG_NOSIGNAL);
		if (n >= 0) {
			errno = saved;
			return n;
		}
		if (h->peer.nl_pid != 0 || (errno != EAGAIN && errno != EINTR))
			return -1;
		poll(&p, 1, -1);
	}
}

ssize_t libipq_send_mode(const struct ipq_handle *h, __u8 mode, size_t range)
{
	struct libipq_mode_request request;
	struct iovec vector;

	memset(&request, 0, sizeof request);
	libipq_fill_header(&request.header, h, IPQM_MODE, sizeof request);
	request.body.msg.mode.value = mode;
	request.body.msg.mode.range = range;
	vector.iov_base = &request;
	vector.iov_len = sizeof request;
	return libipq_send(h, &vector, 1);
}
