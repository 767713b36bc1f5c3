// SPDX-License-Identifier: Apache-2.0
//
// Many gates, one promise: when a rollout stops, when a gate passes, and what a resumed rollout
// promises.
//
// Promise. Each gate has one e-process for the whole rollout (all stages), a weight fixed before it
// begins, and the weights sum to 1. Where the promise of each gate holds (events.h, rank.h,
// install.h), the probability that evidence_combine ever says stop is at most alpha, however many
// gates there are, however often one looks and however the gates depend on one another.
//
// Formula. The gates of one time line are added with their weights and compared with the level:
//
//     stop when for some time line the sum of weight × e reaches 1/alpha.
//
// A time line is what a gate's e-process is a supermartingale along: events are scored at the
// instants at which the controller learns of them, metrics set by set at their horizons, installs
// in activation order. Weighted sums of supermartingales along one time line are one, starting at
// the sum W of its weights, and Ville's inequality bounds the chance that it reaches 1/alpha by W
// alpha; over the time lines these add up to alpha.
//
// Why not one sum over all of them. Along different time lines a sum need not be a supermartingale
// along either: when a treated device crashed, the metrics' next score is known to be bad before it
// is given, so one can stop by what the other does not know yet. Choe and Ramdas, "Combining
// evidence across filtrations", 2024 (arXiv:2402.09698), show that nothing short of a logarithmic
// discount repairs this; adding probabilities instead costs at most a factor of the number of time
// lines (3), and nothing when one gate alone has seen the effect. The sum over all is returned for
// people (total) and is what decides when all gates have one time line.
//
// Mean of e-processes: Vovk and Wang, "E-values: calibration, combination and applications", Ann.
// Statist. 49(3), 2021; Ville 1939.
//
// Passing. A gate fails (enum evidence_verdict) when its own share of the promise is used up:
// weight × e against "at most the tolerable" reaches 1/alpha. It passes when e against "at least
// the intolerable" reaches 1/alpha_pass. Both are the statements "the lower confidence bound
// exceeds the tolerable" and "the upper one is below the intolerable"; else it is inconclusive, and
// whoever goes on does so without evidence. A rollout passes when all its gates do: that it does
// although one gate's effect is intolerable has probability at most alpha_pass, with no correction
// for their number.
//
// Resuming after a stop begins new e-processes, from data that comes afterwards, with an alpha of
// its own (struct evidence_spend). What is promised of the rollout as a whole is then the sum,
// which is what has to be said to the person who resumes.
#pragma once

#include <stdbool.h>

#include "ctl/rollout/evidence/num.h"

#define EVIDENCE_COMBINE_GATES_MAX         64
#define EVIDENCE_COMBINE_ALPHA_DEFAULT_PPM 25000  // to stop a harmless release
#define EVIDENCE_COMBINE_PASS_DEFAULT_PPM  50000  // to pass a harmful one
#define EVIDENCE_COMBINE_SPEND_MAX_PPM     500000 // a promise above one half is none

enum evidence_line {
    EVIDENCE_LINE_EVENTS,  // as the controller learns of them
    EVIDENCE_LINE_METRICS, // sets at their horizons
    EVIDENCE_LINE_INSTALL, // activation order
    EVIDENCE_LINES
};

// A gate as it enters the sum.
struct evidence_gate {
    enum evidence_line line;
    uint32_t weight_ppm;
    int64_t worse; // ln e against "at most the tolerable effect"
};

struct evidence_sum {
    bool stop;
    size_t gate;                  // that says most, by weight; of the line that says most
    int64_t level;                // what a line has to reach
    int64_t line[EVIDENCE_LINES]; // ln of each line's weighted sum
    int64_t total;                // ln of the sum over all
};

// Adds n gates (1 … EVIDENCE_COMBINE_GATES_MAX) whose weights sum to EVIDENCE_PPM.
void evidence_combine(const struct evidence_gate *gates, size_t n, uint32_t alpha_ppm,
                      struct evidence_sum *ret) __attribute__((nonnull));
// Equal weights for n gates that sum to EVIDENCE_PPM: the first ones get what does not divide.
void evidence_combine_share(size_t n, uint32_t *ret_weights_ppm) __attribute__((nonnull));

enum evidence_verdict {
    EVIDENCE_VERDICT_INCONCLUSIVE,
    EVIDENCE_VERDICT_PASS,
    EVIDENCE_VERDICT_FAIL
};
// What a gate says by itself: worse and better are ln e against "at most the tolerable" and "at
// least the intolerable effect". Failing comes first.
enum evidence_verdict evidence_combine_judge(const struct evidence_gate *gate, int64_t better,
                                             uint32_t alpha_ppm, uint32_t alpha_pass_ppm)
    __attribute__((nonnull));

// What was promised so far. All zero: nothing.
struct evidence_spend {
    uint32_t runs;      // begun: the first, and one for each time it was resumed after a stop
    uint32_t alpha_ppm; // of the current one
    uint32_t total_ppm; // of all: the probability that any of them stops for no reason
};
// Begins a run. EVIDENCE_COMBINE_SPENT, and nothing changes, when the total would exceed
// EVIDENCE_COMBINE_SPEND_MAX_PPM.
enum { EVIDENCE_COMBINE_SPENT = 1 };
int evidence_combine_begin(struct evidence_spend *io, uint32_t alpha_ppm) __attribute__((nonnull));
