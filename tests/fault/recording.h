// SPDX-License-Identifier: Apache-2.0
//
// A device whose update, reversal or rollback is recorded at the file-system seam, with marks of
// what the agent relied on when so many operations were recorded.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/fs_record.h"
#include "tests/support/fs_replay.h"
#include "tests/unit/agent/device.h"

#define STATES_MAX  20000 // distinct states of one recording; more is a mistake in the test
#define MARKS_MAX   512
#define FLOOR       4
#define FLOOR_LATER 5 // what the update that commits raises it to
#define SUMMARY     640

// What the agent relied on when so many operations were recorded.
struct mark {
    size_t records;
    uint64_t serial, next_report, current;
    json_int_t floor;
};

// What was found of one state.
struct finding {
    uint64_t hash;
    bool used;
    char problem[SUMMARY]; // "" none
    uint64_t serial, next_report, current;
    json_int_t floor;
};

struct lab {
    struct device d;
    struct fs_ops ops;            // in place while it lives
    char cut[TMP_PATH_BYTES + 8]; // where states are made
    struct mark marks[MARKS_MAX];
    size_t n_marks;
    struct finding *findings; // by hash, open addressing
    struct finding *driven;   // the same, of disks after recovery: one disk, one way on
    size_t n_states, n_driven, n_candidates, n_points, n_sampled, pending_max;
    struct fs_replay *replay;
    const struct mark *mark; // at the point being enumerated
    bool (*leave_out)(size_t index);
    char violation[SUMMARY]; // the first
    char *how;               // which operations it had
};

static json_int_t floor_of(const struct agent_floors *floors) {
    return json_integer_value(json_object_get(floors->object, "app"));
}

// The power stays on here: barriers are recorded, and cost nothing.
static inline int no_barrier(int fd) {
    (void)fd;
    return 0;
}

static inline void without_barriers(struct fs_ops *ret) {
    *ret = fs_system;
    ret->fsync = ret->fdatasync = ret->syncfs = no_barrier;
    (void)fs_swap(ret);
}

static inline void note(struct lab *lab) {
    const struct agent_state *s = &lab->d.state;
    struct err e = ERR_NONE;
    struct mark m = {
        .serial = s->journal.serial, .next_report = s->queue.next, .floor = floor_of(&s->floors)};
    cr_assert_eq(agent_store_current(&s->store, &m.current, &e), 0, "%s", e.text);
    const struct mark *last = lab->n_marks > 0 ? &lab->marks[lab->n_marks - 1] : NULL;
    if (last && last->serial == m.serial && last->next_report == m.next_report &&
        last->current == m.current && last->floor == m.floor)
        return;
    cr_assert_lt(lab->n_marks, MARKS_MAX);
    m.records = fs_record_count();
    lab->marks[lab->n_marks++] = m;
}

static inline void go(struct lab *lab, enum fsm_state until) {
    struct err e = ERR_NONE;
    for (int turn = 0; turn < 2000; turn++) {
        note(lab);
        cr_assert_not(agent_update_fatal(lab->d.update));
        if (lab->d.state.journal.record.state == until &&
            (until != FSM_IDLE || lab->d.update->work == 0))
            return;
        cr_assert_eq(agent_loop_turn(&lab->d.loop, 0, &e), 0, "%s", e.text);
        fake_clock_advance(&lab->d.clock, 500);
    }
    cr_assert_fail("%s never came", fsm_machine_state_names[until]);
}

static inline void ask_back(struct lab *lab, const struct err_kind *kind) {
    struct err e = ERR_NONE, why = ERR_NONE;
    err_set(&why, kind, "asked");
    cr_assert_eq(agent_update_ask(lab->d.update, FSM_ASK_REVERT, &why, &e), 0, "%s", e.text);
    go(lab, FSM_IDLE);
}

static inline void update(struct lab *lab) {
    struct err e = ERR_NONE;
    cr_assert_eq(device_offer(&lab->d, true, &e), 0, "%s", e.text);
    go(lab, FSM_IDLE);
}

static inline void update_that_fails(struct lab *lab) {
    struct err e = ERR_NONE;
    cr_assert_eq(device_offer(&lab->d, true, &e), 0, "%s", e.text);
    go(lab, FSM_PROBATION);
    ask_back(lab, &err_probe_failed);
}

static inline void rollback(struct lab *lab) {
    ask_back(lab, &err_rolled_back);
}

struct plan {
    const char *after;
    void (*run)(struct lab *lab);
};

static const struct plan update_plan = {"1.2", update};
static const struct plan failing_plan = {"1.1", update_that_fails};
static const struct plan rollback_plan = {"1.0", rollback};

// A device at 1.1 that has 1.0 to go back to; the next download is 1.2. What is on its disk now is
// durable; from here on every change is recorded.
static inline struct lab *record(const struct plan *plan) {
    struct lab *lab = calloc(1, sizeof *lab);
    struct err e = ERR_NONE;
    char runs[16];
    cr_assert(lab);
    lab->findings = calloc(2 * STATES_MAX, sizeof *lab->findings);
    lab->driven = calloc(2 * STATES_MAX, sizeof *lab->driven);
    cr_assert(lab->findings && lab->driven);
    without_barriers(&lab->ops);
    // Reading back waits for a disk where there is one.
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
    json_t *floors = json_pack("{si}", "app", FLOOR);
    device_make(&lab->d, NULL);
    (void)snprintf(lab->cut, sizeof lab->cut, "%s/cut", lab->d.dir.path);
    cr_assert_eq(device_open(&lab->d, &e), 0, "%s", e.text);
    cr_assert_eq(agent_floors_raise(lab->d.state.private_dir, &lab->d.state.floors, floors, &e), 0);
    json_decref(floors);
    device_install(&lab->d, "1.0", NULL);
    device_install(&lab->d, "1.1", NULL);
    device_release(&lab->d, "1.2", json_pack("{s{si}}", "floors", "app", FLOOR_LATER));
    lab->replay = fs_replay_make(lab->d.config.state_dir);
    fs_record_begin(lab->d.config.state_dir);
    note(lab);
    plan->run(lab);
    fs_record_end();
    cr_assert_str_eq(device_runs(&lab->d, runs), plan->after);
    device_close(&lab->d);
    return lab;
}

static inline void lab_free(struct lab *lab) {
    fs_replay_free(lab->replay);
    fs_record_clear();
    device_drop(&lab->d);
    (void)fs_swap(&fs_system);
    free(lab->how);
    free(lab->findings);
    free(lab->driven);
    free(lab);
}
