/*
 * What a program written for ip_queue does: libipq's calls, one packet at a
 * time. It runs against the queue handler of "ipq emulate".
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include "control.h"

static void fail(const char *what)
{
	ipq_perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	static unsigned char buf[0x10000 + 4096];
	struct ipq_handle *h;

	control_parse(argc, argv);
	h = ipq_create_handle(0, PF_INET);
	if (!h)
		fail("ipq_create_handle");
	if (ipq_set_mode(h, IPQ_COPY_PACKET, 0xffff) < 0)
		fail("ipq_set_mode");
	control_start(h->fd);

	for (;;) {
		if (ipq_read(h, buf, sizeof(buf), 0) < 0)
			fail("ipq_read");
		if (ipq_message_type(buf) == NLMSG_ERROR) {
			fprintf(stderr, "the handler says errno %d\n", ipq_get_msgerr(buf));
			return 1;
		}
		packets++;
		if (ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) < 0)
			fail("ipq_set_verdict");
	}
}
