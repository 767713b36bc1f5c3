// SPDX-License-Identifier: Apache-2.0
//
// What a fleet of a million devices costs the controller that judges a rollout by evidence:
//
//     bench_rollouts_store [DEVICES [CHECKED]]      1,000,000 devices, of which 20,000 check in twice
//
// The store is a real one, in a temporary directory ($TMPDIR), with a rollout in five stages and four
// gates. Prints metric<TAB>value<TAB>unit, medians of several:
//
//     plan_1m_s        the whole of a plan, from counting the fleet to the document
//     engine_tick_1m_ms  what time brings: silence, sets that are due, whether to go on; with its commit
//     engine_tick_1m_most_ms  the longest of them
//     status_1m_ms     what `rollout status --json` shows, as text
//
// and on standard error what making the fleet and a check-in took.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "base/own.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/plan.h"
#include "ctl/serve/show.h"
#include "tests/support/tmp.h"

#define DEVICES_DEFAULT 1000000
#define CHECKED_DEFAULT 20000
#define PER_COMMIT      50000
#define CHECKS_COMMIT   200
#define TICKS           41
#define PLANS           3
#define NOW_S           1767571200
#define ID_BYTES        24

static const char policy_text[] =
    "{\"name\": \"r\", \"release\": \"app 1.0\", \"stratify\": [\"hw.line\"], \"stages\": ["
    "{\"name\": \"a\", \"percent\": 1}, {\"name\": \"b\", \"percent\": 5}, {\"name\": \"c\", "
    "\"percent\": 20}, {\"name\": \"d\", \"percent\": 50}, {\"name\": \"e\", \"percent\": 100}], "
    "\"gates\": [{\"name\": \"install\", \"kind\": \"install\", \"baseline_pct\": 2, "
    "\"intolerable_pct\": 10}, {\"name\": \"lost\", \"kind\": \"lost\"}, {\"name\": \"crashes\", "
    "\"kind\": \"counter\", \"metric\": \"crashes\"}, {\"name\": \"latency\", \"kind\": "
    "\"metric\", "
    "\"metric\": \"latency\", \"tolerable\": 0, \"intolerable\": 10}], \"evidence\": {}}";

struct bench {
    struct tmp_dir dir;
    struct serve_fleet fleet;
    struct serve_engine_rollout *rollout;
    struct keys_digest bundle;
    uint64_t devices, checked;
};

static void must(int done, const char *what, const struct err *e) {
    if (done >= 0)
        return;
    (void)fprintf(stderr, "bench_rollouts_store: %s: %s\n", what, e->text);
    exit(1);
}

static double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int by_size(const void *left, const void *right) {
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, by_size);
    return values[n / 2];
}

static const char *id_of(uint64_t i, char ret[static ID_BYTES]) {
    (void)snprintf(ret, ID_BYTES, "d-%08" PRIu64, i);
    return ret;
}

// ── The fleet ──

static void add_device(struct bench *b, uint64_t i, struct err *e) {
    struct store_device device = {.state = STORE_DEVICE_ACCEPTED,
                                  .created_s = NOW_S - 30 * 86400,
                                  .seen_s = NOW_S - 600,
                                  .direct_attempt = 1};
    char site[16];
    (void)id_of(i, device.id);
    (void)snprintf(site, sizeof site, "s%" PRIu64, i % 500);
    device.labels = json_pack("{s:s}", "site", site);
    device.facts = json_pack("{s:s, s:s, s:i}", "arch", "arm64", "hw.line", i % 3 == 0 ? "B" : "A",
                             "ram_mb", 2048);
    must(store_device_add(b->fleet.db, &device, e), "adding a device", e);
    store_device_clear(&device);
}

