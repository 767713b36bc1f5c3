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
#include "tests/fault/examine.h"

#define PENDING_MAX 14 // DESIGN: unsynced operations outside of staging, at any instant
#define PROOF_EVERY 4  // a proof looks at one state in so many: one that is bad will do

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
    struct finding *f = find(lab->findings, hash);
    lab->n_candidates++;
    if (lab->leave_out && hash % PROOF_EVERY != 0)
        return true;
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
    lab->n_sampled += !fs_replay_is_exhaustive(lab->replay);
    return fs_replay_enumerate(lab->replay, visit, lab);
}

// Whether every state is good; lab->violation says what is not. Before the first barrier that is
// left out there is nothing to see that is not seen with it.
static bool cut_everywhere(struct lab *lab) {
    size_t n = fs_record_count();
    bool begun = lab->leave_out == NULL;
    lab->mark = lab->marks;
    for (size_t i = 0; i < n; i++) {
        const struct fs_record *r = fs_record_at(i);
        bool left_out = lab->leave_out && lab->leave_out(i);
        begun = begun || left_out;
        if (begun && !left_out && fs_replay_is_barrier(r) && !cut_before(lab, i))
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
    (void)fprintf(
        stderr,
        "%zu operations, %zu points (%zu sampled), %zu candidates, %zu distinct states, %zu after "
        "recovery, at most %zu operations unsynced outside staging\n",
        fs_record_count(), lab->n_points, lab->n_sampled, lab->n_candidates, lab->n_states,
        lab->n_driven, lab->pending_max);
    cr_assert(good, "%s, when a cut leaves\n%s", lab->violation, lab->how);
    cr_assert_leq(lab->pending_max, PENDING_MAX);
    cr_assert_geq(lab->n_states, at_least, "the test has lost its grip");
    lab_free(lab);
}

Test(power_cut, in_an_update_that_commits_leaves_i1_to_i8, .timeout = 1200) {
    every_state_is_good(&update_plan, 100);
}

Test(power_cut, in_an_update_that_fails_in_probation_leaves_i1_to_i8, .timeout = 1200) {
    every_state_is_good(&failing_plan, 100);
}

Test(power_cut, in_a_rollback_leaves_i1_to_i8, .timeout = 1200) {
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

// What was staged: files and directories of the generation, but not its record.
static bool of_seal(size_t index) {
    const char *path = fs_record_at(index)->path;
    return is_sync(index, "generations/") && strstr(path, ".partial") &&
           !strstr(path, "/.generation.json");
}

static bool of_record(size_t index) {
    return is_sync(index, "generations/") && strstr(fs_record_at(index)->path, "/.generation.json");
}

#define NOTICED(name, plan, leave_out)                                                             \
    Test(power_cut_proof, name, .timeout = 1200) {                                                 \
        is_noticed(&plan, leave_out);                                                              \
    }

NOTICED(without_the_journals_fsync, update_plan, of_journal)
NOTICED(without_the_floors_fsync, update_plan, of_floors)
NOTICED(without_the_queues_fsync, update_plan, of_queue)
NOTICED(without_the_fsync_of_private, update_plan, of_private)
NOTICED(without_the_fsync_behind_the_swap, update_plan, of_current)
NOTICED(without_the_fsync_behind_the_swap_back, rollback_plan, of_current)
NOTICED(without_the_fsync_behind_the_promotion, update_plan, of_promotion)
NOTICED(without_the_fsyncs_of_the_seal, update_plan, of_seal)
NOTICED(without_the_fsync_of_the_generations_record, update_plan, of_record)
