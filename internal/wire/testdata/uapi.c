/*
 * Builds netlink messages of nfnetlink_queue out of the structs and constants
 * of the kernel's own headers, and prints each as a line: a name, and its bytes
 * in hex. Attributes come in the order that the kernel writes them.
 *
 *	gcc -Wall -Werror -o /tmp/uapi uapi.c && /tmp/uapi > uapi.golden
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Linux 6.3 and later. An enumerator cannot be tested for, and headers of 6.1 are still common. */
#define CGROUP_CLASSID 22 /* NFQA_CGROUP_CLASSID */

static unsigned char buf[4096];
static size_t len;

static void *put(const void *data, size_t n)
{
	void *at = buf + len;

	if (data)
		memcpy(at, data, n);
	else
		memset(at, 0, n);
	len += n;
	return at;
}

static void pad(void)
{
	while (len != NLMSG_ALIGN(len))
		buf[len++] = 0;
}

static void begin(int type, int flags, __u32 seq, int family, int queue)
{
	struct nlmsghdr h = {
		.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | type,
		.nlmsg_flags = flags,
		.nlmsg_seq = seq,
	};
	struct nfgenmsg g = {
		.nfgen_family = family,
		.version = NFNETLINK_V0,
		.res_id = htons(queue),
	};

	len = 0;
	put(&h, sizeof h);
	put(&g, sizeof g);
}

static void print(const char *name)
{
	printf("%s ", name);
	for (size_t i = 0; i < len; i++)
		printf("%02x", buf[i]);
	printf("\n");
}

static void end(const char *name)
{
	((struct nlmsghdr *)buf)->nlmsg_len = len;
	print(name);
}

static struct nlattr *attr(int type, const void *data, size_t n)
{
	struct nlattr a = { .nla_len = NLA_HDRLEN + n, .nla_type = type };
	struct nlattr *at = put(&a, sizeof a);

	put(data, n);
	pad();
	return at;
}

static void attr8(int type, __u8 v)
{
	attr(type, &v, 1);
}

static void attr16(int type, __u16 v)
{
	v = htons(v);
	attr(type, &v, 2);
}

static void attr32(int type, __u32 v)
{
	v = htonl(v);
	attr(type, &v, 4);
}

static struct nlattr *nest(int type)
{
	return attr(type | NLA_F_NESTED, NULL, 0);
}

static void unnest(struct nlattr *a)
{
	a->nla_len = buf + len - (unsigned char *)a;
}

/*
 * The payload comes last, and what pads it is not part of the message: the
 * kernel writes it so, and ipq sends it so.
 */
static void payload(const char *data, size_t n)
{
	struct nlattr a = { .nla_len = NLA_HDRLEN + n, .nla_type = NFQA_PAYLOAD };

	put(&a, sizeof a);
	put(data, n);
}

static void configs(void)
{
	struct nfqnl_msg_config_cmd cmd = { .command = NFQNL_CFG_CMD_BIND };
	struct nfqnl_msg_config_params params = { .copy_range = htonl(65531), .copy_mode = NFQNL_COPY_PACKET };

	begin(NFQNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 7, AF_UNSPEC, 5);
	attr(NFQA_CFG_CMD, &cmd, sizeof cmd);
	attr(NFQA_CFG_PARAMS, &params, sizeof params);
	attr32(NFQA_CFG_QUEUE_MAXLEN, 4096);
	attr32(NFQA_CFG_MASK, NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_CONNTRACK | NFQA_CFG_F_GSO | NFQA_CFG_F_UID_GID | NFQA_CFG_F_SECCTX);
	attr32(NFQA_CFG_FLAGS, NFQA_CFG_F_CONNTRACK | NFQA_CFG_F_UID_GID);
	end("config-bind");

	cmd.command = NFQNL_CFG_CMD_UNBIND;
	begin(NFQNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 8, AF_UNSPEC, 65535);
	attr(NFQA_CFG_CMD, &cmd, sizeof cmd);
	end("config-unbind");

	params = (struct nfqnl_msg_config_params){ .copy_mode = NFQNL_COPY_META };
	begin(NFQNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 9, AF_UNSPEC, 0);
	attr(NFQA_CFG_PARAMS, &params, sizeof params);
	end("config-meta");

	params = (struct nfqnl_msg_config_params){ .copy_range = htonl(0x123456), .copy_mode = NFQNL_COPY_NONE };
	begin(NFQNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 10, AF_UNSPEC, 0);
	attr(NFQA_CFG_PARAMS, &params, sizeof params);
	end("config-none");
}

