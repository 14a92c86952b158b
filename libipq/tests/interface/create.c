/* SPDX-License-Identifier: MIT */
/* Creating handles: what is said to the service, and what is made of its answers. */
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static int descriptors(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Memory that a child would share, which each handle has some of. */
static int shared_mappings(void)
{
	char line[512], permissions[8];
	int n = 0;
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof line, f))
		n += sscanf(line, "%*s %7s", permissions) == 1 && permissions[3] == 's';
	if (f)
		fclose(f);
	return n;
}

/* One answer of a service, in a child: what decides which. */
enum { GOOD, GOOD_FOR_200_MS, STAYING, FLAPPING, DEAF, TWO_DESCRIPTORS, NO_DESCRIPTOR, REFUSE, IN_USE, GARBAGE, SHORT, HANG_UP };

/* Answers one program. Returns whether another may come. */
static int serve(int listener, int what, int family)
{
	int fd = accept(listener, NULL, NULL);
	unsigned char hello[64], want[16];
	char answer[8];
	static const __u32 acknowledgement[] = { 36, NLMSG_ERROR, 0, 0, 0, 0, 0, 0, 0 };
	struct pollfd p;
	__s32 error = 0;
	ssize_t n;
	__u32 pid = (__u32)getppid();
	int pair[2], fds[2];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec vector;
	struct msghdr m;

	memset(want, 0, sizeof want);
	memcpy(want, "ipqh", 4);
	want[4] = 1;
	want[5] = (unsigned char)family;
	want[6] = sizeof(long) * 8;
	memcpy(want + 8, &pid, 4);
	if (recv(fd, hello, sizeof hello, 0) != 16 || memcmp(hello, want, 16) != 0)
		_exit(1);
	if (what == HANG_UP)
		return 0;
	if (what == REFUSE)
		error = EACCES;
	if (what == IN_USE)
		error = EADDRINUSE;
	make_pair(pair, sizeof(struct sockaddr_nl), 0);

	memcpy(answer, what == GARBAGE ? "ipqx" : "ipqa", 4);
	memcpy(answer + 4, &error, 4);
	vector.iov_base = answer;
	vector.iov_len = what == SHORT ? 7 : 8;
	memset(&m, 0, sizeof m);
	memset(&control, 0, sizeof control);
	m.msg_iov = &vector;
	m.msg_iovlen = 1;
	if (what != NO_DESCRIPTOR && what != REFUSE && what != IN_USE) {
		int count = what == TWO_DESCRIPTORS ? 2 : 1;

		fds[0] = fds[1] = pair[0];
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, (size_t)count * sizeof(int));
	}
	n = sendmsg(fd, &m, MSG_NOSIGNAL);
	if (n < 0 && errno == EPIPE) { /* it gave up: this machine is slow */
		close(pair[0]);
		close(pair[1]);
		close(fd);
		return 1;
	}
	if (n != (ssize_t)vector.iov_len)
		_exit(2);
	if (what > DEAF && what != TWO_DESCRIPTORS)
		return 0;
	close(pair[0]);
	close(fd);
	if (what == FLAPPING) { /* hear the mode, and end */
		recv(pair[1], hello, sizeof hello, 0);
		close(pair[1]);
		return 1;
	}
	if (what == DEAF) { /* end with the mode unread */
		p.fd = pair[1];
		p.events = POLLIN;
		return poll(&p, 1, -1) != 1 || (p.revents & POLLHUP);
	}
	n = recv(pair[1], hello, sizeof hello, 0);
	if (n == 0)
		return 1; /* it gave up */
	if (n != (sizeof(long) == 8 ? 56 : 44))
		_exit(3);
	/* Acknowledge the mode, and end. */
	memset(hello, 0, sizeof hello);
	memcpy(hello, &acknowledgement, sizeof acknowledgement);
	send(pair[1], hello, sizeof acknowledgement, MSG_NOSIGNAL);
	if (what == GOOD_FOR_200_MS)
		poll(NULL, 0, 200);
	if (what == STAYING)
		recv(pair[1], hello, sizeof hello, 0);
	return 0;
}

