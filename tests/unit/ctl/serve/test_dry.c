// SPDX-License-Identifier: Apache-2.0
//
// Dry probes at the controller: who is asked, what of the answers a plan says, and that nothing else
// changes.
#include "tests/unit/ctl/serve/device.h"

#define FLEET 5

struct fleet {
    struct controller c;
    struct device d[FLEET];
    struct keys_digest id;
};

static void fleet_make(struct fleet *f) {
    controller_make(&f->c);
    controller_start(&f->c);
    for (unsigned i = 0; i < FLEET; i++)
        device_join(&f->c, &f->d[i], i);
    bundle_publish(&f->c, "1.0", &f->id);
}

static void fleet_free(struct fleet *f) {
    for (unsigned i = 0; i < FLEET; i++)
        device_free(&f->d[i]);
    controller_free(&f->c);
}

#define POLICY "{\"name\":\"r\",\"release\":\"app 1.0\"}"
#define ASK    "/api/v1/rollouts/plan/probes"

static json_t *ask(struct fleet *f, const char *more) {
    char body[512];
    (void)snprintf(body, sizeof body, "{\"policy\":" POLICY ",\"wait_s\":600%s}", more);
    return admin(&f->c, 201, "POST", ASK, body);
}

static json_int_t number(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static json_t *look(struct fleet *f, const json_t *asked) {
    char path[128];
    (void)snprintf(path, sizeof path, ASK "/%s", text_at(asked, "id"));
    return admin(&f->c, 200, "GET", path, "");
}

static bool is_asked(struct fleet *f, struct device *d) {
    cr_assert_eq(device_check_in(&f->c, d), 200);
    return d->instructed && d->told.action == BUNDLE_ACTION_PROBE;
}

// Says of its one probe that it came to this, at the next check-in.
static void answer(struct fleet *f, struct device *d, const char *code) {
    d->say.probed = (struct bundle_checkin_probed){
        .sequence = d->told.header.version, .bundle = d->told.bundle, .n = 1};
    (void)snprintf(d->say.probed.probes[0].name, sizeof d->say.probed.probes[0].name, "lens");
    (void)snprintf(d->say.probed.probes[0].code, sizeof d->say.probed.probes[0].code, "%s", code);
    cr_assert_eq(device_check_in(&f->c, d), 200);
    d->say.probed.sequence = 0;
}

Test(serve_dry, a_sample_is_asked_once_and_the_plan_says_what_it_answered, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    OWN(json) json_t *before = admin(&f.c, 200, "GET", "/api/v1/devices", "");
    OWN(json) json_t *asked = ask(&f, "");
    cr_assert_eq(number(asked, "sample"), FLEET);
    cr_assert_eq(number(asked, "asked"), 0);
    for (unsigned i = 0; i < FLEET - 1; i++) {
        cr_assert(is_asked(&f, &f.d[i]), "%s: %s", f.d[i].id, f.d[i].heard.why_text);
        cr_assert(keys_digest_equal(&f.d[i].told.bundle, &f.id));
        cr_assert_gt(f.d[i].told.size, 0);
        cr_assert_str_eq(f.d[i].told.rollout, "");
        cr_assert(!is_asked(&f, &f.d[i]), "once, while it may be at it still");
    }
    answer(&f, &f.d[0], "");
    answer(&f, &f.d[1], "probe_failed");
    answer(&f, &f.d[2], "not_runnable");
    cr_assert(!is_asked(&f, &f.d[0]), "and not when it has answered");
    OWN(json) json_t *stands = look(&f, asked);
    cr_expect_eq(number(stands, "asked"), FLEET - 1);
    cr_expect_eq(number(stands, "answered"), 3);
    cr_expect_eq(number(stands, "judged"), 2);
    cr_expect_eq(number(stands, "would_fail"), 1);
    char body[256];
    (void)snprintf(body, sizeof body, "{\"policy\":" POLICY ",\"dry_probes\":\"%s\"}",
                   text_at(asked, "id"));
    OWN(json) json_t *plan = admin(&f.c, 200, "POST", "/api/v1/rollouts/plan", body);
    const json_t *said = json_object_get(json_object_get(plan, "plan"), "dry_probes");
    cr_expect(json_equal(said, stands), "the plan has it as it stands");
    // Nobody counts as anything because of it.
    OWN(json) json_t *rollouts = admin(&f.c, 200, "GET", "/api/v1/rollouts", "");
    cr_expect_eq(json_array_size(json_object_get(rollouts, "rollouts")), 0);
    OWN(json) json_t *after = admin(&f.c, 200, "GET", "/api/v1/devices", "");
    for (size_t i = 0; i < FLEET; i++) {
        const json_t *was = json_array_get(json_object_get(before, "devices"), i);
        const json_t *is = json_array_get(json_object_get(after, "devices"), i);
        cr_expect(json_equal(json_object_get(was, "update"), json_object_get(is, "update")));
    }
    fleet_free(&f);
}

Test(serve_dry, an_answer_counts_for_what_was_asked_alone, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    OWN(json) json_t *asked = ask(&f, ",\"sample\":2");
    struct device *told = NULL, *other = NULL;
    unsigned n = 0;
    for (unsigned i = 0; i < FLEET; i++)
        if (is_asked(&f, &f.d[i])) {
            told = &f.d[i];
            n++;
        } else {
            other = &f.d[i];
        }
    cr_assert_eq(n, 2, "the sample and nobody else");
    // Of another instruction, of another bundle, by another device, and twice.
    told->told.header.version++;
    answer(&f, told, "probe_failed");
    told->told.header.version--;
    told->told.bundle.bytes[0] ^= 1;
    answer(&f, told, "probe_failed");
    told->told.bundle.bytes[0] ^= 1;
    other->told = told->told;
    answer(&f, other, "probe_failed");
    OWN(json) json_t *none = look(&f, asked);
    cr_expect_eq(number(none, "answered"), 0);
    answer(&f, told, "");
    answer(&f, told, "probe_failed");
    OWN(json) json_t *one = look(&f, asked);
    cr_expect_eq(number(one, "answered"), 1);
    cr_expect_eq(number(one, "would_fail"), 0, "what it said first");
    fleet_free(&f);
}

Test(serve_dry, who_would_not_get_it_is_not_asked, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-0/hold", "{\"held\":true}"));
    device_runs(&f.d[1], "1.0", &f.id);
    cr_assert_eq(device_check_in(&f.c, &f.d[1]), 200);
    OWN(json) json_t *asked = ask(&f, "");
    cr_expect_eq(number(asked, "sample"), FLEET - 2, "one is held, one has it");
    cr_expect(!is_asked(&f, &f.d[0]) && !is_asked(&f, &f.d[1]));
    // At work on something else it is not asked, and is afterwards.
    f.d[2].told = (struct bundle_instruction){.bundle = f.id, .attempt = 1};
    device_state(&f.d[2], "fetching", true);
    cr_expect(!is_asked(&f, &f.d[2]));
    device_state(&f.d[2], "idle", false);
    cr_expect(is_asked(&f, &f.d[2]));
    // Nor one that an operator holds in between.
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-3/hold", "{\"held\":true}"));
    cr_expect(!is_asked(&f, &f.d[3]));
    fleet_free(&f);
}

