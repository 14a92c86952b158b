/* SPDX-License-Identifier: MIT */
/*
 * What the calls return while there is no queue handler, and what is left of a
 * handle when there is one again. The test that runs it ends it in between: a
 * line of its input says that this is done.
 */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/socket.h>
#include <time.h>
#include "../programs/say.h"

static struct ipq_handle *h;
static unsigned char buf[2048];

static void await_line(void)
{
	char line[16];

	CHECK(fgets(line, sizeof line, stdin) != NULL);
}

/* Only differences mean something. */
static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long)(t.tv_sec % 1000000) * 1000 + t.tv_nsec / 1000000;
}

/* Reads over and over for two seconds. */
static int reads(int timeout, ssize_t result, int error)
{
	long end = now_ms() + 2000;
	int n = 0;

	do {
		errno = 0;
		CHECK(ipq_read(h, buf, sizeof buf, timeout) == result);
		CHECK(errno == error);
		n++;
	} while (now_ms() < end);
	return n;
}

static void on_alarm(int number)
{
	(void)number;
}

static void in_20_ms(void)
{
	struct itimerval t;

	memset(&t, 0, sizeof t);
	t.it_value.tv_usec = 20000;
	setitimer(ITIMER_REAL, &t, NULL);
}

static void without_handler(void)
{
	struct sigaction action;
	struct timeval soon = { 0, 200000 }, never = { 0, 0 };
	int mode = sizeof(long) == 8 ? 56 : 44, verdict = sizeof(long) == 8 ? 40 : 28;
	int tries;
	long start;

	say("poll %d", reads(-1, 0, 0));
	say("short %d", reads(1, 0, 0));
	CHECK(strcmp(ipq_errstr(), "Timeout") == 0);
	CHECK(fcntl(h->fd, F_SETFL, O_NONBLOCK) == 0);
	say("nonblocking %d", reads(0, -1, EAGAIN));
	CHECK(strcmp(ipq_errstr(), "Failed to receive netlink message") == 0);
	CHECK(fcntl(h->fd, F_SETFL, 0) == 0);
	CHECK(setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
	start = now_ms();
	errno = 0;
	CHECK(ipq_read(h, buf, sizeof buf, 0) == -1 && errno == EAGAIN);
	CHECK(now_ms() - start >= 190);
	CHECK(setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never) == 0);
	start = now_ms();
	CHECK(ipq_read(h, buf, sizeof buf, 300000) == 0);
	CHECK(now_ms() - start >= 290);

	/* Not a pause longer than asked for, now that one takes 100 ms; on a busy machine not each time. */
	for (tries = 0; tries < 10; tries++) {
		start = now_ms();
		CHECK(ipq_read(h, buf, sizeof buf, 150000) == 0);
		if (now_ms() - start < 195)
			break;
	}
	CHECK(tries < 10);

	/* Verdicts are for packets that are gone, and the mode is sent later. */
	errno = 0;
	CHECK(ipq_set_verdict(h, 1, NF_ACCEPT, 0, NULL) == verdict);
	CHECK(ipq_set_verdict(h, 1, NF_ACCEPT, 100, buf) == verdict + 100);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 21) == mode);
	CHECK(ipq_set_mode(h, 77, 0) == mode); /* the last that can be meant */
	CHECK(errno == 0);

	/* Signals interrupt as ever. */
	memset(&action, 0, sizeof action);
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	in_20_ms();
	CHECK(ipq_read(h, buf, sizeof buf, 0) == -1 && errno == EINTR);
	in_20_ms();
	CHECK(ipq_read(h, buf, sizeof buf, 30000000) == 0 && errno == EINTR);
}

static int option(int name)
{
	int value = -1;
	socklen_t length = sizeof value;

	CHECK(getsockopt(h->fd, SOL_SOCKET, name, &value, &length) == 0);
	return value;
}

int main(void)
{
	struct timeval tv = { 7, 0 };
	int fd, one = 1, size = 100000, receive, transmit;
	socklen_t length = sizeof tv;
	ipq_id_t old, new;

	h = ipq_create_handle(0, PF_INET);
	CHECK(h);
	fd = h->fd;
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0); /* and does not answer */
	old = ipq_get_packet(buf)->packet_id;
	say("held");
	await_line();
	without_handler();

	CHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
	receive = option(SO_RCVBUF);
	transmit = option(SO_SNDBUF);
	say("gone");
	await_line();

	/* A packet of the new one, with the mode of the time without; its id is none of before. */
	while (ipq_read(h, buf, sizeof buf, 100000) == 0)
		;
	CHECK(ipq_message_type(buf) == IPQM_PACKET);
	CHECK(ipq_get_packet(buf)->data_len == 21);
	new = ipq_get_packet(buf)->packet_id;
	CHECK(new != old);
	CHECK(h->fd == fd);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	tv.tv_sec = 0;
	CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &length) == 0 && tv.tv_sec == 7);
	CHECK(option(SO_PASSCRED) == 1);
	CHECK(option(SO_RCVBUF) == receive && option(SO_SNDBUF) == transmit);

	/* The answer to the old packet is not one to the new, and no error comes of it. */
	CHECK(ipq_set_verdict(h, old, NF_ACCEPT, 0, NULL) > 0);
	CHECK(ipq_read(h, buf, sizeof buf, 300000) <= 0 || ipq_message_type(buf) == IPQM_PACKET);
	say("kept");
	await_line();
	CHECK(ipq_set_verdict(h, new, NF_DROP, 0, NULL) > 0);
	CHECK(ipq_set_verdict(h, new, NF_DROP, 0, NULL) > 0);
	do {
		CHECK(ipq_read(h, buf, sizeof buf, 10000000) > 0);
	} while (ipq_message_type(buf) == IPQM_PACKET);
	CHECK(ipq_get_msgerr(buf) == ENOENT);
	ipq_destroy_handle(h);
	return 0;
}
