/* SPDX-License-Identifier: MIT */
/*
 * What outlives the connection of a handle to its queue handler: the mode, and
 * which ids the program has seen.
 */
#include "kept.h"

#include <string.h>
#include <sys/mman.h>

/*
 * A service numbers its packets from 1. So that an answer to a packet of an
 * earlier connection is not one to another packet of this, ids that the program
 * sees go on where the earlier ones ended: id = number - first + start + GAP.
 * The gap before and after start is for threads that read at the same time.
 */
#define GAP 256

static struct kept table[16];

#define TABLE_END (table + sizeof table / sizeof table[0])

struct kept *libipq_find(const struct ipq_handle *h)
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
	struct kept *k = libipq_find(h);

	if (k) {
		void *shared = (void *)k->shared;

		k->handle = NULL; /* from here on another thread may keep a handle there */
		munmap(shared, sizeof *k->shared);
	}
}

void libipq_keep_mode(const struct ipq_handle *h, __u8 mode, size_t range)
{
	struct kept *k = libipq_find(h);

	if (!k || mode > IPQ_COPY_MAX)
		return; /* the queue handler refuses it, and keeps the one before */
	k->shared->mode = mode;
	k->shared->range = range;
	k->shared->mode_set = 1;
}

void libipq_received(const struct ipq_handle *h, unsigned char *buf, size_t n)
{
	struct kept *k = libipq_find(h);
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
	struct kept *k = libipq_find(h);
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

/* Of the processes that share the handle one begins a generation; the others follow. */
void libipq_next_generation(struct kept *k)
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
