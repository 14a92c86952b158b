/* SPDX-License-Identifier: MIT */
/* Reads a packet, and has a child that inherited the handle decide about it. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <sys/wait.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i, status;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (i = 0; i < 3; i++) {
		pid_t child;

		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			int n = ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);

			ipq_destroy_handle(h);
			_exit(n > 0 ? 0 : 1);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
