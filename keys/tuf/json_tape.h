// SPDX-License-Identifier: Apache-2.0
//
// Inside keys/tuf/json*.c only: the tape. Values in the order of the text; a container knows where
// its last descendant ends, so that its children are found by stepping over whole values; a member
// carries its name.
#pragma once

#include <assert.h>

#include "keys/tuf/json.h"

struct tuf_json_value {
    uint32_t type;
    uint32_t key; // where in the text its name begins; of an element, and the root, an empty string
    union {
        int64_t integer;
        struct {
            uint32_t start, len;
        } string;
        struct {
            uint32_t count; // children
            uint32_t end;   // index behind the last descendant
        } container;
    };
};
static_assert(sizeof(struct tuf_json_value) == 16, "what json.h promises of the tape");

// The name of the value at an index; "" when it has none. Borrowed.
static inline const char *tuf_json_tape_key(const struct tuf_json *json, uint32_t index) {
    return json->text + json->tape[index].key;
}

// The indexes of a container's children into `order`, which has room for them, and how many they
// are: those of an object by name in byte order, those of an array as they stand.
uint32_t tuf_json_tape_children(struct tuf_json_at container, uint32_t *order);
