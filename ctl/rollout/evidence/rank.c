// SPDX-License-Identifier: Apache-2.0
//
// Bets on the rank of a treated device.
#include "ctl/rollout/evidence/rank.h"

#include <assert.h>

#define SCORE_ERROR 1e-12
#define BROKEN      0.25 // share of devices that the last bet takes to be broken

static const double lehmann[EVIDENCE_RANK_BETS - 1] = {1.2, 1.5, 2, 3, 5};

void evidence_rank_bets(unsigned compared,
                        double ret[static EVIDENCE_RANK_BETS][EVIDENCE_RANK_COMPARED_MAX + 1]) {
    assert(compared >= EVIDENCE_RANK_COMPARED_MIN && compared <= EVIDENCE_RANK_COMPARED_MAX);
    double ranks = compared + 1;
    for (unsigned bet = 0; bet + 1 < EVIDENCE_RANK_BETS; bet++) {
        double weight = 1, sum = 1;
        ret[bet][0] = 1;
        for (unsigned i = 1; i <= compared; i++) {
            weight *= (i + lehmann[bet] - 1) / i;
            ret[bet][i] = weight;
            sum += weight;
        }
        for (unsigned i = 0; i <= compared; i++)
            ret[bet][i] *= ranks / sum;
    }
    for (unsigned i = 0; i <= compared; i++)
        ret[EVIDENCE_RANK_BETS - 1][i] = 1 - BROKEN + (i == compared ? BROKEN * ranks : 0);
}

static int64_t cut(int64_t change_nano) {
    if (change_nano > EVIDENCE_RANK_CHANGE_MAX)
        return EVIDENCE_RANK_CHANGE_MAX;
    return change_nano < -EVIDENCE_RANK_CHANGE_MAX ? -EVIDENCE_RANK_CHANGE_MAX : change_nano;
}

void evidence_rank_find(const struct evidence_rank_value *treated,
                        const struct evidence_rank_value *compared, size_t n, int64_t shift_nano,
                        struct evidence_rank_place *ret) {
    int64_t change = cut(treated->change_nano) - shift_nano; // 2e18 and 3e18 at most
    *ret = (struct evidence_rank_place){.compared = (unsigned)n};
    for (size_t i = 0; i < n; i++) {
        int64_t other = cut(compared[i].change_nano);
        bool both = treated->worst && compared[i].worst;
        bool none = !treated->worst && !compared[i].worst;
        if ((treated->worst && !compared[i].worst) || (none && other < change))
            ret->better++;
        else if (both || (none && other == change))
            ret->equal++;
    }
}

// The log of the bet's mean over the ranks shared, divided by `divisor`; mirrored counts ranks from
// the other end.
static int64_t score(const double *bet, const struct evidence_rank_place *place, bool mirrored,
                     double divisor) {
    double sum = 0;
    for (unsigned i = place->better; i <= place->better + place->equal; i++)
        sum += bet[mirrored ? place->compared - i : i];
    return evidence_num_down(evidence_num_ln(sum / (place->equal + 1.0) / divisor), SCORE_ERROR);
}

// Bets never fall with the rank: the first is the least, the last the largest.
static double divisor(const double *bet, unsigned compared, uint32_t baseline_ppm) {
    return 1 + baseline_ppm / 1e6 * (bet[compared] - bet[0]);
}

static void score_both(const struct evidence_rank_place *place, uint32_t baseline_ppm,
                       int64_t ret_worse[static EVIDENCE_RANK_BETS],
                       int64_t ret_better[static EVIDENCE_RANK_BETS]) {
    double bets[EVIDENCE_RANK_BETS][EVIDENCE_RANK_COMPARED_MAX + 1];
    assert(baseline_ppm < EVIDENCE_PPM && place->better + place->equal <= place->compared);
    evidence_rank_bets(place->compared, bets);
    for (unsigned i = 0; i < EVIDENCE_RANK_BETS; i++) {
        ret_worse[i] =
            score(bets[i], place, false, divisor(bets[i], place->compared, baseline_ppm));
        // A failed install only lowers what speaks for the release.
        ret_better[i] = score(bets[i], place, true, 1);
    }
}

