// SPDX-License-Identifier: Apache-2.0
//
// The log-rank likelihood of each hazard ratio on a grid.
#include "ctl/rollout/evidence/events.h"

#include <assert.h>
#include <stdbool.h>

#define LN_STEP     (0x1.62e42fefa39efp-1 / 4) // a quarter octave
#define UNIT_SLACK  2                          // units that rounding one score down may take
#define SCORE_ERROR 1e-12

double evidence_events_ratio(unsigned node) {
    static const double quarters[] = {1, 0x1.306fe0a31b715p+0, 0x1.6a09e667f3bcdp+0,
                                      0x1.ae89f995ad3adp+0};
    assert(node < EVIDENCE_EVENTS_NODES);
    unsigned octaves = node / 4;
    double ratio = quarters[node % 4] / 8;
    for (; octaves > 0; octaves--)
        ratio *= 2;
    return ratio;
}

unsigned evidence_events_tolerable(uint64_t ratio_ppm) {
    unsigned node = 0;
    while (node + 1 < EVIDENCE_EVENTS_NODES &&
           evidence_events_ratio(node) * 1e6 < (double)ratio_ppm)
        node++;
    return node;
}

unsigned evidence_events_intolerable(uint64_t ratio_ppm) {
    unsigned node = EVIDENCE_EVENTS_NODES - 1;
    while (node > 0 && evidence_events_ratio(node) * 1e6 > (double)ratio_ppm)
        node--;
    return node;
}

void evidence_events_score(const struct evidence_risk *before, int is_treated,
                           int64_t ret[static EVIDENCE_EVENTS_NODES]) {
    double a = (double)before->comparison, b = (double)before->treated;
    assert((is_treated ? before->treated : before->comparison) > 0);
    for (unsigned i = 0; i < EVIDENCE_EVENTS_NODES; i++) {
        double against = evidence_num_ln((a + b) / (a + evidence_events_ratio(i) * b));
        double own = is_treated ? LN_STEP * ((int)i - EVIDENCE_EVENTS_EQUAL) : 0;
        // One arm alone says nothing, and neither does the ratio that is compared with.
        ret[i] = a > 0 && b > 0 && i != EVIDENCE_EVENTS_EQUAL
                     ? evidence_num_down(own + against, SCORE_ERROR)
                     : 0;
    }
}

static void add_run(int64_t logs[static EVIDENCE_EVENTS_NODES], struct evidence_risk *at_risk,
                    int is_treated, uint64_t n) {
    int64_t score[EVIDENCE_EVENTS_NODES];
    uint64_t *own = is_treated ? &at_risk->treated : &at_risk->comparison;
    for (; n > 0 && at_risk->comparison > 0 && at_risk->treated > 0; n--) {
        evidence_events_score(at_risk, is_treated, score);
        for (unsigned i = 0; i < EVIDENCE_EVENTS_NODES; i++)
            logs[i] = evidence_num_product(logs[i], score[i]);
        *own -= 1;
    }
    *own -= n; // with one arm left the rest says nothing
}

void evidence_events_add(struct evidence_events *io, struct evidence_risk *stratum,
                         uint64_t comparison, uint64_t treated) {
    struct evidence_risk first = *stratum, second = *stratum;
    assert(comparison <= stratum->comparison && treated <= stratum->treated);
    add_run(io->at_most, &first, 0, comparison);
    add_run(io->at_most, &first, 1, treated);
    add_run(io->at_least, &second, 1, treated);
    add_run(io->at_least, &second, 0, comparison);
    *stratum = first;
    io->scored += comparison + treated;
}

// The likelihoods of nodes [first, end) against that of a node, which was rounded down as well,
// with equal weights; EVIDENCE_LOG_ZERO elsewhere.
static void compare(const struct evidence_events *state, const int64_t *logs, unsigned first,
                    unsigned end, unsigned node, int64_t ret[static EVIDENCE_EVENTS_NODES]) {
    uint64_t slack = node == EVIDENCE_EVENTS_EQUAL ? 0 : UNIT_SLACK * state->scored;
    bool known = logs[node] > EVIDENCE_LOG_ZERO && slack < (uint64_t)EVIDENCE_NAT && first < end;
    int64_t less = known ? evidence_num_share(end - first) - logs[node] - (int64_t)slack : 0;
    for (unsigned i = 0; i < EVIDENCE_EVENTS_NODES; i++)
        ret[i] = known && i >= first && i < end ? evidence_num_product(logs[i], less)
                                                : EVIDENCE_LOG_ZERO;
}

void evidence_events_terms(const struct evidence_events *state, unsigned node,
                           int64_t ret[static EVIDENCE_EVENTS_NODES]) {
    assert(node < EVIDENCE_EVENTS_NODES);
    compare(state, state->at_most, node + 1, EVIDENCE_EVENTS_NODES, node, ret);
}

int64_t evidence_events_worse(const struct evidence_events *state, unsigned node) {
    int64_t terms[EVIDENCE_EVENTS_NODES];
    evidence_events_terms(state, node, terms);
    return evidence_num_sum(terms, EVIDENCE_EVENTS_NODES);
}

int64_t evidence_events_better(const struct evidence_events *state, unsigned node) {
    int64_t terms[EVIDENCE_EVENTS_NODES];
    assert(node < EVIDENCE_EVENTS_NODES);
    compare(state, state->at_least, 0, node, node, terms);
    return evidence_num_sum(terms, EVIDENCE_EVENTS_NODES);
}

void evidence_events_bounds(const struct evidence_events *state, int64_t level, int *ret_lower,
                            int *ret_upper) {
    int lower = -1, upper = EVIDENCE_EVENTS_NODES;
    while (lower + 1 < EVIDENCE_EVENTS_NODES &&
           evidence_events_worse(state, (unsigned)lower + 1) >= level)
        lower++;
    while (upper > 0 && evidence_events_better(state, (unsigned)upper - 1) >= level)
        upper--;
    *ret_lower = lower;
    *ret_upper = upper;
}
