// SPDX-License-Identifier: Apache-2.0
//
// Keeping scores in arrays.
#include "ctl/sim/score.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/trial.h"
#include "ctl/sim/score_units.h"

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "simulating: out of memory");
}

int sim_score_open(const struct sim_world *world, const struct rollout_stratum_plan *plans,
                   struct sim_score **ret, struct err *e) {
    const struct sim_fleet *fleet = world->fleet;
    const struct rollout_gates *gates = &world->policy->gates;
    struct sim_score *s = calloc(1, sizeof *s);
    if (s == NULL)
        return no_memory(e);
    s->world = world;
    s->policy = world->policy;
    s->plans = plans;
    s->devices = calloc(world->n, sizeof *s->devices);
    s->made = calloc(world->n, sizeof *s->made);
    s->metric = calloc(ROLLOUT_GATES_MAX, sizeof *s->metric);
    if (s->devices == NULL || s->made == NULL || s->metric == NULL) {
        sim_score_close(s);
        return no_memory(e);
    }
    if (sim_score_units_open(s, e) < 0) {
        sim_score_close(s);
        return -1;
    }
    for (size_t g = 0; g < gates->n; g++)
        while (s->metric[g] < fleet->n_metrics &&
               strcmp(fleet->metrics[s->metric[g]].name, gates->gate[g].metric) != 0)
            s->metric[g]++;
    *ret = s;
    return 0;
}

void sim_score_close(struct sim_score *s) {
    if (s == NULL)
        return;
    free(s->devices);
    free(s->made);
    free(s->metric);
    free(s->order);
    free(s->by_number);
    free(s->sets);
    free(s->due);
    sim_score_units_close(s);
    free(s);
}

// Room for index `at`; *list keeps its meaning when memory is out.
static int room(void **list, size_t *capacity, size_t at, size_t each, struct err *e) {
    if (at < *capacity)
        return 0;
    size_t wanted = *capacity == 0 ? 256 : 2 * *capacity;
    wanted = wanted > at ? wanted : at + 1;
    void *grown = reallocarray(*list, wanted, each);
    if (grown == NULL)
        return no_memory(e);
    memset((char *)grown + *capacity * each, 0, (wanted - *capacity) * each);
    *list = grown;
    *capacity = wanted;
    return 0;
}

// ── The beginning ──

// The stratum that evidence of the device counts for: small ones are compared as one.
static uint32_t pool_of(const struct sim_score *s, size_t device) {
    size_t stratum = s->world->devices[device].stratum;
    return (uint32_t)rollout_strata_pool(&s->plans[stratum], stratum);
}

struct ranked {
    uint32_t device;
    uint16_t stratum;
    uint64_t rank;
};

static int by_rank(const void *left, const void *right) {
    const struct ranked *a = left, *b = right;
    if (a->stratum != b->stratum)
        return a->stratum < b->stratum ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank > b->rank ? -1 : 1;
    return (a->device > b->device) - (a->device < b->device);
}

// Devices of one unit stand together.
static size_t keep_units(struct ranked *io, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || io[kept - 1].device != io[i].device)
            io[kept++] = io[i];
    return kept;
}

int sim_score_begin(struct sim_score *s, const uint32_t *members, const uint64_t *ranks, size_t n,
                    struct err *e) {
    OWN(mem) struct ranked *ranked = calloc(n + 1, sizeof *ranked);
    s->order = calloc(n + 1, sizeof *s->order);
    if (ranked == NULL || s->order == NULL)
        return no_memory(e);
    for (size_t i = 0; i < n; i++)
        ranked[i] = (struct ranked){(uint32_t)sim_score_unit(s, members[i]),
                                    (uint16_t)pool_of(s, members[i]), ranks[i]};
    qsort(ranked, n, sizeof *ranked, by_rank);
    n = keep_units(ranked, n);
    size_t at = 0;
    for (size_t stratum = 0; stratum <= s->world->n_strata; stratum++) {
        while (at < n && ranked[at].stratum < stratum)
            at++;
        s->first[stratum] = at;
        if (stratum < s->world->n_strata)
            s->cursor[stratum] = at;
    }
    for (size_t i = 0; i < n; i++)
        s->order[i] = ranked[i].device;
    return 0;
}

