/* SPDX-License-Identifier: MIT */
/* Answers a packet twice, and waits for the error that this causes. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)buf;
	unsigned long id;
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (i = 0; i < 2; i++) {
		int sent;

		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		id = ipq_get_packet(buf)->packet_id;
		CHECK(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) > 0);
		sent = ipq_set_verdict(h, id, NF_DROP, 0, NULL);
		CHECK(ipq_read(h, buf, sizeof buf, 10000000) == 20 + sent);
		CHECK(ipq_message_type(buf) == NLMSG_ERROR);
		CHECK(ipq_get_msgerr(buf) == ENOENT);
		CHECK(header->nlmsg_pid == h->local.nl_pid);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
