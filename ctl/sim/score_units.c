// SPDX-License-Identifier: Apache-2.0
//
// Devices of sites, in arrays.
#include "ctl/sim/score_units.h"

#include <stdlib.h>

#include "ctl/rollout/unit.h"

#define NO_DEVICE UINT32_MAX

int sim_score_units_open(struct sim_score *s, struct err *e) {
    size_t n = s->world->n;
    if (!rollout_unit_is_site(&s->policy->gates))
        return 0;
    s->members = calloc(n, sizeof *s->members);
    s->joined = calloc(n, sizeof *s->joined);
    s->next = calloc(n, sizeof *s->next);
    s->leads = calloc(n, sizeof *s->leads);
    if (s->members == NULL || s->joined == NULL || s->next == NULL || s->leads == NULL)
        return err_set(e, &err_memory, "simulating: out of memory");
    for (size_t i = 0; i < n; i++)
        s->next[i] = NO_DEVICE;
    for (size_t i = n; i-- > 0;) {
        size_t unit = sim_score_unit(s, i);
        if (unit == i)
            continue;
        s->next[i] = s->next[unit];
        s->next[unit] = (uint32_t)i;
    }
    return 0;
}

void sim_score_units_close(struct sim_score *s) {
    free(s->members);
    free(s->joined);
    free(s->next);
    free(s->leads);
}

static bool is_named(const struct sim_score *s, size_t device) {
    char id[SIM_WORLD_DEVICE_ID_BYTES];
    return s->policy->n_devices > 0 &&
           rollout_policy_named(s->policy, sim_world_id(device, id)) < s->policy->n_stages;
}

static struct rollout_score_ballot ballot_of(const struct sim_score *s, size_t device,
                                             const struct sim_score_seen *seen) {
    const struct rollout_gates *gates = &s->policy->gates;
    struct rollout_score_ballot ballot = {.devices = 0};
    int64_t now_s = seen->checkin.now_s;
    rollout_score_ballot_add(gates, &seen->seen, now_s, &ballot);
    for (uint32_t i = (uint32_t)sim_score_unit(s, device); i != NO_DEVICE; i = s->next[i]) {
        if (i != device && s->joined[i] && !s->members[i].gone)
            rollout_score_ballot_add(gates, &s->members[i].seen, now_s, &ballot);
        ballot.named = ballot.named || is_named(s, i);
    }
    return ballot;
}

void sim_score_units_heard(struct sim_score *s, size_t device, const struct sim_score_seen *seen,
                           struct rollout_score_news *ret) {
    size_t unit = sim_score_unit(s, device);
    struct rollout_score_device *row = &s->devices[unit];
    struct rollout_score_member *member = &s->members[device];
    if (!s->made[unit]) {
        const struct rollout_score_ballot ballot = ballot_of(s, device, seen);
        size_t stratum = s->world->devices[device].stratum;
        rollout_score_device_init(
            &s->score, (uint32_t)rollout_strata_pool(&s->plans[stratum], stratum), seen->stage,
            seen->rank, rollout_score_ballot_counts(&ballot), row);
        s->made[unit] = true;
    } else if (rollout_score_is_asked(&s->score, row)) {
        const struct rollout_score_ballot ballot = ballot_of(s, device, seen);
        (void)rollout_score_count_ballot(&s->score, &ballot, row);
    }
    s->joined[device] = true;
    (void)rollout_score_member_know(&seen->seen, member);
    (void)rollout_score_member_heard(&s->score, &s->policy->gates, &seen->checkin, member, row,
                                     ret);
}

void sim_score_units_offered(struct sim_score *s, size_t device, struct rollout_score_news *ret) {
    size_t unit = sim_score_unit(s, device);
    struct rollout_score_member *member = &s->members[device];
    *ret = (struct rollout_score_news){.shared = false};
    if (!s->joined[device])
        return;
    rollout_score_member_offered(&s->score, &s->policy->gates, member, &s->devices[unit], ret);
    if (member->first)
        s->leads[unit] = (uint32_t)device;
}

int64_t sim_score_units_deadline_s(const struct sim_score *s, size_t device) {
    const struct rollout_score_member *member = &s->members[device];
    if (!s->joined[device] || member->run != s->score.run || member->gone || !member->waits)
        return INT64_MAX;
    return member->heard_s + rollout_score_silence_s(s->policy) + 1;
}

static int by_number(const void *left, const void *right) {
    const uint32_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

size_t sim_score_units_lost(struct sim_score *s, uint32_t *io, size_t n) {
    int64_t silence_s = rollout_score_silence_s(s->policy);
    size_t found = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t unit = sim_score_unit(s, io[i]);
        if (rollout_score_member_lost(&s->score, &s->policy->gates, silence_s, &s->members[io[i]],
                                      &s->devices[unit]))
            io[found++] = (uint32_t)unit;
    }
    if (found > 0)
        qsort(io, found, sizeof *io, by_number);
    for (size_t i = 0; i < found; i++)
        if (kept == 0 || io[kept - 1] != io[i])
            io[kept++] = io[i];
    return kept;
}

void sim_score_units_index(struct sim_score *s) {
    for (size_t i = 0; i < s->world->n && s->members != NULL; i++)
        if (s->joined[i] && s->members[i].first && s->members[i].run == s->score.run)
            s->leads[sim_score_unit(s, i)] = (uint32_t)i;
}
