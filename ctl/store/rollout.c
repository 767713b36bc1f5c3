// SPDX-License-Identifier: Apache-2.0
//
// Rollouts in the store.
#include "ctl/store/rollout.h"

#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/rollout/score_state.h"
#include "ctl/store/sql.h"

#define DRIFT_MOST_PCT "49.9999" // ROLLOUT_GATES_DRIFT_MAX_PPM

static int bad(const char *what, struct err *e) {
    return err_set(e, &err_bad_store, "reading the store: a rollout's %s is damaged", what);
}

static json_t *progress_json(const struct rollout_progress *p) {
    json_t *started = json_array();
    for (size_t i = 0; i < ROLLOUT_POLICY_STAGES_MAX; i++)
        (void)json_array_append_new(started, json_integer(p->started_s[i]));
    return json_pack("{s:s, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:s, s:s, s:b, s:s, s:s}",
                     "state", rollout_advance_state_name(p->state), "attempt",
                     (json_int_t)p->attempt, "stage", (json_int_t)p->stage, "approved",
                     (json_int_t)p->approved, "started", started, "complete",
                     (json_int_t)p->complete_s, "ended", (json_int_t)p->ended_s, "failed_stage",
                     (json_int_t)p->failed_stage, "gone", (json_int_t)p->gone, "why_code",
                     rollout_why_name(p->why.code), "why_text", p->why.text, "back", (int)p->back,
                     "back_code", p->back ? rollout_why_name(p->back_why.code) : "", "back_text",
                     p->back ? p->back_why.text : "");
}

// Since version 5: what gates of evidence keep beside the stages, as a line.
static int add_evidence(const struct rollout_progress *p, json_t *io, struct err *e) {
    OWN(buf) struct buf line;
    buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    if (rollout_score_state_format_progress(p, &line, e) < 0)
        return -1;
    if (json_object_set_new(io, "evidence", json_string(buf_text(&line))) < 0)
        return err_set(e, &err_memory, "keeping a rollout: out of memory");
    return 0;
}

static int read_evidence(const json_t *from, struct rollout_progress *io, struct err *e) {
    const char *line = json_string_value(json_object_get(from, "evidence"));
    if (line == NULL)
        return 0;
    return rollout_score_state_parse_progress(line, io, e) < 0 ? bad("evidence", e) : 0;
}

// [[from, share], …, [whole]] for each stage.
static json_t *ramps_json(const struct rollout_progress *p) {
    json_t *all = json_array();
    for (size_t i = 0; i <= ROLLOUT_POLICY_STAGES_MAX; i++) {
        const struct rollout_batch_ramp *ramp = &p->ramp[i];
        json_t *one = json_array();
        for (size_t k = 0; k < ramp->n; k++)
            (void)json_array_append_new(one, json_pack("[I, I]", (json_int_t)ramp->steps[k].from_s,
                                                       (json_int_t)ramp->steps[k].share));
        if (ramp->n > 0)
            (void)json_array_append_new(one, json_pack("[I]", (json_int_t)ramp->whole_s));
        (void)json_array_append_new(all, one);
    }
    return all;
}

static void read_ramp(const json_t *from, struct rollout_batch_ramp *ret) {
    size_t n = json_array_size(from);
    *ret = (struct rollout_batch_ramp){.n = 0};
    if (n == 0 || n > ROLLOUT_BATCH_STEPS_MAX + 1)
        return;
    ret->n = n - 1;
    ret->whole_s = json_integer_value(json_array_get(json_array_get(from, n - 1), 0));
    for (size_t k = 0; k < ret->n; k++) {
        const json_t *step = json_array_get(from, k);
        ret->steps[k].from_s = json_integer_value(json_array_get(step, 0));
        ret->steps[k].share = (uint64_t)json_integer_value(json_array_get(step, 1));
    }
}

// Since version 5: whether it has a plan, and when people signed for its stages; since 6: and for the
// steps of them.
static int add_plan(const struct rollout_progress *p, json_t *io, struct err *e) {
    json_t *times = json_array();
    for (size_t i = 0; i <= ROLLOUT_POLICY_STAGES_MAX + 1; i++)
        (void)json_array_append_new(times, json_integer(p->not_before_s[i]));
    return json_object_set_new(io, "not_before", times) == 0 &&
                   json_object_set_new(io, "ramps", ramps_json(p)) == 0 &&
                   json_object_set_new(io, "planned", json_boolean(p->planned)) == 0
               ? 0
               : err_set(e, &err_memory, "keeping a rollout: out of memory");
}

