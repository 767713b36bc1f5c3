// SPDX-License-Identifier: Apache-2.0
//
// Devices that are not heard of any more: one event of all that are found in one tick, of both arms
// by one rule; and nobody's when the fleet is silent as a whole.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/evidence_parts.h"
#include "ctl/store/unit.h"

// Longest silent first, whichever arm: the rest are the next tick's.
#define LOST_PER_TICK 64
// While the fleet is silent it is counted once in so many seconds: that is as much work as it is
// silent.
#define SILENT_PAUSE_S 10
// Rows of a rollout that has ended, in a tick.
#define FORGOTTEN_PER_TICK 128

struct lost_device {
    char id[ROLLOUT_UNIT_ID_MAX + 1]; // or site
    uint32_t stratum;
    uint64_t site; // rollout_score_tie_site
    bool treated;
};

struct lost {
    const struct rollout_score *score;
    size_t n;
    struct lost_device devices[LOST_PER_TICK];
};

static int note_lost(void *context, const char *device, const struct rollout_score_device *row,
                     struct err *e) {
    struct lost *lost = context;
    struct lost_device *one = &lost->devices[lost->n];
    (void)e;
    for (size_t i = 0; i < lost->n; i++) // two devices of a site
        if (strcmp(lost->devices[i].id, device) == 0)
            return 0;
    lost->n++;
    (void)snprintf(one->id, sizeof one->id, "%s", device);
    one->stratum = rollout_score_tie_stratum(lost->score, row);
    one->site = rollout_score_tie_site(lost->score, row);
    one->treated = row->arm == ROLLOUT_ARM_TREATED;
    return 0;
}

static bool ties(const struct lost_device *a, const struct lost_device *b) {
    return a->stratum == b->stratum && a->site == b->site;
}

static int by_tie(const void *left, const void *right) {
    const struct lost_device *a = left, *b = right;
    if (a->stratum != b->stratum)
        return a->stratum < b->stratum ? -1 : 1;
    if (a->site != b->site)
        return a->site < b->site ? -1 : 1;
    return strcmp(a->id, b->id);
}

static int lose_one(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                    const char *device, struct rollout_score_tie *tie,
                    struct serve_evidence_ties *units, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct rollout_score_news news;
    OWN(mem) struct rollout_score_device *row = calloc(1, sizeof *row);
    if (row == NULL)
        return err_set(e, &err_memory, "counting silent devices: out of memory");
    if (store_cohort_get(&of, device, row, e) < 0)
        return -1;
    rollout_score_lost(r->score, of.gates, tie, row, &news);
    return serve_evidence_keep(fleet, r, device, row, &news, units, e);
}

