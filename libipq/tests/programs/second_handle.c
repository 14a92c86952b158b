/* SPDX-License-Identifier: MIT */
/* One handle for each family and process; closed, it can be had again at once. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <sys/wait.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET), *other;
	int i, status;
	pid_t child;

	CHECK(h);
	CHECK(ipq_create_handle(0, PF_INET) == NULL);
	CHECK(errno == EADDRINUSE);
	CHECK(strcmp(ipq_errstr(), "Unable to bind netlink socket") == 0);
	other = ipq_create_handle(0, PF_INET6);
	CHECK(other);
	ipq_destroy_handle(other);

	/* A child is another process. */
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(ipq_create_handle(0, PF_INET) == NULL);
	CHECK(waitpid(child, &status, 0) == child && status == 0);

	for (i = 0; i < 20; i++) {
		CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
		CHECK(ipq_destroy_handle(h) == 0);
		h = ipq_create_handle(0, PF_INET);
		CHECK(h);
	}
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	CHECK(ipq_message_type(buf) == IPQM_PACKET);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
