// SPDX-License-Identifier: Apache-2.0
//
// Scores as text. Each struct is written and read as the list of its numbers.
#include "ctl/rollout/score_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/evidence/state.h"
#include "ctl/rollout/line.h"
#include "ctl/rollout/unit.h"

#define VERSION          1
#define VERSION_SHARED   2 // 1 is without trials
#define VERSION_DEVICE   2 // 1 is without a site and trials
#define VERSION_PROGRESS 2 // 1 is without pauses

static void begin(struct rollout_line_writer *w, const char *kind, struct err *e) {
    rollout_line_begin(w, kind, VERSION, e);
}

static void put_mean(struct rollout_line_writer *w, const struct rollout_score_mean *mean) {
    rollout_line_put(w, mean->n);
    rollout_line_put_signed(w, mean->whole);
    rollout_line_put_signed(w, mean->nano);
}

static struct rollout_score_mean take_mean(struct rollout_line_reader *r) {
    struct rollout_score_mean mean = {.n = rollout_line_take(r, UINT64_MAX)};
    mean.whole = rollout_line_take_signed(r);
    mean.nano = rollout_line_take_signed(r);
    return mean;
}

static int open_line(const char *text, const char *kind, struct rollout_line_reader *ret,
                     struct err *e) {
    uint64_t version = 0;
    return rollout_line_open(text, kind, VERSION, ret, &version, e);
}

// ── The evidence of a gate ──

int rollout_score_state_format_gate(const struct rollout_score *score,
                                    const struct rollout_gates *gates, size_t gate, struct buf *ret,
                                    struct err *e) {
    assert(gate < gates->n);
    switch (rollout_score_line(gates->gate[gate].kind)) {
    case EVIDENCE_LINE_INSTALL:
        return evidence_state_format_install(&score->gate[gate].install, ret, e);
    case EVIDENCE_LINE_METRICS:
        return evidence_state_format_rank(&score->gate[gate].rank, ret, e);
    case EVIDENCE_LINE_EVENTS:
    case EVIDENCE_LINES:
        break;
    }
    return evidence_state_format_events(&score->gate[gate].events, ret, e);
}

int rollout_score_state_parse_gate(const char *text, const struct rollout_gates *gates, size_t gate,
                                   struct rollout_score *io, struct err *e) {
    assert(gate < gates->n);
    switch (rollout_score_line(gates->gate[gate].kind)) {
    case EVIDENCE_LINE_INSTALL:
        return evidence_state_parse_install(text, &io->gate[gate].install, e);
    case EVIDENCE_LINE_METRICS:
        return evidence_state_parse_rank(text, &io->gate[gate].rank, e);
    case EVIDENCE_LINE_EVENTS:
    case EVIDENCE_LINES:
        break;
    }
    return evidence_state_parse_events(text, &io->gate[gate].events, e);
}

// ── What the gates share ──

static bool is_event(const struct rollout_gates *gates, size_t g) {
    return rollout_score_line(gates->gate[g].kind) == EVIDENCE_LINE_EVENTS;
}

int rollout_score_state_format_shared(const struct rollout_score *score,
                                      const struct rollout_gates *gates, struct buf *ret,
                                      struct err *e) {
    const uint64_t numbers[] = {
        score->run,          score->epoch,        score->first_number,   score->next_number,
        score->prefix,       score->known_failed, score->known_resolved, score->first_set,
        score->next_set,     score->sets_scored,  score->sets_void,      score->drift_worse,
        score->drift_better, score->n_strata,     score->next_trial};
    struct rollout_line_writer w;
    rollout_line_begin(&w, "score", VERSION_SHARED, e);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        rollout_line_put(&w, numbers[i]);
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            put_mean(&w, &score->guard[g]);
    for (size_t g = 0; g < gates->n; g++)
        for (size_t s = 0; is_event(gates, g) && s < score->n_strata; s++) {
            rollout_line_put(&w, score->risk[g][s].comparison);
            rollout_line_put(&w, score->risk[g][s].treated);
        }
    rollout_line_put(&w, score->first_epoch);
    rollout_line_put(&w, score->lost_gate);
    for (size_t s = 0; s < score->n_strata; s++) {
        rollout_line_put(&w, score->late[s].comparison);
        rollout_line_put(&w, score->late[s].treated);
    }
    if (rollout_unit_is_site(gates))
        rollout_line_put(&w, score->waiting);
    return rollout_line_finish(&w, ret);
}

