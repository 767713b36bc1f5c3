// SPDX-License-Identifier: Apache-2.0
//
// Power by recursion over the walk that a gate stops.
#include "ctl/rollout/evidence/power.h"

#include <assert.h>
#include <stdbool.h>

#include "ctl/rollout/evidence/events.h"
#include "ctl/rollout/evidence/install.h"
#include "ctl/rollout/evidence/rank.h"

#define STEPS            EVIDENCE_POWER_STEPS_MAX
#define LATTICE_PER_NAT  32
#define STEP_BELOW       (12 * LATTICE_PER_NAT) // a score lies within -12 … 4 nats
#define STEP_SPAN        (16 * LATTICE_PER_NAT)
#define LATTICE_BELOW    (16 * LATTICE_PER_NAT)
#define LATTICE_POINTS   (48 * LATTICE_PER_NAT)
#define RATIO_MAX_PPM    1000000000U
#define SHIFT_MAX_MILLIS 5000U

static uint64_t steps_of(uint64_t n) {
    return n > STEPS ? STEPS : n;
}

// ── Binomial walks ──

// At which number of steps up the gate stops, for each number of steps. It never falls.
struct bounds {
    uint64_t n;
    uint32_t at[STEPS + 1]; // above the index: out of reach
};

struct gate {
    bool (*reached)(const struct gate *gate, uint64_t n, uint64_t up);
    int64_t level;
    uint32_t baseline_ppm;
    unsigned node;
    int64_t compared[EVIDENCE_EVENTS_NODES], treated[EVIDENCE_EVENTS_NODES]; // one event's scores
};

static void find_bounds(const struct gate *gate, uint64_t n, struct bounds *ret) {
    uint32_t bound = 0;
    ret->n = gate->level > EVIDENCE_POWER_LEVEL_MAX ? 0 : steps_of(n);
    for (uint64_t i = 1; i <= ret->n; i++) {
        while (bound <= i && !gate->reached(gate, i, bound))
            bound++;
        ret->at[i] = bound;
    }
}

// The probability that a walk with this chance of a step up meets its bound; *ret_steps: after how
// many steps the probability is at least `enough`, bounds->n + 1 when it never is.
static double follow_until(const struct bounds *bounds, double chance, double enough,
                           uint64_t *ret_steps) {
    double left[STEPS + 2] = {1}, stopped = 0; // left: what has not stopped, by steps up
    uint64_t top = 0;
    *ret_steps = bounds->n + 1;
    for (uint64_t i = 1; i <= bounds->n; i++) {
        top = top < i ? top + 1 : i;
        for (uint64_t up = top; up > 0; up--)
            left[up] = left[up] * (1 - chance) + left[up - 1] * chance;
        left[0] *= 1 - chance;
        for (; top >= bounds->at[i]; top--) {
            stopped += left[top];
            left[top] = 0;
            if (top == 0)
                break;
        }
        if (stopped >= enough && *ret_steps > i)
            *ret_steps = i;
    }
    return stopped;
}

static double follow(const struct bounds *bounds, double chance) {
    uint64_t steps = 0;
    return follow_until(bounds, chance, 1, &steps);
}

