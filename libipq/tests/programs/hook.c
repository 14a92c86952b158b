/* SPDX-License-Identifier: MIT */
/* Looks the hook up in a table, and says the interfaces. Takes the number of packets. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

static const char *const hooks[] = { "prerouting", "input", "forward", "output", "postrouting" };

int main(int argc, char **argv)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ipq_packet_msg_t *p;
	int n = argc > 1 ? atoi(argv[1]) : 1;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	say("ready");
	while (n-- > 0) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		p = ipq_get_packet(buf);
		CHECK(p->hook < sizeof hooks / sizeof hooks[0]);
		say("%s %s>%s mark %lx", hooks[p->hook], p->indev_name, p->outdev_name, p->mark);
		CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) > 0);
	}
	ipq_destroy_handle(h);
	return 0;
}
