// SPDX-License-Identifier: Apache-2.0
//
// Several rollouts over the same devices, and devices that leave them.
#include "tests/unit/ctl/serve/device.h"

#define FLEET 3

static struct controller c;
static struct device d[FLEET];

static void set_up(void) {
    controller_make(&c);
    controller_start(&c);
    for (unsigned i = 0; i < FLEET; i++) {
        device_join(&c, &d[i], i);
        cr_assert_eq(device_check_in(&c, &d[i]), 200);
    }
}

static void tear_down(void) {
    for (unsigned i = 0; i < FLEET; i++)
        device_free(&d[i]);
    controller_free(&c);
}

TestSuite(serve_overlap, .init = set_up, .fini = tear_down, .timeout = 1200);

static void start(const char *release, const char *policy) {
    struct keys_digest id;
    bundle_publish(&c, release, &id);
    json_decref(admin(&c, 201, "POST", "/api/v1/rollouts", policy));
}

static json_int_t count_of(const char *rollout, const char *what) {
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/rollouts/%s", rollout);
    OWN(json) json_t *shown = admin(&c, 200, "GET", path, "");
    return json_integer_value(
        json_object_get(json_array_get(json_object_get(shown, "stages"), 0), what));
}

static void install(struct device *device) {
    cr_assert_eq(device_check_in(&c, device), 200);
    device_install(&c, device);
}

static void rests(struct device *device) {
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(device_check_in(&c, device), 200);
        cr_assert_not(device->instructed, "%s is told to do something: %s", device->id,
                      device->heard.why_text);
    }
}

Test(serve_overlap, the_newer_of_two_rollouts_of_a_release_is_responsible_alone) {
    start("1.1", "{\"name\":\"r1\",\"release\":\"app 1.1\"}");
    install(&d[0]);
    start("1.2", "{\"name\":\"r2\",\"release\":\"app 1.2\"}");
    for (unsigned i = 0; i < 2; i++) {
        install(&d[i]);
        cr_assert_str_eq(d[i].told.rollout, "r2");
        rests(&d[i]);
    }
    // What each of them counts adds up, however often a device asks.
    cr_assert_eq(count_of("r1", "committed"), 1);
    cr_assert_eq(count_of("r1", "skipped"), 1);
    cr_assert_eq(count_of("r2", "committed"), 2);
    install(&d[2]);
    json_decref(rollout_wait(&c, "r2", "finished"));
    json_decref(rollout_wait(&c, "r1", "finished"));
    for (unsigned i = 0; i < FLEET; i++)
        rests(&d[i]); // r1 ended last, and yet is not the baseline
    // The order is that of applying, after a restart as well.
    controller_stop(&c);
    controller_start(&c);
    for (unsigned i = 0; i < FLEET; i++)
        rests(&d[i]);
}

Test(serve_overlap, what_was_staged_for_the_older_one_gives_way) {
    start("1.1", "{\"name\":\"r1\",\"release\":\"app 1.1\"}");
    cr_assert_eq(device_check_in(&c, &d[0]), 200);
    device_report(&d[0], BUNDLE_EVENT_OFFERED, "");
    device_report(&d[0], BUNDLE_EVENT_STAGED, "");
    device_state(&d[0], "waiting", true);
    json_decref(admin(&c, 200, "POST", "/api/v1/rollouts/r1/pause", "{}"));
    start("1.2", "{\"name\":\"r2\",\"release\":\"app 1.2\"}");
    cr_assert_eq(device_check_in(&c, &d[0]), 200);
    cr_assert(d[0].instructed && d[0].told.action == BUNDLE_ACTION_CANCEL, "%s",
              d[0].heard.why_text);
    device_report(&d[0], BUNDLE_EVENT_CANCELLED, "");
    device_state(&d[0], "idle", false);
    install(&d[0]);
    cr_assert_str_eq(d[0].told.rollout, "r2");
    rests(&d[0]);
    cr_assert_eq(count_of("r1", "cancelled"), 1);
}