static void make_fleet(struct bench *b, struct err *e) {
    double begun = seconds();
    for (uint64_t i = 0; i < b->devices; i++) {
        if (i % PER_COMMIT == 0)
            must(store_db_begin(b->fleet.db, e), "a transaction", e);
        add_device(b, i, e);
        if ((i + 1) % PER_COMMIT == 0 || i + 1 == b->devices)
            must(store_db_commit(b->fleet.db, e), "a transaction", e);
    }
    (void)fprintf(stderr, "%" PRIu64 " devices made in %.0f s\n", b->devices, seconds() - begun);
}

static void open_store(struct bench *b, struct err *e) {
    struct store_bundle bundle = {.name = "app", .version = "1.0", .size = 50000000};
    char path[TMP_PATH_BYTES + 16];
    b->dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", b->dir.path);
    memset(b->bundle.bytes, 0x5a, sizeof b->bundle.bytes);
    (void)keys_digest_hex(&b->bundle, bundle.id);
    b->fleet.now_ms = (int64_t)NOW_S * 1000;
    must(store_db_open(path, &b->fleet.db, e), "the store", e);
    bundle.components = json_pack("{s:{}}", "app");
    must(store_release_add(b->fleet.db, &bundle, e), "a release", e);
    store_release_clear(&bundle);
    must(serve_engine_open(&b->fleet.engine, e), "the engine", e);
    must(serve_engine_load(b->fleet.engine, b->fleet.db, e), "the engine", e);
}

static void apply(struct bench *b, struct err *e) {
    json_error_t where;
    OWN(json) json_t *policy = json_loads(policy_text, 0, &where);
    OWN(mem) struct store_rollout *row = calloc(1, sizeof *row);
    if (policy == NULL || row == NULL)
        must(err_set(e, &err_internal, "%s", where.text), "the policy", e);
    must(rollout_policy_parse(policy, "policy", &row->policy, e), "the policy", e);
    row->created_s = NOW_S;
    row->progress.attempt = 1;
    row->progress.failed_stage = row->policy.n_stages;
    memset(row->seed, 7, sizeof row->seed);
    must(store_db_begin(b->fleet.db, e), "a transaction", e);
    must(store_rollout_add(b->fleet.db, row, e), "the rollout", e);
    must(serve_engine_add(b->fleet.engine, row, &b->rollout, e), "the rollout", e);
    must(serve_fleet_plan(&b->fleet, b->rollout, e), "its bounds", e);
    must(serve_fleet_advance(&b->fleet, b->rollout, e), "its first stage", e);
    must(store_db_commit(b->fleet.db, e), "a transaction", e);
}

// ── Check-ins ──

static void check_in(struct bench *b, uint64_t i, struct err *e) {
    struct store_device device = {.held = false};
    struct rollout_decision decision;
    OWN(mem) struct bundle_checkin *checkin = calloc(1, sizeof *checkin);
    char id[ID_BYTES], latency[32];
    if (checkin == NULL)
        exit(1);
    must(store_device_get(b->fleet.db, id_of(i, id), &device, e), "a device", e);
    b->fleet.before_s = device.seen_s;
    device.seen_s = b->fleet.now_ms / 1000;
    (void)snprintf(latency, sizeof latency, "%" PRIu64, 100 + i % 7);
    json_decref(device.said);
    device.said = json_pack("{s:{}, s:{s:s, s:s}}", "components", "metrics", "latency", latency,
                            "crashes", "0");
    (void)snprintf(checkin->state, sizeof checkin->state, "idle");
    must(serve_fleet_decide(&b->fleet, &device, checkin, &decision, e), "a decision", e);
    must(store_device_put(b->fleet.db, &device, e), "a device", e);
    store_device_clear(&device);
}

