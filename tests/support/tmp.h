// SPDX-License-Identifier: Apache-2.0
//
// A directory for one test, removed with everything in it when it goes out of scope or, after a
// failed assertion, when the test's process ends.
#pragma once

#include "base/own.h"

#define TMP_PATH_BYTES 256

struct tmp_dir {
    int fd;
    char path[TMP_PATH_BYTES]; // absolute
};

// Below $TMPDIR or /tmp. Ends the process when it cannot be made: nothing can be tested then.
struct tmp_dir tmp_dir_make(void);
// From here on in this process they are made in memory, where there is room for that: for tests
// that make thousands of durable writes whose durability is not what they look at.
void tmp_dir_in_memory(void);
void tmp_dir_remove(struct tmp_dir *dir) __attribute__((nonnull));
#define own_drop_tmp_dir tmp_dir_remove
