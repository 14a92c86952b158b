/* SPDX-License-Identifier: MIT */
/*
 * Everything succeeds but the reading: with "busy" a child finds the queue
 * taken, with "user" this process has given up its privileges.
 */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <sys/wait.h>
#include "say.h"

/* The error that a message of the given length leads to. */
static int error_of(struct ipq_handle *h, int sent)
{
	unsigned char buf[2048];

	CHECK(sent > 0);
	CHECK(ipq_read(h, buf, sizeof buf, 10000000) == sent + 20);
	CHECK(ipq_message_type(buf) == NLMSG_ERROR);
	return ipq_get_msgerr(buf);
}

static int error_of_set_mode(struct ipq_handle *h)
{
	int sent = ipq_set_mode(h, IPQ_COPY_PACKET, 0);

	CHECK(sent == (sizeof(long) == 8 ? 56 : 44));
	return error_of(h, sent);
}

int main(int argc, char **argv)
{
	struct ipq_handle *h;
	int status;
	pid_t child;

	CHECK(argc == 2);
	if (strcmp(argv[1], "user") == 0) {
		CHECK(setuid(65534) == 0);
		h = ipq_create_handle(0, PF_INET);
		CHECK(h);
		CHECK(error_of_set_mode(h) == EPERM);
		return 0;
	}
	h = ipq_create_handle(0, PF_INET);
	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	CHECK(error_of(h, ipq_set_verdict(h, 0, NF_DROP, 0, NULL)) == ENOENT); /* so that is done */
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct ipq_handle *mine = ipq_create_handle(0, PF_INET);

		CHECK(mine);
		CHECK(error_of_set_mode(mine) == EBUSY);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	return 0;
}