/* A verdict's sequence number is the packet's id: that is ipq's own choice. */
static void verdict(int type, __u32 value, __u32 id, int queue)
{
	struct nfqnl_msg_verdict_hdr h = { .verdict = htonl(value), .id = htonl(id) };

	begin(type, NLM_F_REQUEST, id, AF_UNSPEC, queue);
	attr(NFQA_VERDICT_HDR, &h, sizeof h);
}

static void verdicts(void)
{
	struct nlattr *ct;

	verdict(NFQNL_MSG_VERDICT, NF_ACCEPT, 1, 5);
	end("verdict-accept");
	verdict(NFQNL_MSG_VERDICT, NF_DROP, 0xfffefdfc, 5);
	end("verdict-drop");
	verdict(NFQNL_MSG_VERDICT, NF_STOP, 2, 5);
	end("verdict-stop");

	verdict(NFQNL_MSG_VERDICT, NF_REPEAT, 3, 5);
	attr32(NFQA_MARK, 0x11223344);
	end("verdict-repeat-mark");

	verdict(NFQNL_MSG_VERDICT, NF_QUEUE_NR(0x1234), 4, 5);
	end("verdict-queue");
	verdict(NFQNL_MSG_VERDICT, NF_QUEUE_NR(65535) | NF_VERDICT_FLAG_QUEUE_BYPASS, 5, 5);
	end("verdict-queue-bypass");

	verdict(NFQNL_MSG_VERDICT, NF_ACCEPT, 6, 5);
	ct = nest(NFQA_CT);
	attr32(CTA_MARK, 0x0a);
	attr32(CTA_MARK_MASK, 0xff);
	unnest(ct);
	end("verdict-connmark");

	verdict(NFQNL_MSG_VERDICT, NF_ACCEPT, 9, 5);
	ct = nest(NFQA_CT);
	attr(CTA_LABELS, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20", 16);
	attr(CTA_LABELS_MASK, "\377\2\3\4\5\6\7\10\11\12\13\14\15\16\17\377", 16);
	unnest(ct);
	end("verdict-labels");

	verdict(NFQNL_MSG_VERDICT, NF_ACCEPT, 7, 5);
	payload("fives", 5);
	end("verdict-payload");

	verdict(NFQNL_MSG_VERDICT, NF_ACCEPT, 8, 65535);
	attr32(NFQA_MARK, 0);
	ct = nest(NFQA_CT);
	attr32(CTA_MARK, 0);
	attr32(CTA_MARK_MASK, 0xffffffff);
	unnest(ct);
	payload("eight888", 8);
	end("verdict-everything");

	verdict(NFQNL_MSG_VERDICT_BATCH, NF_ACCEPT, 64, 5);
	end("verdict-batch");
	verdict(NFQNL_MSG_VERDICT_BATCH, NF_DROP, 64, 5);
	attr32(NFQA_MARK, 0xdeadbeef);
	end("verdict-batch-mark");
}

static void packet(int family, __u32 id, __u16 proto, __u8 hook)
{
	struct nfqnl_msg_packet_hdr h = { .packet_id = htonl(id), .hw_protocol = htons(proto), .hook = hook };

	begin(NFQNL_MSG_PACKET, 0, 0, family, 5);
	attr(NFQA_PACKET_HDR, &h, sizeof h);
}

static void hwaddr(const char *addr, int n)
{
	struct nfqnl_msg_packet_hw hw = { .hw_addrlen = htons(n) };

	memcpy(hw.hw_addr, addr, n);
	attr(NFQA_HWADDR, &hw, sizeof hw);
}

struct tuple {
	const char *src, *dst;
	int proto, sport, dport, type, code, id;
};

static void tuple(int type, const struct tuple *t)
{
	int v6 = strchr(t->src, ':') != NULL;
	unsigned char addr[16];
	struct nlattr *outer = nest(type), *inner = nest(CTA_TUPLE_IP);

	inet_pton(v6 ? AF_INET6 : AF_INET, t->src, addr);
	attr(v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, addr, v6 ? 16 : 4);
	inet_pton(v6 ? AF_INET6 : AF_INET, t->dst, addr);
	attr(v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, addr, v6 ? 16 : 4);
	unnest(inner);

	inner = nest(CTA_TUPLE_PROTO);
	attr8(CTA_PROTO_NUM, t->proto);
	switch (t->proto) {
	case 1:
		attr16(CTA_PROTO_ICMP_ID, t->id);
		attr8(CTA_PROTO_ICMP_TYPE, t->type);
		attr8(CTA_PROTO_ICMP_CODE, t->code);
		break;
	case 58:
		attr16(CTA_PROTO_ICMPV6_ID, t->id);
		attr8(CTA_PROTO_ICMPV6_TYPE, t->type);
		attr8(CTA_PROTO_ICMPV6_CODE, t->code);
		break;
	default:
		attr16(CTA_PROTO_SRC_PORT, t->sport);
		attr16(CTA_PROTO_DST_PORT, t->dport);
	}
	unnest(inner);
	unnest(outer);
}

static void conntrack(const struct tuple *orig, const struct tuple *reply, int zone, __u32 id, __u32 status, __u32 mark)
{
	struct nlattr *ct = nest(NFQA_CT);

	tuple(CTA_TUPLE_ORIG, orig);
	tuple(CTA_TUPLE_REPLY, reply);
	if (zone)
		attr16(CTA_ZONE, zone);
	attr32(CTA_ID, id);
	attr32(CTA_STATUS, status);
	if (mark)
		attr32(CTA_MARK, mark);
	unnest(ct);
}

static void packets(void)
{
	struct nfqnl_msg_packet_timestamp stamp = { .sec = htobe64(0x0102030405060708), .usec = htobe64(999999) };
	struct nlattr *a, *b;

	packet(AF_INET, 1, 0x0800, NF_INET_LOCAL_OUT);
	payload("1", 1);
	end("packet-least");

	packet(AF_INET6, 2, 0x86dd, NF_INET_POST_ROUTING);
	attr32(NFQA_IFINDEX_OUTDEV, 3);
	end("packet-meta");

	packet(AF_INET, 0xfffffffe, 0x0800, NF_INET_LOCAL_IN);
	attr32(NFQA_IFINDEX_INDEV, 2);
	attr32(NFQA_IFINDEX_OUTDEV, 0x01020304);
	attr32(NFQA_MARK, 0xa1b2c3d4);
	attr32(NFQA_PRIORITY, 0x00010006);
	hwaddr("\x02\x00\x07\x00\x00\x01", 6);
	attr(NFQA_TIMESTAMP, &stamp, sizeof stamp);
	attr32(NFQA_UID, 1000);
	attr32(NFQA_GID, 0xfffffffe);
	attr32(CGROUP_CLASSID, 0x00100001);
	attr32(NFQA_CAP_LEN, 1500);
	attr32(NFQA_SKB_INFO, NFQA_SKB_CSUMNOTREADY | NFQA_SKB_GSO | NFQA_SKB_CSUM_NOTVERIFIED);
	payload("seven77", 7);
	end("packet-full");

	/* A bridge's port is the physical device, the bridge itself the device. */
	packet(AF_BRIDGE, 4, 0x0800, NF_INET_FORWARD);
	attr32(NFQA_IFINDEX_PHYSINDEV, 11);
	attr32(NFQA_IFINDEX_INDEV, 10);
	attr32(NFQA_IFINDEX_PHYSOUTDEV, 12);
	attr32(NFQA_IFINDEX_OUTDEV, 10);
	hwaddr("\x02\x00\x07\x00\x00\x01", 6);
	a = nest(NFQA_VLAN);
	attr16(NFQA_VLAN_TCI, 0x600a);
	attr16(NFQA_VLAN_PROTO, 0x8100);
	unnest(a);
	attr(NFQA_L2HDR, "\x02\x00\x07\x00\x00\x02\x02\x00\x07\x00\x00\x01\x08\x00", 14);
	payload("bridge", 6);
	end("packet-bridge");

	/* An address of 8 bytes, and the pads of an address that is shorter. */
	packet(AF_INET, 5, 0x0800, NF_INET_PRE_ROUTING);
	hwaddr("\x01\x02\x03\x04\x05\x06\x07\x08", 8);
	end("packet-hwaddr8");

	packet(AF_INET, 6, 0x0800, NF_INET_LOCAL_OUT);
	attr(NFQA_SECCTX, "unconfined_u:unconfined_r:unconfined_t:s0", 41);
	payload("4444", 4);
	end("packet-secctx");

	packet(AF_INET, 7, 0x0800, NF_INET_FORWARD);
	conntrack(&(struct tuple){ "10.7.0.2", "192.0.2.7", 6, 40000, 443 },
		  &(struct tuple){ "192.0.2.7", "198.51.100.1", 6, 443, 61000 },
		  77, 0xcafef00d, IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED | IPS_SRC_NAT, 0x0badcafe);
	attr32(NFQA_CT_INFO, IP_CT_ESTABLISHED_REPLY);
	payload("tcp", 3);
	end("packet-conntrack-tcp");

	packet(AF_INET, 8, 0x0800, NF_INET_LOCAL_OUT);
	conntrack(&(struct tuple){ "10.7.0.2", "192.0.2.7", 1, .type = 8, .code = 0, .id = 0x1234 },
		  &(struct tuple){ "192.0.2.7", "10.7.0.2", 1, .type = 0, .code = 0, .id = 0x1234 }, 0, 1, 0, 0);
	attr32(NFQA_CT_INFO, IP_CT_NEW);
	payload("icmp", 4);
	end("packet-conntrack-icmp");

	packet(AF_INET6, 9, 0x86dd, NF_INET_LOCAL_IN);
	conntrack(&(struct tuple){ "fd07::2", "2001:db8::7", 58, .type = 128, .code = 1, .id = 0xfedc },
		  &(struct tuple){ "2001:db8::7", "fd07::2", 58, .type = 129, .code = 1, .id = 0xfedc }, 0, 2, IPS_CONFIRMED, 0);
	attr32(NFQA_CT_INFO, IP_CT_RELATED);
	end("packet-conntrack-icmpv6");

	packet(AF_INET6, 10, 0x86dd, NF_INET_LOCAL_IN);
	conntrack(&(struct tuple){ "fd07::2", "::ffff:192.0.2.7", 17, 53, 65535 },
		  &(struct tuple){ "::ffff:192.0.2.7", "fd07::2", 17, 65535, 53 }, 65535, 3, 0, 1);
	attr32(NFQA_CT_INFO, IP_CT_RELATED_REPLY);
	end("packet-conntrack-udp6");

	/* What else the kernel says about a connection, and must be passed over. */
	packet(AF_INET, 11, 0x0800, NF_INET_LOCAL_IN);
	a = nest(NFQA_CT);
	tuple(CTA_TUPLE_ORIG, &(struct tuple){ "10.7.0.2", "192.0.2.7", 6, 40000, 443 });
	tuple(CTA_TUPLE_REPLY, &(struct tuple){ "192.0.2.7", "10.7.0.2", 6, 443, 40000 });
	attr32(CTA_ID, 4);
	attr32(CTA_STATUS, IPS_CONFIRMED);
	attr32(CTA_TIMEOUT, 300);
	b = nest(CTA_PROTOINFO);
	{
		struct nlattr *c = nest(CTA_PROTOINFO_TCP);

		attr8(CTA_PROTOINFO_TCP_STATE, 3);
		attr16(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, 0x0a00);
		unnest(c);
	}
	unnest(b);
	b = nest(CTA_HELP);
	attr(CTA_HELP_NAME, "ftp", 4);
	unnest(b);
	attr(CTA_LABELS, "\1\0\0\0\0\0\0\200\0\0\0\0\0\0\0\1", 16);
	unnest(a);
	attr32(NFQA_CT_INFO, IP_CT_ESTABLISHED);
	end("packet-conntrack-more");
}

/* What NETLINK_CAP_ACK leaves of the request: its header. */
static void error(const char *name, int err, const struct nlmsghdr *request)
{
	struct nlmsghdr h = {
		.nlmsg_len = NLMSG_LENGTH(sizeof(struct nlmsgerr)),
		.nlmsg_type = NLMSG_ERROR,
		.nlmsg_flags = NLM_F_CAPPED,
		.nlmsg_seq = request->nlmsg_seq,
		.nlmsg_pid = request->nlmsg_pid,
	};
	struct nlmsgerr e = { .error = -err, .msg = *request };

	len = 0;
	put(&h, sizeof h);
	put(&e, sizeof e);
	print(name);
}

static void errors(void)
{
	struct nlmsghdr h = {
		.nlmsg_len = 40,
		.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		.nlmsg_seq = 7,
		.nlmsg_pid = 4711,
	};
	struct nlmsghdr overrun = { .nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = NLMSG_OVERRUN };

	error("ack", 0, &h);
	error("error-eperm", EPERM, &h);
	h.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT;
	h.nlmsg_flags = NLM_F_REQUEST;
	h.nlmsg_seq = 0xfffffffe;
	error("error-enoent", ENOENT, &h);

	len = 0;
	put(&overrun, sizeof overrun);
	print("overrun");
}

int main(void)
{
	configs();
	verdicts();
	packets();
	errors();
	return 0;
}
