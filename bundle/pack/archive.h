// SPDX-License-Identifier: Apache-2.0
//
// An archive that libarchive reads, as the tree of a component. Contents go to a spool file (members come in the archive's order and are
// needed in the tree's). A leading "./" is dropped, directories that are missing are added, hard links become equal files. Refused
// (unsupported_member) besides what pack/walk.h refuses: extended attributes, ACLs, and owners that are not all the same (a tree with
// several owners means something that a generation cannot keep); strip_special drops these.
#pragma once

#include "bundle/pack/content.h"

struct pack_component;

// spool: an empty file, consumed. Otherwise as pack_walk_path.
int pack_archive_read(const struct pack_component *component, int *spool, struct pack_tree *ret, struct err *e)
    __attribute__((nonnull));
