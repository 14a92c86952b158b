/* SPDX-License-Identifier: MIT */
/* Sending modes and verdicts, receiving packets and errors. */
#include "internal.h"

#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>

/* In nlmsg_flags, as the library has always tested it; no handler sets it. */
#define TRUNCATED 0x20

static ssize_t fail(int code)
{
	libipq_set_error(code);
	return -1;
}

static void fill_header(struct nlmsghdr *header, const struct ipq_handle *h, int type, size_t len)
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
static ssize_t send_message(const struct ipq_handle *h, struct iovec *vector, size_t count)
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
			return fail(ERR_SEND);
		poll(&p, 1, -1);
	}
}

LIBIPQ_PUBLIC int ipq_set_mode(const struct ipq_handle *h, __u8 mode, size_t len)
{
	/*
	 * 16 bytes longer than its content: the library of iptables counts the
	 * header twice, and programs compare the result. It sent what happened
	 * to follow on its stack; here the surplus is zero.
	 */
	struct {
		struct nlmsghdr header;
		ipq_peer_msg_t body;
		char surplus[NLMSG_LENGTH(0)];
	} request;
	struct iovec vector;

	memset(&request, 0, sizeof request);
	fill_header(&request.header, h, IPQM_MODE, sizeof request);
	request.body.msg.mode.value = mode;
	request.body.msg.mode.range = len;
	vector.iov_base = &request;
	vector.iov_len = sizeof request;
	return (int)send_message(h, &vector, 1);
}

LIBIPQ_PUBLIC int ipq_set_verdict(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict,
				  size_t data_len, unsigned char *buf)
{
	struct {
		struct nlmsghdr header;
		ipq_peer_msg_t body;
	} request;
	struct iovec vector[2];
	size_t count = 1, len = sizeof request;

	vector[0].iov_base = &request;
	vector[0].iov_len = sizeof request;
	if (data_len && buf) {
		vector[1].iov_base = buf;
		vector[1].iov_len = data_len;
		count = 2;
		len += data_len;
	}
	memset(&request, 0, sizeof request);
	fill_header(&request.header, h, IPQM_VERDICT, len);
	request.body.msg.verdict.value = verdict;
	request.body.msg.verdict.id = id;
	request.body.msg.verdict.data_len = data_len;
	return (int)send_message(h, vector, count);
}

/* Like select: positive when readable, 0 after timeout microseconds, -1 on error. */
static int wait_readable(int fd, int timeout)
{
	struct pollfd p;
	struct timeval tv;
	fd_set set;

	if (fd < 0) {
		errno = EBADF; /* select would write beyond the set, poll not mind it */
		return -1;
	}
	if (timeout < 0)
		timeout = 0;
	if (fd < FD_SETSIZE) {
		FD_ZERO(&set);
		FD_SET(fd, &set);
		tv.tv_sec = timeout / 1000000;
		tv.tv_usec = timeout % 1000000;
		return select(fd + 1, &set, NULL, NULL, &tv);
	}
	p.fd = fd;
	p.events = POLLIN;
	return poll(&p, 1, timeout / 1000 + (timeout % 1000 != 0));
}

/*
 * Nothing here is locked or allocated: a signal handler may leave by longjmp,
 * and two threads may read from one handle.
 */
LIBIPQ_PUBLIC ssize_t ipq_read(const struct ipq_handle *h, unsigned char *buf, size_t len,
			       int timeout)
{
	/* The source address goes to the handle, const or not. */
	struct sockaddr_nl *peer = (struct sockaddr_nl *)&h->peer;
	socklen_t peer_len = sizeof *peer;
	struct nlmsghdr header;
	ssize_t n;

	if (len < sizeof(struct nlmsgerr))
		return fail(ERR_RECVBUF);
	if (timeout != 0) {
		int ready = wait_readable(h->fd, timeout);

		if (ready < 0)
			return errno == EINTR ? 0 : fail(ERR_RECV);
		if (ready == 0) {
			libipq_set_error(ERR_TIMEOUT);
			return 0;
		}
	}
	n = recvfrom(h->fd, buf, len, 0, (struct sockaddr *)peer, &peer_len);
	if (n < 0)
		return fail(ERR_RECV);
	if (n == 0 && peer_len == 0)
		return fail(ERR_NLEOF); /* the service in user space has ended */
	if (peer_len != sizeof *peer || peer->nl_pid != 0)
		return fail(ERR_RECV);
	if (n == 0)
		return fail(ERR_NLEOF);
	if ((size_t)n < sizeof header)
		return fail(ERR_RTRUNC);
	memcpy(&header, buf, sizeof header);
	if (header.nlmsg_flags & TRUNCATED || header.nlmsg_len > (size_t)n)
		return fail(ERR_RTRUNC);
	return n;
}

LIBIPQ_PUBLIC int ipq_message_type(const unsigned char *buf)
{
	struct nlmsghdr header;

	memcpy(&header, buf, sizeof header);
	return header.nlmsg_type;
}

LIBIPQ_PUBLIC ipq_packet_msg_t *ipq_get_packet(const unsigned char *buf)
{
	return (ipq_packet_msg_t *)(buf + NLMSG_LENGTH(0));
}

LIBIPQ_PUBLIC int ipq_get_msgerr(const unsigned char *buf)
{
	int error;

	memcpy(&error, buf + NLMSG_LENGTH(0), sizeof error);
	return -error;
}
