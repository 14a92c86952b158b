/* SPDX-License-Identifier: MIT */
/* Replaces what a UDP packet carries by upper case, by its half, or by its double. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <ctype.h>
#include "say.h"

static void put16(unsigned char *at, unsigned v)
{
	at[0] = (unsigned char)(v >> 8);
	at[1] = (unsigned char)v;
}

/* Lengths and the IP checksum; a UDP checksum of 0 means none. */
static void finish(unsigned char *ip, size_t len)
{
	size_t header = (size_t)(ip[0] & 15) * 4, i;
	unsigned long sum = 0;

	put16(ip + 2, (unsigned)len);
	put16(ip + header + 4, (unsigned)(len - header));
	put16(ip + header + 6, 0);
	put16(ip + 10, 0);
	for (i = 0; i < header; i += 2)
		sum += (unsigned long)(ip[i] << 8 | ip[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, (unsigned)(~sum & 0xffff));
}

int main(void)
{
	static unsigned char buf[70000], longer[70000];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 65535) > 0);
	say("ready");
	for (i = 0; i < 3; i++) {
		ipq_packet_msg_t *p;
		size_t data, n, at;
		unsigned char *packet;

		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		p = ipq_get_packet(buf);
		packet = p->payload;
		data = (size_t)(packet[0] & 15) * 4 + 8;
		n = p->data_len;
		switch (packet[data]) {
		case 's': /* the same length, changed in place */
			for (at = data; at < n; at++)
				packet[at] = (unsigned char)toupper(packet[at]);
			break;
		case 'h':
			n -= (n - data) / 2;
			break;
		case 'd':
			memcpy(longer, packet, n);
			memcpy(longer + n, packet + data, n - data);
			packet = longer;
			n += n - data;
			break;
		}
		finish(packet, n);
		CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, n, packet) > (int)n);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
