// SPDX-License-Identifier: Apache-2.0
//
// Drift, clusters, fragility, in this order.
#include "ctl/rollout/verdict.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "ctl/rollout/unit.h"
#include "ctl/rollout/verdict_guard.h"

#define TERMS_MAX (ROLLOUT_GATES_MAX * EVIDENCE_EVENTS_NODES)

static const char *const cluster_names[ROLLOUT_CLUSTERS] = {"site", "token", "age"};

const char *rollout_verdict_cluster_name(enum rollout_cluster kind) {
    assert(kind < ROLLOUT_CLUSTERS);
    return cluster_names[kind];
}

char *rollout_verdict_odds(int64_t log, char ret[static ROLLOUT_VERDICT_ODDS_BYTES]) {
    double value = evidence_num_value(log);
    if (value >= 1e9)
        (void)snprintf(ret, ROLLOUT_VERDICT_ODDS_BYTES, "1 : more than 1000000000");
    else
        (void)snprintf(ret, ROLLOUT_VERDICT_ODDS_BYTES, "1 : %.*f",
                       value >= 10  ? 0
                       : value >= 1 ? 1
                                    : 2,
                       value);
    return ret;
}

const char *rollout_verdict_unit_name(const struct rollout_gates *gates) {
    return rollout_unit_is_site(gates) ? "site" : "device";
}

bool rollout_verdict_unit(const struct rollout_score *score, const struct rollout_gates *gates,
                          const struct rollout_score_device *device, struct rollout_unit *ret) {
    *ret = (struct rollout_unit){.numbered = false};
    if (device->arm != ROLLOUT_ARM_TREATED || !device->counted || device->run != score->run)
        return false;
    ret->numbered = device->number >= score->first_number;
    ret->outcome = device->outcome;
    for (size_t g = 0; g < gates->n; g++) {
        const struct rollout_score_history *history = &device->history[g];
        ret->guarded |= history->has_guard ? 1U << g : 0;
        ret->guard_nano[g] = history->has_guard ? history->guard_nano : 0;
        if (!history->has_mark)
            continue;
        ret->marked |= 1U << g;
        for (size_t i = 0; i < 3; i++)
            ret->mark[g][i] = history->mark[i];
    }
    return true;
}

// ── The sum that stopped it, as terms ──

// The gates of one line with their terms that are not nothing, one after the other.
struct sum {
    const struct rollout_verdict_case *of;
    enum evidence_line line;
    size_t n_terms;
    int64_t terms[TERMS_MAX];
    size_t gate[TERMS_MAX];
    unsigned index[TERMS_MAX]; // node, or bet
};

static unsigned tolerable(const struct rollout_gate_policy *gate) {
    return evidence_events_tolerable(gate->ratio_ok_ppm);
}

static void add_gate(struct sum *sum, size_t g) {
    const struct rollout_gate_policy *gate = &sum->of->gates->gate[g];
    const union rollout_score_gate *state = &sum->of->score->gate[g];
    bool events = sum->line == EVIDENCE_LINE_EVENTS;
    int64_t terms[EVIDENCE_EVENTS_NODES];
    if (gate->weight_ppm == 0)
        return;
    if (events)
        evidence_events_terms(&state->events, tolerable(gate), terms);
    else
        evidence_rank_terms(&state->rank, EVIDENCE_RANK_TOLERABLE, terms);
    for (unsigned i = 0; i < (events ? EVIDENCE_EVENTS_NODES : EVIDENCE_RANK_BETS); i++) {
        if (terms[i] == EVIDENCE_LOG_ZERO)
            continue;
        sum->terms[sum->n_terms] =
            evidence_num_product(terms[i], evidence_num_part(gate->weight_ppm));
        sum->gate[sum->n_terms] = g;
        sum->index[sum->n_terms++] = i;
    }
}

