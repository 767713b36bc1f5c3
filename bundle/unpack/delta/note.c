// SPDX-License-Identifier: Apache-2.0
//
// Notes of images.
#include "bundle/unpack/delta/note.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/limits.h"

#define NAME_BYTES (BUNDLE_NAME_MAX + 8)

struct text {
    struct keys_digest digest;
    uint64_t bytes; // of this machine: no other reads it
};

static void name_of(const struct delta_note *note, char ret[static NAME_BYTES]) {
    (void)snprintf(ret, NAME_BYTES, "%s" DELTA_NOTE_SUFFIX, note->component);
}

int delta_note_read(const struct delta_note *note, uint64_t *ret_bytes, struct err *e) {
    char name[NAME_BYTES];
    struct text text;
    uint64_t size = 0;
    size_t got = 0;
    OWN(fd) int fd = -1;
    name_of(note, name);
    *ret_bytes = 0;
    if (fs_open_read(note->edge, name, &fd, e) < 0) {
        if (!err_is(e, &err_not_found))
            return -1;
        err_clear(e);
        return 0;
    }
    if (fs_size(fd, &size, e) < 0 || fs_pread(fd, &text, sizeof text, 0, &got, e) < 0)
        return -1;
    if (size == sizeof text && got == sizeof text && keys_digest_equal(&text.digest, note->digest))
        *ret_bytes = text.bytes;
    return 0;
}

int delta_note_write(const struct delta_note *note, int slot, uint64_t bytes, struct err *e) {
    char name[NAME_BYTES];
    struct text text;
    name_of(note, name);
    memset(&text, 0, sizeof text);
    text.digest = *note->digest;
    text.bytes = bytes;
    return fs_sync_data(slot, e) < 0 ? -1
                                     : fs_replace(note->edge, name, &text, sizeof text, 0600, e);
}

int delta_note_remove(const struct delta_note *note, struct err *e) {
    char name[NAME_BYTES];
    name_of(note, name);
    return fs_remove(note->edge, name, e);
}