// The least value in (low, high] at which seen() holds, which it does from some value on.
static uint32_t least(uint32_t low, uint32_t high, const void *context,
                      bool (*seen)(const void *context, uint32_t value)) {
    if (low >= high || !seen(context, high))
        return EVIDENCE_POWER_NOTHING;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (seen(context, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

struct search {
    struct bounds bounds;
    uint32_t treated_ppm;
    uint32_t power_ppm;
};

// ── Installs ──

static bool install_reached(const struct gate *gate, uint64_t n, uint64_t up) {
    struct evidence_install state = {.scored = n, .failed = up};
    return evidence_install_worse(&state, NULL, gate->baseline_ppm) >= gate->level;
}

static void install_bounds(uint32_t baseline_ppm, uint64_t n, int64_t level, struct bounds *ret) {
    struct gate gate = {.reached = install_reached, .level = level, .baseline_ppm = baseline_ppm};
    find_bounds(&gate, n, ret);
}

double evidence_power_install(uint32_t baseline_ppm, uint32_t true_ppm, uint64_t n, int64_t level) {
    struct bounds bounds;
    assert(true_ppm <= EVIDENCE_PPM);
    install_bounds(baseline_ppm, n, level, &bounds);
    return follow(&bounds, true_ppm / 1e6);
}

uint64_t evidence_power_exposure(uint32_t baseline_ppm, uint32_t true_ppm, uint64_t n,
                                 int64_t level, uint32_t probability_ppm) {
    struct bounds bounds;
    uint64_t steps = 0;
    assert(true_ppm <= EVIDENCE_PPM && probability_ppm > 0);
    install_bounds(baseline_ppm, n, level, &bounds);
    (void)follow_until(&bounds, true_ppm / 1e6, probability_ppm / 1e6, &steps);
    return steps;
}

static bool install_seen(const void *context, uint32_t value) {
    const struct search *search = context;
    return follow(&search->bounds, value / 1e6) * 1e6 >= search->power_ppm;
}

uint32_t evidence_power_least_install(uint32_t baseline_ppm, uint64_t n, int64_t level,
                                      uint32_t power_ppm) {
    struct search search = {.power_ppm = power_ppm};
    install_bounds(baseline_ppm, n, level, &search.bounds);
    return least(baseline_ppm, EVIDENCE_PPM, &search, install_seen);
}

// ── Events ──

static bool events_reached(const struct gate *gate, uint64_t n, uint64_t up) {
    struct evidence_events state = {.scored = n};
    for (unsigned i = 0; i < EVIDENCE_EVENTS_NODES; i++)
        state.at_most[i] = (int64_t)up * gate->treated[i] + (int64_t)(n - up) * gate->compared[i];
    return evidence_events_worse(&state, gate->node) >= gate->level;
}

// Here a step up is an event of the comparison.
static bool events_passed(const struct gate *gate, uint64_t n, uint64_t up) {
    struct evidence_events state = {.scored = n};
    for (unsigned i = 0; i < EVIDENCE_EVENTS_NODES; i++)
        state.at_least[i] = (int64_t)(n - up) * gate->treated[i] + (int64_t)up * gate->compared[i];
    return evidence_events_better(&state, gate->node) >= gate->level;
}

static void events_bounds(uint32_t treated_ppm, struct gate *gate, uint64_t n, struct bounds *ret) {
    struct evidence_risk risk = {.comparison = EVIDENCE_PPM - treated_ppm, .treated = treated_ppm};
    assert(treated_ppm > 0 && treated_ppm < EVIDENCE_PPM);
    evidence_events_score(&risk, 0, gate->compared);
    evidence_events_score(&risk, 1, gate->treated);
    find_bounds(gate, n, ret);
}

static double treated_chance(uint32_t treated_ppm, double ratio) {
    double share = treated_ppm / 1e6;
    return ratio * share / (1 - share + ratio * share);
}

double evidence_power_events(uint32_t treated_ppm, unsigned node, double ratio, uint64_t n,
                             int64_t level) {
    struct gate gate = {.reached = events_reached, .level = level, .node = node};
    struct bounds bounds;
    assert(ratio > 0);
    events_bounds(treated_ppm, &gate, n, &bounds);
    return follow(&bounds, treated_chance(treated_ppm, ratio));
}

double evidence_power_passing_events(uint32_t treated_ppm, unsigned node, double ratio, uint64_t n,
                                     int64_t level) {
    struct gate gate = {.reached = events_passed, .level = level, .node = node};
    struct bounds bounds;
    assert(ratio > 0);
    events_bounds(treated_ppm, &gate, n, &bounds);
    return follow(&bounds, 1 - treated_chance(treated_ppm, ratio));
}

static bool events_seen(const void *context, uint32_t value) {
    const struct search *search = context;
    double chance = treated_chance(search->treated_ppm, value / 1e6);
    return follow(&search->bounds, chance) * 1e6 >= search->power_ppm;
}

uint32_t evidence_power_least_events(uint32_t treated_ppm, unsigned node, uint64_t n, int64_t level,
                                     uint32_t power_ppm) {
    struct search search = {.treated_ppm = treated_ppm, .power_ppm = power_ppm};
    struct gate gate = {.reached = events_reached, .level = level, .node = node};
    events_bounds(treated_ppm, &gate, n, &search.bounds);
    uint32_t tolerable = (uint32_t)(evidence_events_ratio(node) * 1e6);
    return least(tolerable, RATIO_MAX_PPM, &search, events_seen);
}

// ── Ranks ──

void evidence_power_ranks(unsigned compared, double shift_sd, double *ret) {
    double choose = 1, step = 1.0 / 64;
    for (unsigned i = 0; i <= compared; i++)
        ret[i] = 0;
    // The trapezoid rule, which converges faster than any power for what vanishes at both ends.
    for (double x = shift_sd - 9; x <= shift_sd + 9; x += step) {
        double below = evidence_num_normal_below(x), above = evidence_num_normal_below(-x);
        double weight = evidence_num_exp(-(x - shift_sd) * (x - shift_sd) / 2) * step;
        for (unsigned i = 0; i <= compared; i++) {
            double term = weight;
            for (unsigned j = 0; j < compared; j++)
                term *= j < i ? below : above;
            ret[i] += term;
        }
    }
    for (unsigned i = 0; i <= compared; i++) {
        ret[i] *= choose / 2.506628274631000502; // the root of 2 pi
        choose = choose * (compared - i) / (i + 1);
    }
}

// What one set adds to the log of a bet, on the lattice: chances of each whole number of steps.
struct step {
    int most;                  // the largest number of steps with a chance
    double chances[STEP_SPAN]; // of -STEP_BELOW and more
};

// A score between two points of the lattice is shared between them so that its mean is exact.
static void find_step(const double *chances, const int64_t *scores, unsigned ranks,
                      struct step *ret) {
    int64_t unit = EVIDENCE_NAT / LATTICE_PER_NAT;
    *ret = (struct step){.most = -STEP_BELOW};
    for (unsigned rank = 0; rank < ranks; rank++) {
        int64_t offset = scores[rank] + STEP_BELOW * unit;
        assert(offset >= 0 && offset < (STEP_SPAN - 1) * unit);
        int place = (int)(offset / unit);
        double above = (double)(offset % unit) / (double)unit;
        ret->chances[place] += chances[rank] * (1 - above);
        ret->chances[place + 1] += chances[rank] * above;
        ret->most = place + 1 - STEP_BELOW > ret->most ? place + 1 - STEP_BELOW : ret->most;
    }
}

// One bet by itself, until it has gained `goal` points.
static double follow_bet(const struct step *step, int goal, uint64_t n) {
    double left[LATTICE_POINTS] = {0}, stopped = 0;
    int end = LATTICE_BELOW + goal; // the first point that stops
    left[LATTICE_BELOW] = 1;
    for (uint64_t i = 0; i < n; i++) {
        double next[LATTICE_POINTS] = {0};
        for (int by = -STEP_BELOW; by <= step->most; by++) {
            double chance = step->chances[by + STEP_BELOW];
            int from = by < 0 ? -by : 0, to = end - by < end ? end - by : end;
            if (chance <= 0)
                continue;
            for (int at = from; at < to; at++)
                next[at + by] += left[at] * chance;
            for (int at = to < 0 ? 0 : to; at < end; at++)
                stopped += left[at] * chance;
        }
        for (int at = 0; at < end; at++)
            left[at] = next[at];
    }
    return stopped;
}

// The bets that grow fastest are the ones that get there: the best and the next best are followed.
static double follow_best(const struct step *steps, const double *growth, int goal, uint64_t n) {
    unsigned first = 0, second = EVIDENCE_RANK_BETS - 1;
    for (unsigned bet = 1; bet < EVIDENCE_RANK_BETS; bet++)
        first = growth[bet] > growth[first] ? bet : first;
    if (first == second)
        second = 0;
    for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++)
        second = bet != first && growth[bet] > growth[second] ? bet : second;
    double a = follow_bet(&steps[first], goal, n), b = follow_bet(&steps[second], goal, n);
    return a > b ? a : b;
}

double evidence_power_rank(unsigned compared, uint32_t baseline_ppm, double shift_sd, uint64_t n,
                           int64_t level) {
    double chances[EVIDENCE_RANK_COMPARED_MAX + 1], growth[EVIDENCE_RANK_BETS] = {0};
    int64_t scores[EVIDENCE_RANK_BETS][EVIDENCE_RANK_COMPARED_MAX + 1];
    struct step steps[EVIDENCE_RANK_BETS];
    int64_t goal = level - evidence_num_share(EVIDENCE_RANK_BETS);
    int64_t unit = EVIDENCE_NAT / LATTICE_PER_NAT;
    assert(compared >= EVIDENCE_RANK_COMPARED_MIN && compared <= EVIDENCE_RANK_COMPARED_MAX);
    if (goal >= EVIDENCE_POWER_LEVEL_MAX)
        return 0;
    if (goal <= 0)
        return 1;
    evidence_power_ranks(compared, shift_sd, chances);
    for (unsigned rank = 0; rank <= compared; rank++) {
        struct evidence_rank_place place = {.compared = compared, .better = rank};
        int64_t score[EVIDENCE_RANK_BETS];
        evidence_rank_score(&place, baseline_ppm, score);
        for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++) {
            scores[bet][rank] = score[bet];
            growth[bet] += chances[rank] * evidence_num_nats(score[bet]);
        }
    }
    for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS; bet++)
        find_step(chances, scores[bet], compared + 1, &steps[bet]);
    n = n > EVIDENCE_POWER_SETS_MAX ? EVIDENCE_POWER_SETS_MAX : n;
    return follow_best(steps, growth, (int)((goal + unit - 1) / unit), n);
}

struct rank_search {
    unsigned compared;
    uint32_t baseline_ppm, power_ppm;
    uint64_t n;
    int64_t level;
};

static bool rank_seen(const void *context, uint32_t value) {
    const struct rank_search *s = context;
    double power = evidence_power_rank(s->compared, s->baseline_ppm, value / 1e3, s->n, s->level);
    return power * 1e6 >= s->power_ppm;
}

uint32_t evidence_power_least_rank(unsigned compared, uint32_t baseline_ppm, uint64_t n,
                                   int64_t level, uint32_t power_ppm) {
    struct rank_search search = {.compared = compared,
                                 .baseline_ppm = baseline_ppm,
                                 .power_ppm = power_ppm,
                                 .n = n,
                                 .level = level};
    return least(0, SHIFT_MAX_MILLIS, &search, rank_seen);
}