// What a unit added to each bet (or node) of a gate; gain: what it added beyond the best it could
// have done.
static void score_unit(const struct sum *sum, const struct rollout_unit *unit, size_t g, bool gain,
                       int64_t ret[static EVIDENCE_EVENTS_NODES]) {
    const struct rollout_gate_policy *gate = &sum->of->gates->gate[g];
    const uint32_t *mark = unit->mark[g];
    if (sum->line == EVIDENCE_LINE_EVENTS) {
        struct evidence_risk before = {.comparison = mark[0], .treated = mark[1]};
        evidence_events_score(&before, 1, ret);
        int64_t base = ret[tolerable(gate)];
        for (unsigned i = 0; i < EVIDENCE_EVENTS_NODES; i++)
            ret[i] -= base;
        return;
    }
    struct evidence_rank_place place = {.compared = mark[0], .better = mark[1], .equal = mark[2]};
    struct evidence_rank_place best = {.compared = mark[0]};
    int64_t least[EVIDENCE_RANK_BETS];
    evidence_rank_score(&place, gate->baseline_ppm, ret);
    evidence_rank_score(&best, gate->baseline_ppm, least);
    for (unsigned i = 0; gain && i < EVIDENCE_RANK_BETS; i++)
        ret[i] -= least[i];
}

static void fill(const struct sum *sum, const struct rollout_unit *unit, bool gain, int64_t *ret) {
    int64_t scores[EVIDENCE_EVENTS_NODES] = {0};
    size_t scored = ROLLOUT_GATES_MAX;
    for (size_t term = 0; term < sum->n_terms; term++) {
        size_t g = sum->gate[term];
        if (!(unit->marked & 1U << g))
            continue;
        if (g != scored)
            score_unit(sum, unit, g, gain, scores);
        scored = g;
        ret[term] = scores[sum->index[term]];
    }
}

// Whether it speaks against the release on this line.
static bool is_against(const struct rollout_verdict_case *of, enum evidence_line line,
                       const struct rollout_unit *unit) {
    if (line == EVIDENCE_LINE_INSTALL)
        return unit->numbered && unit->outcome == ROLLOUT_OUTCOME_BAD;
    for (size_t g = 0; g < of->gates->n; g++) {
        bool marked =
            (unit->marked & 1U << g) && rollout_score_line(of->gates->gate[g].kind) == line;
        if (marked && (line == EVIDENCE_LINE_EVENTS || 2 * unit->mark[g][1] > unit->mark[g][0]))
            return true;
    }
    return false;
}

// ── Clusters ──

// How many units of each cluster there are, and speak against the release.
struct spread {
    size_t *all, *against;
    size_t total, total_against;
};

static int spread_of(const struct rollout_verdict_case *of, enum evidence_line line,
                     enum rollout_cluster kind, struct spread *ret, struct err *e) {
    size_t n = of->n_clusters[kind];
    *ret = (struct spread){.all = calloc(2 * n, sizeof *ret->all)};
    if (ret->all == NULL)
        return err_set(e, &err_memory, "judging what a verdict rests on: out of memory");
    ret->against = ret->all + n;
    for (size_t i = 0; i < of->n_units; i++) {
        uint32_t cluster = of->units[i].cluster[kind];
        bool against = is_against(of, line, &of->units[i]);
        assert(cluster < n);
        ret->all[cluster]++;
        ret->against[cluster] += against;
        ret->total++;
        ret->total_against += against;
    }
    return 0;
}

// The cluster without which least is left, and whether the level is reached without it.
static int weakest(const struct sum *sum, const struct evidence_case *terms,
                   const struct spread *spread, enum rollout_cluster kind,
                   struct evidence_cluster *ret, struct err *e) {
    const struct rollout_verdict_case *of = sum->of;
    if (sum->line != EVIDENCE_LINE_INSTALL)
        return evidence_robust_cluster(terms, ret, e);
    size_t g = of->judgement->sum.gate, most = 0;
    for (size_t c = 1; c < of->n_clusters[kind]; c++)
        if (spread->against[c] > spread->against[most])
            most = c;
    const struct rollout_gate_policy *gate = &of->gates->gate[g];
    uint64_t offered = of->score->next_number - of->score->first_number;
    uint64_t failed = of->score->known_failed, own = 0;
    for (size_t i = 0; i < of->n_units; i++)
        own += of->units[i].numbered && of->units[i].cluster[kind] == most;
    struct evidence_install rest = {
        .scored = offered > own ? offered - own : 0,
        .failed = failed > spread->against[most] ? failed - spread->against[most] : 0};
    rest.failed = rest.failed > rest.scored ? rest.scored : rest.failed;
    int64_t left = evidence_num_product(evidence_install_worse(&rest, NULL, gate->baseline_ppm),
                                        evidence_num_part(gate->weight_ppm));
    *ret = (struct evidence_cluster){.cluster = most,
                                     .units = spread->all[most],
                                     .left = left,
                                     .alone = left < of->judgement->sum.level};
    return 0;
}

