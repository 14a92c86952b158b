/* SPDX-License-Identifier: MIT */
/* What is kept of a handle, for kept.c and connection.c. */
#ifndef LIBIPQ_KEPT_H
#define LIBIPQ_KEPT_H

#include "internal.h"

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

/* NULL for a handle that is not kept. */
LIBIPQ_HIDDEN struct kept *libipq_find(const struct ipq_handle *h);

/* Has ids go on, for a new connection of this process. */
LIBIPQ_HIDDEN void libipq_next_generation(struct kept *k);

#endif
