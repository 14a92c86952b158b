/* SPDX-License-Identifier: MIT */
/* What the parts of the check have in common. */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <libipq.h>

#include <string.h>

extern int failures;

void expect(int ok, const char *file, int line, const char *what);
#define EXPECT(x) expect((x), __FILE__, __LINE__, #x)
#define EXPECT_ERROR(s) expect(strcmp(ipq_errstr(), s) == 0, __FILE__, __LINE__, "error is " s)

/* Ends the check when ok is false: it cannot go on. */
void require(int ok, const char *what);

/* Something an ipq call may not have left alone. */
#define UNTOUCHED 77

/* A pair whose second end has an address of length bytes, the port among them. */
void make_pair(int fds[2], size_t length, __u32 port);

/* Handles, from a service that the check is itself. */
void creating(void);

#endif
