// SPDX-License-Identifier: Apache-2.0
//
// The container's own bytes: tar headers, written and compared, never interpreted beyond a size.
#include "bundle/skeleton.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "bundle/delta.h"
#include "bundle/kind.h"
#include "bundle/limits.h"

// Fields of a ustar header that differ between members, and where they lie.
enum { NAME_AT = 0, SIZE_AT = 124, SIZE_BYTES = 12, CHECKSUM_AT = 148, CHECKSUM_BYTES = 8 };
#define OCTAL_SIZE_MAX 077777777777ULL // 11 digits: 8 GiB - 1

struct member {
    const char *name;
    uint64_t min, max, multiple;
};

static const struct member members[BUNDLE_SKELETON_MEMBERS] = {
    [BUNDLE_SKELETON_MANIFEST] = {"manifest.json", BUNDLE_MANIFEST_ALIGN, BUNDLE_MANIFEST_MAX_BYTES,
                                  BUNDLE_MANIFEST_ALIGN},
    [BUNDLE_SKELETON_INDEX] = {"index", BUNDLE_INDEX_PAGE_BYTES, BUNDLE_INDEX_MAX_BYTES,
                               BUNDLE_INDEX_PAGE_BYTES},
    [BUNDLE_SKELETON_DATA] = {"data", 0, BUNDLE_STREAM_MAX_BYTES, 1},
};

static const struct member delta_members[BUNDLE_SKELETON_DELTA_MEMBERS] = {
    [BUNDLE_SKELETON_DELTA_MANIFEST] = {"manifest.json", BUNDLE_MANIFEST_ALIGN,
                                        BUNDLE_MANIFEST_MAX_BYTES, BUNDLE_MANIFEST_ALIGN},
    [BUNDLE_SKELETON_DELTA_HEAD] = {"delta.json", BUNDLE_DELTA_HEAD_ALIGN,
                                    BUNDLE_DELTA_HEAD_MAX_BYTES, BUNDLE_DELTA_HEAD_ALIGN},
    [BUNDLE_SKELETON_DELTA_INDEX] = {"index", 0, BUNDLE_DELTA_FRAMES_MAX *BUNDLE_DELTA_ROW_BYTES,
                                     BUNDLE_DELTA_ROW_BYTES},
    [BUNDLE_SKELETON_DELTA_DATA] = {"data", 0, BUNDLE_STREAM_MAX_BYTES, 1},
};

uint64_t bundle_skeleton_padding(uint64_t size) {
    return (BUNDLE_SKELETON_BLOCK - size % BUNDLE_SKELETON_BLOCK) % BUNDLE_SKELETON_BLOCK;
}

static int lay_out(const struct member *of, size_t n, const uint64_t *size, uint64_t *ret_offset,
                   uint64_t *ret_total, struct err *e) {
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct member *m = &of[i];
        if (size[i] < m->min || size[i] > m->max || size[i] % m->multiple != 0)
            return err_set(e, &err_limit,
                           "member %s: its size is %llu bytes, the format allows %llu to %llu in "
                           "steps of %llu",
                           m->name, (unsigned long long)size[i], (unsigned long long)m->min,
                           (unsigned long long)m->max, (unsigned long long)m->multiple);
        at += BUNDLE_SKELETON_BLOCK;
        ret_offset[i] = at;
        at += size[i] + bundle_skeleton_padding(size[i]);
    }
    *ret_total = at + BUNDLE_SKELETON_TAIL_BYTES;
    return 0;
}

int bundle_skeleton_layout(const uint64_t size[static BUNDLE_SKELETON_MEMBERS],
                           struct bundle_skeleton *ret, struct err *e) {
    struct bundle_skeleton layout = {.total = 0};
    if (lay_out(members, BUNDLE_SKELETON_MEMBERS, size, layout.offset, &layout.total, e) < 0)
        return -1;
    memcpy(layout.size, size, sizeof layout.size);
    *ret = layout;
    return 0;
}

int bundle_skeleton_delta_layout(const uint64_t size[static BUNDLE_SKELETON_DELTA_MEMBERS],
                                 struct bundle_skeleton_delta *ret, struct err *e) {
    struct bundle_skeleton_delta layout = {.total = 0};
    if (lay_out(delta_members, BUNDLE_SKELETON_DELTA_MEMBERS, size, layout.offset, &layout.total,
                e) < 0)
        return -1;
    memcpy(layout.size, size, sizeof layout.size);
    *ret = layout;
    return 0;
}

