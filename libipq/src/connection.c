/* SPDX-License-Identifier: MIT */
/*
 * Connecting again when the queue handler has ended. The kernel's could not, so
 * programs take what it cannot report for the end of all, or try again without a
 * pause. A handle keeps its descriptor's number, and gets a new connection there.
 */
#include "internal.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define LONGEST_PAUSE 100 /* milliseconds */

/* How long a service that is there may keep a read from its limit, and signals from the program. */
#define SHORT_PATIENCE 100 /* milliseconds */
#define LONG_PATIENCE 1000

/*
 * A service numbers its packets from 1. So that an answer to a packet of an
 * earlier connection is not one to another packet of this, ids that the program
 * sees go on where the earlier ones ended: id = number - first + start + GAP.
 * The gap before and after start is for threads that read at the same time.
 */
#define GAP 256

/* What processes that have inherited a handle share. */
struct connections {
	__u32 generation; /* 0 is the connection that the handle was created with */
	__u32 last;       /* id of the last packet that was read */
	__u32 start;      /* less than this are ids of earlier connections */
	__u32 first;      /* number of the first packet that was read of this; 0 is none */
	int mode_set;
	__u8 mode;
	size_t range;
};

/* A handle as this process has it. In a table, as a program may have copied its struct. */
struct kept {
	const struct ipq_handle *volatile handle;
	volatile struct connections *shared;
	int family;
	volatile __u32 generation; /* of this process's descriptor */
	volatile int pause;        /* milliseconds; 0 is none since a message was read */
	volatile pid_t connecting; /* the process of which a thread connects; 0 is none */
};

static struct kept table[16];

#define TABLE_END (table + sizeof table / sizeof table[0])

static struct kept *find(const struct ipq_handle *h)
{
	struct kept *k;

	for (k = table; k < TABLE_END; k++)
		if (k->handle == h)
			return k;
	return NULL;
}

