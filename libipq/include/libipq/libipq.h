/* SPDX-License-Identifier: MIT */
/*
 * libipq: receive packets that an iptables rule queued for user space, and
 * return a verdict on each. See libipq(3).
 *
 * This is an independent implementation of the published interface. NF_ACCEPT
 * and NFPROTO_IPV4 come from <linux/netfilter.h>, which this header leaves to
 * the program, as it always has.
 */
#ifndef _LIBIPQ_H
#define _LIBIPQ_H

#include <errno.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <asm/types.h>

#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>

#ifdef DEBUG_LIBIPQ
#include <stdio.h>
#endif

/* Strict C89 and C++98 have no variadic macros, and so no LDEBUG. */
#if !defined(__STRICT_ANSI__) || \
	(!defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 199901L) || \
	(defined(__cplusplus) && __cplusplus >= 201103L)
#ifdef DEBUG_LIBIPQ
#define LDEBUG(...) fprintf(stderr, __VA_ARGS__)
#else
#define LDEBUG(...)
#endif
#endif

#ifndef MSG_TRUNC
#define MSG_TRUNC 0x20
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned long ipq_id_t;

/*
 * Programs may use fd with select, poll and setsockopt. It is readable exactly
 * when ipq_read would return something.
 */
struct ipq_handle {
	int fd;
	__u8 blocking;            /* unused */
	struct sockaddr_nl local; /* nl_pid is what our messages carry */
	struct sockaddr_nl peer;  /* where the last message came from */
};

struct ipq_handle *ipq_create_handle(__u32 flags, __u32 protocol);
int ipq_destroy_handle(struct ipq_handle *h);

ssize_t ipq_read(const struct ipq_handle *h, unsigned char *buf, size_t len, int timeout);
int ipq_set_mode(const struct ipq_handle *h, __u8 mode, size_t len);

ipq_packet_msg_t *ipq_get_packet(const unsigned char *buf);
int ipq_message_type(const unsigned char *buf);
int ipq_get_msgerr(const unsigned char *buf);

int ipq_set_verdict(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict,
		    size_t data_len, unsigned char *buf);

int ipq_ctl(const struct ipq_handle *h, int request, ...);

char *ipq_errstr(void);
void ipq_perror(const char *s);

#ifdef __cplusplus
}
#endif

/*
 * Before iptables 1.2.5 there was no protocol argument, and no IPv6. Source of
 * that age compiles with -DIPQ_OLD_CREATE_HANDLE.
 */
#ifdef IPQ_OLD_CREATE_HANDLE
#define ipq_create_handle(flags) ipq_create_handle((flags), PF_INET)
#endif

#endif
