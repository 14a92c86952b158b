/* SPDX-License-Identifier: MIT */
/*
 * The way of the example in the manual page of 2001: nothing but libipq.h and
 * netfilter.h, one size for buffer and range, a clean-up that gets NULL, exit
 * without a declaration, and errors are printed and read over.
 */
#include <linux/netfilter.h>
#include <libipq.h>
#include <stdio.h>

#define SIZE 2048

static void fail(struct ipq_handle *h)
{
	ipq_perror("passer");
	ipq_destroy_handle(h);
	exit(1);
}

int main(void)
{
	unsigned char buf[SIZE];
	struct ipq_handle *h = ipq_create_handle(0, NFPROTO_IPV4);

	if (!h)
		fail(h);
	if (ipq_set_mode(h, IPQ_COPY_PACKET, SIZE) < 0)
		fail(h);
	for (;;) {
		if (ipq_read(h, buf, SIZE, 0) < 0)
			fail(h);
		if (ipq_message_type(buf) == NLMSG_ERROR)
			fprintf(stderr, "error %d\n", ipq_get_msgerr(buf));
		else if (ipq_message_type(buf) != IPQM_PACKET)
			fprintf(stderr, "type %d\n", ipq_message_type(buf));
		else if (ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) < 0)
			fail(h);
	}
}
