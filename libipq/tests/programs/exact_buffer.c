/* SPDX-License-Identifier: MIT */
/* Has room for the headers and the range, and not for a byte more. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

#define RANGE 100

int main(void)
{
	unsigned char buf[sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t) + RANGE];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, RANGE) > 0);
	say("ready");
	for (i = 0; i < 3; i++) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		say("data_len %lu", (unsigned long)ipq_get_packet(buf)->data_len);
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	}
	ipq_destroy_handle(h);
	return 0;
}