// Every so many-th device of the fleet, so that all ranks and buckets are touched.
static void pass(struct bench *b, struct err *e) {
    uint64_t step = b->devices / b->checked;
    double begun = seconds();
    for (uint64_t i = 0; i < b->checked; i++) {
        if (i % CHECKS_COMMIT == 0)
            must(store_db_begin(b->fleet.db, e), "a transaction", e);
        check_in(b, i * (step == 0 ? 1 : step), e);
        if ((i + 1) % CHECKS_COMMIT == 0 || i + 1 == b->checked)
            must(store_db_commit(b->fleet.db, e), "a transaction", e);
    }
    (void)fprintf(stderr, "%" PRIu64 " check-ins, %.0f us each\n", b->checked,
                  (seconds() - begun) / (double)b->checked * 1e6);
}

// ── Figures ──

// Half of them as in service, twice a second; then minutes apart, so that each finds something to do:
// in the end those that were offered the release are lost, as many as a tick takes.
static void measure_ticks(struct bench *b, struct err *e) {
    double took[TICKS];
    must(serve_fleet_start(&b->fleet, e), "a start", e);
    for (size_t i = 0; i < TICKS; i++) {
        b->fleet.now_ms += i < TICKS / 2 ? 500 : 3600 * 1000;
        b->fleet.engine->down.last_s = b->fleet.now_ms / 1000; // it listened all the time
        double begun = seconds();
        must(store_db_begin(b->fleet.db, e), "a transaction", e);
        must(serve_fleet_tick(&b->fleet, e), "a tick", e);
        must(store_db_commit(b->fleet.db, e), "a transaction", e);
        took[i] = (seconds() - begun) * 1e3;
    }
    (void)printf("engine_tick_1m_ms\t%.3f\tms\n", median(took, TICKS));
    (void)printf("engine_tick_1m_most_ms\t%.3f\tms\n", took[TICKS - 1]);
}

static void measure_status(struct bench *b) {
    double took[TICKS];
    for (size_t i = 0; i < TICKS; i++) {
        double begun = seconds();
        OWN(json) json_t *shown = serve_show_rollout(b->rollout);
        OWN(mem) char *text = json_dumps(shown, JSON_COMPACT);
        took[i] = (seconds() - begun) * 1e3;
        if (text == NULL)
            exit(1);
    }
    (void)printf("status_1m_ms\t%.3f\tms\n", median(took, TICKS));
}

static void measure_plan(struct bench *b, struct err *e) {
    double took[PLANS];
    uint8_t seed[BUNDLE_RANK_SEED_BYTES] = {1};
    const struct serve_plan_ask ask = {.engine = b->fleet.engine,
                                       .db = b->fleet.db,
                                       .policy = &b->rollout->row.policy,
                                       .scope = "",
                                       .now_s = NOW_S,
                                       .expires_s = NOW_S + 30 * 86400,
                                       .seed = seed};
    for (size_t i = 0; i < PLANS; i++) {
        double begun = seconds();
        OWN(json) json_t *plan = NULL;
        must(serve_plan_make(&ask, &plan, e), "the plan", e);
        took[i] = seconds() - begun;
    }
    (void)printf("plan_1m_s\t%.2f\ts\n", median(took, PLANS));
}

int main(int argc, char **argv) {
    struct bench b = {.devices = DEVICES_DEFAULT, .checked = CHECKED_DEFAULT};
    struct err e = ERR_NONE;
    if (argc > 1)
        must(num_parse_u64(argv[1], "DEVICES", 1, 100000000, &b.devices, &e), argv[0], &e);
    if (argc > 2)
        must(num_parse_u64(argv[2], "CHECKED", 1, b.devices, &b.checked, &e), argv[0], &e);
    if (b.checked > b.devices)
        b.checked = b.devices;
    open_store(&b, &e);
    make_fleet(&b, &e);
    apply(&b, &e);
    measure_plan(&b, &e);
    pass(&b, &e);
    b.fleet.now_ms += 1800 * 1000;
    pass(&b, &e);
    measure_ticks(&b, &e);
    measure_status(&b);
    serve_engine_close(b.fleet.engine);
    store_db_close(b.fleet.db);
    tmp_dir_remove(&b.dir);
    return 0;
}
