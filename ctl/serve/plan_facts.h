// SPDX-License-Identifier: Apache-2.0
//
// The facts that matter, out of the stored text of a device's facts and labels, without building a
// document of them. The texts are the controller's own: flat objects in compact JSON, as it wrote
// them after it had read them strictly; in what looks otherwise nothing is found, and the text of
// the whole stands for the device.
#pragma once

#include "bundle/limits.h"
#include "ctl/store/census.h"

#define SERVE_PLAN_FACTS_MAX 64

struct serve_plan_facts {
    size_t n;
    char names[SERVE_PLAN_FACTS_MAX][BUNDLE_FACT_NAME_MAX + 1];
};

// Adds the names in a predicate (or the one name that text is). Words of the language are taken for
// names, too, which does no harm. False when there are too many.
bool serve_plan_facts_name(struct serve_plan_facts *facts, const char *text)
    __attribute__((nonnull));
// Appends the values of the named facts, in their order.
int serve_plan_facts_project(const struct serve_plan_facts *facts,
                             const struct store_census_row *row, struct buf *ret, struct err *e)
    __attribute__((nonnull));
// The value of one fact that is text: 0, or STORE_ABSENT when it has none or another kind of value. facts
// names it alone. Kind bad_store.
int serve_plan_facts_text(const struct serve_plan_facts *facts, const struct store_census_row *row,
                          char ret[static BUNDLE_FACT_VALUE_MAX + 1], struct err *e)
    __attribute__((nonnull));