static void read_plan(const json_t *from, struct rollout_progress *io) {
    const json_t *times = json_object_get(from, "not_before");
    io->planned = json_is_true(json_object_get(from, "planned"));
    for (size_t i = 0; i <= ROLLOUT_POLICY_STAGES_MAX + 1; i++)
        io->not_before_s[i] = json_integer_value(json_array_get(times, i));
    for (size_t i = 0; i <= ROLLOUT_POLICY_STAGES_MAX; i++)
        read_ramp(json_array_get(json_object_get(from, "ramps"), i), &io->ramp[i]);
}

static int read_progress(json_t *from, struct rollout_progress *ret, struct err *e) {
    const char *state = NULL, *code = NULL, *text = NULL, *back_code = "", *back_text = "";
    int back = 0; // since version 3
    json_t *started = NULL;
    json_int_t attempt, stage, approved, complete, ended, failed, gone = 0; // since version 2
    unsigned s = 0;
    if (json_unpack(from, "{s:s, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s?I, s:s, s:s, s?b, s?s, s?s}",
                    "state", &state, "attempt", &attempt, "stage", &stage, "approved", &approved,
                    "started", &started, "complete", &complete, "ended", &ended, "failed_stage",
                    &failed, "gone", &gone, "why_code", &code, "why_text", &text, "back", &back,
                    "back_code", &back_code, "back_text", &back_text) < 0)
        return bad("progress", e);
    while (s < ROLLOUT_STATES && strcmp(state, rollout_advance_state_name(s)) != 0)
        s++;
    if (s == ROLLOUT_STATES)
        return bad("state", e);
    *ret = (struct rollout_progress){.state = (enum rollout_state)s,
                                     .attempt = (uint64_t)attempt,
                                     .stage = (uint64_t)stage,
                                     .approved = (uint32_t)approved,
                                     .complete_s = complete,
                                     .ended_s = ended,
                                     .failed_stage = (uint64_t)failed,
                                     .gone = (uint64_t)gone,
                                     .back = back != 0};
    for (size_t i = 0; i < ROLLOUT_POLICY_STAGES_MAX; i++)
        ret->started_s[i] = json_integer_value(json_array_get(started, i));
    read_plan(from, ret);
    rollout_why_set(&ret->why, rollout_why_find(code), "%s", text);
    rollout_why_set(&ret->back_why, rollout_why_find(back_code), "%s", back_text);
    return read_evidence(from, ret, e);
}

int store_rollout_add(struct store_db *db, const struct store_rollout *r, struct err *e) {
    OWN(json) json_t *progress = progress_json(&r->progress);
    OWN(json) json_t *policy = NULL;
    if (rollout_policy_format(&r->policy, &policy, e) < 0 ||
        add_evidence(&r->progress, progress, e) < 0 || add_plan(&r->progress, progress, e) < 0)
        return -1;
    return store_sql_run(db, NULL, e, "INSERT INTO rollout VALUES(?,?,?,?,?,?,?,?)", "tttibijj",
                         r->policy.name, r->scope, r->actor, r->created_s, r->seed, sizeof r->seed,
                         (int64_t)r->members, policy, progress);
}

int store_rollout_put(struct store_db *db, const struct store_rollout *r, struct err *e) {
    OWN(json) json_t *progress = progress_json(&r->progress);
    if (progress == NULL)
        return err_set(e, &err_memory, "keeping rollout %s: out of memory", r->policy.name);
    if (add_evidence(&r->progress, progress, e) < 0 || add_plan(&r->progress, progress, e) < 0)
        return -1;
    return store_sql_run(db, NULL, e, "UPDATE rollout SET members=?,progress=? WHERE name=?", "ijt",
                         (int64_t)r->members, progress, r->policy.name);
}