// What the install gate says depends on how many were offered the release, too: a judgement that was
// made before would not be the one that a restarted controller makes.
static void take_news(struct sim_score *s, const struct rollout_score_news *news) {
    s->is_dirty = s->is_dirty || news->shared || news->gates != 0;
}

void sim_score_follow(struct sim_score *s, const struct rollout_progress *progress) {
    uint32_t run = s->score.run;
    if (!rollout_score_follow(progress->spend.runs, progress->batch.number, &s->score))
        return;
    s->is_dirty = true;
    if (run == s->score.run)
        return;
    // What was drawn for an earlier run may be drawn again.
    for (size_t i = 0; i < s->world->n_strata; i++)
        s->cursor[i] = s->first[i];
}

// ── Devices ──

// Whether the fact that the policy takes for a device's site is the one that the fleet has.
static bool names_sites(const struct sim_score *s) {
    const char *fact = s->policy->gates.site;
    return s->world->fleet->sites > 1 && strcmp(fact[0] == '\0' ? ROLLOUT_GATES_SITE_DEFAULT : fact,
                                                s->world->fleet->site_fact) == 0;
}

void sim_score_heard(struct sim_score *s, size_t device, const struct sim_score_seen *seen) {
    const struct rollout_gates *gates = &s->policy->gates;
    struct rollout_score_device *row = &s->devices[device];
    struct rollout_score_news news;
    if (s->members != NULL) {
        sim_score_units_heard(s, device, seen, &news);
        take_news(s, &news);
        return;
    }
    if (!s->made[device]) {
        bool counts = rollout_score_counts(gates, &seen->seen, seen->checkin.now_s);
        rollout_score_device_init(&s->score, pool_of(s, device), seen->stage, seen->rank, counts,
                                  row);
        if (names_sites(s))
            row->site = (uint64_t)s->world->devices[device].site + 1;
        s->made[device] = true;
    } else
        (void)rollout_score_count_again(&s->score, gates, &seen->seen, seen->checkin.now_s, row);
    rollout_score_heard(&s->score, gates, &seen->checkin, row, &news);
    take_news(s, &news);
}

int sim_score_offered(struct sim_score *s, size_t device, struct err *e) {
    size_t unit = sim_score_unit(s, device);
    struct rollout_score_device *row = &s->devices[unit];
    struct rollout_score_news news;
    if (!s->made[unit])
        return 0;
    if (s->members != NULL)
        sim_score_units_offered(s, device, &news);
    else
        rollout_score_offered(&s->score, &s->policy->gates, row, &news);
    take_news(s, &news);
    if (row->number == 0)
        return 0;
    if (room((void **)&s->by_number, &s->numbers_capacity, row->number, sizeof *s->by_number, e) <
        0)
        return -1;
    s->by_number[row->number] = (uint32_t)unit;
    return 0;
}

// Whether the policy's stage, batch and hold-back admit the device now.
static bool is_admitted(const struct sim_score *s, const struct rollout_progress *progress,
                        size_t device) {
    const struct rollout_score_device *row = &s->devices[device];
    const struct rollout_batch_place open = {.stage = progress->stage,
                                             .started = progress->stage < s->policy->n_stages &&
                                                        progress->started_s[progress->stage] != 0,
                                             .batch = &progress->batch};
    return rollout_batch_admission(s->policy, &open, &s->plans[row->stratum], row->rank) ==
           ROLLOUT_ADMISSION_OPEN;
}

