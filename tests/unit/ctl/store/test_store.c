// SPDX-License-Identifier: Apache-2.0
//
// The store: who may open it, what a failed job leaves, what a chain that was touched looks like.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/store/audit.h"
#include "ctl/store/device.h"
#include "ctl/store/dry.h"
#include "ctl/store/report.h"
#include "ctl/store/rollout.h"
#include "ctl/store/sql.h"
#include "ctl/store/token.h"
#include "ctl/store/undone.h"
#include "ctl/store/writer.h"
#include "tests/support/tmp.h"
#include "tests/unit/ctl/store/older.h"

static struct tmp_dir dir;
static char path[TMP_PATH_BYTES + 16];

static void set_up(void) {
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
}

static void tear_down(void) {
    tmp_dir_remove(&dir);
}

TestSuite(store, .init = set_up, .fini = tear_down, .timeout = 1200);

static struct store_db *open_store(void) {
    struct store_db *db = NULL;
    struct err e = ERR_NONE;
    must(store_db_open(path, &db, &e));
    return db;
}

static const char *open_fails(void) {
    struct store_db *db = NULL;
    struct err e = ERR_NONE;
    cr_assert_lt(store_db_open(path, &db, &e), 0);
    cr_assert_null(db);
    return e.kind->name;
}

// Behind the program's back.
static void tamper(const char *sql) {
    sqlite3 *raw = NULL;
    cr_assert_eq(sqlite3_open(path, &raw), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(raw));
    (void)sqlite3_close(raw);
}

Test(store, is_held_by_one_at_a_time) {
    struct store_db *db = open_store();
    cr_assert_str_eq(open_fails(), "busy");
    store_db_close(db);
    store_db_close(open_store());
}

Test(store, of_a_newer_program_or_another_one_is_left_alone) {
    store_db_close(open_store());
    tamper("PRAGMA user_version=7");
    cr_assert_str_eq(open_fails(), "newer_format");
    tamper("PRAGMA user_version=6");
    store_db_close(open_store());
    tamper("PRAGMA application_id=7");
    cr_assert_str_eq(open_fails(), "bad_store");
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    for (int i = 0; i < 1000; i++)
        (void)fputs("this is no database", file);
    (void)fclose(file);
    cr_assert_str_eq(open_fails(), "bad_store");
}

Test(store, of_the_program_before_knows_since_when_its_devices_are_held) {
    struct store_db *db = open_store();
    struct store_device d = {.id = "held", .held = true}, got;
    struct err e = ERR_NONE;
    must(store_device_add(db, &d, &e));
    (void)snprintf(d.id, sizeof d.id, "free");
    d.held = false;
    must(store_device_add(db, &d, &e));
    store_db_close(db);
    tamper(OLDER_2);
    db = open_store();
    must(store_device_get(db, "held", &got, &e));
    cr_expect(got.held && got.held_s > 1700000000, "since the update: %lld", (long long)got.held_s);
    must(store_device_get(db, "free", &got, &e));
    cr_expect(!got.held && got.held_s == 0);
    cr_expect_null(got.spent);
    store_db_close(db);
}

Test(store, of_the_program_before_asks_devices_and_hears_why_they_do_not_go_back) {
    struct store_undone undone = {.rollout = "r", .at_s = 5};
    const struct store_undone_said said = {.rollout = "r", .code = "no_previous", .text = "alas"};
    struct err e = ERR_NONE;
    int64_t until_s = 1;
    store_db_close(open_store());
    tamper(OLDER_5 "INSERT INTO undone VALUES(0,'d','app','1.0','r',4);");
    struct store_db *db = open_store();
    must(store_dry_until(db, &until_s, &e));
    cr_expect_eq(until_s, 0);
    must(store_undone_add(db, "held", "app", "1.0", &undone, &e));
    must(store_undone_say(db, "held", "app", "1.0", &said, &e));
    must(store_undone_get(db, "held", "app", "1.0", &undone, &e));
    cr_expect_eq(undone.at_s, 5);
    // And remembers how long they are silent.
    struct store_device d = {.id = "quiet", .gaps = {.count = {[3] = 7}}}, got;
    must(store_device_add(db, &d, &e));
    must(store_device_get(db, "quiet", &got, &e));
    cr_expect_eq(got.gaps.count[3], 7);
    cr_expect_eq(got.gaps.count[2], 0);
    store_device_clear(&got);
    store_db_close(db);
}