// Of a program before, which took a drift that nothing can be judged by: what was applied goes on with
// the largest that can.
static void mend(json_t *policy) {
    json_t *evidence = json_object_get(policy, "evidence");
    const json_t *drift = json_object_get(evidence, "drift_pct");
    struct decimal pct = {.nano = json_integer_value(drift) * NUM_DECIMAL_SCALE};
    struct err ignored = ERR_NONE;
    if (json_is_string(drift))
        (void)num_parse_decimal(json_string_value(drift), "drift_pct", &pct, &ignored);
    if (pct.nano >= 50 * NUM_DECIMAL_SCALE)
        (void)json_object_set_new(evidence, "drift_pct", json_string(DRIFT_MOST_PCT));
}

static int read_row(sqlite3_stmt *row, struct store_rollout *ret, struct err *e) {
    OWN(json) json_t *policy = NULL;
    OWN(json) json_t *progress = NULL;
    ret->created_s = store_sql_int(row, 2);
    ret->members = (uint64_t)store_sql_int(row, 4);
    if (store_sql_text(row, 0, ret->scope, sizeof ret->scope, e) < 0 ||
        store_sql_text(row, 1, ret->actor, sizeof ret->actor, e) < 0 ||
        store_sql_blob(row, 3, ret->seed, sizeof ret->seed, e) < 0 ||
        store_sql_json(row, 5, &policy, e) < 0 || store_sql_json(row, 6, &progress, e) < 0)
        return -1;
    mend(policy);
    if (rollout_policy_parse(policy, "stored policy", &ret->policy, e) < 0)
        return bad("policy", e);
    return read_progress(progress, &ret->progress, e);
}

int store_rollout_list(struct store_db *db,
                       int (*visit)(void *context, const struct store_rollout *rollout,
                                    struct err *e),
                       void *context, struct err *e) {
    sqlite3_stmt *row = NULL;
    int found = 0, done = 0;
    OWN(mem) struct store_rollout *rollout = calloc(1, sizeof *rollout);
    if (rollout == NULL)
        return err_set(e, &err_memory, "reading rollouts: out of memory");
    if (store_sql_query(db, &row, e,
                        "SELECT scope,actor,created_s,seed,members,policy,progress FROM rollout"
                        " ORDER BY created_s, name",
                        "") < 0)
        return -1;
    while ((found = store_sql_row(db, row, e)) == 0) {
        done = read_row(row, rollout, e);
        if (done == 0)
            done = visit(context, rollout, e);
        if (done != 0) {
            store_sql_reset(row);
            return done < 0 ? -1 : 0;
        }
    }
    return found < 0 ? -1 : 0;
}

// ── Strata ──

// Bounds use all 64 bits, JSON integers 63: they are stored as signed numbers of the same bits.
int store_rollout_put_stratum(struct store_db *db, const char *rollout, uint64_t stratum,
                              const char *key, const struct rollout_stratum_plan *plan,
                              struct err *e) {
    OWN(json) json_t *list = json_array();
    for (size_t i = 0; i < ROLLOUT_POLICY_STAGES_MAX; i++)
        if (json_array_append_new(list, json_integer((json_int_t)plan->bound[i])) < 0 ||
            json_array_append_new(list, json_integer((json_int_t)plan->planned[i])) < 0)
            return err_set(e, &err_memory, "keeping a stratum: out of memory");
    if (json_array_append_new(list, json_integer((json_int_t)plan->held_back)) < 0 ||
        json_array_append_new(list, json_integer((json_int_t)plan->pool)) < 0)
        return err_set(e, &err_memory, "keeping a stratum: out of memory");
    return store_sql_run(db, NULL, e,
                         "INSERT INTO stratum VALUES(?,?,?,?) ON CONFLICT(rollout,stratum) DO"
                         " UPDATE SET key=excluded.key, plan=excluded.plan",
                         "titj", rollout, (int64_t)stratum, key, list);
}

