/* SPDX-License-Identifier: MIT */
/* Sending modes and verdicts, receiving packets and errors. */
#include "internal.h"

#include <limits.h>
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

/*
 * The errors of a socket whose other end is closed. The queue handler of the
 * kernel could not end, and programs do not expect it of theirs.
 */
static int has_ended(int error)
{
	return error == EPIPE || error == ECONNRESET;
}

LIBIPQ_PUBLIC int ipq_set_mode(const struct ipq_handle *h, __u8 mode, size_t len)
{
	ssize_t n;
	int saved = errno;

	libipq_keep_mode(h, mode, len);
	n = libipq_send_mode(h, mode, len);
	if (n < 0 && has_ended(errno)) {
		int result = libipq_follow(h);

		if (result == LIBIPQ_CONNECTED)
			n = libipq_send_mode(h, mode, len);
		else if (result == LIBIPQ_STILL_ENDED)
			n = sizeof(struct libipq_mode_request); /* the next ipq_read sends it */
		if (n >= 0)
			errno = saved;
	}
	return (int)(n < 0 ? fail(ERR_SEND) : n);
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
	ssize_t n;
	int saved = errno;

	vector[0].iov_base = &request;
	vector[0].iov_len = sizeof request;
	if (data_len && buf) {
		vector[1].iov_base = buf;
		vector[1].iov_len = data_len;
		count = 2;
		len += data_len;
	}
	memset(&request, 0, sizeof request);
	libipq_fill_header(&request.header, h, IPQM_VERDICT, len);
	request.body.msg.verdict.value = verdict;
	request.body.msg.verdict.id = id;
	request.body.msg.verdict.data_len = data_len;
	if (!libipq_id_for_handler(h, &request.body.msg.verdict.id))
		return (int)len;
	n = libipq_send(h, vector, count);
	if (n < 0 && has_ended(errno)) {
		int result = libipq_follow(h);

		if (result == LIBIPQ_CONNECTED)
			n = libipq_send(h, vector, count);
		else if (result == LIBIPQ_STILL_ENDED)
			n = (ssize_t)len; /* the packet has been dropped */
		if (n >= 0)
			errno = saved;
	}
	return (int)(n < 0 ? fail(ERR_SEND) : n);
}

/*
 * Like select: positive when readable, 0 after *timeout microseconds, -1 on
 * error. Leaves what is left of the time in *timeout, where select says so.
 */
static int wait_readable(int fd, int *timeout)
{
	struct pollfd p;
	struct timeval tv;
	fd_set set;
	int n;

	if (fd < 0) {
		errno = EBADF; /* select would write beyond the set, poll not mind it */
		return -1;
	}
	if (*timeout < 0)
		*timeout = 0;
	if (fd < FD_SETSIZE) {
		FD_ZERO(&set);
		FD_SET(fd, &set);
		tv.tv_sec = *timeout / 1000000;
		tv.tv_usec = *timeout % 1000000;
		n = select(fd + 1, &set, NULL, NULL, &tv);
		*timeout = (int)(tv.tv_sec * 1000000 + tv.tv_usec);
		return n;
	}
	p.fd = fd;
	p.events = POLLIN;
	return poll(&p, 1, *timeout / 1000 + (*timeout % 1000 != 0));
}

#define UNKNOWN (-2)

/* How long a read may take that finds no queue handler, in milliseconds; -1 is for ever. */
static int limit_of(int fd, int timed, int timeout)
{
	struct timeval tv;
	socklen_t length = sizeof tv;

	if (timed)
		return timeout / 1000 + (timeout % 1000 != 0);
	if (fcntl(fd, F_GETFL) & O_NONBLOCK)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &length) == 0 && (tv.tv_sec || tv.tv_usec))
		return tv.tv_sec >= 1000000 ? 1000000000 : (int)(tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
	return -1;
}

/*
 * While there is a queue handler, nothing here is locked or allocated: a signal
 * handler may leave by longjmp, and two threads may read from one handle.
 */
LIBIPQ_PUBLIC ssize_t ipq_read(const struct ipq_handle *h, unsigned char *buf, size_t len,
			       int timeout)
{
	/* The source address goes to the handle, const or not. */
	struct sockaddr_nl *peer = (struct sockaddr_nl *)&h->peer;
	socklen_t peer_len;
	struct nlmsghdr header;
	int saved = errno, timed = timeout != 0, limit = UNKNOWN;
	ssize_t n;

	if (len < sizeof(struct nlmsgerr))
		return fail(ERR_RECVBUF);
	for (;;) {
		int result, over;

		if (timed) {
			int ready = wait_readable(h->fd, &timeout);

			if (ready < 0)
				return errno == EINTR ? 0 : fail(ERR_RECV);
			if (ready == 0) {
				libipq_set_error(ERR_TIMEOUT);
				return 0;
			}
		}
		peer_len = sizeof *peer;
		n = recvfrom(h->fd, buf, len, 0, (struct sockaddr *)peer, &peer_len);
		/* An end of file has no address; an empty message has. */
		if (n > 0 || (n == 0 && peer_len != 0) || (n < 0 && !has_ended(errno)))
			break;
		over = limit == 0; /* and the new one has ended, too */
		if (limit == UNKNOWN)
			limit = limit_of(h->fd, timed, timeout);
		result = over ? LIBIPQ_STILL_ENDED : libipq_await_handler(h, &limit);
		if (result == LIBIPQ_NOT_KEPT)
			break;
		if (result == LIBIPQ_INTERRUPTED)
			return timed ? 0 : fail(ERR_RECV);
		errno = saved;
		if (result == LIBIPQ_CONNECTED) {
			if (timed)
				timeout = limit > 0 ? (limit < INT_MAX / 1000 ? limit * 1000 : INT_MAX) : -1;
			continue;
		}
		/* As if the queue handler were there and had nothing to say. */
		if (timed) {
			libipq_set_error(ERR_TIMEOUT);
			return 0;
		}
		errno = EAGAIN;
		return fail(ERR_RECV);
	}
	if (n < 0)
		return fail(ERR_RECV);
	if (n == 0 && peer_len == 0)
		return fail(ERR_NLEOF);
	if (peer_len != sizeof *peer || peer->nl_pid != 0)
		return fail(ERR_RECV);
	if (n == 0)
		return fail(ERR_NLEOF);
	libipq_received(h, buf, (size_t)n);
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
