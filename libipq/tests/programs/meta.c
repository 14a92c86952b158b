/* SPDX-License-Identifier: MIT */
/* Asks for metadata only. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	/* No room for a payload. */
	unsigned char buf[NLMSG_LENGTH(sizeof(ipq_packet_msg_t))];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_META, 500) > 0);
	say("ready");
	for (i = 0; i < 2; i++) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) == sizeof buf);
		CHECK(ipq_get_packet(buf)->data_len == 0);
		CHECK(ipq_get_packet(buf)->hook == 3);
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
