/* SPDX-License-Identifier: MIT */
#include <linux/netfilter.h>
#include <libipq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char buf[66000];

static void check(int ok, const char *what)
{
	if (ok)
		return;
	ipq_perror(what);
	exit(1);
}

int main(void)
{
	struct ipq_handle *h = ipq_create_handle(0, NFPROTO_IPV4);
	ipq_packet_msg_t *p;

	check(h != NULL, "create");
	check(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0, "mode");
	for (;;) {
		check(ipq_read(h, buf, sizeof buf, 0) > 0, "read");
		switch (ipq_message_type(buf)) {
		case IPQM_PACKET:
			p = ipq_get_packet(buf);
			check(ipq_set_verdict(h, p->packet_id,
			      NF_ACCEPT, 0, NULL) > 0, "verdict");
			break;
		case NLMSG_ERROR:
			fprintf(stderr, "refused: %s\n",
				strerror(ipq_get_msgerr(buf)));
			break;
		}
	}
}
