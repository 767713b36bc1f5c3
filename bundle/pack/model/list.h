// SPDX-License-Identifier: Apache-2.0
//
// Regions as a parser comes across them, in any order, and what makes them fit to be given on:
// inside the content, sorted, none overlapping the one before, none too small. Also the bounded
// little-endian reads that the parsers of hostile files are made of.
#pragma once

#include <stdbool.h>

#include "bundle/pack/model/find.h"

struct model_list {
    struct slice content;
    struct model_region *regions; // owned
    size_t n, capacity;
};

void model_list_init(struct model_list *l, struct slice content) __attribute__((nonnull));
void model_list_clear(struct model_list *l) __attribute__((nonnull));
#define own_drop_model_list model_list_clear

// Notes an array. What does not lie inside the content, is too small, or is one too many is left
// out without a word; a byte or more that make no whole element are cut off. region->name is not
// looked at: the name is given as it stands in the file. Kind memory.
int model_list_add(struct model_list *l, const struct model_region *region, struct slice name,
                   struct err *e) __attribute__((nonnull));
// Sorts, drops what overlaps, and gives the rest to `each`. Kinds: those of each.
int model_list_give(struct model_list *l, model_find_fn *each, void *context, struct err *e)
    __attribute__((nonnull));

// Little-endian numbers at an offset; false when they do not lie inside.
bool model_list_u16(struct slice s, uint64_t offset, uint16_t *ret) __attribute__((nonnull));
bool model_list_u32(struct slice s, uint64_t offset, uint32_t *ret) __attribute__((nonnull));
bool model_list_u64(struct slice s, uint64_t offset, uint64_t *ret) __attribute__((nonnull));
