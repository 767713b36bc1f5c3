// SPDX-License-Identifier: Apache-2.0
//
// A directory, or a single file, as the tree of a component. What a bundle of files cannot carry is refused with its path
// (unsupported_member): setuid, setgid and sticky bits, devices, fifos, sockets; with strip_special bits are dropped and such members left
// out, both counted. Owners and permissions beyond "executable" are not looked at: a generation has its own.
#pragma once

#include "bundle/pack/content.h"

struct pack_component;

// *ret must be zeroed but for dir -1; pack_content_clear_tree is due also on failure.
int pack_walk_path(const struct pack_component *component, struct pack_tree *ret, struct err *e)
    __attribute__((nonnull));
// Judges one member's type and mode: 0 carried, PACK_WALK_SKIP left out (strip_special), < 0 refused.
enum { PACK_WALK_SKIP = 1 };
int pack_walk_judge(const struct pack_component *component, const char *path, unsigned mode, struct pack_tree *tree,
                    struct err *e) __attribute__((nonnull));
