/* SPDX-License-Identifier: MIT */
/* Getting a descriptor from the service, the queue handler in user space. */
#include "internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#define DEFAULT_PATH "/run/ipq/ipq.sock"

#define VERSION 1

int libipq_close(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

struct hello {
	char magic[4];
	unsigned char version;
	unsigned char family;
	unsigned char word_size; /* bits in a long: it shapes every message */
	unsigned char zero;
	__u32 pid;
	__u32 reserved;
};

struct answer {
	char magic[4];
	__s32 error;
};

/*
 * IPQ_SOCKET as the program was started with it, for those that clean their
 * environment before they create a handle. Longer paths are no addresses.
 */
static char path_at_start[sizeof ((struct sockaddr_un *)0)->sun_path + 1];

/* In the file that ipq_create_handle needs, so that static programs have it too. */
__attribute__((constructor)) static void read_environment(void)
{
	/* Not in a set-id program: whoever starts it could serve it lies. */
	const char *path = secure_getenv("IPQ_SOCKET");

	if (path)
		strncpy(path_at_start, path, sizeof path_at_start - 1);
}

/* NULL when the environment names none: the present one, or that of the start. */
static const char *path_from_environment(void)
{
	const char *path = secure_getenv("IPQ_SOCKET");

	if (!path)
		path = path_at_start;
	return *path ? path : NULL;
}

struct deadline {
	struct timespec start;
	int patience; /* milliseconds */
};

static int remaining_ms(const struct deadline *d)
{
	struct timespec now;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = d->patience - (long)(now.tv_sec - d->start.tv_sec) * 1000L -
	     (now.tv_nsec - d->start.tv_nsec) / 1000000L;
	return ms > 0 ? (int)ms : 0;
}

/* The service accepts from a backlog, so connecting may have to wait. */
static int connect_to(const char *path, const struct deadline *d)
{
	struct sockaddr_un address;
	struct timeval patience;
	size_t length = strlen(path);
	int fd;

	memset(&address, 0, sizeof address);
	address.sun_family = AF_UNIX;
	if (length >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, length);

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	patience.tv_sec = d->patience / 1000;
	patience.tv_usec = d->patience % 1000 * 1000L;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		if (errno == EINTR && remaining_ms(d) > 0)
			continue;
		if (errno == EAGAIN || errno == EINTR)
			errno = ETIMEDOUT;
		return libipq_close(fd);
	}
	return fd;
}

static int wait_readable(int fd, const struct deadline *d)
{
	struct pollfd p;
	int n;

	p.fd = fd;
	p.events = POLLIN;
	do {
		n = poll(&p, 1, remaining_ms(d));
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0 ? 0 : -1;
}

/* Returns the descriptor in the answer, or -1 with errno set. */
static int receive_descriptor(int fd)
{
	/* Room for exactly one descriptor: the kernel closes what does not fit. */
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct answer answer;
	struct iovec vector;
	struct msghdr message;
	struct cmsghdr *c;
	ssize_t n;
	int got = -1;

	vector.iov_base = &answer;
	vector.iov_len = sizeof answer;
	memset(&message, 0, sizeof message);
	message.msg_iov = &vector;
	message.msg_iovlen = 1;
	message.msg_control = control.bytes;
	message.msg_controllen = CMSG_LEN(sizeof(int));

	/* Not close-on-exec: a netlink socket of libipq never was. */
	do {
		n = recvmsg(fd, &message, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&got, CMSG_DATA(c), sizeof got);

	if (n == 0)
		errno = ECONNRESET;
	else if (n != sizeof answer || memcmp(answer.magic, "ipqa", 4) != 0 || answer.error < 0)
		errno = EPROTO;
	else if (answer.error > 0)
		errno = answer.error;
	else if (got >= 0)
		return got;
	else
		errno = message.msg_flags & MSG_CTRUNC ? EMFILE : EPROTO;
	return got >= 0 ? libipq_close(got) : -1;
}

int libipq_ask_service(int family, __u32 pid, int patience, int absent)
{
	const char *path = path_from_environment();
	struct deadline deadline;
	struct hello hello;
	int fd, got = -1;

	clock_gettime(CLOCK_MONOTONIC, &deadline.start);
	deadline.patience = patience;
	fd = connect_to(path ? path : DEFAULT_PATH, &deadline);
	if (fd < 0) {
		if (!path && errno == ENOENT)
			errno = absent;
		return -1;
	}
	memset(&hello, 0, sizeof hello);
	memcpy(hello.magic, "ipqh", 4);
	hello.version = VERSION;
	hello.family = (unsigned char)family;
	hello.word_size = (unsigned char)(sizeof(long) * 8);
	hello.pid = pid;
	if (send(fd, &hello, sizeof hello, MSG_NOSIGNAL) == (ssize_t)sizeof hello &&
	    wait_readable(fd, &deadline) == 0)
		got = receive_descriptor(fd);
	if (got < 0)
		return libipq_close(fd);

	/*
	 * The service hangs up when it has closed its own copy of the descriptor:
	 * from then on our close is the last, and frees our port at once.
	 */
	wait_readable(fd, &deadline);

	/* Onto the number that a plain socket() would have had. */
	if (dup2(got, fd) == fd) {
		close(got);
		return fd;
	}
	close(fd);
	return got;
}
