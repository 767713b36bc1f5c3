// SPDX-License-Identifier: Apache-2.0
//
// Every state that a power cut can leave. A device's update, its reversal in probation and its
// rollback are recorded at the file-system seam; before each barrier every disk that a cut may
// leave (tests/support/fs_replay.h) is made in a directory, looked at as the application would find
// it, recovered as the agent does at its start, and driven on until the device is idle:
//
//   before recovery   I1 and I7: `current` names a complete generation whose contents verify, and
//                     it is the one that the agent had last relied on, or the next; journal and
//                     floors are readable and not older than what the agent had relied on
//   recovery          succeeds, and a second one changes nothing
//   after it          I2, I6, I5: ids of reports rise by one and none that was queued is missing
//   driven on         idle, what runs is committed, nothing is left over (I8)
//
// "Relied on" is what the agent's memory said after a turn of its loop: work had gone on from it.
// That the checks can fail is shown by leaving out a barrier of the recording.
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/fs_record.h"
#include "tests/support/fs_replay.h"
#include "tests/unit/agent/device.h"

#define PENDING_MAX 14    // DESIGN: unsynced operations outside of staging, at any instant
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
    size_t n_states, n_candidates, n_points, pending_max;
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
static int no_barrier(int fd) {
    (void)fd;
    return 0;
}

static void without_barriers(struct fs_ops *ret) {
    *ret = fs_system;
    ret->fsync = ret->fdatasync = ret->syncfs = no_barrier;
    (void)fs_swap(ret);
}

// ── Recording ───────────────────────────────────────────────────────────────────────────────────

