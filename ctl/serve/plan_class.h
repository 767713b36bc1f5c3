// SPDX-License-Identifier: Apache-2.0
//
// Kinds of device, as far as one rollout can tell them apart. A policy's selector and strata, the
// token's scope and what the bundles of a release require name a few facts; devices that agree in
// these are one class, which is judged once. So a fleet of a million with a few hundred classes
// costs a million look-ups, in which the stored text of the facts is read where it lies.
//
// Facts are compared as they are stored: the same value in another spelling is another class, with
// the same judgement. Above SERVE_PLAN_CLASS_MAX classes (a selector on serial numbers) devices are
// judged one by one, which is slower and no less right.
#pragma once

#include "ctl/rollout/plan.h"
#include "ctl/serve/engine.h"
#include "ctl/store/census.h"

#define SERVE_PLAN_CLASS_MAX 65536

// What is judged, and for whom. Borrowed.
struct serve_plan_class_for {
    const struct serve_engine *engine;
    const struct rollout_policy *policy;
    const struct bundle_predicate *selector, *scope; // scope NULL: the whole fleet
    const char *scope_text;
};

// The judgement of a class.
struct serve_plan_class {
    bool in_scope;  // of whoever asks
    bool selected;  // and of the selector
    size_t stratum; // selected: of the strata found so far
    size_t variant; // selected: of the variants; the number of them: none fits
    bool shams;     // its agent knows how (a policy with sham)
    char reason[BUNDLE_PREDICATE_REASON_BYTES]; // why none does
};

struct serve_plan_classes;

int serve_plan_class_open(const struct serve_plan_class_for *of, struct serve_plan_classes **ret,
                          struct err *e) __attribute__((nonnull));
void serve_plan_class_close(struct serve_plan_classes *classes);
static inline void own_drop_plan_classes(struct serve_plan_classes **classes) {
    serve_plan_class_close(*classes);
    *classes = NULL;
}

// The class of a device. *ret is borrowed until the next call. Kinds: config (more strata than there
// may be), memory.
int serve_plan_class_find(struct serve_plan_classes *classes, const struct store_census_row *row,
                          const struct serve_plan_class **ret, struct err *e)
    __attribute__((nonnull));

// The strata found so far, in the order in which they were found. Borrowed until close.
size_t serve_plan_class_strata(const struct serve_plan_classes *classes,
                               const char *const **ret_keys) __attribute__((nonnull));
// The bundles of the release, without devices. Borrowed until close.
size_t serve_plan_class_variants(const struct serve_plan_classes *classes,
                                 const struct rollout_plan_variant **ret) __attribute__((nonnull));
// Whether the device says that all of the variant's components come from it.
bool serve_plan_class_runs(const struct serve_plan_classes *classes, size_t variant,
                           const struct store_census_row *row) __attribute__((nonnull));