#define BY_EVIDENCE                                                                                \
    "{\"name\":\"r\",\"release\":\"app "                                                           \
    "1.0\",\"gates\":[{\"name\":\"install\",\"kind\":\"install\"}],"                               \
    "\"stages\":[{\"name\":\"canary\",\"count\":1},{\"name\":\"all\",\"percent\":100}]}"

// How many are asked of this bundle.
static unsigned ask_all(struct fleet *f, const struct keys_digest *of) {
    unsigned n = 0;
    for (unsigned i = 0; i < FLEET; i++)
        n += is_asked(f, &f->d[i]) && keys_digest_equal(&f->d[i].told.bundle, of);
    return n;
}

// Those that do not have it are what it compares with: their probes would show in the evidence.
Test(serve_dry, nobody_is_asked_of_a_release_whose_rollout_compares, .timeout = 1200) {
    struct fleet f;
    struct keys_digest next;
    fleet_make(&f);
    bundle_publish(&f.c, "1.1", &next);
    OWN(json) json_t *first = ask(&f, "");
    cr_expect(is_asked(&f, &f.d[0]), "before");
    json_decref(admin(&f.c, 201, "POST", "/api/v1/rollouts", BY_EVIDENCE));
    cr_expect_eq(ask_all(&f, &f.id), 0, "what was asked for before has to wait");
    json_decref(admin(&f.c, 409, "POST", ASK, "{\"policy\":" POLICY ",\"wait_s\":600}"));
    json_decref(admin(&f.c, 201, "POST", ASK,
                      "{\"policy\":{\"name\":\"s\",\"release\":\"app 1.1\"},\"wait_s\":600}"));
    cr_expect_eq(ask_all(&f, &next), FLEET - 1, "of another one, but for who installs");
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts/r/abort", "{}"));
    cr_expect_geq(ask_all(&f, &f.id), FLEET - 2,
                  "and when it has ended, but for who was, and the canary");
    fleet_free(&f);
}