static void note(struct lab *lab) {
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

static void go(struct lab *lab, enum fsm_state until) {
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

static void ask_back(struct lab *lab, const struct err_kind *kind) {
    struct err e = ERR_NONE, why = ERR_NONE;
    err_set(&why, kind, "asked");
    cr_assert_eq(agent_update_ask(lab->d.update, FSM_ASK_REVERT, &why, &e), 0, "%s", e.text);
    go(lab, FSM_IDLE);
}

static void update(struct lab *lab) {
    struct err e = ERR_NONE;
    cr_assert_eq(device_offer(&lab->d, true, &e), 0, "%s", e.text);
    go(lab, FSM_IDLE);
}

static void update_that_fails(struct lab *lab) {
    struct err e = ERR_NONE;
    cr_assert_eq(device_offer(&lab->d, true, &e), 0, "%s", e.text);
    go(lab, FSM_PROBATION);
    ask_back(lab, &err_probe_failed);
}

static void rollback(struct lab *lab) {
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
static struct lab *record(const struct plan *plan) {
    struct lab *lab = calloc(1, sizeof *lab);
    struct err e = ERR_NONE;
    char runs[16];
    cr_assert(lab);
    lab->findings = calloc(2 * STATES_MAX, sizeof *lab->findings);
    cr_assert(lab->findings);
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

static void lab_free(struct lab *lab) {
    fs_replay_free(lab->replay);
    fs_record_clear();
    device_drop(&lab->d);
    (void)fs_swap(&fs_system);
    free(lab->how);
    free(lab->findings);
    free(lab);
}

// ── Examining one state ─────────────────────────────────────────────────────────────────────────

// Always false.
__attribute__((format(printf, 2, 3))) static bool problem(struct finding *f, const char *format,
                                                          ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(f->problem, sizeof f->problem, format, args);
    va_end(args);
    return false;
}

// I1, I6, I7 of what `current` names.
static bool current_is_whole(const struct agent_store *store, const struct agent_floors *floors,
                             struct finding *f, const char *when) {
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

static bool look(struct device *d, struct finding *f) {
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

static bool recover_twice(struct device *d, struct finding *f) {
    uint64_t hash[2];
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        struct agent_state state;
        if (agent_state_open(&d->config, &d->clock.chrono, &state, &e) < 0)
            return problem(f, "recovery %zu: %s", i + 1, e.text);
        agent_state_close(&state);
        hash[i] = fs_replay_hash_of(d->config.state_dir);
    }
    return hash[0] == hash[1] || problem(f, "a second recovery changes something");
}

// I5.
static bool reports_are_whole(struct device *d, bool ended, struct finding *f) {
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

static bool kept_are_whole(struct device *d, struct finding *f) {
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
static bool nothing_is_left(struct device *d, struct finding *f) {
    const struct fsm_record *r = &d->state.journal.record;
    struct fs_replay *disk = fs_replay_make(d->config.state_dir);
    bool temporary = fs_replay_any(disk, fs_is_temporary);
    fs_replay_free(disk);
    if (temporary)
        return problem(f, "a temporary is left over");
    size_t n = device_generations(d);
    return n == (r->has_previous ? 2 : 1) || problem(f, "I8: %zu entries in generations/", n);
}

static bool go_on(struct device *d, struct finding *f) {
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

static void examine(struct lab *lab, const struct fs_replay_state *state, struct finding *f) {
    struct err e = ERR_NONE;
    struct device d = lab->d;
    OWN(fd) int dir = -1;
    fake_clock_init(&d.clock, 0, 1000000);
    d.config.state_dir = lab->cut;
    cr_assert_eq(fs_make_dir(AT_FDCWD, lab->cut, 0755, &e), 0, "%s", e.text);
    cr_assert_eq(fs_open_dir(AT_FDCWD, lab->cut, &dir, &e), 0, "%s", e.text);
    fs_replay_materialise(state, dir);
    if (look(&d, f) && recover_twice(&d, f))
        (void)go_on(&d, f);
    device_close(&d);
    cr_assert_eq(fs_remove_tree(lab->d.dir.fd, "cut", &e), 0, "%s", e.text);
}

// ── All states ──────────────────────────────────────────────────────────────────────────────────

static struct finding *find(struct lab *lab, uint64_t hash) {
    size_t at = hash % (2 * STATES_MAX);
    while (lab->findings[at].used && lab->findings[at].hash != hash)
        at = (at + 1) % (2 * STATES_MAX);
    return &lab->findings[at];
}

// What was found against what the agent relied on at this point.
static bool judge(const struct lab *lab, struct finding *f) {
    const struct mark *m = lab->mark;
    const struct mark *next = m + 1 < lab->marks + lab->n_marks ? m + 1 : m;
    if (f->problem[0])
        return false;
    if (f->serial < m->serial)
        return problem(f, "the journal is older than what was relied on");
    if (f->floor < m->floor)
        return problem(f, "I6: the floor fell");
    if (f->current != m->current && f->current != next->current)
        return problem(f, "I1: the swap that was relied on is lost");
    if (f->next_report < m->next_report)
        return problem(f, "I5: the ids of reports went back");
    return true;
}

static bool visit(void *context, const struct fs_replay_state *state) {
    struct lab *lab = context;
    uint64_t hash = fs_replay_hash(state);
    struct finding *f = find(lab, hash);
    lab->n_candidates++;
    if (!f->used) {
        cr_assert_lt(++lab->n_states, STATES_MAX);
        *f = (struct finding){.hash = hash, .used = true};
        examine(lab, state, f);
    }
    if (judge(lab, f))
        return true;
    memcpy(lab->violation, f->problem, sizeof lab->violation);
    lab->how = fs_replay_describe(lab->replay, state);
    return false;
}

// In staging everything is garbage until its barrier.
static bool is_outside_staging(const char *path) {
    static const char generations[] = "generations/";
    return strncmp(path, generations, strlen(generations)) != 0 ||
           !strchr(path + strlen(generations), '/');
}

static bool cut_before(struct lab *lab, size_t index) {
    while (lab->mark + 1 < lab->marks + lab->n_marks && lab->mark[1].records <= index)
        lab->mark++;
    lab->n_points++;
    return fs_replay_enumerate(lab->replay, visit, lab);
}

// Whether every state is good; lab->violation says what is not.
static bool cut_everywhere(struct lab *lab) {
    size_t n = fs_record_count();
    lab->mark = lab->marks;
    for (size_t i = 0; i < n; i++) {
        const struct fs_record *r = fs_record_at(i);
        bool left_out = lab->leave_out && lab->leave_out(i);
        if (!left_out && fs_replay_is_barrier(r) && !cut_before(lab, i))
            return false;
        if (!left_out)
            fs_replay_feed(lab->replay, r);
        size_t pending = fs_replay_pending(lab->replay, is_outside_staging);
        lab->pending_max = pending > lab->pending_max ? pending : lab->pending_max;
    }
    return cut_before(lab, n);
}

static void every_state_is_good(const struct plan *plan, size_t at_least) {
    struct lab *lab = record(plan);
    bool good = cut_everywhere(lab);
    (void)fprintf(stderr,
                  "%zu operations, %zu points, %zu candidates, %zu distinct states, at most %zu "
                  "unsynced outside staging\n",
                  fs_record_count(), lab->n_points, lab->n_candidates, lab->n_states,
                  lab->pending_max);
    cr_assert(good, "%s, when a cut leaves\n%s", lab->violation, lab->how);
    cr_assert_leq(lab->pending_max, PENDING_MAX);
    cr_assert_geq(lab->n_states, at_least, "the test has lost its grip");
    lab_free(lab);
}

Test(power_cut, in_an_update_that_commits_leaves_i1_to_i8, .timeout = 240) {
    every_state_is_good(&update_plan, 100);
}

Test(power_cut, in_an_update_that_fails_in_probation_leaves_i1_to_i8, .timeout = 240) {
    every_state_is_good(&failing_plan, 100);
}

Test(power_cut, in_a_rollback_leaves_i1_to_i8, .timeout = 240) {
    every_state_is_good(&rollback_plan, 30);
}

// ── That it can fail ────────────────────────────────────────────────────────────────────────────

static void is_noticed(const struct plan *plan, bool (*leave_out)(size_t index)) {
    struct lab *lab = record(plan);
    lab->leave_out = leave_out;
    size_t left_out = 0;
    for (size_t i = 0; i < fs_record_count(); i++)
        left_out += leave_out(i);
    cr_assert_gt(left_out, 0, "there is no such barrier any more");
    cr_assert_not(cut_everywhere(lab), "%zu barriers left out, %zu states, and nothing noticed",
                  left_out, lab->n_states);
    (void)fprintf(stderr, "noticed: %s\n", lab->violation);
    lab_free(lab);
}

static bool is_sync(size_t index, const char *path) {
    const struct fs_record *r = fs_record_at(index);
    return r->call == FS_CALL_fsync && strncmp(r->path, path, strlen(path)) == 0;
}

static bool of_journal(size_t index) {
    return is_sync(index, "private/.journal.");
}

static bool of_floors(size_t index) {
    return is_sync(index, "private/.floors.");
}

static bool of_queue(size_t index) {
    return is_sync(index, "private/queue");
}

static bool of_private(size_t index) {
    return is_sync(index, "private") && strchr(fs_record_at(index)->path, '/') == NULL;
}

static bool of_current(size_t index) {
    return is_sync(index, ".") && strcmp(fs_record_at(index)->path, ".") == 0;
}

static bool of_promotion(size_t index) {
    return is_sync(index, "generations") && !strchr(fs_record_at(index)->path, '/');
}

static bool of_seal(size_t index) {
    return fs_record_at(index)->call == FS_CALL_syncfs;
}

static bool of_record(size_t index) {
    return is_sync(index, "generations/") && strstr(fs_record_at(index)->path, "/.generation.json");
}

Test(power_cut_proof, without_the_journals_fsync, .timeout = 240) {
    is_noticed(&update_plan, of_journal);
}

Test(power_cut_proof, without_the_floors_fsync, .timeout = 240) {
    is_noticed(&update_plan, of_floors);
}

Test(power_cut_proof, without_the_queues_fsync, .timeout = 240) {
    is_noticed(&update_plan, of_queue);
}

Test(power_cut_proof, without_the_fsync_of_private, .timeout = 240) {
    is_noticed(&update_plan, of_private);
}

Test(power_cut_proof, without_the_fsync_behind_the_swap, .timeout = 240) {
    is_noticed(&update_plan, of_current);
}

Test(power_cut_proof, without_the_fsync_behind_the_swap_back, .timeout = 240) {
    is_noticed(&rollback_plan, of_current);
}

Test(power_cut_proof, without_the_fsync_behind_the_promotion, .timeout = 240) {
    is_noticed(&update_plan, of_promotion);
}

Test(power_cut_proof, without_the_syncfs_of_the_seal, .timeout = 240) {
    is_noticed(&update_plan, of_seal);
}

Test(power_cut_proof, without_the_fsync_of_the_generations_record, .timeout = 240) {
    is_noticed(&update_plan, of_record);
}
