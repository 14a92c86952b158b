/* SPDX-License-Identifier: MIT */
/* What the programs have in common: they speak in lines to the test that runs them. */
#ifndef SAY_H
#define SAY_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

#define CHECK(ok) check((ok) != 0, __LINE__, #ok)

static void check(int ok, int line, const char *what)
{
	int saved = errno;

	if (ok)
		return;
	say("line %d: not so: %s (errno %d, %s)", line, what, saved, ipq_errstr());
	exit(1);
}

#endif