/* Has a child be the service for one connection. It gives back a handle that it inherits. */
static pid_t begin_service(const char *path, int what, __u32 protocol, struct ipq_handle *inherited)
{
	struct sockaddr_un address;
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	pid_t child;

	memset(&address, 0, sizeof address);
	address.sun_family = AF_UNIX;
	strcpy(address.sun_path, path);
	unlink(path);
	require(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
	require(listen(listener, 1) == 0, "listen");
	child = fork();
	require(child >= 0, "fork");
	if (child == 0) {
		alarm(60);
		ipq_destroy_handle(inherited);
		while (serve(listener, what, (int)protocol))
			;
		_exit(0);
	}
	close(listener);
	return child;
}

static void end_service(pid_t child)
{
	int status;

	require(waitpid(child, &status, 0) == child, "waitpid");
	EXPECT(status == 0);
}

static struct ipq_handle *create_with(const char *path, int what, __u32 protocol)
{
	pid_t child = begin_service(path, what, protocol, NULL);
	struct ipq_handle *h;
	int left;

	errno = UNTOUCHED;
	h = ipq_create_handle(0, protocol);
	left = errno;
	if (h)
		EXPECT(ipq_set_mode(h, 2, 0) > 0);
	end_service(child);
	errno = left;
	return h;
}

/* Only differences mean something. */
static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long)(t.tv_sec % 1000000) * 1000 + t.tv_nsec / 1000000;
}

