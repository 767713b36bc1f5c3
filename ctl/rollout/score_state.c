// SPDX-License-Identifier: Apache-2.0
//
// Scores as text. Each struct is written and read as the list of its numbers.
#include "ctl/rollout/score_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/evidence/state.h"

#define VERSION        1
#define VERSION_DEVICE 2 // 1 is without a site

// ── Writing ──

// A line under way: the first error stays.
struct writer {
    struct buf line;
    struct err *e;
    bool failed;
};

static void begin_version(struct writer *w, const char *kind, int version, struct err *e) {
    w->e = e;
    buf_init(&w->line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    w->failed = buf_add_format(&w->line, e, "%s %d", kind, version) < 0;
}

static void begin(struct writer *w, const char *kind, struct err *e) {
    begin_version(w, kind, VERSION, e);
}

static void put(struct writer *w, uint64_t number) {
    w->failed = w->failed || buf_add_format(&w->line, w->e, " %" PRIu64, number) < 0;
}

static void put_signed(struct writer *w, int64_t number) {
    w->failed = w->failed || buf_add_format(&w->line, w->e, " %" PRId64, number) < 0;
}

static void put_mean(struct writer *w, const struct rollout_score_mean *mean) {
    put(w, mean->n);
    put_signed(w, mean->whole);
    put_signed(w, mean->nano);
}

static int finish(struct writer *w, struct buf *ret) {
    int done = w->failed ? -1 : buf_add_text(ret, buf_text(&w->line), w->e);
    buf_clear(&w->line);
    return done;
}

// ── Reading ──

// The rest of a line: what is wrong with it stays wrong.
struct reader {
    const char *text;
    bool wrong;
};

// The digits of a number in its only form.
static uint64_t digits(struct reader *r, uint64_t most) {
    uint64_t number = 0;
    if (*r->text < '0' || *r->text > '9' ||
        (*r->text == '0' && r->text[1] >= '0' && r->text[1] <= '9'))
        r->wrong = true;
    for (; !r->wrong && *r->text >= '0' && *r->text <= '9'; r->text++)
        r->wrong = __builtin_mul_overflow(number, 10U, &number) ||
                   __builtin_add_overflow(number, (unsigned)(*r->text - '0'), &number);
    r->wrong = r->wrong || number > most;
    return r->wrong ? 0 : number;
}

static bool take_blank(struct reader *r) {
    r->wrong = r->wrong || *r->text != ' ';
    r->text += !r->wrong;
    return !r->wrong;
}

static uint64_t take(struct reader *r, uint64_t most) {
    return take_blank(r) ? digits(r, most) : 0;
}

static uint32_t take_small(struct reader *r, uint32_t most) {
    return (uint32_t)take(r, most);
}

static bool take_flag(struct reader *r) {
    return take(r, 1) != 0;
}

static int64_t take_signed(struct reader *r) {
    if (!take_blank(r))
        return 0;
    bool negative = *r->text == '-';
    r->text += negative;
    uint64_t magnitude = digits(r, INT64_MAX);
    r->wrong = r->wrong || (negative && magnitude == 0);
    return negative ? -(int64_t)magnitude : (int64_t)magnitude;
}

static struct rollout_score_mean take_mean(struct reader *r) {
    struct rollout_score_mean mean = {.n = take(r, UINT64_MAX)};
    mean.whole = take_signed(r);
    mean.nano = take_signed(r);
    return mean;
}

static int refuse(const char *kind, struct err *e) {
    return err_set(e, &err_syntax,
                   "reading what is known of a rollout (%s): the line is damaged, or of another "
                   "kind",
                   kind);
}

static int open_versions(const char *text, const char *kind, uint64_t newest, struct reader *ret,
                         uint64_t *ret_version, struct err *e) {
    size_t name = strlen(kind);
    *ret = (struct reader){.wrong = strncmp(text, kind, name) != 0};
    if (ret->wrong)
        return refuse(kind, e);
    ret->text = text + name;
    uint64_t version = take(ret, UINT64_MAX);
    if (ret->wrong || version < 1)
        return refuse(kind, e);
    if (version > newest)
        return err_set(e, &err_newer_format,
                       "reading what is known of a rollout (%s): version %" PRIu64
                       " is newer than this program",
                       kind, version);
    *ret_version = version;
    return 0;
}

static int open_line(const char *text, const char *kind, struct reader *ret, struct err *e) {
    uint64_t version = 0;
    return open_versions(text, kind, VERSION, ret, &version, e);
}

static bool is_over(const struct reader *r) {
    return !r->wrong && *r->text == '\0';
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
        score->drift_better, score->n_strata};
    struct writer w;
    begin(&w, "score", e);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put(&w, numbers[i]);
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            put_mean(&w, &score->guard[g]);
    for (size_t g = 0; g < gates->n; g++)
        for (size_t s = 0; is_event(gates, g) && s < score->n_strata; s++) {
            put(&w, score->risk[g][s].comparison);
            put(&w, score->risk[g][s].treated);
        }
    return finish(&w, ret);
}

