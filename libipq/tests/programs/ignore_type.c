/* SPDX-License-Identifier: MIT */
/* Takes every message for a packet. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 2048) > 0);
	say("ready");
	for (i = 0; i < 20; i++) {
		ipq_packet_msg_t *p = ipq_get_packet(buf);

		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(p->payload[0] >> 4 == 4);
		CHECK(ipq_set_verdict(h, p->packet_id, i % 2 ? NF_DROP : NF_ACCEPT, 0, NULL) > 0);
	}
	ipq_destroy_handle(h);
	return 0;
}
