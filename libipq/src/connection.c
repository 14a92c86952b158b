/* SPDX-License-Identifier: MIT */
/*
 * Connecting again when the queue handler has ended. The kernel's could not, so
 * programs take what it cannot report for the end of all, or try again without a
 * pause. A handle keeps its descriptor's number, and gets a new connection there.
 */
#include "kept.h"

#include <poll.h>
#include <signal.h>
#include <time.h>

#define LONGEST_PAUSE 100 /* milliseconds */

/* How long a service that is there may keep a read from its limit, and signals from the program. */
#define SHORT_PATIENCE 100 /* milliseconds */
#define LONG_PATIENCE 1000

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
	libipq_next_generation(k);
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

int libipq_await_handler(const struct ipq_handle *h, int *limit)
{
	struct kept *k = libipq_find(h);
	struct timespec start;
	int paused = 0, result = LIBIPQ_STILL_ENDED;
	long left = *limit;

	if (!k)
		return LIBIPQ_NOT_KEPT;
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (*limit < 0 || left > 0 || !paused) {
		int pause = next_pause(k), patience = LONG_PATIENCE;

		if (*limit >= 0) {
			if (paused && left < pause)
				pause = (int)left;
			if (left < patience)
				patience = left < SHORT_PATIENCE ? SHORT_PATIENCE : (int)left;
		}
		if (poll(NULL, 0, pause) < 0)
			return LIBIPQ_INTERRUPTED;
		paused = 1;
		if (connect_once(k, h, patience, 1)) {
			result = LIBIPQ_CONNECTED;
			break;
		}
		if (*limit >= 0)
			left = *limit - elapsed_ms(&start);
	}
	if (*limit >= 0) {
		left = *limit - elapsed_ms(&start);
		*limit = left > 0 ? (int)left : 0;
	}
	return result;
}

int libipq_follow(const struct ipq_handle *h)
{
	struct kept *k = libipq_find(h);
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