// n devices that tie.
static int lose_tie(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                    int64_t before_s, const struct lost_device *devices, size_t n, struct err *e) {
    struct rollout_score_tie tie = {
        .stratum = devices[0].stratum, .site = devices[0].site, .before_s = before_s};
    struct serve_evidence_ties units = {.unit = {0}};
    struct rollout_score_news news;
    for (size_t i = 0; i < n; i++) {
        tie.treated += devices[i].treated;
        tie.comparison += !devices[i].treated;
    }
    rollout_score_lose(r->score, &r->row.policy.gates, &tie, &news);
    if (serve_evidence_keep(fleet, r, "", NULL, &news, NULL, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (lose_one(fleet, r, devices[i].id, &tie, &units, e) < 0)
            return -1;
    return 0;
}

// ── Devices of sites ──

struct silent {
    size_t n;
    char ids[LOST_PER_TICK][BUNDLE_DEVICE_ID_MAX + 1];
};

static int note_silent(void *context, const char *device, const char *unit,
                       const struct rollout_score_member *member, struct err *e) {
    struct silent *silent = context;
    (void)unit;
    (void)member;
    (void)e;
    (void)snprintf(silent->ids[silent->n++], sizeof silent->ids[0], "%s", device);
    return 0;
}

// The sites whose event it is that devices of them are silent. Those wait no more, whether it is or not.
static int find_sites(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                      const struct store_cohort_silence *silence, struct lost *io, struct err *e) {
    const struct rollout_score_news none = {.shared = false}, shared = {.shared = true};
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    int64_t silence_s = rollout_score_silence_s(&r->row.policy);
    OWN(mem) struct silent *silent = calloc(1, sizeof *silent);
    if (silent == NULL)
        return err_set(e, &err_memory, "counting silent devices: out of memory");
    if (store_member_silent(&of, r->score->run, silence->before_s, LOST_PER_TICK, note_silent,
                            silent, e) < 0)
        return -1;
    for (size_t i = 0; i < silent->n; i++) {
        OWN(mem) struct serve_evidence_rows *rows = NULL;
        int found = serve_evidence_rows_get(fleet, r, silent->ids[i], &rows, e);
        if (found != 0)
            return found < 0 ? -1
                             : err_set(e, &err_bad_store, "reading the store: a device is gone");
        if (rollout_score_member_lost(r->score, of.gates, silence_s, &rows->member, &rows->row) &&
            note_lost(io, rows->unit, &rows->row, e) < 0)
            return -1;
        rows->member_changed = true;
        if (serve_evidence_rows_keep(fleet, r, silent->ids[i], rows, &none, e) < 0)
            return -1;
    }
    return silent->n == 0 ? 0 : serve_evidence_keep(fleet, r, "", NULL, &shared, NULL, e);
}

static int lose_each(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                     const struct store_cohort_silence *silence, struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    OWN(mem) struct lost *lost = calloc(1, sizeof *lost);
    if (lost == NULL)
        return err_set(e, &err_memory, "counting silent devices: out of memory");
    lost->score = r->score;
    int found = rollout_unit_is_site(of.gates)
                    ? find_sites(fleet, r, silence, lost, e)
                    : store_cohort_silent(&of, silence, LOST_PER_TICK, note_lost, lost, e);
    if (found < 0)
        return -1;
    if (lost->n > 0)
        qsort(lost->devices, lost->n, sizeof *lost->devices, by_tie);
    for (size_t first = 0, end = 0; first < lost->n; first = end) {
        while (end < lost->n && ties(&lost->devices[end], &lost->devices[first]))
            end++;
        if (lose_tie(fleet, r, silence->before_s, &lost->devices[first], end - first, e) < 0)
            return -1;
    }
    return 0;
}

// Devices whose silence would be an event.
static uint64_t at_risk(const struct serve_engine_rollout *r, uint32_t gates) {
    if (rollout_unit_is_site(&r->row.policy.gates))
        return r->score->waiting;
    struct evidence_risk risk = rollout_score_at_risk(r->score, (size_t)__builtin_ctz(gates));
    return risk.comparison + risk.treated;
}

static int count_silent(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                        const struct store_cohort_silence *silence, uint64_t max, uint64_t *ret,
                        struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    return rollout_unit_is_site(of.gates)
               ? store_member_count_silent(&of, r->score->run, silence->before_s, max, ret, e)
               : store_cohort_count_silent(&of, silence, max, ret, e);
}

// A fleet whose network is gone falls silent device by device, over one rhythm: when the first one
// is silent for long enough, all are that have not been heard of for a rhythm less. Those are looked
// for as soon as one device would be lost, and for as long as the fleet was silent.
static int look(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                const struct store_cohort_silence *silence, bool *ret_any, struct err *e) {
    struct store_cohort_silence wide = *silence;
    uint64_t all = at_risk(r, silence->gates), any = 0, silent = 0;
    wide.before_s += (int64_t)r->row.policy.gates.rhythm_s;
    if (all > 0 && count_silent(fleet, r, silence, 1, &any, e) < 0)
        return -1;
    bool looks = any > 0 || r->silence == ROLLOUT_SILENCE_SILENT;
    if (all > 0 && looks && count_silent(fleet, r, &wide, all / 2 + 1, &silent, e) < 0)
        return -1;
    bool fleet_silent = rollout_score_silent(r->score, &r->row.policy.gates, silent);
    r->silence = fleet_silent ? ROLLOUT_SILENCE_SILENT : ROLLOUT_SILENCE_HEARD;
    r->silent_until_s =
        fleet_silent && silent > LOST_PER_TICK ? fleet->now_ms / 1000 + SILENT_PAUSE_S : 0;
    *ret_any = any > 0 && !fleet_silent;
    return 0;
}

int serve_evidence_lose(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                        struct err *e) {
    int64_t now_s = fleet->now_ms / 1000;
    const struct store_cohort_silence silence = {
        .epoch = r->score->first_epoch,
        .gates = rollout_score_lost_gates(&r->row.policy.gates),
        .before_s = rollout_downtime_before_s(&fleet->engine->down, now_s,
                                              (uint64_t)rollout_score_silence_s(&r->row.policy))};
    bool any = false, silent = false;
    if (serve_evidence_pulse(fleet, r, &silent, e) < 0)
        return -1;
    if (silent) {
        r->silence = ROLLOUT_SILENCE_SILENT;
        return 0;
    }
    if (!rollout_advance_hears(&r->row.policy, &r->row.progress, now_s))
        return 0;
    // It is heard of again, and what it was silent for does not count.
    int64_t since_s = rollout_pulse_since_s(&r->pulse);
    // Nor does what nobody was heard in.
    since_s = since_s > r->row.progress.resumed_s ? since_s : r->row.progress.resumed_s;
    if (since_s >= silence.before_s) {
        r->silence = ROLLOUT_SILENCE_HEARD;
        return 0;
    }
    if (silence.gates == 0 || now_s < r->silent_until_s)
        return 0;
    if (look(fleet, r, &silence, &any, e) < 0)
        return -1;
    return any ? lose_each(fleet, r, &silence, e) : 0;
}

// ── The tick ──

// The verdict and what status shows are kept; what they were found from is not needed any more.
static int forget(const struct serve_fleet *fleet, struct serve_engine_rollout *r, struct err *e) {
    const char *name = r->row.policy.name;
    uint64_t rows = 0, units = 0, members = 0;
    if (store_cohort_forget(fleet->db, name, FORGOTTEN_PER_TICK, &rows, e) < 0 ||
        store_unit_forget(fleet->db, name, FORGOTTEN_PER_TICK, &units, e) < 0 ||
        store_member_forget(fleet->db, name, FORGOTTEN_PER_TICK, &members, e) < 0)
        return -1;
    r->forgotten =
        rows < FORGOTTEN_PER_TICK && units < FORGOTTEN_PER_TICK && members < FORGOTTEN_PER_TICK;
    return 0;
}

int serve_evidence_tick(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                        struct err *e) {
    if (r->score == NULL)
        return 0;
    if (rollout_advance_ended(r->row.progress.state))
        return r->forgotten ? 0 : forget(fleet, r, e);
    if (!serve_evidence_counts(r))
        return 0;
    if (serve_evidence_lose(fleet, r, e) < 0 || serve_evidence_give_up(fleet, r, e) < 0)
        return -1;
    if (serve_evidence_score_trials(fleet, r, e) < 0)
        return -1;
    return serve_evidence_score_sets(fleet, r, e);
}