// The highest ranks of the stratum that may be compared, up to as many as the policy says.
static size_t draw(struct sim_score *s, const struct rollout_progress *progress, uint32_t stratum,
                   int64_t now_s, uint32_t *ret) {
    const struct rollout_gates *gates = &s->policy->gates;
    size_t n = 0, last = s->first[stratum + 1];
    while (s->cursor[stratum] < last &&
           s->devices[s->order[s->cursor[stratum]]].set_no >= s->score.first_set)
        s->cursor[stratum]++;
    for (size_t i = s->cursor[stratum]; i < last && n < gates->compared; i++) {
        uint32_t device = s->order[i];
        if (!s->made[device])
            continue; // not heard of since the rollout was applied
        bool admitted = is_admitted(s, progress, device);
        if (admitted)
            break; // so are all ranks below
        if (rollout_score_may_compare(&s->score, gates, &s->devices[device], admitted, now_s))
            ret[n++] = device;
    }
    return n;
}

static int begin_set(struct sim_score *s, const struct rollout_progress *progress, size_t device,
                     int64_t now_s, struct err *e) {
    struct rollout_score_device *row = &s->devices[device];
    struct rollout_score_device *members[EVIDENCE_RANK_COMPARED_MAX];
    struct sim_score_set set = {.treated = (uint32_t)device};
    if (row->base_s != 0 || row->run != s->score.run)
        return 0;
    if (row->counted && row->number != 0)
        set.n = (uint32_t)draw(s, progress, row->stratum, now_s, set.members);
    for (size_t i = 0; i < set.n; i++)
        members[i] = &s->devices[set.members[i]];
    if (rollout_score_set_begin(&s->score, &s->policy->gates, row, members, set.n, now_s) ==
        ROLLOUT_SCORE_NO_SET)
        return 0;
    if (room((void **)&s->sets, &s->sets_capacity, row->set_no, sizeof *s->sets, e) < 0 ||
        room((void **)&s->due, &s->due_capacity, s->n_due, sizeof *s->due, e) < 0)
        return -1;
    s->sets[row->set_no] = set;
    s->due[s->n_due++] = (uint32_t)device;
    return 0;
}

// The install gate takes outcomes in the order of their numbers.
static void feed(struct sim_score *s) {
    struct rollout_score_news news;
    while (s->score.prefix < s->score.next_number) {
        const struct rollout_score_device *row = &s->devices[s->by_number[s->score.prefix]];
        if (row->number != s->score.prefix || row->outcome == ROLLOUT_OUTCOME_NONE)
            return;
        rollout_score_install_next(&s->score, &s->policy->gates, row->outcome, &news);
        take_news(s, &news);
    }
}

bool sim_score_awaits(const struct sim_score *s, size_t *ret_device) {
    if (s->score.prefix >= s->score.next_number)
        return false;
    *ret_device = s->by_number[s->score.prefix];
    if (s->members != NULL)
        *ret_device = s->leads[*ret_device];
    return true;
}

// Gates on reverts take sets in their order, as they are over.
static void score_trials(struct sim_score *s, int64_t now_s) {
    const struct rollout_gates *gates = &s->policy->gates;
    struct rollout_score_device *members[EVIDENCE_RANK_COMPARED_MAX];
    struct rollout_score_news news;
    struct rollout_trial trial;
    while (rollout_trial_gates(gates) != 0 && s->score.next_trial < s->score.next_set) {
        const struct sim_score_set *set = &s->sets[s->score.next_trial];
        for (size_t i = 0; i < set->n; i++)
            members[i] = &s->devices[set->members[i]];
        if (rollout_trial_score(&s->score, gates, &s->devices[set->treated], members, set->n, now_s,
                                &trial, &news) == ROLLOUT_TRIAL_OPEN)
            return;
        take_news(s, &news);
    }
}

// It leaves, or (NONE) its activation is known, or its outcome.
static void tell(struct sim_score *s, size_t device, bool leaves, enum rollout_outcome outcome,
                 int64_t now_s) {
    struct rollout_score_device *row = &s->devices[sim_score_unit(s, device)];
    const struct rollout_gates *gates = &s->policy->gates;
    struct rollout_score_news news = {.shared = false};
    if (s->members != NULL && leaves)
        rollout_score_member_leave(&s->score, &s->members[device], row, &news);
    else if (s->members != NULL)
        rollout_score_member_moved(&s->score, gates, outcome, now_s, &s->members[device], row,
                                   &news);
    else if (leaves)
        rollout_score_leave(&s->score, row, &news);
    else if (outcome != ROLLOUT_OUTCOME_NONE)
        rollout_score_outcome(&s->score, gates, outcome == ROLLOUT_OUTCOME_BAD, row, &news);
    take_news(s, &news);
    if (leaves || outcome != ROLLOUT_OUTCOME_NONE)
        feed(s);
}