// A store that was restored from before the release was published, or a device that moved here.
Test(serve_overlap, what_is_not_known_here_is_cancelled) {
    struct device *x = &d[0];
    memset(x->told.bundle.bytes, 7, sizeof x->told.bundle.bytes);
    x->told.attempt = 1;
    (void)snprintf(x->told.rollout, sizeof x->told.rollout, "elsewhere");
    device_state(x, "fetching", true);
    cr_assert_eq(device_check_in(&c, x), 200);
    cr_assert(x->instructed && x->told.action == BUNDLE_ACTION_CANCEL, "%s", x->heard.why_text);
    cr_assert_str_eq(x->told.rollout, "elsewhere");
    device_state(x, "idle", false);
    rests(x);
}

Test(serve_overlap, an_aborted_newer_one_leaves_its_devices_to_the_older) {
    start("1.1", "{\"name\":\"r1\",\"release\":\"app 1.1\"}");
    start("1.2", "{\"name\":\"r2\",\"release\":\"app 1.2\",\"max_unresolved\":1}");
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(device_check_in(&c, &d[i]), 200);
    cr_assert_not(d[1].instructed); // waits for its turn in r2
    cr_assert_str_eq(d[1].heard.why_code, "unresolved_limit");
    cr_assert_eq(count_of("r1", "skipped"), 2);
    json_decref(admin(&c, 200, "POST", "/api/v1/rollouts/r2/abort", "{}"));
    install(&d[1]);
    cr_assert_str_eq(d[1].told.rollout, "r1");
    cr_assert_eq(count_of("r1", "skipped"), 1);
    cr_assert_eq(count_of("r1", "committed"), 1);
}

Test(serve_overlap, a_rollout_its_devices_have_left_is_not_reverted) {
    start("1.0", "{\"name\":\"r0\",\"release\":\"app 1.0\"}");
    for (unsigned i = 0; i < FLEET; i++)
        install(&d[i]);
    json_decref(rollout_wait(&c, "r0", "finished"));
    start("1.1", "{\"name\":\"r1\",\"release\":\"app 1.1\"}");
    for (unsigned i = 0; i < FLEET; i++)
        install(&d[i]);
    OWN(json) json_t *no = admin(&c, 409, "POST", "/api/v1/rollouts/r0/revert", "{}");
    cr_assert_not_null(strstr(text_at(no, "text"), "r1"), "%s", text_at(no, "text"));
    OWN(json) json_t *r0 = admin(&c, 200, "GET", "/api/v1/rollouts/r0", "");
    cr_assert_str_eq(text_at(r0, "state"), "finished");
}

Test(serve_overlap, who_is_out_of_service_does_not_hold_a_revert) {
    start("1.0", "{\"name\":\"r0\",\"release\":\"app 1.0\"}");
    for (unsigned i = 0; i < FLEET; i++)
        install(&d[i]);
    json_decref(rollout_wait(&c, "r0", "finished"));
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-0/retire", "{}")); // before,
    json_decref(admin(&c, 200, "POST", "/api/v1/rollouts/r0/revert", "{}"));
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-1/retire", "{}")); // and after
    cr_assert_eq(device_check_in(&c, &d[2]), 200);
    cr_assert_eq(d[2].told.action, BUNDLE_ACTION_REVERT);
    device_report(&d[2], BUNDLE_EVENT_REVERTED, "");
    d[2].say.n_components = 0;
    cr_assert_eq(device_check_in(&c, &d[2]), 200);
    json_decref(rollout_wait(&c, "r0", "reverted"));
}

Test(serve_overlap, nobody_waits_for_whom_an_operator_took_out) {
    start("1.0", "{\"name\":\"r0\",\"release\":\"app 1.0\","
                 "\"selector\":\"label.site == \\\"a\\\"\"}");
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-0/retire", "{}"));
    json_decref(
        admin(&c, 200, "POST", "/api/v1/devices/device-1/label", "{\"labels\":{\"site\":\"b\"}}"));
    for (int i = 0; i < 2; i++) // counts once
        json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-2/retire", "{}"));
    cr_assert_eq(count_of("r0", "skipped"), 3);
    json_decref(rollout_wait(&c, "r0", "finished"));
}