// All but the gates' evidence, which is another line's.
static void take_shared(struct reader *r, const struct rollout_gates *gates,
                        struct rollout_score *io) {
    io->run = take_small(r, UINT32_MAX);
    uint64_t *const numbers[] = {&io->epoch,     &io->first_number, &io->next_number,
                                 &io->prefix,    &io->known_failed, &io->known_resolved,
                                 &io->first_set, &io->next_set,     &io->sets_scored,
                                 &io->sets_void, &io->drift_worse,  &io->drift_better};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = take(r, INT64_MAX);
    io->n_strata = take(r, BUNDLE_STRATA_MAX);
    memset(io->guard, 0, sizeof io->guard);
    memset(io->risk, 0, sizeof io->risk);
    if (io->sites.epoch != io->epoch)
        rollout_score_sites_open(io->epoch, &io->sites);
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            io->guard[g] = take_mean(r);
    for (size_t g = 0; g < gates->n; g++)
        for (size_t s = 0; is_event(gates, g) && s < io->n_strata; s++) {
            io->risk[g][s].comparison = take(r, INT64_MAX);
            io->risk[g][s].treated = take(r, INT64_MAX);
        }
    r->wrong = r->wrong || io->prefix < io->first_number || io->prefix > io->next_number ||
               io->first_set > io->next_set || io->known_failed > io->known_resolved ||
               io->known_resolved > io->next_number - io->first_number;
}

int rollout_score_state_parse_shared(const char *text, const struct rollout_gates *gates,
                                     struct rollout_score *io, struct err *e) {
    struct reader r;
    if (open_line(text, "score", &r, e) < 0)
        return -1;
    OWN(mem) struct rollout_score *read = malloc(sizeof *read);
    if (read == NULL)
        return err_set(e, &err_memory, "reading what is known of a rollout: out of memory");
    *read = *io;
    take_shared(&r, gates, read);
    if (!is_over(&r))
        return refuse("score", e);
    *io = *read;
    return 0;
}

// ── Sites ──

int rollout_score_state_format_sites(const struct rollout_score *score, size_t block,
                                     struct buf *ret, struct err *e) {
    size_t first = block * ROLLOUT_SCORE_SITE_BLOCK;
    struct writer w;
    assert(block < ROLLOUT_SCORE_SITE_BLOCKS);
    begin(&w, "sites", e);
    put(&w, score->sites.epoch);
    for (size_t at = first; at < first + ROLLOUT_SCORE_SITE_BLOCK; at++) {
        const struct rollout_score_site *cell = &score->sites.cells[at];
        const uint64_t numbers[] = {at,
                                    cell->site,
                                    cell->stratum,
                                    cell->entered,
                                    cell->risk.comparison,
                                    cell->risk.treated};
        for (size_t i = 0; cell->site != 0 && i < sizeof numbers / sizeof *numbers; i++)
            put(&w, numbers[i]);
        if (cell->site != 0)
            put_signed(&w, cell->heard_s);
    }
    return finish(&w, ret);
}

