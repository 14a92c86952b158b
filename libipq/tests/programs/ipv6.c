/* SPDX-License-Identifier: MIT */
/* IPv6. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET6);
	ipq_packet_msg_t *p;
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (i = 0; i < 2; i++) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		p = ipq_get_packet(buf);
		CHECK(p->data_len >= 40 && p->payload[0] >> 4 == 6);
		CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) > 0);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
