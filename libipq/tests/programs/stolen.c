/* SPDX-License-Identifier: MIT */
/* Says that it has stolen the first packet. The second one may pass. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int stolen = 0;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (;;) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		if (ipq_message_type(buf) == NLMSG_ERROR) {
			say("refused %d", ipq_get_msgerr(buf));
			continue;
		}
		if (stolen)
			break;
		stolen = 1;
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_STOLEN, 0, NULL) > 0);
		say("stolen");
	}
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