static int note_id(void *context, const struct store_device *device, struct err *e) {
    (void)e;
    char *text = context;
    (void)snprintf(text + strlen(text), 17, "%.16s", device->id);
    return 0;
}

// Who will not go on by itself: what was activated comes to an outcome, held or not.
Test(store, finds_who_is_held_before_it_activated_longest_first) {
    static const struct {
        const char *id, *rollout;
        bool held;
        int64_t held_s;
        enum rollout_task task;
    } devices[] = {
        {"a", "r", true, 30, ROLLOUT_TASK_OFFERED},   {"b", "r", true, 20, ROLLOUT_TASK_STAGED},
        {"c", "r", true, 10, ROLLOUT_TASK_ACTIVATED}, {"d", "r", true, 10, ROLLOUT_TASK_COMMITTED},
        {"e", "r", false, 10, ROLLOUT_TASK_OFFERED},  {"f", "s", true, 10, ROLLOUT_TASK_OFFERED},
    };
    struct store_db *db = open_store();
    struct err e = ERR_NONE;
    char found[64] = "";
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        struct store_device d = {
            .held = devices[i].held, .held_s = devices[i].held_s, .task.state = devices[i].task};
        (void)snprintf(d.id, sizeof d.id, "%s", devices[i].id);
        (void)snprintf(d.task.rollout, sizeof d.task.rollout, "%s", devices[i].rollout);
        must(store_device_add(db, &d, &e));
    }
    must(store_device_held(db, "r", 30, 9, note_id, found, &e));
    cr_expect_str_eq(found, "b");
    must(store_device_held(db, "r", 31, 9, note_id, strcpy(found, ""), &e));
    cr_expect_str_eq(found, "ba");
    must(store_device_held(db, "r", 31, 1, note_id, strcpy(found, ""), &e));
    cr_expect_str_eq(found, "b");
    must(store_device_count_held(db, "r", &n, &e));
    cr_expect_eq(n, 2);
    store_db_close(db);
}

static int copy_rollout(void *context, const struct store_rollout *rollout, struct err *e) {
    (void)e;
    *(struct store_rollout *)context = *rollout;
    return 0;
}

// The caller's, of this policy, which is consumed; NULL the plainest.
static struct store_rollout *make_rollout(json_t *consumed) {
    OWN(json)
    json_t *policy =
        consumed == NULL ? json_pack("{s:s, s:s}", "name", "r", "release", "app 1.0") : consumed;
    struct store_rollout *r = calloc(1, sizeof *r);
    struct err e = ERR_NONE;
    cr_assert_not_null(r);
    must(rollout_policy_parse(policy, "policy", &r->policy, &e));
    return r;
}

Test(store, a_rollout_that_was_paused_on_its_way_back_is_so_after_a_restart) {
    struct store_db *db = open_store();
    struct store_rollout *r = make_rollout(NULL);
    struct err e = ERR_NONE;
    r->progress =
        (struct rollout_progress){.attempt = 1, .state = ROLLOUT_STATE_PAUSED, .back = true};
    rollout_why_set(&r->progress.why, ROLLOUT_WHY_paused, "paused");
    rollout_why_set(&r->progress.back_why, ROLLOUT_WHY_rollout_failed, "the cause");
    must(store_rollout_add(db, r, &e));
    store_db_close(db);
    db = open_store();
    must(store_rollout_list(db, copy_rollout, r, &e));
    cr_expect(r->progress.back && r->progress.state == ROLLOUT_STATE_PAUSED);
    cr_expect_eq(r->progress.back_why.code, ROLLOUT_WHY_rollout_failed);
    cr_expect_str_eq(r->progress.back_why.text, "the cause");
    store_db_close(db);
    free(r);
}

