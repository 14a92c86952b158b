/* SPDX-License-Identifier: MIT */
/*
 * The messages of ip_queue and ip6_queue, which travel over netlink protocols
 * NETLINK_FIREWALL and NETLINK_IP6_FW. Kernel headers stopped defining them in
 * Linux 3.5; this is an independent statement of the same interface.
 *
 * Integers are in host byte order except hw_protocol. The layout is the C
 * compiler's own, so it depends on the size of long.
 */
#ifndef _IP_QUEUE_H
#define _IP_QUEUE_H

#include <stddef.h>
#include <net/if.h>

#ifndef IFNAMSIZ
#define IFNAMSIZ 16
#endif

/* Message types, in nlmsg_type. */
#define IPQM_BASE    0x10            /* up to here they are netlink's own */
#define IPQM_MODE    (IPQM_BASE + 1) /* to the queue handler: set the copy mode */
#define IPQM_VERDICT (IPQM_BASE + 2) /* to the queue handler: decide on a packet */
#define IPQM_PACKET  (IPQM_BASE + 3) /* from the queue handler: a packet */
#define IPQM_MAX     (IPQM_BASE + 4)

/* What an IPQM_PACKET message contains, in ipq_mode_msg.value. */
enum {
	IPQ_COPY_NONE,  /* nothing is sent and packets are dropped: the initial state */
	IPQ_COPY_META,  /* metadata */
	IPQ_COPY_PACKET /* metadata and payload */
};
#define IPQ_COPY_MAX IPQ_COPY_PACKET

/* Old compilers know no flexible array members, -pedantic no empty arrays. */
#if defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 5)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif

typedef struct ipq_packet_msg {
	unsigned long packet_id;         /* opaque, never 0 */
	unsigned long mark;              /* netfilter mark */
	long timestamp_sec;              /* time of arrival */
	long timestamp_usec;
	unsigned int hook;               /* 0 prerouting .. 4 postrouting */
	char indev_name[IFNAMSIZ];       /* empty when there is none */
	char outdev_name[IFNAMSIZ];
	unsigned short hw_protocol;      /* network byte order */
	unsigned short hw_type;          /* ARPHRD_* */
	unsigned char hw_addrlen;        /* 0 when there is no address */
	unsigned char hw_addr[8];        /* of the sender */
	size_t data_len;                 /* bytes of payload that follow */
	unsigned char payload[0];        /* from the network header on */
} ipq_packet_msg_t;

typedef struct ipq_mode_msg {
	unsigned char value; /* IPQ_COPY_* */
	size_t range;        /* bytes of payload to copy; 0 = all */
} ipq_mode_msg_t;

typedef struct ipq_verdict_msg {
	unsigned int value;  /* NF_* */
	unsigned long id;    /* packet_id of the packet */
	size_t data_len;     /* bytes of new payload that follow; 0 = unchanged */
	unsigned char payload[0];
} ipq_verdict_msg_t;

/* Both messages to the queue handler are at least this long. */
typedef struct ipq_peer_msg {
	union {
		ipq_verdict_msg_t verdict;
		ipq_mode_msg_t mode;
	} msg;
} ipq_peer_msg_t;

#if defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 5)
#pragma GCC diagnostic pop
#endif

#endif
