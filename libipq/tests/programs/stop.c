/* SPDX-License-Identifier: MIT */
/* Lets the first packet pass, and the second one past all later tables. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

#ifndef NF_STOP
#define NF_STOP 5
#endif

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	say("ready");
	for (i = 0; i < 2; i++) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, i ? NF_STOP : NF_ACCEPT, 0, NULL) > 0);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
