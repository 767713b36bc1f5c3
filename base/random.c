// SPDX-License-Identifier: Apache-2.0
//
// getrandom, called until it has given everything.

#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_fill(void *ret, size_t len) {
    uint8_t *at = ret;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno != EINTR)
            abort();
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

uint64_t random_below(uint64_t bound) {
    if (bound == 0)
        return 0;
    // The topmost incomplete multiple of bound would favour small results.
    uint64_t excess = (UINT64_MAX % bound + 1) % bound;
    uint64_t value;
    do {
        random_fill(&value, sizeof value);
    } while (value > UINT64_MAX - excess);
    return value % bound;
}
