// SPDX-License-Identifier: Apache-2.0
//
// Gates: thresholds on shares.
#include "ctl/rollout/gate.h"

#include <inttypes.h>

#include "base/num.h"

static bool above(uint64_t part, uint64_t whole, uint32_t ppm) {
    return (unsigned __int128)part * ROLLOUT_PPM > (unsigned __int128)whole * ppm;
}

static const char *percent(uint32_t ppm, char ret[static NUM_DECIMAL_TEXT]) {
    return num_format_decimal((struct decimal){(int64_t)ppm * (NUM_DECIMAL_SCALE / 10000)}, ret);
}

static enum rollout_gate_verdict judge_threshold(const struct rollout_gate_bounds *bounds,
                                                 const struct rollout_tally *strata,
                                                 size_t n_strata, struct rollout_why *why) {
    struct rollout_tally all = {0};
    char text[NUM_DECIMAL_TEXT];
    for (size_t i = 0; i < n_strata; i++)
        rollout_tally_add(&all, &strata[i]);
    uint64_t good = rollout_tally_good(&all), bad = rollout_tally_bad(&all), known = good + bad;
    uint64_t moot = rollout_tally_moot(&all);
    uint64_t expected = all.planned > moot ? all.planned - moot : 0;
    uint64_t offered = known + rollout_tally_unresolved(&all);
    expected = expected < offered ? offered : expected;
    uint64_t sample = bounds->min_sample < expected ? bounds->min_sample : expected;

    if (bad > 0 && ((known >= sample && above(bad, known, bounds->failure_ppm)) ||
                    above(bad, expected, bounds->failure_ppm))) {
        rollout_why_set(why, ROLLOUT_WHY_rollout_failed,
                        "%" PRIu64 " of %" PRIu64
                        " devices with an outcome did not commit (%" PRIu64 " refused, %" PRIu64
                        " reverted, %" PRIu64 " lost); at most %s %% may",
                        bad, known, all.now[ROLLOUT_TASK_FAILED], all.now[ROLLOUT_TASK_REVERTED],
                        all.now[ROLLOUT_TASK_LOST], percent(bounds->failure_ppm, text));
        return ROLLOUT_VERDICT_FAIL;
    }
    // Even if all that are still expected commit.
    if (bad > 0 && above(bad, expected, ROLLOUT_PPM - bounds->success_ppm)) {
        rollout_why_set(why, ROLLOUT_WHY_below_success,
                        "%" PRIu64 " of %" PRIu64 " devices did not commit (%" PRIu64
                        " refused, %" PRIu64 " reverted, %" PRIu64
                        " lost); the gate wants %s %% to, which cannot be "
                        "reached any more",
                        bad, expected, all.now[ROLLOUT_TASK_FAILED], all.now[ROLLOUT_TASK_REVERTED],
                        all.now[ROLLOUT_TASK_LOST], percent(bounds->success_ppm, text));
        return ROLLOUT_VERDICT_FAIL;
    }
    if (known < sample) {
        rollout_why_set(why, ROLLOUT_WHY_small_sample,
                        "%" PRIu64 " devices have an outcome; the gate wants %" PRIu64, known,
                        sample);
        return ROLLOUT_VERDICT_WAIT;
    }
    if ((unsigned __int128)good * ROLLOUT_PPM < (unsigned __int128)known * bounds->success_ppm) {
        rollout_why_set(why, ROLLOUT_WHY_below_success,
                        "%" PRIu64 " of %" PRIu64
                        " devices with an outcome committed; the gate wants %s %%",
                        good, known, percent(bounds->success_ppm, text));
        return ROLLOUT_VERDICT_WAIT;
    }
    return ROLLOUT_VERDICT_PASS;
}

const struct rollout_gate_ops rollout_gate_threshold = {.name = "threshold",
                                                        .judge = judge_threshold};
