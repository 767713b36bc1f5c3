// SPDX-License-Identifier: Apache-2.0
//
// How far an image is that is made from a delta, durably: a slot has its size from the beginning, so
// nothing else could tell. What a note says was written and synced before it; the next try goes on
// there. It stands in .edge/<component>.done, the digest of the image and a number of bytes; one of
// another image, or one that is damaged, is none.
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "keys/digest.h"

// How its name ends, behind that of the component.
#define DELTA_NOTE_SUFFIX ".done"

// So much can a power cut cost.
#define DELTA_NOTE_STEP_BYTES (64ULL * 1024 * 1024)

struct delta_note {
    int edge; // the caller's
    const char *component;
    const struct keys_digest *digest;
};

// *ret_bytes is 0 when there is no note.
int delta_note_read(const struct delta_note *note, uint64_t *ret_bytes, struct err *e)
    __attribute__((nonnull));
// Syncs the slot, then makes the note durable.
int delta_note_write(const struct delta_note *note, int slot, uint64_t bytes, struct err *e)
    __attribute__((nonnull));
int delta_note_remove(const struct delta_note *note, struct err *e) __attribute__((nonnull));
