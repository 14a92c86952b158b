/*
 * The C reader at the limit: recvmmsg of up to 32 packets, waiting for one,
 * and one range verdict for them all. Where the answers differ, 32 verdict
 * messages in one send. No library: what is left is the kernel's own cost.
 * With two threads, one receives and one answers; with busypoll it stays awake
 * for a while when nothing is there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "control.h"

#define BATCH 32
#define PACKET_MAX (0xffff + 256)

static int fd;
static char in[BATCH][(PACKET_MAX + 63) / 64 * 64 + 64] __attribute__((aligned(64)));
static char out[BATCH * PACKET_MAX] __attribute__((aligned(64)));

static struct nlmsghdr *put_message(char *at, int type)
{
	struct nlmsghdr *m = (struct nlmsghdr *)at;
	struct nfgenmsg *g = NLMSG_DATA(m);

	memset(m, 0, NLMSG_LENGTH(sizeof(*g)));
	m->nlmsg_len = NLMSG_LENGTH(sizeof(*g));
	m->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | type;
	m->nlmsg_flags = NLM_F_REQUEST;
	g->res_id = htons(settings.queue);
	return m;
}

static void *put(struct nlmsghdr *m, int type, const void *data, int len)
{
	struct nlattr *a = (struct nlattr *)((char *)m + NLMSG_ALIGN(m->nlmsg_len));

	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + len;
	m->nlmsg_len = NLMSG_ALIGN(m->nlmsg_len) + NLA_ALIGN(a->nla_len);
	return memcpy(a + 1, data, len);
}

static void put_number(struct nlmsghdr *m, int type, uint32_t n)
{
	n = htonl(n);
	put(m, type, &n, sizeof(n));
}

static void bind_queue(void)
{
	struct nfqnl_msg_config_cmd bind = { .command = NFQNL_CFG_CMD_BIND };
	struct nfqnl_msg_config_params params = { htonl(0xffff), NFQNL_COPY_PACKET };
	struct { struct nlmsghdr h; struct nlmsgerr e; char echo[256]; } reply;
	struct nlmsghdr *m = put_message(out, NFQNL_MSG_CONFIG);

	m->nlmsg_flags |= NLM_F_ACK;
	put(m, NFQA_CFG_CMD, &bind, sizeof(bind));
	put(m, NFQA_CFG_PARAMS, &params, sizeof(params));
	put_number(m, NFQA_CFG_QUEUE_MAXLEN, settings.maxlen);
	if (settings.gso) {
		put_number(m, NFQA_CFG_FLAGS, NFQA_CFG_F_GSO);
		put_number(m, NFQA_CFG_MASK, NFQA_CFG_F_GSO);
	}
	if (send(fd, out, m->nlmsg_len, 0) < 0 || recv(fd, &reply, sizeof(reply), 0) < 0)
		control_die("bind");
	if (reply.e.error) {
		errno = -reply.e.error;
		control_die("bind");
	}
}

/* Finds the packet's id (network order) and, where asked, its payload. */
static uint32_t parse(struct nlmsghdr *m, char **payload, int *len)
{
	uint32_t id = 0;
	struct nlattr *a = (struct nlattr *)((char *)NLMSG_DATA(m) + sizeof(struct nfgenmsg));
	char *end = (char *)m + m->nlmsg_len;

	for (; (char *)a < end; a = (struct nlattr *)((char *)a + NLA_ALIGN(a->nla_len))) {
		if (a->nla_type == NFQA_PACKET_HDR) {
			id = ((struct nfqnl_msg_packet_hdr *)(a + 1))->packet_id;
			if (!payload)
				break;
		} else if (a->nla_type == NFQA_PAYLOAD && payload) {
			*payload = (char *)(a + 1);
			*len = a->nla_len - NLA_HDRLEN;
		}
	}
	return id;
}

