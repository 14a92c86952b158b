/* SPDX-License-Identifier: MIT */
/* Loads the module that is its argument, after it has cleaned its environment, and runs it. */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	void *module;
	union {
		void *symbol;
		int (*function)(void);
	} run;

	if (argc < 2 || !(module = dlopen(argv[1], RTLD_NOW))) {
		puts(argc < 2 ? "no module" : dlerror());
		return 1;
	}
	run.symbol = dlsym(module, "let_two_pass");
	clearenv();
	return run.symbol ? run.function() : 1;
}
