/* SPDX-License-Identifier: MIT */
/* From before Linux 2.6, when <linux/netfilter.h> did not define what <netinet/in.h> does. */
#include <linux/netfilter.h>
#include <libipq.h>
#include <netinet/in.h>
#include "say.h"

int packets;

main()
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	struct in_addr loopback;
	ipq_packet_msg_t *p;

	loopback.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	p = ipq_get_packet(buf);
	CHECK(memcmp(p->payload + 16, &loopback, 4) == 0);
	CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) > 0);
	packets++;
	ipq_destroy_handle(h);
	return packets != 1;
}
