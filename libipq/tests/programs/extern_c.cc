// SPDX-License-Identifier: MIT
// C++, which knows that the header lacks this.
extern "C" {
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
}
#include "say.h"

int main()
{
	unsigned char buf[2048];
	ipq_handle *h = ipq_create_handle(0, PF_INET);

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	ipq_packet_msg_t *p = ipq_get_packet(buf);
	CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, p->data_len, p->payload) > 0);
	ipq_destroy_handle(h);
}