static int read_stratum(sqlite3_stmt *row, char *ret_key, size_t key_bytes,
                        struct rollout_stratum_plan *ret, struct err *e) {
    OWN(json) json_t *list = NULL;
    if (store_sql_text(row, 1, ret_key, key_bytes, e) < 0 || store_sql_json(row, 2, &list, e) < 0)
        return -1;
    size_t held_back = (size_t)2 * ROLLOUT_POLICY_STAGES_MAX; // since version 5
    if (json_array_size(list) != held_back && json_array_size(list) != held_back + 2)
        return bad("stratum", e);
    ret->held_back = (uint64_t)json_integer_value(json_array_get(list, held_back));
    ret->pool = (uint32_t)json_integer_value(json_array_get(list, held_back + 1));
    for (size_t i = 0; i < ROLLOUT_POLICY_STAGES_MAX; i++) {
        ret->bound[i] = (uint64_t)json_integer_value(json_array_get(list, 2 * i));
        ret->planned[i] = (uint64_t)json_integer_value(json_array_get(list, 2 * i + 1));
    }
    return 0;
}

int store_rollout_list_strata(struct store_db *db, const char *rollout,
                              int (*visit)(void *context, uint64_t stratum, const char *key,
                                           const struct rollout_stratum_plan *plan, struct err *e),
                              void *context, struct err *e) {
    sqlite3_stmt *row = NULL;
    int found = 0;
    if (store_sql_query(db, &row, e,
                        "SELECT stratum,key,plan FROM stratum WHERE rollout=? ORDER BY stratum",
                        "t", rollout) < 0)
        return -1;
    while ((found = store_sql_row(db, row, e)) == 0) {
        char key[BUNDLE_STRATUM_KEY_MAX_BYTES + 1];
        struct rollout_stratum_plan plan;
        int done = read_stratum(row, key, sizeof key, &plan, e);
        if (done == 0)
            done = visit(context, (uint64_t)store_sql_int(row, 0), key, &plan, e);
        if (done != 0) {
            store_sql_reset(row);
            return done < 0 ? -1 : 0;
        }
    }
    return found < 0 ? -1 : 0;
}

// ── Tallies ──

static int count(struct store_db *db, const struct store_rollout_move *m, enum rollout_task task,
                 int64_t by, struct err *e) {
    if (task == ROLLOUT_TASK_NONE)
        return 0;
    return store_sql_run(db, NULL, e,
                         "INSERT INTO tally VALUES(?,?,?,?,?,?)"
                         " ON CONFLICT(bucket,rollout,stage,stratum,task) DO UPDATE SET"
                         " n=n+excluded.n",
                         "itiiii", (int64_t)m->bucket, m->rollout, (int64_t)m->stage,
                         (int64_t)m->stratum, (int64_t)task, by);
}

int store_rollout_move(struct store_db *db, const struct store_rollout_move *move, struct err *e) {
    if (move->from == move->to)
        return 0;
    if (count(db, move, move->from, -1, e) < 0)
        return -1;
    return count(db, move, move->to, 1, e);
}

int store_rollout_forget_bad(struct store_db *db, const char *rollout, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM tally WHERE rollout=? AND task IN (?,?,?)",
                         "tiii", rollout, (int64_t)ROLLOUT_TASK_FAILED,
                         (int64_t)ROLLOUT_TASK_REVERTED, (int64_t)ROLLOUT_TASK_LOST);
}

int store_rollout_list_tallies(struct store_db *db, const char *rollout,
                               int (*visit)(void *context, uint64_t stage, uint64_t stratum,
                                            enum rollout_task task, uint64_t n, struct err *e),
                               void *context, struct err *e) {
    sqlite3_stmt *row = NULL;
    int found = 0;
    if (store_sql_query(db, &row, e,
                        "SELECT stage,stratum,task,sum(n) FROM tally WHERE rollout=?"
                        " GROUP BY stage,stratum,task",
                        "t", rollout) < 0)
        return -1;
    while ((found = store_sql_row(db, row, e)) == 0) {
        int64_t n = store_sql_int(row, 3), task = store_sql_int(row, 2);
        int done =
            n < 0 || task < 0 || task >= ROLLOUT_TASKS
                ? bad("tally", e)
                : visit(context, (uint64_t)store_sql_int(row, 0), (uint64_t)store_sql_int(row, 1),
                        (enum rollout_task)task, (uint64_t)n, e);
        if (done != 0) {
            store_sql_reset(row);
            return done < 0 ? -1 : 0;
        }
    }
    return found < 0 ? -1 : 0;
}