int sim_score_became(struct sim_score *s, const struct rollout_progress *progress, size_t device,
                     enum rollout_task task, bool will_retry, int64_t now_s, struct err *e) {
    size_t unit = sim_score_unit(s, device);
    bool bad =
        task == ROLLOUT_TASK_FAILED || task == ROLLOUT_TASK_REVERTED || task == ROLLOUT_TASK_LOST;
    if (!s->made[unit] || s->devices[unit].arm != ROLLOUT_ARM_TREATED ||
        (s->members != NULL && (!s->joined[device] || s->members[device].gone)))
        return 0;
    if (task == ROLLOUT_TASK_CANCELLED) {
        tell(s, device, true, ROLLOUT_OUTCOME_NONE, now_s);
        return 0;
    }
    if ((bad && !will_retry) || task == ROLLOUT_TASK_COMMITTED)
        tell(s, device, false, bad ? ROLLOUT_OUTCOME_BAD : ROLLOUT_OUTCOME_GOOD, now_s);
    else if (task == ROLLOUT_TASK_ACTIVATED)
        tell(s, device, false, ROLLOUT_OUTCOME_NONE, now_s);
    else
        return 0;
    bool tried = s->members == NULL && rollout_trial_moved(&s->score, task, &s->devices[unit]);
    if (begin_set(s, progress, unit, now_s, e) < 0)
        return -1;
    if (tried)
        score_trials(s, now_s);
    return 0;
}

void sim_score_shammed(struct sim_score *s, size_t device, enum bundle_event event, int64_t now_s) {
    if (s->members == NULL && s->made[device] &&
        rollout_trial_told(&s->score, &s->policy->gates, event, now_s, &s->devices[device]))
        score_trials(s, now_s);
}

bool sim_score_wants_sham(const struct sim_score *s, size_t device, int64_t now_s) {
    return s->members == NULL && s->made[device] &&
           rollout_trial_wanted(&s->score, &s->policy->gates, &s->devices[device], now_s);
}

bool sim_score_is_compared(const struct sim_score *s, size_t device) {
    size_t unit = sim_score_unit(s, device);
    const struct rollout_score_device *row = &s->devices[unit];
    return s->made[unit] && row->run == s->score.run && row->place > 0 && row->due_s > 0;
}

// ── Time ──

void sim_score_due(struct sim_score *s, int64_t now_s) {
    struct rollout_score_device *members[EVIDENCE_RANK_COMPARED_MAX];
    struct rollout_score_news news;
    score_trials(s, now_s);
    while (s->next_due < s->n_due) {
        struct rollout_score_device *row = &s->devices[s->due[s->next_due]];
        // One of an earlier run is in none any more.
        if (row->run == s->score.run && row->due_s > now_s)
            return;
        s->next_due++;
        if (row->run != s->score.run || row->due_s == 0)
            continue;
        const struct sim_score_set *set = &s->sets[row->set_no];
        for (size_t i = 0; i < set->n; i++)
            members[i] = &s->devices[set->members[i]];
        (void)rollout_score_set_score(&s->score, &s->policy->gates, row, members, set->n, &news);
        take_news(s, &news);
    }
}

static uint32_t lost_gates(const struct sim_score *s) {
    return rollout_score_lost_gates(&s->policy->gates);
}

int64_t sim_score_deadline_s(const struct sim_score *s, size_t device) {
    const struct rollout_score_device *row = &s->devices[device];
    uint32_t lost = lost_gates(s);
    if (s->members != NULL)
        return sim_score_units_deadline_s(s, device);
    if (lost == 0 || !s->made[device] || row->epoch < s->score.first_epoch ||
        row->run != s->score.run || row->gone || (row->at_risk & lost) != lost)
        return INT64_MAX;
    return row->heard_s + rollout_score_silence_s(s->policy) + 1;
}