void libipq_keep(const struct ipq_handle *h, int family)
{
	struct kept *k;
	void *shared = mmap(NULL, sizeof *k->shared, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return;
	for (k = table; k < TABLE_END; k++) {
		if (!__sync_bool_compare_and_swap(&k->handle, NULL, h))
			continue;
		k->shared = shared;
		k->family = family;
		k->generation = 0;
		k->pause = 0;
		k->connecting = 0;
		return;
	}
	munmap(shared, sizeof *k->shared);
}

void libipq_forget(const struct ipq_handle *h)
{
	struct kept *k = find(h);

	if (k) {
		munmap((void *)k->shared, sizeof *k->shared);
		__sync_bool_compare_and_swap(&k->handle, h, NULL);
	}
}

void libipq_keep_mode(const struct ipq_handle *h, __u8 mode, size_t range)
{
	struct kept *k = find(h);

	if (!k || mode > IPQ_COPY_MAX)
		return; /* the queue handler refuses it, and keeps the one before */
	k->shared->mode = mode;
	k->shared->range = range;
	k->shared->mode_set = 1;
}

void libipq_received(const struct ipq_handle *h, unsigned char *buf, size_t n)
{
	struct kept *k = find(h);
	volatile struct connections *shared;
	struct nlmsghdr header;
	ipq_id_t id;

	if (!k)
		return;
	if (k->pause)
		k->pause = 0;
	if (n < sizeof header + sizeof id)
		return;
	memcpy(&header, buf, sizeof header);
	if (header.nlmsg_type != IPQM_PACKET)
		return;
	shared = k->shared;
	memcpy(&id, buf + sizeof header, sizeof id);
	if (shared->generation != 0) {
		if (shared->first == 0)
			__sync_bool_compare_and_swap(&shared->first, 0, (__u32)id);
		id = (__u32)id - shared->first + shared->start + GAP;
		memcpy(buf + sizeof header, &id, sizeof id);
	}
	shared->last = (__u32)id;
}

int libipq_id_for_handler(const struct ipq_handle *h, ipq_id_t *id)
{
	struct kept *k = find(h);
	volatile struct connections *shared;
	__u32 number = (__u32)*id;

	if (!k || k->shared->generation == 0 || *id != number)
		return 1;
	shared = k->shared;
	if ((__s32)(number - shared->start) < 0)
		return 0;
	if (shared->first != 0)
		*id = (__u32)(number - shared->start - GAP + shared->first);
	return 1;
}

/* Whether the other end of the descriptor is closed. */
static int ended(int fd)
{
	struct pollfd p;

	p.fd = fd;
	p.events = 0;
	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* Whether a number still is that of a handle's descriptor, and not of what a program put there. */
static int same_kind(int a, int b)
{
	int type[2];
	socklen_t length = sizeof type[0];

	return getsockopt(a, SOL_SOCKET, SO_TYPE, &type[0], &length) == 0 &&
	       getsockopt(b, SOL_SOCKET, SO_TYPE, &type[1], &length) == 0 && type[0] == type[1];
}

/* Gives a new socket what the program has set on the old one. */
static void carry_over(int from, int to)
{
	/* Sizes read back as twice what is set. The second may exceed what this process may set. */
	static const int sizes[][2] = { { SO_RCVBUFFORCE, SO_RCVBUF }, { SO_SNDBUFFORCE, SO_SNDBUF } };
	static const int others[] = { SO_RCVTIMEO, SO_SNDTIMEO, SO_PASSCRED };
	char value[64];
	socklen_t length;
	size_t i;

	fcntl(to, F_SETFL, fcntl(from, F_GETFL) & O_NONBLOCK);
	for (i = 0; i < sizeof others / sizeof others[0]; i++) {
		length = sizeof value;
		if (getsockopt(from, SOL_SOCKET, others[i], value, &length) == 0)
			setsockopt(to, SOL_SOCKET, others[i], value, length);
	}
	for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		int old = 0, new = 0;

		length = sizeof old;
		getsockopt(from, SOL_SOCKET, sizes[i][1], &old, &length);
		getsockopt(to, SOL_SOCKET, sizes[i][1], &new, &length);
		if (old == new)
			continue;
		old /= 2;
		if (setsockopt(to, SOL_SOCKET, sizes[i][0], &old, sizeof old) < 0)
			setsockopt(to, SOL_SOCKET, sizes[i][1], &old, sizeof old);
	}
}

/* Of the processes that share the handle one begins a generation; the others follow. */
static void next_generation(struct kept *k)
{
	volatile struct connections *shared = k->shared;
	__u32 mine = k->generation;

	/* Before shared->generation: a thread that sends must not take this process for one that follows. */
	k->generation = mine + 1;
	if (__sync_bool_compare_and_swap(&shared->generation, mine, mine + 1)) {
		shared->first = 0;
		shared->start = shared->last + GAP;
	} else {
		k->generation = shared->generation;
	}
}

static int connect_again(struct kept *k, const struct ipq_handle *h, int patience)
{
	int unbound, placed;
	int fd = libipq_open_socket(k->family, h->local.nl_pid, patience, &unbound);

	if (fd < 0)
		return 0;
	if (!same_kind(fd, h->fd)) {
		close(fd);
		return 0;
	}
	carry_over(h->fd, fd);
	next_generation(k);
	placed = dup3(fd, h->fd, fcntl(h->fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0);
	close(fd);
	if (placed < 0)
		return 0;
	if (unbound) /* now that no socket has the port; without it the messages say it */
		libipq_bind_socket(h->fd, &h->local);
	return 1;
}

/*
 * One thread connects, without signals: a handler may leave by longjmp. A
 * process that was forked meanwhile finds its parent's id there.
 */
static int connect_once(struct kept *k, const struct ipq_handle *h, int patience, int send_mode)
{
	sigset_t all, before;
	pid_t self = getpid(), other;
	int connected = 0;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	other = k->connecting;
	if (other != self && __sync_bool_compare_and_swap(&k->connecting, other, self)) {
		if (!ended(h->fd))
			connected = 1; /* by another thread */
		else if (connect_again(k, h, patience))
			connected = !send_mode || !k->shared->mode_set ||
				    libipq_send_mode(h, k->shared->mode, k->shared->range) > 0;
		k->connecting = 0;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return connected;
}

static long elapsed_ms(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long)(now.tv_sec - start->tv_sec) * 1000L + (now.tv_nsec - start->tv_nsec) / 1000000L;
}

static int next_pause(struct kept *k)
{
	int pause = k->pause ? k->pause : 1;

	k->pause = pause * 2 < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE;
	return pause;
}

int libipq_await_handler(const struct ipq_handle *h, int limit)
{
	struct kept *k = find(h);
	struct timespec start;
	int saved = errno, paused = 0;

	if (!k)
		return LIBIPQ_NOT_KEPT;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		int pause = next_pause(k), patience = LONG_PATIENCE;

		if (limit >= 0) {
			long left = limit - elapsed_ms(&start);

			if (paused && left <= 0)
				break;
			if (paused && left < pause)
				pause = (int)left;
			if (left < patience)
				patience = left < SHORT_PATIENCE ? SHORT_PATIENCE : (int)left;
		}
		if (poll(NULL, 0, pause) < 0)
			return LIBIPQ_INTERRUPTED;
		paused = 1;
		if (connect_once(k, h, patience, 1)) {
			errno = saved;
			return LIBIPQ_CONNECTED;
		}
	}
	errno = saved;
	return LIBIPQ_STILL_ENDED;
}

int libipq_follow(const struct ipq_handle *h)
{
	struct kept *k = find(h);
	int saved = errno, result;

	if (!k)
		return LIBIPQ_NOT_KEPT;
	if ((__s32)(k->shared->generation - k->generation) <= 0)
		return LIBIPQ_STILL_ENDED;
	/* Without the mode: packets are for the process that reads. */
	result = connect_once(k, h, SHORT_PATIENCE, 0) ? LIBIPQ_CONNECTED : LIBIPQ_NOT_KEPT;
	errno = saved;
	return result;
}