static int ask_cluster(const struct sum *sum, struct evidence_case *terms,
                       enum rollout_cluster kind, struct rollout_verdict *io, struct err *e) {
    const struct rollout_verdict_case *of = sum->of;
    struct evidence_cluster found = {.cluster = 0};
    struct spread spread;
    if (spread_of(of, sum->line, kind, &spread, e) < 0)
        return -1;
    OWN(mem) void *owned = spread.all;
    (void)owned;
    OWN(mem) uint32_t *clusters = calloc(terms->n_units + 1, sizeof *clusters);
    if (clusters == NULL)
        return err_set(e, &err_memory, "judging what a verdict rests on: out of memory");
    for (size_t i = 0, n = 0; i < of->n_units && n < terms->n_units; i++)
        if (of->units[i].marked != 0)
            clusters[n++] = of->units[i].cluster[kind];
    terms->clusters = clusters;
    terms->n_clusters = of->n_clusters[kind];
    int done = weakest(sum, terms, &spread, kind, &found, e);
    terms->clusters = NULL;
    if (done < 0 || !found.alone || 2 * spread.against[found.cluster] <= spread.total_against ||
        2 * spread.all[found.cluster] > spread.total)
        return done;
    io->alone = true;
    io->kind = kind;
    io->cluster = (uint32_t)found.cluster;
    io->cluster_units = spread.against[found.cluster];
    return 0;
}

static int ask_clusters(const struct sum *sum, struct evidence_case *terms,
                        struct rollout_verdict *io, struct err *e) {
    for (unsigned kind = 0; kind < ROLLOUT_CLUSTERS && !io->alone; kind++)
        if (sum->of->n_clusters[kind] > 0 && sum->of->n_units > 0 &&
            ask_cluster(sum, terms, (enum rollout_cluster)kind, io, e) < 0)
            return -1;
    return 0;
}

// ── Fragility ──

// Both the prefix and what is known beyond it have to stay below the level.
static size_t install_fragility(const struct sum *sum) {
    const struct rollout_verdict_case *of = sum->of;
    size_t g = of->judgement->sum.gate;
    const struct rollout_gate_policy *gate = &of->gates->gate[g];
    const struct rollout_score *score = of->score;
    const struct evidence_install *prefix = &score->gate[g].install;
    int64_t level = of->judgement->sum.level - evidence_num_part(gate->weight_ppm);
    uint64_t by_prefix =
        evidence_robust_install(prefix->scored, prefix->failed, gate->baseline_ppm, level);
    uint64_t by_known = evidence_robust_install(score->next_number - score->first_number,
                                                score->known_failed, gate->baseline_ppm, level);
    return (size_t)(by_prefix > by_known ? by_prefix : by_known);
}

// ── The verdict ──

static void say(const struct rollout_verdict_case *of, struct rollout_verdict *io) {
    char odds[ROLLOUT_VERDICT_ODDS_BYTES], level[ROLLOUT_VERDICT_ODDS_BYTES], what[160];
    const char *unit = rollout_verdict_unit_name(of->gates), *s = io->fragility == 1 ? "" : "s";
    (void)snprintf(what, sizeof what, "gate %s: evidence %s of %s needed",
                   of->gates->gate[io->gate].name, rollout_verdict_odds(io->log, odds),
                   rollout_verdict_odds(io->level, level));
    if (io->why.code == ROLLOUT_WHY_control_suspect)
        rollout_why_set(&io->why, io->why.code,
                        "%s; but the %ss compared with left their own past by more than the "
                        "policy allows, so that it proves nothing",
                        what, unit);
    else if (io->why.code == ROLLOUT_WHY_one_cluster)
        rollout_why_set(&io->why, io->why.code, "%s; but not without the %zu %s%s of one %s", what,
                        io->cluster_units, unit, io->cluster_units == 1 ? "" : "s",
                        rollout_verdict_cluster_name(io->kind));
    else if (io->why.code == ROLLOUT_WHY_fragile)
        rollout_why_set(&io->why, io->why.code,
                        "%s; but it rests on %zu %s%s, and the policy wants %" PRIu32, what,
                        io->fragility, unit, s, of->gates->min_fragility);
    else
        rollout_why_set(&io->why, io->why.code, "%s; it rests on %zu %s%s", what, io->fragility,
                        unit, s);
    if (io->why.code == ROLLOUT_WHY_one_cluster && rollout_unit_is_site(of->gates) &&
        io->kind == ROLLOUT_CLUSTER_SITE)
        rollout_why_set(&io->why, io->why.code, "%s; but not without one site", what);
}

