// SPDX-License-Identifier: Apache-2.0
//
// The signed description of a bundle. Its life is its type: raw bytes → `bundle_manifest_candidate` (taken apart, believed in nothing)
// → bundle_manifest_verify → `bundle_manifest` (immutable, signed by the threshold of role `bundle`, now or when it was kept). Functions that act on contents take the
// last, so unverified content does not compile. What names a bundle everywhere (offers, reports, targets) is
// bundle_manifest_id: the BLAKE2b-256 of the canonical signed part, which added signatures do not change.
//
// Signed part (FORMAT.md §3):
//   {"_type":"bundle","components":[…],"expires":…,"floors":{COMPONENT:N},"issued":…,"name":"vibration","packing":{…},
//    "probation":{"duration_s":N,"restarts_max":N},"probes":[…],"release":"1.1","requires":"arch == \"x86_64\"","spec_version":"1.0",
//    "variant":"","version":N}
//   component, files: {"entries":N,"executable":bool,"model":{…},"name":…,"security_version":N,"stream_bytes":N,
//                      "tree":{"digest":…,"size":N},"type":"files"}
//   component, image: {"content":{"blocks":…,"digest":…,"size":N},"name":…,"security_version":N,"type":"image"}
//   packing: {"data_bytes":N,"frame_bytes":N,"index":{"digest":…,"head_bytes":N,"size":N}}
// `floors`, `model`, `probation`, `probes`, `requires` and `variant` may be absent; unknown members are refused in `components`,
// `packing` and `probes` (they would be instructions not understood) and ignored elsewhere.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bundle/limits.h"
#include "bundle/predicate.h"
#include "bundle/probe.h"
#include "keys/digest.h"
#include "keys/root.h"

enum bundle_component_type { BUNDLE_COMPONENT_FILES, BUNDLE_COMPONENT_IMAGE };

struct bundle_component {
    char name[BUNDLE_NAME_MAX + 1];
    enum bundle_component_type type;
    uint64_t security_version;
    bool executable;             // files: at least one entry has exec set
    uint64_t entries;            // files: lines of the tree
    struct keys_digest digest;   // files: of the tree; image: of the content
    bool has_blocks;             // image: `blocks` is said. Not by builders from before it
    struct keys_digest blocks;   // image: of its content by blocks (keys/blocks.h)
    uint64_t size;               // bytes of the tree or of the image
    uint64_t stream_bytes;       // files: sum of the sizes of its regular files; image: size
    const json_t *model;         // borrowed facts about the model, or NULL
};

struct bundle_packing {
    uint64_t data_bytes;  // of the data member
    uint64_t frame_bytes; // largest frame, stored or decoded: what decoding needs, twice
    uint64_t index_bytes;
    uint64_t index_head_bytes;
    struct keys_digest index_digest; // of the index's head
};

struct bundle_probation {
    uint64_t duration_s;   // default 600
    uint64_t restarts_max; // default 3
};

struct bundle_manifest; // verified; opaque so that nothing else can make one

// What a manifest says. Borrowed from it.
struct bundle_manifest_view {
    struct keys_header header;
    const char *name;
    const char *release;
    const char *variant;  // "" when there is one for all
    const char *requires; // "" when it fits every device
    size_t n_components;
    const struct bundle_component *components;
    struct bundle_packing packing;
    struct bundle_probation probation;
    size_t n_probes;
    const struct bundle_probe *probes;
    const json_t *floors; // object COMPONENT → integer, or NULL
};

// Verifies the raw bytes of manifest.json (the envelope and its padding) and reads them. *ret is the caller's. Kinds: keys' envelope kinds,
// bad_manifest, limit. Expiry is not checked here: see keys_envelope_check_expiry.
int bundle_manifest_verify(struct slice raw, const struct keys_role *role, struct bundle_manifest **ret, struct err *e)
    __attribute__((nonnull));
// The same by all that a root says of bundles: the role `bundle`, else one of its delegations bundle/NAME whose threshold holds and which
// allows every component (an image counts as executable: nobody knows what is in it). Also kind delegation: signed by enough keys of a
// delegation, but of something that it may not sign.
int bundle_manifest_verify_root(struct slice raw, const struct keys_root *root, struct bundle_manifest **ret, struct err *e)
    __attribute__((nonnull));
// The same by the id of a manifest that was verified before, by a caller who kept that id where nobody else writes: keys play no part. It is
// enough, because the id is the digest of the whole signed part: no other content has it, so what was admitted is what is read, whoever may
// sign today. Never for an id that came with the manifest or from the network. Kind digest_mismatch.
int bundle_manifest_verify_id(struct slice raw, const struct keys_digest *id, struct bundle_manifest **ret, struct err *e)
    __attribute__((nonnull));
// Whether another envelope about the same contents (a delta's head) is signed by those who may sign this manifest. Nothing in it is
// read. `what` names it in errors. Kinds: as bundle_manifest_verify_root.
struct keys_envelope_candidate;
int bundle_manifest_verify_beside(const struct bundle_manifest *manifest, const struct keys_envelope_candidate *candidate,
                                  const char *what, const struct keys_root *root, struct err *e) __attribute__((nonnull));
void bundle_manifest_free(struct bundle_manifest *manifest);
static inline void own_drop_manifest(struct bundle_manifest **manifest)
{
    bundle_manifest_free(*manifest);
    *manifest = NULL;
}

const struct bundle_manifest_view *bundle_manifest_view(const struct bundle_manifest *manifest)
    __attribute__((nonnull));
const struct keys_digest *bundle_manifest_id(const struct bundle_manifest *manifest) __attribute__((nonnull));
// The envelope as it was verified, without padding; for keeping beside a generation. Borrowed.
struct slice bundle_manifest_raw(const struct bundle_manifest *manifest) __attribute__((nonnull));
// All contents together, trees included: the stream of bundle/index.h. At most BUNDLE_STREAM_MAX_BYTES.
uint64_t bundle_manifest_stream_bytes(const struct bundle_manifest_view *view) __attribute__((nonnull));
// NULL when there is none by that name.
const struct bundle_component *bundle_manifest_component(const struct bundle_manifest *manifest, const char *name)
    __attribute__((nonnull));

// For people and tools (inspect, the builder) alone: reads and checks the form of a signed part whose signatures nobody verified. The
// other type keeps it from everything that acts.
struct bundle_manifest_unverified;
int bundle_manifest_peek(struct slice raw, struct bundle_manifest_unverified **ret, struct err *e) __attribute__((nonnull));
const struct bundle_manifest_view *bundle_manifest_peek_view(const struct bundle_manifest_unverified *m)
    __attribute__((nonnull));
const struct keys_digest *bundle_manifest_peek_id(const struct bundle_manifest_unverified *m) __attribute__((nonnull));
const json_t *bundle_manifest_peek_json(const struct bundle_manifest_unverified *m) __attribute__((nonnull));
void bundle_manifest_peek_free(struct bundle_manifest_unverified *m);

// Checks the form of a signed part that a builder made (the same code that reading runs). Kind bad_manifest.
int bundle_manifest_check(struct slice signed_part, struct err *e) __attribute__((nonnull));

// Whether the bundle may go onto a device: what it requires, and each component's security version against the floors (object COMPONENT
// → integer, or NULL). Kinds requirement_unmet (with the predicate's reason), below_floor.
struct bundle_facts;
int bundle_manifest_admits(const struct bundle_manifest_view *view, const struct bundle_facts *facts,
                           const json_t *floors, struct err *e) __attribute__((nonnull(1, 2, 4)));
