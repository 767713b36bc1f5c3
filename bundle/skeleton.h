// SPDX-License-Identifier: Apache-2.0
//
// The container: an uncompressed tar (ustar; GNU base-256 size where octal does not reach) of exactly three members, in this order:
// manifest.json, index, data. Mode 0444, owner 0/0, no names of owners, time 0. Every byte that is not a member's own is a function
// of the three sizes, so the reader writes the skeleton it expects and compares; nothing is parsed from it but the sizes.
// After the data: zero padding to 512, then two zero blocks, then the end. FORMAT.md §2 has the bytes.
#pragma once

#include <stdint.h>

#include "base/err.h"

#define BUNDLE_SKELETON_BLOCK 512
#define BUNDLE_SKELETON_TAIL_BYTES 1024

enum bundle_skeleton_member {
    BUNDLE_SKELETON_MANIFEST,
    BUNDLE_SKELETON_INDEX,
    BUNDLE_SKELETON_DATA,
    BUNDLE_SKELETON_MEMBERS
};

// Where the bytes of each member lie.
struct bundle_skeleton {
    uint64_t offset[BUNDLE_SKELETON_MEMBERS]; // of the member's first byte in the file
    uint64_t size[BUNDLE_SKELETON_MEMBERS];
    uint64_t total; // bytes of the whole file
};

// Kind limit when a size is above its ceiling (bundle/limits.h).
int bundle_skeleton_layout(const uint64_t size[static BUNDLE_SKELETON_MEMBERS], struct bundle_skeleton *ret,
                           struct err *e) __attribute__((nonnull));
// The 512 bytes of a member's header.
void bundle_skeleton_header(const struct bundle_skeleton *s, enum bundle_skeleton_member member,
                            uint8_t ret[static BUNDLE_SKELETON_BLOCK]) __attribute__((nonnull));
// Reads the size out of a header and compares every byte of it with what that size prescribes. Kind bad_skeleton.
int bundle_skeleton_check(const uint8_t block[static BUNDLE_SKELETON_BLOCK], enum bundle_skeleton_member member,
                          uint64_t *ret_size, struct err *e) __attribute__((nonnull));

// A delta's container (bundle/delta.h): the same, of four members. A member whose size is no multiple of 512 is followed by
// zeros here too, which a reader compares.
enum bundle_skeleton_delta_member {
    BUNDLE_SKELETON_DELTA_MANIFEST,
    BUNDLE_SKELETON_DELTA_HEAD,
    BUNDLE_SKELETON_DELTA_INDEX,
    BUNDLE_SKELETON_DELTA_DATA,
    BUNDLE_SKELETON_DELTA_MEMBERS
};

struct bundle_skeleton_delta {
    uint64_t offset[BUNDLE_SKELETON_DELTA_MEMBERS];
    uint64_t size[BUNDLE_SKELETON_DELTA_MEMBERS];
    uint64_t total;
};

// As their namesakes above.
int bundle_skeleton_delta_layout(const uint64_t size[static BUNDLE_SKELETON_DELTA_MEMBERS],
                                 struct bundle_skeleton_delta *ret, struct err *e) __attribute__((nonnull));
void bundle_skeleton_delta_header(const struct bundle_skeleton_delta *s, enum bundle_skeleton_delta_member member,
                                  uint8_t ret[static BUNDLE_SKELETON_BLOCK]) __attribute__((nonnull));
int bundle_skeleton_delta_check(const uint8_t block[static BUNDLE_SKELETON_BLOCK],
                                enum bundle_skeleton_delta_member member, uint64_t *ret_size, struct err *e)
    __attribute__((nonnull));
// Bytes of zeros behind a member of this size.
uint64_t bundle_skeleton_padding(uint64_t size);