void evidence_rank_score(const struct evidence_rank_place *place, uint32_t baseline_ppm,
                         int64_t ret[static EVIDENCE_RANK_BETS]) {
    int64_t unused[EVIDENCE_RANK_BETS];
    score_both(place, baseline_ppm, ret, unused);
}

struct decimal evidence_rank_shift(const struct evidence_rank_design *design, unsigned node) {
    const int64_t most = NUM_DECIMAL_MAX * NUM_DECIMAL_SCALE;
    int64_t low = design->tolerable.nano, high = design->intolerable.nano;
    assert(node < EVIDENCE_RANK_NODES && low >= -most && high <= most && high - low >= 4);
    int64_t step = (high - low) / 4;
    if (node < EVIDENCE_RANK_INTOLERABLE)
        return (struct decimal){low + ((int)node - EVIDENCE_RANK_TOLERABLE) * step};
    return (struct decimal){high + ((int)node - EVIDENCE_RANK_INTOLERABLE) * step};
}

void evidence_rank_add(struct evidence_rank *io, const struct evidence_rank_design *design,
                       const struct evidence_rank_value *treated,
                       const struct evidence_rank_value *compared, size_t n) {
    struct evidence_rank_place place = {.compared = 0}, before = {.compared = 0};
    int64_t worse[EVIDENCE_RANK_BETS], better[EVIDENCE_RANK_BETS];
    assert(n >= EVIDENCE_RANK_COMPARED_MIN && n <= EVIDENCE_RANK_COMPARED_MAX);
    for (unsigned node = 0; node < EVIDENCE_RANK_NODES; node++) {
        evidence_rank_find(treated, compared, n, evidence_rank_shift(design, node).nano, &place);
        if (node == 0 || place.better != before.better || place.equal != before.equal)
            score_both(&place, design->baseline_ppm, worse, better);
        for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++) {
            int64_t *most = &io->at_most[node][bet], *least = &io->at_least[node][bet];
            *most = evidence_num_product(*most, worse[bet]);
            *least = evidence_num_product(*least, better[bet]);
        }
        before = place;
    }
    io->sets++;
}

static int64_t mean(const int64_t bets[static EVIDENCE_RANK_BETS]) {
    return evidence_num_product(evidence_num_sum(bets, EVIDENCE_RANK_BETS),
                                evidence_num_share(EVIDENCE_RANK_BETS));
}

int64_t evidence_rank_worse(const struct evidence_rank *state, unsigned node) {
    assert(node < EVIDENCE_RANK_NODES);
    return mean(state->at_most[node]);
}

int64_t evidence_rank_better(const struct evidence_rank *state, unsigned node) {
    assert(node < EVIDENCE_RANK_NODES);
    return mean(state->at_least[node]);
}

void evidence_rank_terms(const struct evidence_rank *state, unsigned node,
                         int64_t ret[static EVIDENCE_RANK_BETS]) {
    assert(node < EVIDENCE_RANK_NODES);
    for (unsigned i = 0; i < EVIDENCE_RANK_BETS; i++)
        ret[i] =
            evidence_num_product(state->at_most[node][i], evidence_num_share(EVIDENCE_RANK_BETS));
}

void evidence_rank_bounds(const struct evidence_rank *state, int64_t level, int *ret_lower,
                          int *ret_upper) {
    int lower = -1, upper = EVIDENCE_RANK_NODES;
    while (lower + 1 < EVIDENCE_RANK_NODES &&
           evidence_rank_worse(state, (unsigned)lower + 1) >= level)
        lower++;
    while (upper > 0 && evidence_rank_better(state, (unsigned)upper - 1) >= level)
        upper--;
    *ret_lower = lower;
    *ret_upper = upper;
}
