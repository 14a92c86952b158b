/* SPDX-License-Identifier: MIT */
/* Becomes a daemon first and creates its handle then. */
#define _DEFAULT_SOURCE
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	pid_t first = getpid();
	struct ipq_handle *h;
	int i;

	CHECK(daemon(1, 1) == 0);
	alarm(60); /* not for ever */
	CHECK(getpid() != first);
	h = ipq_create_handle(0, PF_INET);
	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (i = 0; i < 2; i++) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
		say("next");
	}
	ipq_destroy_handle(h);
	say("done");
	return 0;
}