// A rollout without evidence compares nobody.
Test(serve_dry, a_rollout_that_goes_by_shares_is_no_reason_not_to_ask, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    json_decref(admin(&f.c, 201, "POST", "/api/v1/rollouts",
                      "{\"name\":\"r\",\"release\":\"app 1.0\",\"stages\":[{\"name\":\"canary\","
                      "\"count\":1},{\"name\":\"all\",\"percent\":100}]}"));
    OWN(json) json_t *asked = ask(&f, "");
    cr_expect_eq(ask_all(&f, &f.id), FLEET - 1);
    fleet_free(&f);
}

Test(serve_dry, a_request_ends_outlives_a_restart_and_there_are_few, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    OWN(json)
    json_t *brief = admin(&f.c, 201, "POST", ASK, "{\"policy\":" POLICY ",\"wait_s\":1}");
    for (int i = 0; i < 2000; i++) {
        OWN(json) json_t *now = look(&f, brief);
        char at[32];
        time_t t = time(NULL);
        struct tm tm;
        (void)strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
        if (strcmp(at, text_at(now, "expires")) > 0)
            break;
        (void)usleep(50000);
    }
    cr_expect(!is_asked(&f, &f.d[0]), "it is over");
    json_decref(admin(&f.c, 404, "POST", ASK,
                      "{\"policy\":{\"name\":\"r\",\"release\":\"app 9.9\"},\"wait_s\":600}"));
    json_decref(admin(&f.c, 400, "POST", ASK, "{\"policy\":" POLICY ",\"wait_s\":0}"));
    json_decref(
        admin(&f.c, 400, "POST", ASK, "{\"policy\":" POLICY ",\"wait_s\":600,\"sample\":0}"));
    json_decref(
        admin(&f.c, 400, "POST", ASK, "{\"policy\":" POLICY ",\"wait_s\":600,\"sample\":1001}"));
    json_decref(admin(&f.c, 404, "GET", ASK "/0123456789abcdef", ""));
    json_decref(admin(&f.c, 404, "POST", "/api/v1/rollouts/plan",
                      "{\"policy\":" POLICY ",\"dry_probes\":\"0123456789abcdef\"}"));
    OWN(json) json_t *first = ask(&f, "");
    controller_stop(&f.c);
    controller_start(&f.c);
    cr_expect(is_asked(&f, &f.d[0]), "after a restart: %s", f.d[0].heard.why_text);
    for (int i = 1; i < 8; i++)
        json_decref(ask(&f, ",\"sample\":1"));
    json_decref(admin(&f.c, 409, "POST", ASK, "{\"policy\":" POLICY ",\"wait_s\":600}"));
    fleet_free(&f);
}
