// SPDX-License-Identifier: Apache-2.0
//
// What the tests of unpacking share: an honest little bundle, and ways to take one in.
#pragma once

#include "bundle/unpack/stage.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

#define HOSTILE_DECODE_MAX (4ULL << 20)
#define HOSTILE_FILES      3

// Contents of the honest bundle's files d/one, run, two.
extern const struct slice hostile_contents[HOSTILE_FILES];
// Its tree.
void hostile_tree(struct buf *ret);
// The honest bundle, or what `edit` makes of it.
void hostile_bundle(void (*edit)(struct forge *f), struct buf *ret);

// Opens, verifies against key 0 and checks. 0 or -1.
int hostile_check(struct slice bytes, struct err *e);
// Opens and verifies. 0 or -1.
int hostile_open(const struct unpack_source *source, struct unpack_bundle **ret, struct err *e);
// Opens, verifies and stages into a new directory. 0 or -1.
int hostile_stage(struct slice bytes, struct unpack_stage_result *ret, struct err *e);

// Ways to lie: checking and staging must refuse what is made, by the same kind unless stage_kind says
// another one. `clean` is called behind each.
struct hostile_lie {
    const char *name;
    void (*edit)(struct forge *f);
    const struct err_kind *kind;
    const struct err_kind *stage_kind; // NULL: the same
};
void hostile_refuse(const struct hostile_lie *lies, size_t n, void (*clean)(void));
// Both must take it.
void hostile_take(void (*edit)(struct forge *f));
