/* SPDX-License-Identifier: MIT */
/* Keeps five packets for two seconds ("quick": for less), and answers the last one first. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(int argc, char **argv)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	unsigned long ids[5];
	int i, j;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (i = 0; i < 5; i++) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		ids[i] = ipq_get_packet(buf)->packet_id;
		CHECK(ids[i] != 0);
		for (j = 0; j < i; j++)
			CHECK(ids[j] != ids[i]);
	}
	if (argc > 1 && strcmp(argv[1], "quick") == 0)
		usleep(100000);
	else
		sleep(2);
	while (--i >= 0) {
		CHECK(ipq_set_verdict(h, ids[i], i == 2 ? NF_DROP : NF_ACCEPT, 0, NULL) > 0);
		say("answered %d", i);
	}
	CHECK(ipq_read(h, buf, sizeof buf, -1) == 0); /* and none was refused */
	ipq_destroy_handle(h);
	return 0;
}
