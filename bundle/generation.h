// SPDX-License-Identifier: Apache-2.0
//
// A generation on a device's disk: a complete set of components, numbered, immutable.
//
//   <state dir>/generations/<n>/<component>/…        world-readable: files 0444 or 0555, directories 0755, all times fixed
//   <state dir>/generations/<n>/<component>/image     of an image: a link to the slot it lies in (bundle/image.h), and nothing beside it
//   <state dir>/generations/<n>/.edge/generation.json   the record below
//   <state dir>/generations/<n>/.edge/<component>.tree  the tree of each files component
//   <state dir>/generations/<n>/.edge/<component>.manifest  the envelope of the manifest it came from, unpadded
//   <state dir>/generations/<n>.partial/…            being built; garbage after a crash until re-hashed
//   <state dir>/current -> generations/<n>           replaced by rename
//   <state dir>/private/                             0700, the agent's own
//
// Component names cannot begin with '.', so .edge never collides. Generation 0 may be empty. The record, canonical JSON:
//   {"_type":"generation","components":{NAME:{"digest":TREE,"manifest":ID,"name":RELEASE_NAME,"release":"1.1","security_version":N}},
//    "format":1,"number":N}
// A component that is an image has its own digest and "size":N,"slot":0|1 beside that; a record with one has format 2, which agents from before
// images refuse (newer_format), every other one format 1.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bundle/image.h"
#include "bundle/manifest.h"

#define BUNDLE_GENERATION_RECORD_MAX_BYTES (32 * 1024)
#define BUNDLE_GENERATION_TIME_S 1 // modification time of everything in a generation

struct bundle_generation_component {
    char name[BUNDLE_NAME_MAX + 1];
    char bundle_name[BUNDLE_NAME_MAX + 1]; // the release's name
    char release[BUNDLE_RELEASE_MAX + 1];
    struct keys_digest manifest; // bundle_manifest_id it came from
    struct keys_digest digest;   // of its tree, or of the image
    enum bundle_component_type type;
    uint64_t size; // of an image
    unsigned slot; // of an image: which of its two slots it is in
    uint64_t security_version;
};

struct bundle_generation {
    uint64_t number;
    size_t n_components; // sorted by name
    struct bundle_generation_component components[BUNDLE_COMPONENTS_MAX];
};

int bundle_generation_parse(struct slice text, struct bundle_generation *ret, struct err *e) __attribute__((nonnull));
int bundle_generation_format(const struct bundle_generation *g, struct buf *ret, struct err *e) __attribute__((nonnull));
// Reads generations/<n>/.edge/generation.json below the generation's directory. Kind bad_generation.
int bundle_generation_read(int generation_dir, struct bundle_generation *ret, struct err *e) __attribute__((nonnull));
// What a generation becomes when a bundle is installed over it: the bundle's components replace or join the old ones. An image goes into the slot
// that `before` does not use; the same image as before stays where it is. Pure. Kind limit.
int bundle_generation_after(const struct bundle_generation *before, const struct bundle_manifest *manifest,
                            uint64_t number, struct bundle_generation *ret, struct err *e) __attribute__((nonnull));
// Moves each image of the manifest that would stay where it is into its other slot as well: what is there is damaged.
void bundle_generation_leave_slots(struct bundle_generation *after, const struct bundle_generation *before,
                                   const struct bundle_manifest *manifest) __attribute__((nonnull));
// Whether a component of `after` is an image that is still to be written, `before` being there.
bool bundle_generation_moves(const struct bundle_generation *before, const struct bundle_generation_component *after)
    __attribute__((nonnull));
const struct bundle_generation_component *bundle_generation_component(const struct bundle_generation *g,
                                                                      const char *name) __attribute__((nonnull));