/* Replaces the UDP payload's start and updates the checksum by the difference (RFC 1624). */
static void rewrite(unsigned char *ip)
{
	unsigned char *udp = ip + (ip[0] & 15) * 4;
	uint16_t was[(REWRITTEN_LEN + 1) / 2], now[(REWRITTEN_LEN + 1) / 2], check;
	uint32_t sum;

	memcpy(was, udp + 8, sizeof(was));
	memcpy(udp + 8, REWRITTEN, REWRITTEN_LEN);
	memcpy(now, udp + 8, sizeof(now));
	memcpy(&check, udp + 6, 2);
	sum = (uint16_t)~check;
	for (unsigned i = 0; i < sizeof(was) / 2; i++)
		sum += (uint16_t)~was[i] + now[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	check = ~sum;
	if (!check)
		check = 0xffff;
	memcpy(udp + 6, &check, 2);
}

static int put_verdict(char *at, struct nlmsghdr *packet)
{
	char *payload = NULL;
	int len = 0;
	struct nfqnl_msg_verdict_hdr v = { htonl(NF_ACCEPT), 0 };
	struct nlmsghdr *m = put_message(at, NFQNL_MSG_VERDICT);

	v.id = parse(packet, settings.work == REWRITE ? &payload : NULL, &len);
	if (settings.work == ALTERNATE && !(packets & 1))
		v.verdict = htonl(NF_DROP);
	put(m, NFQA_VERDICT_HDR, &v, sizeof(v));
	if (settings.work == MARK)
		put_number(m, NFQA_MARK, 1 + (packets & 1));
	if (payload) {
		rewrite((unsigned char *)payload);
		put(m, NFQA_PAYLOAD, payload, len);
	}
	return NLMSG_ALIGN(m->nlmsg_len);
}

static int put_range_verdict(struct nlmsghdr *last)
{
	struct nfqnl_msg_verdict_hdr v = { htonl(NF_ACCEPT), parse(last, NULL, NULL) };
	struct nlmsghdr *m = put_message(out, NFQNL_MSG_VERDICT_BATCH);

	put(m, NFQA_VERDICT_HDR, &v, sizeof(v));
	return m->nlmsg_len;
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* Takes what is there, waiting for one packet: awake for as long as it is told to, then asleep. */
static int receive(struct mmsghdr *msgs)
{
	long end = settings.busypoll ? now() + settings.busypoll : 0;
	int n;

	while (end && now() < end) {
		n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
		if (n > 0 || errno != EAGAIN)
			return n;
	}
	return recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);
}

/* Network order; written by the thread that receives, 0 while there is none. */
static _Atomic uint32_t received;

/* Answers what has been received, in a thread of its own that never sleeps. */
static void *answer(void *unused)
{
	static char msg[64] __attribute__((aligned(64)));
	uint32_t id, answered = 0;

	(void)unused;
	for (;;) {
		struct nfqnl_msg_verdict_hdr v = { htonl(NF_ACCEPT), 0 };
		struct nlmsghdr *m;

		id = received;
		if (id == answered) {
			sched_yield();
			continue;
		}
		m = put_message(msg, NFQNL_MSG_VERDICT_BATCH);
		v.id = answered = id;
		put(m, NFQA_VERDICT_HDR, &v, sizeof(v));
		if (send(fd, msg, m->nlmsg_len, 0) < 0)
			control_die("send");
	}
}

int main(int argc, char **argv)
{
	pthread_t second;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct mmsghdr msgs[BATCH] = { 0 };
	struct iovec iov[BATCH];
	int n, len, one = 1;

	control_parse(argc, argv);
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)))
		control_die("socket");
	setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	bind_queue();
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ in[i], PACKET_MAX };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	control_start(fd);
	if (settings.threads == 2 && pthread_create(&second, NULL, answer, NULL))
		control_die("pthread_create");

	while ((n = receive(msgs)) > 0) {
		if (settings.threads == 2) {
			received = parse((struct nlmsghdr *)in[n - 1], NULL, NULL);
			packets += n;
			continue;
		}
		if (settings.work == ACCEPT) {
			packets += n;
			len = put_range_verdict((struct nlmsghdr *)in[n - 1]);
		} else {
			len = 0;
			for (int i = 0; i < n; i++) {
				packets++;
				len += put_verdict(out + len, (struct nlmsghdr *)in[i]);
			}
		}
		if (send(fd, out, len, 0) < 0)
			control_die("send");
	}
	control_die("recvmmsg");
}