static void put_size(uint64_t size, uint8_t field[static SIZE_BYTES]) {
    if (size <= OCTAL_SIZE_MAX) {
        char octal[SIZE_BYTES + 1];
        (void)snprintf(octal, sizeof octal, "%011llo", (unsigned long long)size);
        memcpy(field, octal, SIZE_BYTES);
        return;
    }
    // GNU's form: the top bit set, then a big-endian number.
    memset(field, 0, SIZE_BYTES);
    field[0] = 0x80;
    for (int i = 0; i < 8; i++)
        field[SIZE_BYTES - 1 - i] = (uint8_t)(size >> (8 * i));
}

static void put_header(const char *name, uint64_t size, uint8_t ret[static BUNDLE_SKELETON_BLOCK]) {
    memset(ret, 0, BUNDLE_SKELETON_BLOCK);
    memcpy(ret + NAME_AT, name, strlen(name));
    memcpy(ret + 100, "0000444", 8); // mode
    memcpy(ret + 108, "0000000", 8); // uid
    memcpy(ret + 116, "0000000", 8); // gid
    put_size(size, ret + SIZE_AT);
    memcpy(ret + 136, "00000000000", 12); // time
    memset(ret + CHECKSUM_AT, ' ', CHECKSUM_BYTES);
    ret[156] = '0';                      // a regular file
    memcpy(ret + 257, "ustar\00000", 8); // magic and version
    memcpy(ret + 329, "0000000", 8);     // device numbers
    memcpy(ret + 337, "0000000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < BUNDLE_SKELETON_BLOCK; i++)
        sum += ret[i];
    char checksum[CHECKSUM_BYTES];
    (void)snprintf(checksum, sizeof checksum, "%06o", sum & 0777777U);
    memcpy(ret + CHECKSUM_AT, checksum, 7); // six digits, NUL; the blank stays
}

void bundle_skeleton_header(const struct bundle_skeleton *s, enum bundle_skeleton_member member,
                            uint8_t ret[static BUNDLE_SKELETON_BLOCK]) {
    put_header(members[member].name, s->size[member], ret);
}

void bundle_skeleton_delta_header(const struct bundle_skeleton_delta *s,
                                  enum bundle_skeleton_delta_member member,
                                  uint8_t ret[static BUNDLE_SKELETON_BLOCK]) {
    put_header(delta_members[member].name, s->size[member], ret);
}

// The size a field claims. False when it is in neither form; whether it is written the one right
// way is left to the comparison.
static bool get_size(const uint8_t field[static SIZE_BYTES], uint64_t *ret) {
    uint64_t size = 0;
    if (field[0] == 0x80) {
        for (int i = SIZE_BYTES - 8; i < SIZE_BYTES; i++)
            size = size << 8 | field[i];
    } else {
        for (int i = 0; i < SIZE_BYTES - 1; i++) {
            if (field[i] < '0' || field[i] > '7')
                return false;
            size = size << 3 | (uint64_t)(field[i] - '0');
        }
    }
    *ret = size;
    return true;
}

static int check(const uint8_t block[static BUNDLE_SKELETON_BLOCK], const struct member *m,
                 uint64_t *ret_size, struct err *e) {
    uint64_t size = 0;
    uint8_t expected[BUNDLE_SKELETON_BLOCK];
    bool good = get_size(block + SIZE_AT, &size);
    if (good) {
        put_header(m->name, size, expected);
        good = memcmp(block, expected, sizeof expected) == 0;
    }
    if (!good)
        return err_set(e, &err_bad_skeleton,
                       "the header of member %s is not the one the format prescribes: this is not "
                       "a bundle, or it was damaged or repacked",
                       m->name);
    if (size < m->min || size > m->max || size % m->multiple != 0)
        return err_set(e, &err_bad_skeleton, "member %s claims %llu bytes, which is out of bounds",
                       m->name, (unsigned long long)size);
    *ret_size = size;
    return 0;
}

int bundle_skeleton_check(const uint8_t block[static BUNDLE_SKELETON_BLOCK],
                          enum bundle_skeleton_member member, uint64_t *ret_size, struct err *e) {
    return check(block, &members[member], ret_size, e);
}

int bundle_skeleton_delta_check(const uint8_t block[static BUNDLE_SKELETON_BLOCK],
                                enum bundle_skeleton_delta_member member, uint64_t *ret_size,
                                struct err *e) {
    return check(block, &delta_members[member], ret_size, e);
}