// A later addition.
static void take_late(struct rollout_line_reader *r, struct rollout_score *io) {
    bool has_none = rollout_line_is_over(r);
    memset(io->late, 0, sizeof io->late);
    io->first_epoch = has_none ? io->epoch : rollout_line_take(r, INT64_MAX);
    io->lost_gate = has_none ? 0 : rollout_line_take_small(r, ROLLOUT_GATES_MAX);
    for (size_t s = 0; !has_none && s < io->n_strata; s++) {
        io->late[s].comparison = rollout_line_take(r, INT64_MAX);
        io->late[s].treated = rollout_line_take(r, INT64_MAX);
    }
}

// All but the gates' evidence, which is another line's.
static void take_shared(struct rollout_line_reader *r, const struct rollout_gates *gates,
                        uint64_t version, struct rollout_score *io) {
    io->run = rollout_line_take_small(r, UINT32_MAX);
    uint64_t *const numbers[] = {&io->epoch,     &io->first_number, &io->next_number,
                                 &io->prefix,    &io->known_failed, &io->known_resolved,
                                 &io->first_set, &io->next_set,     &io->sets_scored,
                                 &io->sets_void, &io->drift_worse,  &io->drift_better};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = rollout_line_take(r, INT64_MAX);
    io->n_strata = rollout_line_take(r, BUNDLE_STRATA_MAX);
    io->next_trial = version < VERSION_SHARED ? io->next_set : rollout_line_take(r, INT64_MAX);
    memset(io->guard, 0, sizeof io->guard);
    memset(io->risk, 0, sizeof io->risk);
    if (io->sites.epoch != io->epoch)
        rollout_score_sites_open(io->epoch, &io->sites);
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            io->guard[g] = take_mean(r);
    for (size_t g = 0; g < gates->n; g++)
        for (size_t s = 0; is_event(gates, g) && s < io->n_strata; s++) {
            io->risk[g][s].comparison = rollout_line_take(r, INT64_MAX);
            io->risk[g][s].treated = rollout_line_take(r, INT64_MAX);
        }
    take_late(r, io);
    io->waiting = rollout_unit_is_site(gates) ? rollout_line_take(r, INT64_MAX) : 0;
    r->wrong = r->wrong || io->prefix < io->first_number || io->prefix > io->next_number ||
               io->first_set > io->next_trial || io->next_trial > io->next_set ||
               io->known_failed > io->known_resolved ||
               io->known_resolved > io->next_number - io->first_number;
}

int rollout_score_state_parse_shared(const char *text, const struct rollout_gates *gates,
                                     struct rollout_score *io, struct err *e) {
    struct rollout_line_reader r;
    uint64_t version = 0;
    if (rollout_line_open(text, "score", VERSION_SHARED, &r, &version, e) < 0)
        return -1;
    OWN(mem) struct rollout_score *read = malloc(sizeof *read);
    if (read == NULL)
        return err_set(e, &err_memory, "reading what is known of a rollout: out of memory");
    *read = *io;
    take_shared(&r, gates, version, read);
    if (!rollout_line_is_over(&r))
        return rollout_line_refuse("score", e);
    *io = *read;
    return 0;
}

// ── Sites ──

int rollout_score_state_format_sites(const struct rollout_score *score, size_t block,
                                     struct buf *ret, struct err *e) {
    size_t first = block * ROLLOUT_SCORE_SITE_BLOCK;
    struct rollout_line_writer w;
    assert(block < ROLLOUT_SCORE_SITE_BLOCKS);
    begin(&w, "sites", e);
    rollout_line_put(&w, score->sites.epoch);
    for (size_t at = first; at < first + ROLLOUT_SCORE_SITE_BLOCK; at++) {
        const struct rollout_score_site *cell = &score->sites.cells[at];
        const uint64_t numbers[] = {at,
                                    cell->site,
                                    cell->stratum,
                                    cell->entered,
                                    cell->risk.comparison,
                                    cell->risk.treated};
        for (size_t i = 0; cell->site != 0 && i < sizeof numbers / sizeof *numbers; i++)
            rollout_line_put(&w, numbers[i]);
        if (cell->site != 0)
            rollout_line_put_signed(&w, cell->heard_s);
    }
    return rollout_line_finish(&w, ret);
}