Test(store, that_it_has_a_plan_and_when_people_signed_for_is_known_after_a_restart) {
    struct store_db *db = open_store();
    struct store_rollout *r = make_rollout(NULL);
    struct err e = ERR_NONE;
    r->progress.attempt = 1;
    must(store_rollout_add(db, r, &e));
    r->progress.planned = true;
    r->progress.not_before_s[1] = 1800000000;
    r->progress.not_before_s[ROLLOUT_POLICY_STAGES_MAX + 1] = 1800000001;
    r->progress.ramp[1] =
        (struct rollout_batch_ramp){.n = 2, .steps = {{7, 8}, {9, 10}}, .whole_s = 11};
    must(store_rollout_put(db, r, &e));
    store_db_close(db);
    *r = (struct store_rollout){.created_s = 0};
    db = open_store();
    must(store_rollout_list(db, copy_rollout, r, &e));
    cr_expect(r->progress.planned);
    cr_expect_eq(r->progress.not_before_s[0], 0);
    cr_expect_eq(r->progress.not_before_s[1], 1800000000);
    cr_expect_eq(r->progress.not_before_s[ROLLOUT_POLICY_STAGES_MAX + 1], 1800000001);
    cr_expect_eq(r->progress.ramp[0].n, 0);
    cr_expect_eq(r->progress.ramp[1].n, 2);
    cr_expect_eq(r->progress.ramp[1].steps[1].from_s, 9);
    cr_expect_eq(r->progress.ramp[1].steps[1].share, 10);
    cr_expect_eq(r->progress.ramp[1].whole_s, 11);
    store_db_close(db);
    free(r);
}

// A drift that nothing can be judged by was taken once: the store that has one is read.
Test(store, a_policy_of_the_program_before_goes_on_with_what_can_be_judged) {
    struct store_db *db = open_store();
    struct store_rollout *r = make_rollout(
        json_pack("{s:s, s:s, s:[{s:s, s:s}], s:{s:i}}", "name", "r", "release", "app 1.0", "gates",
                  "name", "lost", "kind", "lost", "evidence", "drift_pct", 20));
    struct err e = ERR_NONE;
    must(store_rollout_add(db, r, &e));
    store_db_close(db);
    static const char *const stored[] = {"60", "\"50\"", "\"99.5\"", "\"49.9999\"", "30"};
    static const uint32_t read[] = {499999, 499999, 499999, 499999, 300000};
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++) {
        char sql[160];
        (void)snprintf(
            sql, sizeof sql,
            "UPDATE rollout SET policy=json_set(policy,'$.evidence.drift_pct',json('%s'))",
            stored[i]);
        tamper(sql);
        db = open_store();
        must(store_rollout_list(db, copy_rollout, r, &e));
        cr_expect_eq(r->policy.gates.drift_ppm, read[i], "%s: %u", stored[i],
                     (unsigned)r->policy.gates.drift_ppm);
        store_db_close(db);
    }
    free(r);
}

Test(store, a_device_comes_back_as_it_was_put) {
    struct store_db *db = open_store();
    struct err e = ERR_NONE;
    struct store_device d = {.state = STORE_DEVICE_ACCEPTED,
                             .key = {1, 2, 3},
                             .created_s = 5,
                             .seen_s = 6,
                             .token_epoch = 7,
                             .sequence = KEYS_VERSION_MAX,
                             .clone_s = 8,
                             .report_acked = 9,
                             .held = true,
                             .held_s = 12,
                             .direct_attempt = 10,
                             .task = {.rollout = "r",
                                      .attempt = 2,
                                      .state = ROLLOUT_TASK_STAGED,
                                      .stage = 3,
                                      .stratum = 4,
                                      .since_s = 11,
                                      .bundle = {{12}},
                                      .code = "no_space"},
                             .id = "d-1",
                             .nonce = "aa",
                             .nonce_before = "bb",
                             .token = "0123456789abcdef",
                             .pin_name = "app",
                             .pin_version = "1",
                             .why_code = "held",
                             .why_text = "text"};
    struct store_device got;
    d.labels = json_pack("{s:s}", "site", "a");
    d.spent = json_pack("{s:I}", "attempt", (json_int_t)2);
    must(store_device_add(db, &d, &e));
    cr_assert_lt(store_device_add(db, &d, &e), 0);
    cr_assert_str_eq(e.kind->name, "exists");
    err_clear(&e);
    must(store_device_get(db, "d-1", &got, &e));
    cr_assert(json_equal(got.labels, d.labels));
    json_decref(got.labels);
    got.labels = d.labels;
    cr_assert(json_equal(got.spent, d.spent));
    json_decref(got.spent);
    cr_assert_eq(got.state, d.state);
    cr_assert_eq(memcmp(got.key, d.key, sizeof d.key), 0);
    cr_assert_eq(got.sequence, d.sequence);
    cr_assert_eq(got.task.state, d.task.state);
    cr_assert_str_eq(got.task.rollout, "r");
    cr_assert_str_eq(got.task.code, "no_space");
    cr_assert_eq(memcmp(&got.task.bundle, &d.task.bundle, sizeof d.task.bundle), 0);
    cr_assert_str_eq(got.nonce_before, "bb");
    cr_assert_str_eq(got.token, "0123456789abcdef");
    cr_assert_str_eq(got.pin_version, "1");
    cr_assert_str_eq(got.why_code, "held");
    cr_assert(got.held && got.held_s == 12 && got.direct_attempt == 10 && got.report_acked == 9 &&
              got.clone_s == 8);
    cr_assert_eq(store_device_get(db, "d-2", &got, &e), STORE_ABSENT);
    store_device_clear(&d);
    store_db_close(db);
}