static int by_tie(const void *left, const void *right, void *context) {
    const struct sim_score *s = context;
    const struct rollout_score_device *a = &s->devices[*(const uint32_t *)left];
    const struct rollout_score_device *b = &s->devices[*(const uint32_t *)right];
    uint64_t x = rollout_score_tie_site(&s->score, a), y = rollout_score_tie_site(&s->score, b);
    uint32_t s1 = rollout_score_tie_stratum(&s->score, a);
    uint32_t s2 = rollout_score_tie_stratum(&s->score, b);
    if (s1 != s2)
        return s1 < s2 ? -1 : 1;
    return (x > y) - (x < y);
}

// Devices that tie.
static void lose(struct sim_score *s, int64_t before_s, const uint32_t *devices, size_t n) {
    const struct rollout_score_device *first = &s->devices[devices[0]];
    struct rollout_score_tie tie = {.stratum = rollout_score_tie_stratum(&s->score, first),
                                    .site = rollout_score_tie_site(&s->score, first),
                                    .before_s = before_s};
    struct rollout_score_news news;
    for (size_t i = 0; i < n; i++) {
        bool treated = s->devices[devices[i]].arm == ROLLOUT_ARM_TREATED;
        tie.comparison += !treated;
        tie.treated += treated;
    }
    rollout_score_lose(&s->score, &s->policy->gates, &tie, &news);
    take_news(s, &news);
    for (size_t i = 0; i < n; i++) {
        rollout_score_lost(&s->score, &s->policy->gates, &tie, &s->devices[devices[i]], &news);
        take_news(s, &news);
    }
}

enum rollout_silence sim_score_silence(struct sim_score *s, uint32_t *devices, size_t n,
                                       int64_t now_s) {
    int64_t before_s = now_s - rollout_score_silence_s(s->policy);
    if (rollout_score_silent(&s->score, &s->policy->gates, n))
        return ROLLOUT_SILENCE_SILENT;
    if (s->members != NULL)
        n = sim_score_units_lost(s, devices, n);
    if (n > 0)
        qsort_r(devices, n, sizeof *devices, by_tie, s);
    for (size_t first = 0, end = 0; first < n; first = end) {
        while (end < n && by_tie(&devices[end], &devices[first], s) == 0)
            end++;
        lose(s, before_s, &devices[first], end - first);
    }
    return ROLLOUT_SILENCE_HEARD;
}

// ── Judging ──

const struct rollout_judgement *sim_score_judge(struct sim_score *s,
                                                const struct rollout_progress *progress) {
    if (s->is_dirty) {
        rollout_score_judge(&s->score, &s->policy->gates, progress->spend.alpha_ppm, &s->judgement);
        s->is_dirty = s->has_verdict = false;
    }
    return &s->judgement;
}

const struct rollout_verdict *
sim_score_verdict(struct sim_score *s, const struct rollout_progress *progress, struct err *e) {
    size_t n = 0;
    if (s->has_verdict)
        return &s->verdict;
    OWN(mem) struct rollout_unit *units = calloc(s->world->n, sizeof *units);
    if (units == NULL) {
        (void)no_memory(e);
        return NULL;
    }
    for (size_t i = 0; i < s->world->n; i++)
        if (s->made[i] &&
            rollout_verdict_unit(&s->score, &s->policy->gates, &s->devices[i], &units[n]))
            units[n++].cluster[ROLLOUT_CLUSTER_SITE] =
                s->members != NULL ? (uint32_t)i : s->world->devices[i].site;
    const struct rollout_verdict_case of = {
        .gates = &s->policy->gates,
        .score = &s->score,
        .judgement = &s->judgement,
        .alpha_ppm = progress->spend.alpha_ppm,
        .units = units,
        .n_units = n,
        .n_clusters = {[ROLLOUT_CLUSTER_SITE] =
                           s->members != NULL ? s->world->n : s->world->fleet->sites}};
    if (rollout_verdict_find(&of, &s->verdict, e) < 0)
        return NULL;
    s->has_verdict = true;
    return &s->verdict;
}