/* A service ends when it has heard a mode: the next one hears the same from the handle. */
static void connecting_again(const char *path)
{
	struct ipq_handle *h = create_with(path, GOOD, PF_INET);
	unsigned char buf[64];
	int i, fd, status = 0, type = 0, pair[2], before = descriptors();
	socklen_t length = sizeof type;
	struct stat was, is;
	pid_t child, second;
	long start;

	EXPECT(h != NULL);
	if (!h)
		return;
	fd = h->fd;
	EXPECT(ipq_read(h, buf, sizeof buf, 0) == 36);
	errno = UNTOUCHED;
	EXPECT(ipq_read(h, buf, sizeof buf, -1) == 0);
	EXPECT_ERROR("Timeout");
	EXPECT(ipq_set_verdict(h, 1, 1, 0, NULL) > 0);
	EXPECT(errno == UNTOUCHED);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	EXPECT(ipq_read(h, buf, sizeof buf, 0) == -1);
	EXPECT(errno == EAGAIN);
	EXPECT_ERROR("Failed to receive netlink message");
	for (i = 0; i < 2; i++) {
		child = begin_service(path, GOOD, PF_INET, h);
		errno = UNTOUCHED;
		EXPECT(ipq_read(h, buf, sizeof buf, 30000000) == 36);
		EXPECT(errno == UNTOUCHED);
		end_service(child);
		EXPECT(h->fd == fd && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	}
	/* A message ends the long pauses. The machine may be slow, but not each time. */
	for (i = 0; i < 5; i++) {
		int n;

		child = begin_service(path, GOOD, PF_INET, h);
		EXPECT(ipq_read(h, buf, sizeof buf, 30000000) == 36);
		end_service(child);
		start = now_ms();
		for (n = 0; n < 7; n++) /* 1 to 64 ms */
			EXPECT(ipq_read(h, buf, sizeof buf, -1) == 0);
		if (now_ms() - start < 400)
			break;
	}
	EXPECT(i < 5);
	/* What select has waited counts. */
	for (i = 0; i < 5; i++) {
		child = begin_service(path, GOOD_FOR_200_MS, PF_INET, h);
		EXPECT(ipq_read(h, buf, sizeof buf, 30000000) == 36);
		start = now_ms();
		EXPECT(ipq_read(h, buf, sizeof buf, 300000) == 0);
		start = now_ms() - start;
		end_service(child);
		EXPECT(start >= 299);
		if (start < 450)
			break;
	}
	EXPECT(i < 5);
	/* Services that end at once, one after the other, do not make a read longer. */
	child = begin_service(path, FLAPPING, PF_INET, h);
	EXPECT(ipq_read(h, buf, sizeof buf, 300000) == 0);
	EXPECT(ipq_read(h, buf, sizeof buf, -1) == 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* With unread messages a socket's end is an error, of the next read or the next send. */
	for (i = 0; i < 2; i++) {
		child = begin_service(path, DEAF, PF_INET, h);
		errno = UNTOUCHED;
		while (ipq_read(h, buf, sizeof buf, 1000) == 0 && waitpid(child, &status, WNOHANG) == 0)
			;
		EXPECT(status == 0);
		if (i == 1)
			EXPECT(ipq_set_verdict(h, 1, 1, 0, NULL) > 0);
		EXPECT(ipq_read(h, buf, sizeof buf, 1000) == 0);
		EXPECT(errno == UNTOUCHED);
	}
	/* An end of file that the program has made itself is none of the queue handler's. */
	child = begin_service(path, STAYING, PF_INET, h);
	EXPECT(ipq_read(h, buf, sizeof buf, 30000000) == 36);
	shutdown(fd, SHUT_RD);
	fstat(fd, &was);
	second = begin_service(path, GOOD, PF_INET, h);
	EXPECT(ipq_read(h, buf, sizeof buf, -1) == 0);
	fstat(fd, &is);
	EXPECT(is.st_ino == was.st_ino);
	kill(second, SIGKILL);
	waitpid(second, NULL, 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* What the program has put in the place of the descriptor stays there. */
	child = begin_service(path, GOOD, PF_INET, h);
	require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	dup2(pair[0], fd);
	close(pair[0]);
	close(pair[1]);
	EXPECT(ipq_read(h, buf, sizeof buf, 1) == 0);
	EXPECT(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	EXPECT(descriptors() == before);
	ipq_destroy_handle(h);
}

void creating(void)
{
	char dir[] = "/tmp/libipq.XXXXXX", path[64], longest[200];
	struct ipq_handle *h;
	int shared = shared_mappings(), before, lowest, fd = socket(PF_NETLINK, SOCK_RAW, 3);

	errno = UNTOUCHED;
	EXPECT(ipq_create_handle(0, 0) == NULL);
	EXPECT_ERROR("Invalid protocol specified");
	EXPECT(ipq_create_handle(~0u, PF_UNIX) == NULL);
	EXPECT(errno == UNTOUCHED);
	if (fd >= 0) {
		fprintf(stderr, "interface: this kernel has ip_queue: its service is not checked\n");
		close(fd);
		return;
	}

	require(mkdtemp(dir) != NULL, "mkdtemp");
	sprintf(path, "%s/sock", dir);
	setenv("IPQ_SOCKET", path, 1);
	before = descriptors();
	lowest = dup(0);
	close(lowest);

	errno = UNTOUCHED;
	EXPECT(ipq_create_handle(0, PF_INET) == NULL);
	EXPECT(errno == ENOENT);
	EXPECT_ERROR("Unable to create netlink socket");
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	setenv("IPQ_SOCKET", longest, 1);
	EXPECT(ipq_create_handle(0, PF_INET) == NULL);
	EXPECT(errno == ENAMETOOLONG);
	setenv("IPQ_SOCKET", "", 1);
	if (access("/run/ipq/ipq.sock", F_OK) < 0) {
		EXPECT(ipq_create_handle(0, PF_INET6) == NULL);
		EXPECT(errno == EPROTONOSUPPORT);
		EXPECT_ERROR("Unable to create netlink socket");
	}
	setenv("IPQ_SOCKET", path, 1);

	h = create_with(path, GOOD, PF_INET);
	EXPECT(h != NULL);
	if (h) {
		EXPECT(h->fd == lowest);
		EXPECT(fcntl(h->fd, F_GETFD) == 0);
		EXPECT((fcntl(h->fd, F_GETFL) & O_NONBLOCK) == 0);
		EXPECT(h->local.nl_family == AF_NETLINK && h->local.nl_pid == (__u32)getpid());
		EXPECT(h->local.nl_groups == 0);
		EXPECT(h->peer.nl_family == AF_NETLINK && h->peer.nl_pid == 0);
		EXPECT(h->blocking == 0);
		EXPECT(errno == UNTOUCHED);
		EXPECT(ipq_destroy_handle(h) == 0);
	}
	h = create_with(path, GOOD, PF_INET6);
	EXPECT(h != NULL);
	ipq_destroy_handle(h);
	h = create_with(path, TWO_DESCRIPTORS, PF_INET); /* and the second does not leak */
	EXPECT(h != NULL);
	ipq_destroy_handle(h);

	/* Stale: the file is there, the service is not. */
	EXPECT(ipq_create_handle(0, PF_INET) == NULL);
	EXPECT(errno == ECONNREFUSED);

	EXPECT(create_with(path, IN_USE, PF_INET) == NULL);
	EXPECT(errno == EADDRINUSE);
	EXPECT_ERROR("Unable to bind netlink socket");
	EXPECT(create_with(path, REFUSE, PF_INET) == NULL);
	EXPECT(errno == EACCES);
	EXPECT_ERROR("Unable to create netlink socket");
	EXPECT(create_with(path, HANG_UP, PF_INET) == NULL);
	EXPECT(errno == ECONNRESET);
	EXPECT(create_with(path, NO_DESCRIPTOR, PF_INET) == NULL);
	EXPECT(errno == EPROTO);
	EXPECT(create_with(path, GARBAGE, PF_INET) == NULL);
	EXPECT(errno == EPROTO);
	EXPECT(create_with(path, SHORT, PF_INET) == NULL);
	EXPECT(errno == EPROTO);
	connecting_again(path);
	EXPECT(shared_mappings() == shared);
	EXPECT(descriptors() == before);

	unlink(path);
	rmdir(dir);
}