static void take_site(struct reader *r, struct rollout_score_sites *io) {
    size_t at = (size_t)take(r, ROLLOUT_SCORE_SITE_CELLS - 1);
    struct rollout_score_site cell = {.site = take(r, UINT64_MAX)};
    cell.stratum = take_small(r, BUNDLE_STRATA_MAX - 1);
    cell.entered = take_small(r, UINT32_MAX);
    cell.risk.comparison = take(r, INT64_MAX);
    cell.risk.treated = take(r, INT64_MAX);
    cell.heard_s = take_signed(r);
    r->wrong = r->wrong || !rollout_score_sites_put(io, at, &cell);
}

int rollout_score_state_parse_sites(const char *text, struct rollout_score *io, struct err *e) {
    struct reader r;
    if (open_line(text, "sites", &r, e) < 0)
        return -1;
    uint64_t epoch = take(&r, INT64_MAX);
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
    if (!is_over(&r))
        return refuse("sites", e);
    io->sites = *read;
    return 0;
}

// ── A device ──

static void put_history(struct writer *w, const struct rollout_score_history *h,
                        enum rollout_gate_kind kind) {
    size_t n = 0;
    if (kind == ROLLOUT_GATE_COUNTER) {
        put(w, h->has_last);
        put_signed(w, h->last_nano);
    }
    for (size_t i = 0; i < ROLLOUT_SCORE_SLOTS; i++)
        n += h->slots[i].sum.n > 0;
    if (kind == ROLLOUT_GATE_METRIC) {
        put(w, n);
        for (size_t i = 0; i < ROLLOUT_SCORE_SLOTS; i++) {
            if (h->slots[i].sum.n == 0)
                continue;
            put_signed(w, h->slots[i].slot);
            put_mean(w, &h->slots[i].sum);
        }
        put_mean(w, &h->before);
        put(w, h->has_guard);
        put_signed(w, h->guard_nano);
    }
    put(w, h->has_mark);
    for (size_t i = 0; h->has_mark && i < 3; i++)
        put(w, h->mark[i]);
}

int rollout_score_state_format_device(const struct rollout_score_device *d,
                                      const struct rollout_gates *gates, struct buf *ret,
                                      struct err *e) {
    struct writer w;
    begin_version(&w, "device", VERSION_DEVICE, e);
    const uint64_t first[] = {
        d->run,    (uint64_t)d->arm,     d->counted, d->gone,    d->stratum, d->stage, d->rank,
        d->number, (uint64_t)d->outcome, d->epoch,   d->entered, d->at_risk, d->had,   d->set_no,
        d->place};
    const int64_t times[] = {d->heard_s, d->first_s, d->base_s, d->due_s};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        put(&w, first[i]);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        put_signed(&w, times[i]);
    put(&w, d->site);
    put(&w, d->sited);
    for (size_t g = 0; g < gates->n; g++)
        put_history(&w, &d->history[g], gates->gate[g].kind);
    return finish(&w, ret);
}

static void take_slots(struct reader *r, struct rollout_score_history *h) {
    uint64_t n = take(r, ROLLOUT_SCORE_SLOTS);
    size_t next = 0;
    for (uint64_t i = 0; i < n && !r->wrong; i++) {
        struct rollout_score_slot slot = {.slot = take_signed(r)};
        slot.sum = take_mean(r);
        size_t at = (size_t)(slot.slot < 0 ? 0 : slot.slot % ROLLOUT_SCORE_SLOTS);
        r->wrong = r->wrong || slot.slot < 0 || slot.sum.n == 0 || at < next;
        h->slots[at] = slot;
        next = at + 1;
    }
}

static void take_history(struct reader *r, enum rollout_gate_kind kind,
                         struct rollout_score_history *h) {
    if (kind == ROLLOUT_GATE_COUNTER) {
        h->has_last = take_flag(r);
        h->last_nano = take_signed(r);
    }
    if (kind == ROLLOUT_GATE_METRIC) {
        take_slots(r, h);
        h->before = take_mean(r);
        h->has_guard = take_flag(r);
        h->guard_nano = take_signed(r);
    }
    h->has_mark = take_flag(r);
    for (size_t i = 0; h->has_mark && i < 3; i++)
        h->mark[i] = take_small(r, UINT32_MAX);
}

