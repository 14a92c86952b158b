/* SPDX-License-Identifier: MIT */
/* Programs include <libipq.h>; the sources of some include <libipq/libipq.h>. */
#include <libipq/libipq.h>
