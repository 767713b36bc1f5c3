// SPDX-License-Identifier: Apache-2.0
//
// What people signed for: how far a rollout may go. An envelope signed by role `mandate` (people, CI;
// never the controller), which travels with each offer by its digest. A device whose root has the
// role takes no install without one that allows it, and looks for itself: a controller that was
// taken over can hand out what lies within, and nothing else, to nobody else, and not sooner.
// Signed part:
//
//   {"_type":"mandate","attempt_max":N,"baseline":bool,"baseline_not_before":TIME,"expires":TIME,
//    "issued":TIME,
//    "newcomer_bounds":BOUNDS,
//    "release":{"bundles":[MANIFEST_ID,…],"name":NAME,"version":LINE},
//    "rollout":NAME or "","seed":"<64 hex>","selector":PREDICATE,"signed_stages":N,
//    "site":FACT,"spec_version":"1.0" (with `site` "2.0"),
//    "stages":[{"approve":true,"devices":[ID,…],"name":NAME,"not_before":TIME,
//               "steps":[{"before":SECONDS,"share":N},…]},…],
//    "strata":[{"bounds":BOUNDS,"key":TEXT},…],"stratify":[FACT,…],"version":N}
//
//   BOUNDS  16 hex digits for each stage, one after the other: the highest rank (rank.h) that it
//           admits, in the stratum of that name (stratum.h); newcomer_bounds are of all others
//
// A stage with `devices` admits those and no others, whatever their rank. `not_before` may be absent.
// `steps` say how a stage opens before it is open as a whole: so many seconds before not_before, a share
// (of 2^32) of the way from the bound of the stage before to its own. They are the fastest that the
// rollout's batches could be, so that who holds the controller cannot have all of a large stage at
// once. Who does not know of them waits until not_before. What is held back is the last stage.
// Of the stages the first signed_stages may be entered: a rollout that stops for approval gets a
// further mandate of a higher version for what comes behind. `rollout` is "" for a release that
// single devices are pinned to, which a stage lists. `baseline` (all stages signed, none of them a
// list of devices) says that once the last stage's time and baseline_not_before (which may be absent)
// have come the release may be brought to whatever device the selector holds for, outside of the
// rollout. What is installed is never more
// than the bundles named. Going back needs no mandate.
//
// Labels ("label.…") are what people at the controller say of a device, and a device does not know its
// own. In a selector it takes them for whatever would admit it; strata are of facts that it knows.
//
// With `site` ranks are of whole sites (unit.h), by the device's own value of that fact, which is no
// label. A device that does not know the member would fall back to ranks of ids, and so admit a share
// of the devices of each site: that is why such a mandate is of another major version, which it refuses.
//
// Unknown members are ignored. FORMAT.md §20 is the specification.
#pragma once

#include <stdbool.h>

#include "base/doc.h"
#include "bundle/limits.h"
#include "bundle/rank.h"
#include "bundle/stratum.h"
#include "keys/digest.h"
#include "keys/root.h"

#define BUNDLE_MANDATE_MAX_BYTES    (64 * 1024)
#define BUNDLE_MANDATE_BUNDLES_MAX  32
#define BUNDLE_MANDATE_STAGES_MAX   17 // of a policy, and what is held back
#define BUNDLE_MANDATE_STRATIFY_MAX 4
#define BUNDLE_MANDATE_DEVICES_MAX  64 // of a stage
#define BUNDLE_MANDATE_STEPS_MAX    16 // of a stage
#define BUNDLE_MANDATE_STEP_MAX_S   INT32_MAX
#define BUNDLE_MANDATE_WHOLE        (UINT64_C(1) << 32) // of share
#define BUNDLE_MANDATE_LABEL        "label."            // how the names of labels begin
#define BUNDLE_MANDATE_HELD_BACK    "hold-back" // what the stage of those held back is called

struct bundle_mandate_stage {
    char name[BUNDLE_NAME_MAX + 1];
    bool approve;          // for people: to be signed for by itself
    int64_t not_before_s;  // all of it is open; 0: at once
    const json_t *devices; // array of ids; NULL: by rank. Borrowed
    const json_t *steps;   // NULL: none. Borrowed
};

// How a stage opens: the n-th of its steps, from 0; one behind the last is all of it.
struct bundle_mandate_step {
    int64_t from_s;
    uint64_t share; // of BUNDLE_MANDATE_WHOLE
};
size_t bundle_mandate_steps(const struct bundle_mandate_stage *stage) __attribute__((nonnull));
struct bundle_mandate_step bundle_mandate_step(const struct bundle_mandate_stage *stage, size_t n)
    __attribute__((nonnull));

struct bundle_mandate_stratum {
    const char *key; // borrowed
    uint64_t bounds[BUNDLE_MANDATE_STAGES_MAX];
};