static void take_site(struct rollout_line_reader *r, struct rollout_score_sites *io) {
    size_t at = (size_t)rollout_line_take(r, ROLLOUT_SCORE_SITE_CELLS - 1);
    struct rollout_score_site cell = {.site = rollout_line_take(r, UINT64_MAX)};
    cell.stratum = rollout_line_take_small(r, 2 * ROLLOUT_SCORE_SITE_LATE - 1);
    cell.entered = rollout_line_take_small(r, UINT32_MAX);
    cell.risk.comparison = rollout_line_take(r, INT64_MAX);
    cell.risk.treated = rollout_line_take(r, INT64_MAX);
    cell.heard_s = rollout_line_take_signed(r);
    r->wrong = r->wrong || !rollout_score_sites_put(io, at, &cell);
}

int rollout_score_state_parse_sites(const char *text, struct rollout_score *io, struct err *e) {
    struct rollout_line_reader r;
    if (open_line(text, "sites", &r, e) < 0)
        return -1;
    uint64_t epoch = rollout_line_take(&r, INT64_MAX);
    if (!r.wrong && epoch < io->sites.epoch) // of an epoch before
        return 0;
    OWN(mem) struct rollout_score_sites *read = malloc(sizeof *read);
    if (read == NULL)
        return err_set(e, &err_memory, "reading what is known of a rollout: out of memory");
    *read = io->sites;
    if (epoch > read->epoch)
        rollout_score_sites_open(epoch, read);
    while (!r.wrong && *r.text != '\0')
        take_site(&r, read);
    if (!rollout_line_is_over(&r))
        return rollout_line_refuse("sites", e);
    io->sites = *read;
    return 0;
}

// ── A device ──

static void put_history(struct rollout_line_writer *w, const struct rollout_score_history *h,
                        enum rollout_gate_kind kind) {
    size_t n = 0;
    if (kind == ROLLOUT_GATE_COUNTER) {
        rollout_line_put(w, h->has_last);
        rollout_line_put_signed(w, h->last_nano);
    }
    for (size_t i = 0; i < ROLLOUT_SCORE_SLOTS; i++)
        n += h->slots[i].sum.n > 0;
    if (kind == ROLLOUT_GATE_METRIC) {
        rollout_line_put(w, n);
        for (size_t i = 0; i < ROLLOUT_SCORE_SLOTS; i++) {
            if (h->slots[i].sum.n == 0)
                continue;
            rollout_line_put_signed(w, h->slots[i].slot);
            put_mean(w, &h->slots[i].sum);
        }
        put_mean(w, &h->before);
        rollout_line_put(w, h->has_guard);
        rollout_line_put_signed(w, h->guard_nano);
    }
    rollout_line_put(w, h->has_mark);
    for (size_t i = 0; h->has_mark && i < 3; i++)
        rollout_line_put(w, h->mark[i]);
}

static void put_crowd(struct rollout_line_writer *w, const struct rollout_score_crowd *crowd) {
    rollout_line_put(w, crowd->heard);
    rollout_line_put(w, crowd->based);
    rollout_line_put(w, crowd->resolved);
    rollout_line_put(w, crowd->failed);
    rollout_line_put_signed(w, crowd->based_s);
    rollout_line_put_signed(w, crowd->entered_s);
}

int rollout_score_state_format_device(const struct rollout_score_device *d,
                                      const struct rollout_gates *gates, struct buf *ret,
                                      struct err *e) {
    struct rollout_line_writer w;
    rollout_line_begin(&w, "device", VERSION_DEVICE, e);
    const uint64_t first[] = {
        d->run,    (uint64_t)d->arm,     d->counted, d->gone,    d->stratum, d->stage, d->rank,
        d->number, (uint64_t)d->outcome, d->epoch,   d->entered, d->at_risk, d->had,   d->set_no,
        d->place};
    const int64_t times[] = {d->heard_s, d->first_s, d->base_s, d->due_s};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        rollout_line_put(&w, first[i]);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        rollout_line_put_signed(&w, times[i]);
    rollout_line_put(&w, d->site);
    rollout_line_put(&w, d->sited);
    rollout_line_put(&w, (uint64_t)d->trial);
    for (size_t g = 0; g < gates->n; g++)
        put_history(&w, &d->history[g], gates->gate[g].kind);
    if (rollout_unit_is_site(gates))
        put_crowd(&w, &d->crowd);
    return rollout_line_finish(&w, ret);
}

