/* SPDX-License-Identifier: MIT */
/*
 * Reads packets in one of the ways that programs do, lets them pass and says
 * what is in them. It knows nothing of a queue handler that may end, and takes
 * every failure for a reason to stop.
 */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/wait.h>
#include "../programs/say.h"

static struct ipq_handle *h;
static int verdicts = -1; /* pipe to the process that sends them */

/* Says and answers the packet in buf, of n bytes. */
static void answer(unsigned char *buf, ssize_t n)
{
	ipq_packet_msg_t *p = ipq_get_packet(buf);
	struct sockaddr_nl name;
	socklen_t length = sizeof name;
	ipq_id_t id;

	/* Under "ipq run" it looks like a netlink socket, and is bound like the first. */
	CHECK(getsockname(h->fd, (struct sockaddr *)&name, &length) == 0);
	CHECK(name.nl_family != AF_NETLINK || name.nl_pid == h->local.nl_pid);
	CHECK(n > 0);
	CHECK(ipq_message_type(buf) == IPQM_PACKET);
	memcpy(&id, &p->packet_id, sizeof id);
	say("%.*s", (int)(p->data_len - 28), (char *)p->payload + 28);
	if (verdicts >= 0)
		CHECK(write(verdicts, &id, sizeof id) == sizeof id);
	else
		CHECK(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) > 0);
}

static void await_readable(int with_poll)
{
	struct pollfd p;
	fd_set set;

	p.fd = h->fd;
	p.events = POLLIN;
	FD_ZERO(&set);
	FD_SET(h->fd, &set);
	CHECK((with_poll ? poll(&p, 1, -1) : select(h->fd + 1, &set, NULL, NULL, NULL)) == 1);
}

static void *read_for_ever(void *kind)
{
	unsigned char buf[2048];
	ssize_t n;

	for (;;) {
		if (strcmp(kind, "timeout") == 0) {
			n = ipq_read(h, buf, sizeof buf, 50000);
		} else if (strcmp(kind, "select") == 0 || strcmp(kind, "poll") == 0) {
			await_readable(strcmp(kind, "poll") == 0);
			n = ipq_read(h, buf, sizeof buf, 1);
		} else if (strcmp(kind, "nonblocking") == 0) {
			await_readable(0);
			n = ipq_read(h, buf, sizeof buf, 0);
			if (n < 0 && errno == EAGAIN)
				continue;
		} else {
			n = ipq_read(h, buf, sizeof buf, 0);
		}
		if (n != 0)
			answer(buf, n);
		else
			CHECK(strcmp(ipq_errstr(), "Timeout") == 0);
	}
	return NULL;
}

/* A child that lives as long as its parent, and sends the verdicts. */
static void have_child_answer(void)
{
	ipq_id_t id;
	int fds[2];
	pid_t child;

	CHECK(pipe(fds) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		close(fds[1]);
		while (read(fds[0], &id, sizeof id) == sizeof id)
			CHECK(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) > 0);
		_exit(0);
	}
	close(fds[0]);
	verdicts = fds[1];
}

int main(int argc, char **argv)
{
	char *kind = argc > 1 ? argv[1] : "";
	pthread_t thread;

	signal(SIGPIPE, SIG_DFL);
	alarm(120); /* not for ever */
	h = ipq_create_handle(0, PF_INET);
	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	if (strcmp(kind, "nonblocking") == 0)
		CHECK(fcntl(h->fd, F_SETFL, O_NONBLOCK) == 0);
	if (strcmp(kind, "child") == 0)
		have_child_answer();
	if (strcmp(kind, "daemon") == 0) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child > 0)
			_exit(0);
		alarm(120);
	}
	if (strcmp(kind, "threads") == 0)
		CHECK(pthread_create(&thread, NULL, read_for_ever, kind) == 0);
	say("ready");
	read_for_ever(kind);
	return 0;
}
