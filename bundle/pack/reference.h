// SPDX-License-Identifier: Apache-2.0
//
// What the holder of a bundle finds in what it has: the rule by which a device plans (bundle/unpack), so that a builder who is given the bundles
// that devices run can put what they will need into frames of their own.
//
// A holder finds a whole file of a component when its bundle has one at the same path with the same digest and mode; an image with the same
// digest. Of everything else it finds the chunks (bundle/chunker.h) that occur in its trees, in its images, and in its files that are not found whole.
// What is *held* is what every holder finds, whichever of the references it has.
#pragma once

#include "bundle/manifest.h"
#include "bundle/pack/content.h"
#include "bundle/unpack/open.h"

// A bundle, verified, and where its bytes are. Both are the caller's.
struct pack_reference_from {
    const struct unpack_bundle *bundle;
    const struct unpack_source *source;
};

struct pack_reference;
#define PACK_REFERENCES_MAX 32

// What the new bundle has, measured: one tree for each component (an image is one file), sorted.
struct pack_reference_new {
    size_t n;
    const struct bundle_component *components;
    struct pack_tree *trees;
};

// Reads the references whole into temporary files in `dir` (one at a time; room for the contents of the largest), verifies them and notes in the contents
// of `with` who holds them whole. *ret is the caller's. Kinds: limit, bad_content, bad_tree, no_space, memory, those of reading bundles.
int pack_reference_open(const struct pack_reference_from *from, size_t n, const char *dir,
                        const struct pack_reference_new *with, struct pack_reference **ret,
                        struct err *e) __attribute__((nonnull));
void pack_reference_close(struct pack_reference *reference);
// Whether every holder finds this chunk of a content that was given to pack_reference_open.
bool pack_reference_has(const struct pack_reference *reference, const struct pack_content *content,
                        const struct pack_piece *piece) __attribute__((nonnull));
