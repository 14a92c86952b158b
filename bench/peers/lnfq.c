/*
 * libnetfilter_queue as its documentation shows it: one recv, one
 * nfq_handle_packet, one nfq_set_verdict for each packet.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <libnetfilter_queue/libnetfilter_queue_ipv4.h>
#include <libnetfilter_queue/libnetfilter_queue_udp.h>
#include <libnetfilter_queue/pktbuff.h>
#include "control.h"

static int rewrite(struct nfq_q_handle *qh, uint32_t id, struct nfq_data *data)
{
	unsigned char *payload;
	int len = nfq_get_payload(data, &payload);
	struct pkt_buff *pkt = pktb_alloc(AF_INET, payload, len, 0);
	struct iphdr *ip;
	int rv;

	if (!pkt)
		control_die("pktb_alloc");
	ip = nfq_ip_get_hdr(pkt);
	if (!ip || nfq_ip_set_transport_header(pkt, ip) ||
	    !nfq_udp_mangle_ipv4(pkt, 0, REWRITTEN_LEN, REWRITTEN, REWRITTEN_LEN))
		control_die("nfq_udp_mangle_ipv4");
	rv = nfq_set_verdict(qh, id, NF_ACCEPT, pktb_len(pkt), pktb_data(pkt));
	pktb_free(pkt);
	return rv;
}

static int answer(struct nfq_q_handle *qh, struct nfgenmsg *msg, struct nfq_data *data, void *unused)
{
	uint32_t id = ntohl(nfq_get_msg_packet_hdr(data)->packet_id);

	(void)msg;
	(void)unused;
	packets++;
	switch (settings.work) {
	case ALTERNATE:
		return nfq_set_verdict(qh, id, packets & 1 ? NF_ACCEPT : NF_DROP, 0, NULL);
	case MARK:
		return nfq_set_verdict2(qh, id, NF_ACCEPT, 1 + (packets & 1), 0, NULL);
	case REWRITE:
		return rewrite(qh, id, data);
	default:
		return nfq_set_verdict(qh, id, NF_ACCEPT, 0, NULL);
	}
}

int main(int argc, char **argv)
{
	static char buf[0x10000 + 4096] __attribute__((aligned));
	struct nfq_handle *h;
	struct nfq_q_handle *qh;
	int fd, rv, one = 1;

	control_parse(argc, argv);
	h = nfq_open();
	if (!h)
		control_die("nfq_open");
	qh = nfq_create_queue(h, settings.queue, answer, NULL);
	if (!qh)
		control_die("nfq_create_queue");
	if (nfq_set_queue_maxlen(qh, settings.maxlen) < 0)
		control_die("nfq_set_queue_maxlen");
	if (settings.gso && nfq_set_queue_flags(qh, NFQA_CFG_F_GSO, NFQA_CFG_F_GSO) < 0)
		control_die("nfq_set_queue_flags");
	if (nfq_set_mode(qh, NFQNL_COPY_PACKET, 0xffff) < 0)
		control_die("nfq_set_mode");
	fd = nfq_fd(h);
	setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	control_start(fd);

	while ((rv = recv(fd, buf, sizeof(buf), 0)) >= 0)
		nfq_handle_packet(h, buf, rv);
	control_die("recv");
}