Test(store, reports_are_kept_once_and_the_last_failure_outlives_the_rest) {
    struct store_db *db = open_store();
    struct err e = ERR_NONE;
    json_t *list = NULL, *failure = NULL;
    for (uint64_t id = 1; id <= 3 * STORE_REPORT_PER_DEVICE; id++) {
        struct bundle_report r = {.id = id,
                                  .event = id == 5 ? BUNDLE_EVENT_REFUSED : BUNDLE_EVENT_STAGED,
                                  .rollout = "r",
                                  .attempt = 1};
        cr_assert_eq(store_report_add(db, "d", &r, 1, &e), 0, "%s", e.text);
        cr_assert_eq(store_report_add(db, "d", &r, 1, &e), STORE_REPORT_KNOWN);
    }
    must(store_report_list(db, "d", 100000, &list, &e));
    cr_assert_eq(json_array_size(list), STORE_REPORT_PER_DEVICE + 1);
    must(store_report_failure(db, "d", &failure, &e));
    cr_assert_eq(json_integer_value(json_object_get(failure, "id")), 5);
    json_decref(list);
    json_decref(failure);
    store_db_close(db);
}

static void add_rows(struct store_db *db, int n) {
    struct err e = ERR_NONE;
    OWN(json) json_t *data = json_pack("{s:s}", "text", "\"quoted\" and ü");
    for (int i = 0; i < n; i++)
        must(store_audit_add(db, 1000 + i, "ann", "token.create", "t", data, &e));
}

static const char *chain_says(void) {
    struct store_db *db = open_store();
    struct store_audit_state state;
    struct err e = ERR_NONE;
    int done = store_audit_verify(db, &state, &e);
    store_db_close(db);
    return done == 0 ? "holds" : e.kind->name;
}

Test(store, the_audit_chain_shows_every_change) {
    static const char *const changes[] = {
        "UPDATE audit SET actor='eve' WHERE number=3",
        "UPDATE audit SET at_s=at_s+1 WHERE number=1",
        "UPDATE audit SET data='{}' WHERE number=5",
        "DELETE FROM audit WHERE number=2",
        "DELETE FROM audit WHERE number=1",
        "UPDATE audit SET hash=zeroblob(32) WHERE number=4",
        "UPDATE audit SET number=9 WHERE number=5",
    };
    struct store_db *db = open_store();
    add_rows(db, 5);
    store_db_close(db);
    cr_assert_str_eq(chain_says(), "holds");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char sql[512];
        (void)snprintf(sql, sizeof sql,
                       "CREATE TABLE kept AS SELECT * FROM audit;"
                       "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete; %s",
                       changes[i]);
        tamper(sql);
        cr_assert_str_eq(chain_says(), "audit_broken", "%s", changes[i]);
        tamper(
            "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept;"
            "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT,'x');"
            " END; CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT"
            " RAISE(ABORT,'x'); END;");
        cr_assert_str_eq(chain_says(), "holds");
    }
}

