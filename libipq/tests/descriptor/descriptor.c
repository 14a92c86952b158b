/* SPDX-License-Identifier: MIT */
/*
 * Says what system calls make of a handle's descriptor, a line each. With the
 * argument "netlink" they are made on a netlink socket of the kernel's, which
 * shows what ip_queue's was like.
 */
#define _GNU_SOURCE
#include <libipq.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static int fd;

static void result(const char *what, int n)
{
	if (n < 0)
		printf("%s: errno %d\n", what, errno);
	else
		printf("%s: %d\n", what, n);
}

static int option(int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

static int set(int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

static void address(const char *what, int n, const struct sockaddr_nl *a, socklen_t len)
{
	if (n < 0)
		result(what, n);
	else
		printf("%s: family %d length %u port %s groups %s\n", what, a->nl_family, (unsigned)len,
		       len < 8 ? "none" : a->nl_pid == 0 ? "0" : a->nl_pid == (__u32)getpid() ? "pid" : "other",
		       len < 12 ? "none" : a->nl_groups ? "some" : "0");
}

/* Has the other side answer with an error message. */
static void provoke(void)
{
	struct {
		struct nlmsghdr header;
		ipq_peer_msg_t body;
	} request;

	memset(&request, 0, sizeof request);
	request.header.nlmsg_len = sizeof request;
	request.header.nlmsg_type = 0x3fff; /* no handler of any protocol has such a one */
	request.header.nlmsg_flags = NLM_F_REQUEST;
	request.header.nlmsg_pid = (__u32)getpid();
	result("send without an address", (int)send(fd, &request, sizeof request, 0) == sizeof request);
}

static void await(void)
{
	struct pollfd p;

	p.fd = fd;
	p.events = POLLIN;
	result("poll", poll(&p, 1, 10000));
}

static void receive(void)
{
	struct sockaddr_nl from;
	struct msghdr m;
	struct iovec v;
	unsigned char buf[16];
	union {
		struct cmsghdr align;
		char bytes[256];
	} control;
	struct cmsghdr *c;
	int n, waiting = 0;

	provoke();
	await();
	n = ioctl(fd, FIONREAD, &waiting);
	result("FIONREAD", n < 0 ? n : waiting > 0);
	memset(&m, 0, sizeof m);
	memset(&from, 0, sizeof from);
	v.iov_base = buf;
	v.iov_len = sizeof buf;
	m.msg_name = &from;
	m.msg_namelen = sizeof from;
	m.msg_iov = &v;
	m.msg_iovlen = 1;
	m.msg_control = control.bytes;
	m.msg_controllen = sizeof control;
	n = (int)recvmsg(fd, &m, MSG_PEEK | MSG_TRUNC);
	printf("recvmsg with MSG_TRUNC: whole length %d, MSG_TRUNC %d, control bytes %d\n", n > 16,
	       (m.msg_flags & MSG_TRUNC) != 0, (int)m.msg_controllen);
	address("recvmsg", n, &from, m.msg_namelen);
	result("SO_PASSCRED", set(SOL_SOCKET, SO_PASSCRED, 1));
	m.msg_controllen = sizeof control;
	recvmsg(fd, &m, 0);
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct ucred who;

		if (c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&who, CMSG_DATA(c), sizeof who);
		printf("SCM_CREDENTIALS: process %s\n", who.pid ? "other" : "0");
	}
	result("SO_PASSCRED", set(SOL_SOCKET, SO_PASSCRED, 0));
	result("recv, nothing there", (int)recv(fd, buf, sizeof buf, MSG_DONTWAIT));
}

int main(int argc, char **argv)
{
	struct ipq_handle *h = NULL;
	struct sockaddr_nl a;
	struct timeval soon = { 0, 1000 };
	char byte;
	socklen_t len;
	int n;

	if (argc > 1 && strcmp(argv[1], "netlink") == 0) {
		memset(&a, 0, sizeof a);
		a.nl_family = AF_NETLINK;
		a.nl_pid = (__u32)getpid();
		fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
		if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
			return 1;
	} else {
		h = ipq_create_handle(0, PF_INET);
		if (!h) {
			ipq_perror("descriptor");
			return 1;
		}
		fd = h->fd;
	}
	result("SO_DOMAIN", option(SOL_SOCKET, SO_DOMAIN));
	result("SO_TYPE", option(SOL_SOCKET, SO_TYPE));
	result("SO_ERROR", option(SOL_SOCKET, SO_ERROR));
	result("F_GETFD", fcntl(fd, F_GETFD));
	result("F_GETFL", fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	len = sizeof a;
	memset(&a, 0, sizeof a);
	n = getsockname(fd, (struct sockaddr *)&a, &len);
	address("getsockname", n, &a, len);
	len = sizeof a;
	memset(&a, 0, sizeof a);
	n = getpeername(fd, (struct sockaddr *)&a, &len);
	address("getpeername", n, &a, len);

	result("set SO_RCVBUF", set(SOL_SOCKET, SO_RCVBUF, 100000));
	result("SO_RCVBUF", option(SOL_SOCKET, SO_RCVBUF));
	result("set SO_SNDBUF", set(SOL_SOCKET, SO_SNDBUF, 100000));
	result("SO_SNDBUF", option(SOL_SOCKET, SO_SNDBUF));
	result("set SO_RCVBUFFORCE", set(SOL_SOCKET, SO_RCVBUFFORCE, 100000));
	result("set NETLINK_NO_ENOBUFS", set(SOL_NETLINK, 5, 1));
	result("set NETLINK_PKTINFO", set(SOL_NETLINK, 3, 0));
	result("set SO_RCVTIMEO", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
	result("recv after SO_RCVTIMEO", (int)recv(fd, &byte, 1, 0));
	receive();

	memset(&a, 0, sizeof a);
	a.nl_family = AF_NETLINK;
	result("connect to port 0", connect(fd, (struct sockaddr *)&a, sizeof a));
	a.nl_pid = 0x7ffffff0;
	n = (int)sendto(fd, "", 1, 0, (struct sockaddr *)&a, sizeof a);
	result("sendto to a port that nobody has", n);
	result("listen", listen(fd, 1));
	result("shutdown", shutdown(fd, SHUT_RD));
	ipq_destroy_handle(h);
	return 0;
}