static void take_slots(struct rollout_line_reader *r, struct rollout_score_history *h) {
    uint64_t n = rollout_line_take(r, ROLLOUT_SCORE_SLOTS);
    size_t next = 0;
    for (uint64_t i = 0; i < n && !r->wrong; i++) {
        struct rollout_score_slot slot = {.slot = rollout_line_take_signed(r)};
        slot.sum = take_mean(r);
        size_t at = (size_t)(slot.slot < 0 ? 0 : slot.slot % ROLLOUT_SCORE_SLOTS);
        r->wrong = r->wrong || slot.slot < 0 || slot.sum.n == 0 || at < next;
        h->slots[at] = slot;
        next = at + 1;
    }
}

static void take_history(struct rollout_line_reader *r, enum rollout_gate_kind kind,
                         struct rollout_score_history *h) {
    if (kind == ROLLOUT_GATE_COUNTER) {
        h->has_last = rollout_line_take_flag(r);
        h->last_nano = rollout_line_take_signed(r);
    }
    if (kind == ROLLOUT_GATE_METRIC) {
        take_slots(r, h);
        h->before = take_mean(r);
        h->has_guard = rollout_line_take_flag(r);
        h->guard_nano = rollout_line_take_signed(r);
    }
    h->has_mark = rollout_line_take_flag(r);
    for (size_t i = 0; h->has_mark && i < 3; i++)
        h->mark[i] = rollout_line_take_small(r, UINT32_MAX);
}

static void take_crowd(struct rollout_line_reader *r, struct rollout_score_crowd *crowd) {
    crowd->heard = rollout_line_take(r, UINT32_MAX);
    crowd->based = rollout_line_take(r, crowd->heard);
    crowd->resolved = rollout_line_take(r, UINT32_MAX);
    crowd->failed = rollout_line_take(r, crowd->resolved);
    crowd->based_s = rollout_line_take_signed(r);
    crowd->entered_s = rollout_line_take_signed(r);
}

static void take_device(struct rollout_line_reader *r, const struct rollout_gates *gates,
                        uint64_t version, struct rollout_score_device *d) {
    uint32_t bits = (uint32_t)((UINT64_C(1) << gates->n) - 1);
    memset(d, 0, sizeof *d);
    d->run = rollout_line_take_small(r, UINT32_MAX);
    d->arm = (enum rollout_arm)rollout_line_take_small(r, ROLLOUT_ARM_TREATED);
    d->counted = rollout_line_take_flag(r);
    d->gone = rollout_line_take_flag(r);
    d->stratum = rollout_line_take_small(r, BUNDLE_STRATA_MAX - 1);
    d->stage = rollout_line_take_small(r, ROLLOUT_POLICY_STAGES_MAX);
    d->rank = rollout_line_take(r, UINT64_MAX);
    d->number = rollout_line_take(r, INT64_MAX);
    d->outcome = (enum rollout_outcome)rollout_line_take_small(r, ROLLOUT_OUTCOME_LEFT);
    d->epoch = rollout_line_take(r, INT64_MAX);
    d->entered = rollout_line_take_flag(r);
    d->at_risk = rollout_line_take_small(r, bits);
    d->had = rollout_line_take_small(r, bits);
    d->set_no = rollout_line_take(r, INT64_MAX);
    d->place = rollout_line_take_small(r, EVIDENCE_RANK_COMPARED_MAX);
    d->heard_s = rollout_line_take_signed(r);
    d->first_s = rollout_line_take_signed(r);
    d->base_s = rollout_line_take_signed(r);
    d->due_s = rollout_line_take_signed(r);
    d->site = version < VERSION_DEVICE ? 0 : rollout_line_take(r, UINT64_MAX);
    d->sited = version >= VERSION_DEVICE && rollout_line_take_flag(r);
    r->wrong = r->wrong || (d->sited && d->site == 0);
    if (version >= VERSION_DEVICE)
        d->trial = (enum rollout_trial_state)rollout_line_take_small(r, ROLLOUT_TRIAL_OUT);
    for (size_t g = 0; g < gates->n && !r->wrong; g++)
        take_history(r, gates->gate[g].kind, &d->history[g]);
    if (rollout_unit_is_site(gates))
        take_crowd(r, &d->crowd);
}

