// SPDX-License-Identifier: Apache-2.0
//
// Where a bundle's bytes come from: a file, a stick, a web server. Read by position; a reader that goes forward without gaps costs one
// request, a jump costs another. A broken connection is the source's to mend (Range from where it broke); what it delivers is
// verified by the reader, always.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct unpack_source {
    // Reads exactly len bytes at offset, or fails. truncated when the bundle ends before.
    int (*read)(void *context, uint64_t offset, void *data, size_t len, struct err *e);
    // Total bytes, or UINT64_MAX when the source cannot say.
    uint64_t (*size)(void *context);
    // What will be read next lies in the len bytes at offset, and nearly all of them will be, forward: a source that is far away asks for just
    // these. Advice, good until the next: any other place can be read as ever. May be NULL.
    void (*expect)(void *context, uint64_t offset, uint64_t len);
    // Whether a step back costs all bytes from the beginning again, as far as is known by now. May be NULL: it does not.
    bool (*forward_only)(void *context);
    void *context;
};

static inline void unpack_source_expect(const struct unpack_source *source, uint64_t offset, uint64_t len) {
    if (source->expect)
        source->expect(source->context, offset, len);
}

static inline bool unpack_source_is_forward_only(const struct unpack_source *source) {
    return source->forward_only && source->forward_only(source->context);
}

// A source over an open file. The descriptor and the struct stay the caller's. Kind usage when it is
// no ordinary file: a device or a pipe cannot be read at any place, as often as needed.
struct unpack_source_file {
    int fd;
    uint64_t size;
};
int unpack_source_from_file(int fd, struct unpack_source_file *ret_state, struct unpack_source *ret, struct err *e)
    __attribute__((nonnull));
