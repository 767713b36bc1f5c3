// SPDX-License-Identifier: Apache-2.0
//
// One state that a power cut may leave: made in a directory, looked at as the application would
// find it, recovered as the agent does at its start, driven on until the device is idle.
#pragma once

#include <stdarg.h>

#include "tests/fault/recording.h"

// Always false.
__attribute__((format(printf, 2, 3))) static inline bool problem(struct finding *f,
                                                                 const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(f->problem, sizeof f->problem, format, args);
    va_end(args);
    return false;
}

// I1, I6, I7 of what `current` names.
static inline bool current_is_whole(const struct agent_store *store,
                                    const struct agent_floors *floors, struct finding *f,
                                    const char *when) {
    struct err e = ERR_NONE;
    struct bundle_generation g;
    int found = agent_store_current(store, &f->current, &e);
    if (found != 0)
        return problem(f, "I1 %s: %s", when, found < 0 ? e.text : "no link");
    if (agent_store_verify(store, f->current, NULL, NULL, &g, &e) < 0)
        return problem(f, "I1 %s: %s", when, e.text);
    for (size_t i = 1; i < g.n_components; i++)
        if (strcmp(g.components[i].release, g.components[0].release) != 0)
            return problem(f, "I7 %s: two releases run together", when);
    if (agent_floors_admit(floors, &g, &e) < 0)
        return problem(f, "I6 %s: %s", when, e.text);
    return true;
}

static inline bool look(struct device *d, struct finding *f) {
    struct err e = ERR_NONE;
    struct agent_store store;
    struct agent_journal journal;
    struct agent_floors floors = {.object = NULL};
    OWN(fd) int private_dir = -1;
    if (agent_store_open(d->config.state_dir, &store, &e) < 0)
        return problem(f, "%s", e.text);
    bool good = true;
    if (fs_open_dir(store.dir, "private", &private_dir, &e) < 0 ||
        agent_journal_read(private_dir, &journal, &e) != 0 ||
        agent_floors_read(private_dir, &floors, &e) < 0)
        good = problem(f, "unreadable: %s", e.kind ? e.text : "no journal");
    good = good && current_is_whole(&store, &floors, f, "before recovery");
    if (good) {
        f->serial = journal.serial;
        f->floor = floor_of(&floors);
    }
    agent_floors_clear(&floors);
    agent_store_close(&store);
    return good;
}

// *ret_hash is of the disk that recovery leaves.
static inline bool recover_twice(struct device *d, struct finding *f, uint64_t *ret_hash) {
    uint64_t hash[2];
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        struct agent_state state;
        if (agent_state_open(&d->config, &d->clock.chrono, &state, &e) < 0)
            return problem(f, "recovery %zu: %s", i + 1, e.text);
        agent_state_close(&state);
        hash[i] = fs_replay_hash_of(d->config.state_dir);
    }
    *ret_hash = hash[0];
    return hash[0] == hash[1] || problem(f, "a second recovery changes something");
}

// I5.
static inline bool reports_are_whole(struct device *d, bool ended, struct finding *f) {
    struct bundle_report *reports = NULL;
    struct err e = ERR_NONE;
    size_t n = 0;
    bool under_way = false, good = true;
    if (agent_queue_peek(&d->state.queue, 256, &reports, &n, &e) < 0)
        return problem(f, "I5: %s", e.text);
    for (size_t i = 0; i < n && good; i++) {
        if (reports[i].id != i + 1)
            good = problem(f, "I5: report %zu has id %" PRIu64, i + 1, reports[i].id);
        if (reports[i].event == BUNDLE_EVENT_OFFERED)
            under_way = true;
        else if (reports[i].event >= BUNDLE_EVENT_COMMITTED)
            under_way = false;
    }
    if (good && d->state.queue.next != n + 1)
        good = problem(f, "I5: %zu reports, the next is %" PRIu64, n, d->state.queue.next);
    if (good && ended && under_way)
        good = problem(f, "I5: the update ended without a report");
    free(reports);
    return good;
}