// The line that stopped it: the one that says most of those that reached the level.
static enum evidence_line stopping_line(const struct evidence_sum *sum) {
    enum evidence_line most = EVIDENCE_LINE_EVENTS;
    for (unsigned line = 1; line < EVIDENCE_LINES; line++)
        if (sum->line[line] > sum->line[most])
            most = (enum evidence_line)line;
    return most;
}

static int rest(const struct sum *sum, struct rollout_verdict *io, struct err *e) {
    const struct rollout_verdict_case *of = sum->of;
    struct evidence_case terms = {
        .terms = sum->terms, .n_terms = sum->n_terms, .level = of->judgement->sum.level};
    size_t n = 0;
    for (size_t i = 0; i < of->n_units; i++)
        terms.n_units += of->units[i].marked != 0;
    size_t cells = terms.n_units * sum->n_terms;
    OWN(mem) int64_t *gains = calloc(cells + 1, sizeof *gains);
    OWN(mem) int64_t *scores = calloc(cells + 1, sizeof *scores);
    if (gains == NULL || scores == NULL)
        return err_set(e, &err_memory, "judging what a verdict rests on: out of memory");
    for (size_t i = 0; i < of->n_units && sum->n_terms > 0; i++) {
        if (of->units[i].marked == 0)
            continue;
        fill(sum, &of->units[i], true, gains + n * sum->n_terms);
        fill(sum, &of->units[i], false, scores + n++ * sum->n_terms);
    }
    terms.taken = scores;
    if (ask_clusters(sum, &terms, io, e) < 0)
        return -1;
    terms.taken = gains;
    if (sum->line != EVIDENCE_LINE_INSTALL)
        return evidence_robust_fragility(&terms, &io->fragility, e);
    io->fragility = install_fragility(sum);
    return 0;
}

int rollout_verdict_find(const struct rollout_verdict_case *of, struct rollout_verdict *ret,
                         struct err *e) {
    const struct rollout_judgement *judgement = of->judgement;
    struct rollout_verdict found = {.level = judgement->sum.level, .drift = judgement->drift};
    assert(judgement->overall == ROLLOUT_VERDICT_FAIL);
    if (!judgement->sum.stop)
        return rollout_verdict_guard(of, ret, e);
    found.line = stopping_line(&judgement->sum);
    found.gate = judgement->sum.gate;
    found.log = judgement->sum.line[found.line];
    OWN(mem) struct sum *sum = calloc(1, sizeof *sum);
    if (sum == NULL)
        return err_set(e, &err_memory, "judging what a verdict rests on: out of memory");
    sum->of = of;
    sum->line = found.line;
    for (size_t g = 0; g < of->gates->n; g++)
        if (found.line != EVIDENCE_LINE_INSTALL &&
            rollout_score_line(of->gates->gate[g].kind) == found.line)
            add_gate(sum, g);
    if (rest(sum, &found, e) < 0)
        return -1;
    if (judgement->control && found.line != EVIDENCE_LINE_INSTALL)
        found.why.code = ROLLOUT_WHY_control_suspect;
    else if (found.alone)
        found.why.code = ROLLOUT_WHY_one_cluster;
    else if (found.fragility < of->gates->min_fragility)
        found.why.code = ROLLOUT_WHY_fragile;
    else
        found.why.code = ROLLOUT_WHY_evidence_failed;
    found.doubt = found.why.code != ROLLOUT_WHY_evidence_failed;
    say(of, &found);
    // A guard needs no statistics: where one is exceeded beyond doubt as well, none is left.
    struct rollout_verdict guard = {.doubt = true};
    if (judgement->guard && found.doubt && rollout_verdict_guard(of, &guard, e) < 0)
        return -1;
    *ret = found.doubt && !guard.doubt ? guard : found;
    return 0;
}