static void take_device(struct reader *r, const struct rollout_gates *gates, uint64_t version,
                        struct rollout_score_device *d) {
    uint32_t bits = (uint32_t)((UINT64_C(1) << gates->n) - 1);
    memset(d, 0, sizeof *d);
    d->run = take_small(r, UINT32_MAX);
    d->arm = (enum rollout_arm)take_small(r, ROLLOUT_ARM_TREATED);
    d->counted = take_flag(r);
    d->gone = take_flag(r);
    d->stratum = take_small(r, BUNDLE_STRATA_MAX - 1);
    d->stage = take_small(r, ROLLOUT_POLICY_STAGES_MAX);
    d->rank = take(r, UINT64_MAX);
    d->number = take(r, INT64_MAX);
    d->outcome = (enum rollout_outcome)take_small(r, ROLLOUT_OUTCOME_LEFT);
    d->epoch = take(r, INT64_MAX);
    d->entered = take_flag(r);
    d->at_risk = take_small(r, bits);
    d->had = take_small(r, bits);
    d->set_no = take(r, INT64_MAX);
    d->place = take_small(r, EVIDENCE_RANK_COMPARED_MAX);
    d->heard_s = take_signed(r);
    d->first_s = take_signed(r);
    d->base_s = take_signed(r);
    d->due_s = take_signed(r);
    d->site = version < VERSION_DEVICE ? 0 : take(r, UINT64_MAX);
    d->sited = version >= VERSION_DEVICE && take_flag(r);
    r->wrong = r->wrong || (d->sited && d->site == 0);
    for (size_t g = 0; g < gates->n && !r->wrong; g++)
        take_history(r, gates->gate[g].kind, &d->history[g]);
}

int rollout_score_state_parse_device(const char *text, const struct rollout_gates *gates,
                                     struct rollout_score_device *ret, struct err *e) {
    struct reader r;
    uint64_t version = 0;
    if (open_versions(text, "device", VERSION_DEVICE, &r, &version, e) < 0)
        return -1;
    OWN(mem) struct rollout_score_device *read = malloc(sizeof *read);
    if (read == NULL)
        return err_set(e, &err_memory, "reading what is known of a device: out of memory");
    take_device(&r, gates, version, read);
    if (!is_over(&r))
        return refuse("device", e);
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
    struct writer w;
    begin(&w, "progress", e);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put(&w, numbers[i]);
    put_signed(&w, p->batch.opened_s);
    put_signed(&w, p->reached_s);
    put_signed(&w, p->going_s);
    return finish(&w, ret);
}

int rollout_score_state_parse_progress(const char *text, struct rollout_progress *io,
                                       struct err *e) {
    struct rollout_progress read = *io;
    struct reader r;
    if (open_line(text, "progress", &r, e) < 0)
        return -1;
    read.batch.number = take(&r, INT64_MAX);
    read.batch.size = take(&r, INT64_MAX);
    read.batch.share = take(&r, ROLLOUT_BATCH_WHOLE);
    read.batch.expected = take(&r, INT64_MAX);
    read.batch.offered_before = take(&r, INT64_MAX);
    read.batch.bad_before = take(&r, INT64_MAX);
    read.batch.held_back_open = take_flag(&r);
    read.spend.runs = take_small(&r, UINT32_MAX);
    read.spend.alpha_ppm = take_small(&r, EVIDENCE_PPM);
    read.spend.total_ppm = take_small(&r, EVIDENCE_PPM);
    read.stopped = take_flag(&r);
    read.doubt = take_flag(&r);
    read.silent = take_flag(&r);
    read.waived = take_small(&r, UINT32_MAX);
    read.without = take_small(&r, UINT32_MAX);
    read.batch.opened_s = take_signed(&r);
    read.reached_s = take_signed(&r);
    read.going_s = is_over(&r) ? 0 : take_signed(&r); // a later addition
    if (!is_over(&r))
        return refuse("progress", e);
    *io = read;
    return 0;
}