Test(store, tokens_are_found_by_their_secret_and_stored_without_it) {
    struct store_db *db = open_store();
    struct err e = ERR_NONE;
    struct store_token t = {.kind = STORE_TOKEN_OPERATOR,
                            .role = STORE_ROLE_ADMIN,
                            .expires_s = 100},
                       got;
    char secret[STORE_TOKEN_SECRET_BYTES], line[4096];
    uint64_t admins = 0;
    must(store_token_add(db, &t, secret, &e));
    must(store_token_find(db, secret, &got, &e));
    cr_assert_str_eq(got.id, t.id);
    must(store_token_admins(db, 99, &admins, &e));
    cr_assert_eq(admins, 1);
    must(store_token_admins(db, 100, &admins, &e));
    cr_assert_eq(admins, 0);
    secret[20] = secret[20] == 'a' ? 'b' : 'a';
    cr_assert_eq(store_token_find(db, secret, &got, &e), STORE_ABSENT);
    secret[20] = secret[20] == 'a' ? 'b' : 'a';
    store_db_close(db);
    FILE *file = fopen(path, "r");
    size_t n = 0;
    while ((n = fread(line, 1, sizeof line, file)) > 0)
        cr_assert_null(memmem(line, n, secret + 8, 32));
    (void)fclose(file);
}

// ── Group commit ──

struct deed {
    struct store_job job;
    char key[16];
    bool fails;
    atomic_int result; // of done; 100 until then
};

static int put(struct store_db *db, void *context, struct err *e) {
    struct deed *deed = context;
    if (store_db_put_meta(db, deed->key, "x", 1, e) < 0)
        return -1;
    return deed->fails ? err_set(e, &err_limit, "no") : 0;
}

static void note(void *context, int result, const struct err *e) {
    struct deed *deed = context;
    (void)e;
    atomic_store(&deed->result, result);
}

Test(store, a_job_that_fails_is_undone_alone_and_the_rest_is_durable) {
    enum { N = 500 };
    static struct deed deeds[N];
    struct store_db *db = open_store();
    struct store_writer *writer = NULL;
    struct err e = ERR_NONE;
    must(store_writer_start(&db, &writer, &e));
    for (int i = 0; i < N; i++) {
        (void)snprintf(deeds[i].key, sizeof deeds[i].key, "%d", i);
        deeds[i].fails = i % 7 == 0;
        atomic_store(&deeds[i].result, 100);
        deeds[i].job = (struct store_job){.run = put, .done = note, .context = &deeds[i]};
        must(store_writer_submit(writer, &deeds[i].job, &e));
    }
    store_writer_stop(writer);
    cr_assert_lt(store_writer_submit(writer, &deeds[0].job, &e), 0);
    err_clear(&e);
    store_writer_free(writer);
    db = open_store();
    for (int i = 0; i < N; i++) {
        char got = 0;
        cr_assert_eq(atomic_load(&deeds[i].result), deeds[i].fails ? -1 : 0, "%d", i);
        cr_assert_eq(store_db_get_meta(db, deeds[i].key, &got, 1, &e),
                     deeds[i].fails ? STORE_ABSENT : 0);
    }
    store_db_close(db);
}

static int add_tally(void *context, uint64_t stage, uint64_t stratum, enum rollout_task task,
                     uint64_t n, struct err *e) {
    uint64_t *sums = context;
    (void)e;
    cr_assert_eq(stage, 1);
    cr_assert_eq(stratum, 2);
    sums[task] = n;
    return 0;
}

Test(store, tallies_are_summed_over_the_buckets) {
    struct store_db *db = open_store();
    struct err e = ERR_NONE;
    uint64_t sums[ROLLOUT_TASKS] = {0};
    for (unsigned bucket = 0; bucket < STORE_DB_BUCKETS; bucket++) {
        struct store_rollout_move move = {.bucket = bucket,
                                          .rollout = "r",
                                          .stage = 1,
                                          .stratum = 2,
                                          .from = ROLLOUT_TASK_NONE,
                                          .to = ROLLOUT_TASK_OFFERED};
        must(store_rollout_move(db, &move, &e));
        move.from = ROLLOUT_TASK_OFFERED;
        move.to = bucket % 2 ? ROLLOUT_TASK_COMMITTED : ROLLOUT_TASK_FAILED;
        must(store_rollout_move(db, &move, &e));
    }
    must(store_rollout_list_tallies(db, "r", add_tally, sums, &e));
    cr_assert_eq(sums[ROLLOUT_TASK_OFFERED], 0);
    cr_assert_eq(sums[ROLLOUT_TASK_COMMITTED], 128);
    must(store_rollout_forget_bad(db, "r", &e));
    memset(sums, 0, sizeof sums);
    must(store_rollout_list_tallies(db, "r", add_tally, sums, &e));
    cr_assert_eq(sums[ROLLOUT_TASK_FAILED], 0);
    store_db_close(db);
}