int rollout_score_state_parse_device(const char *text, const struct rollout_gates *gates,
                                     struct rollout_score_device *ret, struct err *e) {
    struct rollout_line_reader r;
    uint64_t version = 0;
    if (rollout_line_open(text, "device", VERSION_DEVICE, &r, &version, e) < 0)
        return -1;
    OWN(mem) struct rollout_score_device *read = malloc(sizeof *read);
    if (read == NULL)
        return err_set(e, &err_memory, "reading what is known of a device: out of memory");
    take_device(&r, gates, version, read);
    if (!rollout_line_is_over(&r))
        return rollout_line_refuse("device", e);
    *ret = *read;
    return 0;
}

// ── Progress ──

int rollout_score_state_format_progress(const struct rollout_progress *p, struct buf *ret,
                                        struct err *e) {
    const uint64_t numbers[] = {p->batch.number,
                                p->batch.size,
                                p->batch.share,
                                p->batch.expected,
                                p->batch.offered_before,
                                p->batch.bad_before,
                                p->batch.held_back_open,
                                p->spend.runs,
                                p->spend.alpha_ppm,
                                p->spend.total_ppm,
                                p->stopped,
                                p->doubt,
                                p->silent,
                                p->waived,
                                p->without};
    struct rollout_line_writer w;
    rollout_line_begin(&w, "progress", VERSION_PROGRESS, e);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        rollout_line_put(&w, numbers[i]);
    rollout_line_put_signed(&w, p->batch.opened_s);
    rollout_line_put_signed(&w, p->reached_s);
    rollout_line_put_signed(&w, p->going_s);
    rollout_line_put_signed(&w, p->paused_s);
    rollout_line_put_signed(&w, p->resumed_s);
    return rollout_line_finish(&w, ret);
}

int rollout_score_state_parse_progress(const char *text, struct rollout_progress *io,
                                       struct err *e) {
    struct rollout_progress read = *io;
    uint64_t version = 0;
    struct rollout_line_reader r;
    if (rollout_line_open(text, "progress", VERSION_PROGRESS, &r, &version, e) < 0)
        return -1;
    read.batch.number = rollout_line_take(&r, INT64_MAX);
    read.batch.size = rollout_line_take(&r, INT64_MAX);
    read.batch.share = rollout_line_take(&r, ROLLOUT_BATCH_WHOLE);
    read.batch.expected = rollout_line_take(&r, INT64_MAX);
    read.batch.offered_before = rollout_line_take(&r, INT64_MAX);
    read.batch.bad_before = rollout_line_take(&r, INT64_MAX);
    read.batch.held_back_open = rollout_line_take_flag(&r);
    read.spend.runs = rollout_line_take_small(&r, UINT32_MAX);
    read.spend.alpha_ppm = rollout_line_take_small(&r, EVIDENCE_PPM);
    read.spend.total_ppm = rollout_line_take_small(&r, EVIDENCE_PPM);
    read.stopped = rollout_line_take_flag(&r);
    read.doubt = rollout_line_take_flag(&r);
    read.silent = rollout_line_take_flag(&r);
    read.waived = rollout_line_take_small(&r, UINT32_MAX);
    read.without = rollout_line_take_small(&r, UINT32_MAX);
    read.batch.opened_s = rollout_line_take_signed(&r);
    read.reached_s = rollout_line_take_signed(&r);
    read.going_s = rollout_line_is_over(&r) ? 0 : rollout_line_take_signed(&r); // a later addition
    read.paused_s = version < VERSION_PROGRESS ? 0 : rollout_line_take_signed(&r);
    read.resumed_s = version < VERSION_PROGRESS ? 0 : rollout_line_take_signed(&r);
    if (!rollout_line_is_over(&r))
        return rollout_line_refuse("progress", e);
    *io = read;
    return 0;
}
