/* SPDX-License-Identifier: MIT */
/*
 * What the files of the library share; none of it is visible outside the shared
 * library. Each file calls only those before it in this order: error, service,
 * socket, request, kept, connection, then handle and message.
 */
#ifndef LIBIPQ_INTERNAL_H
#define LIBIPQ_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* secure_getenv, dup3 */
#endif

#include <libipq/libipq.h>

#define LIBIPQ_HIDDEN __attribute__((visibility("hidden")))
#define LIBIPQ_PUBLIC __attribute__((visibility("default")))

/* Indices into ipq_errmap. Programs never see them, only their strings. */
enum {
	ERR_NONE,
	ERR_IMPL,
	ERR_HANDLE,
	ERR_SOCKET,
	ERR_BIND,
	ERR_BUFFER,
	ERR_RECV,
	ERR_NLEOF,
	ERR_ADDRLEN,
	ERR_STRUNC,
	ERR_RTRUNC,
	ERR_NLRECV,
	ERR_SEND,
	ERR_SUPP,
	ERR_RECVBUF,
	ERR_TIMEOUT,
	ERR_PROTOCOL
};

/* Makes code what ipq_errstr reports, for good: no success resets it. */
LIBIPQ_HIDDEN void libipq_set_error(int code);

/* Closes fd, keeps errno, returns -1. */
LIBIPQ_HIDDEN int libipq_close(int fd);

/* A service that is there and does not answer must not hang the program. */
#define LIBIPQ_PATIENCE 5000 /* milliseconds */

/*
 * Asks the queue handler that serves a Unix socket for a descriptor of the
 * family, which then behaves like a NETLINK_FIREWALL socket. Returns it, or -1
 * with errno set: EADDRINUSE when the process has a handle of that family
 * already, ETIMEDOUT when there is no answer within patience milliseconds,
 * absent when there is no service where one is by default.
 */
LIBIPQ_HIDDEN int libipq_ask_service(int family, __u32 pid, int patience, int absent);

/*
 * Opens a socket to the queue handler of the family: the kernel's, which has
 * still to be bound to the port and sets *unbound, or else the service's.
 * Returns it, or -1 with errno set.
 */
LIBIPQ_HIDDEN int libipq_open_socket(int family, __u32 port, int patience, int *unbound);

/* Returns 0, or -1 with errno set. */
LIBIPQ_HIDDEN int libipq_bind_socket(int fd, const struct sockaddr_nl *local);

/* Sends the parts of one message, and waits for room. Returns its length, or -1 with errno set. */
LIBIPQ_HIDDEN ssize_t libipq_send(const struct ipq_handle *h, struct iovec *vector, size_t count);

LIBIPQ_HIDDEN void libipq_fill_header(struct nlmsghdr *header, const struct ipq_handle *h,
				      int type, size_t len);

/*
 * 16 bytes longer than its content: the library of iptables counts the header
 * twice, and programs compare the result. It sent what happened to follow on its
 * stack; here the surplus is zero.
 */
struct libipq_mode_request {
	struct nlmsghdr header;
	ipq_peer_msg_t body;
	char surplus[NLMSG_LENGTH(0)];
};

LIBIPQ_HIDDEN ssize_t libipq_send_mode(const struct ipq_handle *h, __u8 mode, size_t range);

/*
 * Keeps what is needed to connect h again when its queue handler has ended, from
 * here to libipq_forget. A process has room for 16 of them; a handle for which
 * there is none reads an end of file and remains at it.
 */
LIBIPQ_HIDDEN void libipq_keep(const struct ipq_handle *h, int family);
LIBIPQ_HIDDEN void libipq_forget(const struct ipq_handle *h);

/* Remembers the mode, which is sent again on every later connection. */
LIBIPQ_HIDDEN void libipq_keep_mode(const struct ipq_handle *h, __u8 mode, size_t range);

/*
 * Looks at the n bytes of a message that has arrived. On a later connection the
 * ids of packets become others than those of all earlier ones.
 */
LIBIPQ_HIDDEN void libipq_received(const struct ipq_handle *h, unsigned char *buf, size_t n);

/*
 * Makes *id what the queue handler calls it. Returns false when the packet came
 * by an earlier connection, and so has been dropped.
 */
LIBIPQ_HIDDEN int libipq_id_for_handler(const struct ipq_handle *h, ipq_id_t *id);

enum { LIBIPQ_NOT_KEPT, LIBIPQ_CONNECTED, LIBIPQ_STILL_ENDED, LIBIPQ_INTERRUPTED };

/*
 * To be called when a read has found that the queue handler has ended. Pauses,
 * for longer each time, and tries to connect, until that succeeds or *limit
 * milliseconds are over (-1: no limit). The first pause is never cut short.
 * Leaves what is left in *limit. errno is EINTR at LIBIPQ_INTERRUPTED, as it was
 * at LIBIPQ_NOT_KEPT, and else anything.
 */
LIBIPQ_HIDDEN int libipq_await_handler(const struct ipq_handle *h, int *limit);

/*
 * To be called when a send has found that the queue handler has ended, and errno
 * says so. Connects if another process that shares the handle already has: then
 * the message is for the new queue handler. LIBIPQ_STILL_ENDED when it is for the
 * old one, LIBIPQ_NOT_KEPT when it has to fail. errno is unchanged.
 */
LIBIPQ_HIDDEN int libipq_follow(const struct ipq_handle *h);

#endif
