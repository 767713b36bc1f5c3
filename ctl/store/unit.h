// SPDX-License-Identifier: Apache-2.0
//
// Units: what each event and each set added to a gate, kept as the few integers from which it is
// computed again. Asked when a gate has failed (what does the verdict rest on?), and by tests that
// hold the lines of ctl/store/score.h to a recount. Forgotten with the rollout's cohort.
#pragma once

#include "ctl/rollout/evidence/rank.h"
#include "ctl/rollout/unit.h"
#include "ctl/store/db.h"

struct store_unit {
    uint64_t unit;                        // from 1, in the order of scoring
    uint64_t tie;                         // unit of the first event of the same instant
    char device[ROLLOUT_UNIT_ID_MAX + 1]; // or site, that had the event; of a set the treated one
    // Events: at risk before the tie, comparison and treated; whether the device was treated.
    // Sets: compared, better, equal (evidence_rank_find without a shift).
    uint64_t a, b, c;
    // Sets: the values, the treated one's first. n_values is 0 for events.
    size_t n_values;
    struct evidence_rank_value values[EVIDENCE_RANK_COMPARED_MAX + 1];
};

// Adds it as the gate's next one: unit is set; tie, when 0, is the unit itself.
int store_unit_add(struct store_db *db, const char *rollout, uint64_t run, int gate,
                   struct store_unit *io, struct err *e) __attribute__((nonnull));
// In order; visit < 0 fails, > 0 ends early.
int store_unit_list(struct store_db *db, const char *rollout, uint64_t run, int gate,
                    int (*visit)(void *context, const struct store_unit *unit, struct err *e),
                    void *context, struct err *e) __attribute__((nonnull(1, 2, 5, 7)));
// Forgets up to max units of a rollout; *ret how many.
int store_unit_forget(struct store_db *db, const char *rollout, uint64_t max, uint64_t *ret,
                      struct err *e) __attribute__((nonnull));