// All that a mandate says but for its strata. Pointers are borrowed: from the mandate that was read,
// or the caller's own when one is written.
struct bundle_mandate_content {
    struct keys_header header;
    char rollout[BUNDLE_NAME_MAX + 1];
    uint64_t attempt_max; // 1 or more
    char name[BUNDLE_NAME_MAX + 1];
    char release[BUNDLE_RELEASE_MAX + 1];
    size_t n_bundles; // 1 or more
    struct keys_digest bundles[BUNDLE_MANDATE_BUNDLES_MAX];
    char selector[BUNDLE_PREDICATE_MAX + 1]; // "": all
    uint8_t seed[BUNDLE_RANK_SEED_BYTES];
    size_t n_stratify;
    char stratify[BUNDLE_MANDATE_STRATIFY_MAX][BUNDLE_FACT_NAME_MAX + 1];
    char site[BUNDLE_FACT_NAME_MAX + 1]; // ranks are of sites, by this fact; "": of devices
    size_t n_stages;                     // 1 or more
    size_t signed_stages;                // 1 to n_stages
    struct bundle_mandate_stage stages[BUNDLE_MANDATE_STAGES_MAX];
    uint64_t newcomer_bounds[BUNDLE_MANDATE_STAGES_MAX];
    size_t n_strata; // 0 to BUNDLE_STRATA_MAX, each once
    bool baseline;
    int64_t baseline_not_before_s; // 0: with the last stage
};

struct bundle_mandate;            // its signatures held, and it was read; immutable
struct bundle_mandate_unverified; // read, and nothing in it may be believed

// Verifies raw bytes against the role and reads them; *ret is the caller's. Nothing in it is looked
// at before the signatures hold. Whether it has expired is for bundle_mandate_admits. Kinds: limit,
// those of the envelope, wrong_type, newer_format, bad_message, bad_predicate.
int bundle_mandate_verify(struct slice raw, const struct keys_role *role,
                          struct bundle_mandate **ret, struct err *e) __attribute__((nonnull));
void bundle_mandate_free(struct bundle_mandate *mandate);
static inline void own_drop_mandate(struct bundle_mandate **mandate) {
    bundle_mandate_free(*mandate);
    *mandate = NULL;
}
// The head of a mandate's signed part, of the version that it has to be (keys_envelope_header_of).
int bundle_mandate_header(const struct doc_at *signed_part, struct keys_header *ret, struct err *e)
    __attribute__((nonnull));
// Borrowed until free.
const struct bundle_mandate_content *bundle_mandate_content(const struct bundle_mandate *mandate)
    __attribute__((nonnull));
// The n-th stratum, n below n_strata. Its key is borrowed.
void bundle_mandate_stratum(const struct bundle_mandate *mandate, size_t n,
                            struct bundle_mandate_stratum *ret) __attribute__((nonnull));

// The same of an envelope that may lack signatures: to be shown to whoever is to sign it. *ret is the
// caller's.
int bundle_mandate_peek(struct slice raw, struct bundle_mandate_unverified **ret, struct err *e)
    __attribute__((nonnull));
void bundle_mandate_peek_free(struct bundle_mandate_unverified *mandate);
static inline void own_drop_mandate_unverified(struct bundle_mandate_unverified **mandate) {
    bundle_mandate_peek_free(*mandate);
    *mandate = NULL;
}
const struct bundle_mandate_content *
bundle_mandate_peek_content(const struct bundle_mandate_unverified *mandate)
    __attribute__((nonnull));
// As bundle_mandate_stratum.
void bundle_mandate_peek_stratum(const struct bundle_mandate_unverified *mandate, size_t n,
                                 struct bundle_mandate_stratum *ret) __attribute__((nonnull));

// What an offer asks of a mandate.
struct bundle_facts;
struct bundle_mandate_ask {
    const char *device;
    const struct bundle_facts *facts; // the device's own; with its labels where they are known
    bool knows_labels;
    const char *rollout; // of the instruction
    uint64_t attempt, stage;
    const struct keys_digest *bundle; // manifest id
    int64_t trusted_s;                // signed time
    // The clock on the wall, 0 none. One that is behind the mandate's own date is wrong, and does not
    // count; else not_before has to be reached by both: whoever holds online keys can make signed
    // time run ahead.
    int64_t wall_s;
};
// Whether it allows this install. Looked at in this order: expiry (mandate_expired); rollout,
// attempt, stage, bundle, selector (outside_mandate); stratum and rank (rank_beyond; outside_mandate
// for a stage that lists devices); the time of the step that the rank is open in (too_early). Kinds
// beside these: memory, limit.
int bundle_mandate_admits(const struct bundle_mandate *mandate,
                          const struct bundle_mandate_ask *ask, struct err *e)
    __attribute__((nonnull));

// Appends the canonical signed part; strata has content->n_strata elements. What could not be read is
// not written. Kinds: bad_message, bad_predicate, limit, memory.
int bundle_mandate_format(const struct bundle_mandate_content *content,
                          const struct bundle_mandate_stratum *strata, struct buf *ret,
                          struct err *e) __attribute__((nonnull(1, 3, 4)));