static inline bool kept_are_whole(struct device *d, struct finding *f) {
    const struct fsm_record *r = &d->state.journal.record;
    struct err e = ERR_NONE;
    struct bundle_generation g;
    if (agent_store_verify(&d->state.store, r->committed, NULL, NULL, &g, &e) < 0)
        return problem(f, "I2, the committed generation: %s", e.text);
    if (r->has_previous && agent_store_verify(&d->state.store, r->previous, NULL, NULL, &g, &e) < 0)
        return problem(f, "I2, the previous generation: %s", e.text);
    struct finding now = {.used = true};
    if (!current_is_whole(&d->state.store, &d->state.floors, &now, "after recovery"))
        return problem(f, "%s", now.problem);
    if (!fsm_machine_may_run(r, now.current))
        return problem(f, "in %s generation %" PRIu64 " runs", fsm_machine_state_names[r->state],
                       now.current);
    return true;
}

// Garbage: temporaries and what generations/ holds beyond what is needed.
static inline bool nothing_is_left(struct device *d, struct finding *f) {
    const struct fsm_record *r = &d->state.journal.record;
    struct fs_replay *disk = fs_replay_make(d->config.state_dir);
    bool temporary = fs_replay_any(disk, fs_is_temporary);
    fs_replay_free(disk);
    if (temporary)
        return problem(f, "a temporary is left over");
    size_t n = device_generations(d);
    return n == (r->has_previous ? 2 : 1) || problem(f, "I8: %zu entries in generations/", n);
}

static inline bool go_on(struct device *d, struct finding *f) {
    struct err e = ERR_NONE;
    uint64_t runs = 0;
    if (device_open(d, &e) < 0)
        return problem(f, "starting: %s", e.text);
    f->next_report = d->state.queue.next;
    const struct fsm_record *r = &d->state.journal.record;
    if (!kept_are_whole(d, f) || !reports_are_whole(d, false, f))
        return false;
    device_drive(d);
    if (r->state != FSM_IDLE || d->update->work != 0)
        return problem(f, "ends in %s: %s", fsm_machine_state_names[r->state], r->why.text);
    if (!kept_are_whole(d, f) || !reports_are_whole(d, true, f) || !nothing_is_left(d, f))
        return false;
    if (agent_store_current(&d->state.store, &runs, &e) != 0 || runs != r->committed)
        return problem(f, "I3: what runs is not committed");
    if (strcmp(r->last.release, "1.2") == 0 && floor_of(&d->state.floors) != FLOOR_LATER)
        return problem(f, "I6: committed, and the floor did not rise");
    return true;
}

// The place of a hash in a table of findings.
static inline struct finding *find(struct finding *table, uint64_t hash) {
    size_t at = hash % (2 * STATES_MAX);
    while (table[at].used && table[at].hash != hash)
        at = (at + 1) % (2 * STATES_MAX);
    return &table[at];
}

static inline void examine(struct lab *lab, const struct fs_replay_state *state,
                           struct finding *f) {
    struct err e = ERR_NONE;
    struct device d = lab->d;
    OWN(fd) int dir = -1;
    fake_clock_init(&d.clock, 0, 1000000);
    d.config.state_dir = lab->cut;
    cr_assert_eq(fs_make_dir(AT_FDCWD, lab->cut, 0755, &e), 0, "%s", e.text);
    cr_assert_eq(fs_open_dir(AT_FDCWD, lab->cut, &dir, &e), 0, "%s", e.text);
    fs_replay_materialise(state, dir);
    uint64_t hash;
    if (look(&d, f) && recover_twice(&d, f, &hash)) {
        struct finding *on = find(lab->driven, hash);
        if (!on->used) {
            *on = (struct finding){.hash = hash, .used = true};
            (void)go_on(&d, on);
            lab->n_driven++;
        }
        memcpy(f->problem, on->problem, sizeof f->problem);
        f->next_report = on->next_report;
    }
    device_close(&d);
    cr_assert_eq(fs_remove_tree(lab->d.dir.fd, "cut", &e), 0, "%s", e.text);
}
