// SPDX-License-Identifier: Apache-2.0
//
// Rollouts as devices and operators live through them.
#include "tests/unit/ctl/serve/device.h"

#define FLEET 6

struct fleet {
    struct controller c;
    struct device d[FLEET];
    struct keys_digest old, new;
};

static json_int_t count_of(const json_t *rollout, size_t stage, const char *what) {
    return json_integer_value(
        json_object_get(json_array_get(json_object_get(rollout, "stages"), stage), what));
}

static void apply(struct fleet *f, const char *policy) {
    json_decref(admin(&f->c, 201, "POST", "/api/v1/rollouts", policy));
}

// A fleet that runs app 1.0 as its baseline, and 1.1 published.
static void fleet_make(struct fleet *f) {
    controller_make(&f->c);
    controller_start(&f->c);
    for (unsigned i = 0; i < FLEET; i++)
        device_join(&f->c, &f->d[i], i);
    bundle_publish(&f->c, "1.0", &f->old);
    apply(f, "{\"name\":\"first\",\"release\":\"app 1.0\"}");
    for (unsigned i = 0; i < FLEET; i++) {
        cr_assert_eq(device_check_in(&f->c, &f->d[i]), 200);
        device_install(&f->c, &f->d[i]);
    }
    json_decref(rollout_wait(&f->c, "first", "finished"));
    bundle_publish(&f->c, "1.1", &f->new);
}

static void fleet_free(struct fleet *f) {
    for (unsigned i = 0; i < FLEET; i++)
        device_free(&f->d[i]);
    controller_free(&f->c);
}

// Everybody checks in; how many hold an instruction with this action.
static unsigned check_in_all(struct fleet *f, enum bundle_action action) {
    unsigned n = 0;
    for (unsigned i = 0; i < FLEET; i++) {
        cr_assert_eq(device_check_in(&f->c, &f->d[i]), 200);
        n += f->d[i].instructed && f->d[i].told.action == action;
    }
    return n;
}

static bool is_told(const struct device *d, enum bundle_action action) {
    return d->instructed && d->told.action == action;
}

static const char two_stages[] =
    "{\"name\":\"r\",\"release\":\"app 1.1\",\"on_failure\":\"revert\",\"stages\":["
    "{\"name\":\"canary\",\"count\":2},{\"name\":\"all\",\"percent\":100}]}";

Test(serve_rollouts, a_canary_of_two_is_two_and_the_rest_waits_with_a_reason, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f, two_stages);
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), 2);
    for (unsigned i = 0; i < FLEET; i++)
        if (!f.d[i].instructed)
            cr_assert_str_eq(f.d[i].heard.why_code, "stage_closed");
    // Asked again, nobody else gets it; the two whose answer was lost get it again.
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), 2);
    for (unsigned i = 0; i < FLEET; i++)
        if (f.d[i].instructed)
            device_install(&f.c, &f.d[i]);
    OWN(json) json_t *open = admin(&f.c, 200, "GET", "/api/v1/rollouts/r", "");
    cr_assert_eq(count_of(open, 0, "committed"), 2);
    cr_assert_str_eq(text_at(open, "stage"), "all");
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), 4);
    fleet_free(&f);
}

Test(serve_rollouts, a_failed_rollout_takes_its_devices_back_without_a_download, .timeout = 1200) {
    struct fleet f;
    struct device *good = NULL, *bad = NULL;
    fleet_make(&f);
    apply(&f, two_stages);
    (void)check_in_all(&f, BUNDLE_ACTION_INSTALL);
    for (unsigned i = 0; i < FLEET; i++)
        if (f.d[i].instructed)
            *(good == NULL ? &good : &bad) = &f.d[i];
    device_install(&f.c, good);
    device_report(bad, BUNDLE_EVENT_OFFERED, "");
    device_report(bad, BUNDLE_EVENT_REFUSED, "probe_failed");
    cr_assert_eq(device_check_in(&f.c, bad), 200);
    cr_assert_not(bad->instructed);
    // The one that has it is told to go back, until it says that it did.
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(device_check_in(&f.c, good), 200);
        cr_assert(is_told(good, BUNDLE_ACTION_REVERT), "%s", good->heard.why_text);
        cr_assert_str_eq(good->told.rollout, "r");
        cr_assert(keys_digest_equal(&good->told.bundle, &f.new));
    }
    device_report(good, BUNDLE_EVENT_REVERTED, "rolled_back");
    device_runs(good, "1.0", &f.old);
    cr_assert_eq(device_check_in(&f.c, good), 200);
    cr_assert_not(good->instructed);
    OWN(json) json_t *over = rollout_wait(&f.c, "r", "reverted");
    cr_assert_eq(count_of(over, 0, "failed"), 1);
    cr_assert_eq(count_of(over, 0, "reverted"), 1);
    cr_assert_str_eq(text_at(json_array_get(json_object_get(over, "stages"), 0), "state"),
                     "failed");
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), 0);
    // The reason is there for the one that failed.
    char path[128];
    (void)snprintf(path, sizeof path, "/api/v1/devices/%s/why", bad->id);
    OWN(json) json_t *why = admin(&f.c, 200, "GET", path, "");
    const json_t *failure = json_object_get(why, "last_failure");
    cr_assert_str_eq(text_at(failure, "code"), "probe_failed");
    cr_assert_str_eq(text_at(failure, "detail"), "what the probe printed");
    fleet_free(&f);
}

Test(serve_rollouts, pause_holds_the_last_look_and_abort_cancels_what_is_staged, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\"}");
    struct device *d = &f.d[0];
    cr_assert_eq(device_check_in(&f.c, d), 200);
    device_report(d, BUNDLE_EVENT_OFFERED, "");
    device_report(d, BUNDLE_EVENT_STAGED, "");
    device_state(d, "waiting", true);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts/r/pause", "{}"));
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts/r/pause", "{}"));
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert_not(d->instructed);
    cr_assert_str_eq(d->heard.why_code, "paused");
    cr_assert_str_eq(d->heard.why_text, "has staged app 1.1 and waits: rollout r is paused");
    cr_assert_eq(device_check_in(&f.c, &f.d[1]), 200);
    cr_assert_str_eq(f.d[1].heard.why_code, "paused");
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts/r/resume", "{}"));
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert(is_told(d, BUNDLE_ACTION_ACTIVATE));
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts/r/abort", "{}"));
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert(is_told(d, BUNDLE_ACTION_CANCEL), "%s", d->heard.why_text);
    device_report(d, BUNDLE_EVENT_CANCELLED, "cancelled");
    device_state(d, "idle", false);
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert_not(d->instructed);
    json_decref(admin(&f.c, 409, "POST", "/api/v1/rollouts/r/resume", "{}"));
    fleet_free(&f);
}

Test(serve_rollouts, a_failure_that_pauses_is_tried_again_with_a_higher_attempt, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\"}");
    struct device *d = &f.d[0];
    cr_assert_eq(device_check_in(&f.c, d), 200);
    device_report(d, BUNDLE_EVENT_REFUSED, "no_space");
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert_str_eq(d->heard.why_code, "rollout_failed");
    cr_assert_eq(device_check_in(&f.c, &f.d[1]), 200);
    cr_assert_not(f.d[1].instructed);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts/r/resume", "{}"));
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), FLEET);
    cr_assert_eq(d->told.attempt, 2);
    for (unsigned i = 0; i < FLEET; i++)
        device_install(&f.c, &f.d[i]);
    OWN(json) json_t *over = rollout_wait(&f.c, "r", "finished");
    cr_assert_eq(count_of(over, 0, "committed"), FLEET);
    cr_assert_eq(count_of(over, 0, "failed"), 0);
    fleet_free(&f);
}

// It was at work on the first attempt when people resumed: that it failed then says nothing of the
// second, and it is counted once.
Test(serve_rollouts, a_failure_of_an_attempt_that_was_given_up_is_not_counted, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\",\"on_failure\":\"pause\"}");
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), FLEET);
    device_report(&f.d[0], BUNDLE_EVENT_REFUSED, "no_space");
    cr_assert_eq(device_check_in(&f.c, &f.d[0]), 200);
    json_decref(rollout_wait(&f.c, "r", "failed"));
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts/r/resume", "{}"));
    device_report(&f.d[1], BUNDLE_EVENT_REFUSED, "no_space");
    cr_assert_eq(device_check_in(&f.c, &f.d[1]), 200);
    cr_assert(is_told(&f.d[1], BUNDLE_ACTION_INSTALL));
    cr_assert_eq(f.d[1].told.attempt, 2);
    OWN(json) json_t *now = admin(&f.c, 200, "GET", "/api/v1/rollouts/r", "");
    cr_assert_str_eq(json_string_value(json_object_get(now, "state")), "running");
    cr_assert_eq(count_of(now, 0, "failed"), 0);
    fleet_free(&f);
}

// on_failure pause: what is staged elsewhere waits, and says for what.
Test(serve_rollouts, a_failure_elsewhere_is_why_a_staged_device_waits, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\",\"on_failure\":\"pause\"}");
    struct device *d = &f.d[0];
    (void)check_in_all(&f, BUNDLE_ACTION_INSTALL);
    device_report(d, BUNDLE_EVENT_STAGED, "");
    device_state(d, "waiting", true);
    for (unsigned i = 1; i < 3; i++) {
        device_report(&f.d[i], BUNDLE_EVENT_REFUSED, "no_space");
        cr_assert_eq(device_check_in(&f.c, &f.d[i]), 200);
    }
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert_not(d->instructed);
    cr_assert_str_eq(d->heard.why_code, "rollout_failed");
    cr_assert_eq(strncmp(d->heard.why_text, "has staged app 1.1 and waits: rollout r failed: ", 48),
                 0, "%s", d->heard.why_text);
    fleet_free(&f);
}

// Between two check-ins rollouts move: why is the decision of now, not the last one given.
Test(serve_rollouts, why_is_what_holds_now, .timeout = 1200) {
    static const char path[] = "/api/v1/devices/device-0/why";
    struct fleet f;
    fleet_make(&f);
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\"}");
    struct device *d = &f.d[0];
    cr_assert_eq(device_check_in(&f.c, d), 200);
    device_report(d, BUNDLE_EVENT_STAGED, "");
    device_state(d, "waiting", true);
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert_str_eq(d->heard.why_code, "activate");
    static const struct {
        const char *verb, *code;
    } steps[] = {{"pause", "paused"}, {"resume", "activate"}, {"abort", "cancelling"}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char verb[64];
        (void)snprintf(verb, sizeof verb, "/api/v1/rollouts/r/%s", steps[i].verb);
        json_decref(admin(&f.c, 200, "POST", verb, "{}"));
        OWN(json) json_t *why = admin(&f.c, 200, "GET", path, "");
        cr_assert_str_eq(text_at(json_object_get(why, "controller"), "code"), steps[i].code);
    }
    // Asking gave nothing away: the device is told all the same.
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert(is_told(d, BUNDLE_ACTION_CANCEL));
    fleet_free(&f);
}

Test(serve_rollouts, a_device_that_falls_silent_counts_as_lost, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f,
          "{\"name\":\"r\",\"release\":\"app 1.1\",\"timeout_s\":2,\"gate\":{\"failure_pct\":0}}");
    cr_assert_eq(device_check_in(&f.c, &f.d[0]), 200);
    cr_assert(is_told(&f.d[0], BUNDLE_ACTION_INSTALL));
    OWN(json) json_t *over = rollout_wait(&f.c, "r", "failed");
    cr_assert_eq(count_of(over, 0, "lost"), 1);
    fleet_free(&f);
}

// Otherwise one hostile device that an operator holds decides about the canary.
Test(serve_rollouts, who_was_offered_nothing_has_no_vote, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-0/hold", "{\"held\":true}"));
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\",\"gate\":{\"failure_pct\":0}}");
    struct device *d = &f.d[0];
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert_not(d->instructed);
    (void)snprintf(d->told.rollout, sizeof d->told.rollout, "r");
    d->told.attempt = 1;
    for (unsigned event = 0; event < BUNDLE_EVENTS; event++)
        device_report(d, (enum bundle_event)event, "probe_failed");
    cr_assert_eq(device_check_in(&f.c, d), 200);
    cr_assert_eq(d->heard.acked, d->report_id);
    OWN(json) json_t *shown = admin(&f.c, 200, "GET", "/api/v1/rollouts/r", "");
    cr_assert_str_eq(text_at(shown, "state"), "running");
    cr_assert_eq(count_of(shown, 0, "offered"), 0);
    cr_assert_eq(count_of(shown, 0, "skipped"), 1);
    fleet_free(&f);
}

Test(serve_rollouts, held_and_pinned_devices_are_left_alone_and_not_waited_for, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-0/hold", "{\"held\":true}"));
    json_decref(
        admin(&f.c, 200, "POST", "/api/v1/devices/device-1/pin", "{\"release\":\"app 1.0\"}"));
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\"}");
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), FLEET - 2);
    cr_assert_str_eq(f.d[0].heard.why_code, "held");
    cr_assert_str_eq(f.d[1].heard.why_code, "pinned");
    for (unsigned i = 2; i < FLEET; i++)
        device_install(&f.c, &f.d[i]);
    OWN(json) json_t *over = rollout_wait(&f.c, "r", "finished");
    cr_assert_eq(count_of(over, 0, "skipped"), 2);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-0/hold", "{\"held\":false}"));
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-1/pin", "{\"release\":null}"));
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), 2);
    fleet_free(&f);
}

// It took the offer, or its answer was lost, before an operator said that it is to stay as it is.
Test(serve_rollouts, who_is_pinned_after_the_offer_is_not_waited_for, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    struct device *begun = &f.d[0], *lost = &f.d[1];
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\"}");
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), FLEET);
    device_report(begun, BUNDLE_EVENT_OFFERED, "");
    device_report(begun, BUNDLE_EVENT_STAGED, "");
    device_state(begun, "waiting", true);
    const char *pin = "{\"release\":\"app 1.0\"}";
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-0/pin", pin));
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-1/pin", pin));
    for (unsigned i = 2; i < FLEET; i++)
        device_install(&f.c, &f.d[i]);
    cr_assert_eq(device_check_in(&f.c, begun), 200);
    cr_assert(is_told(begun, BUNDLE_ACTION_CANCEL), "%s", begun->heard.why_text);
    device_report(begun, BUNDLE_EVENT_CANCELLED, "cancelled");
    device_state(begun, "idle", false);
    cr_assert_eq(device_check_in(&f.c, begun), 200);
    cr_assert_eq(device_check_in(&f.c, lost), 200);
    cr_assert(!begun->instructed && !lost->instructed);
    cr_assert_str_eq(lost->heard.why_code, "pinned");
    OWN(json) json_t *over = rollout_wait(&f.c, "r", "finished");
    cr_assert_eq(count_of(over, 0, "cancelled"), 2);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/devices/device-1/pin", "{\"release\":null}"));
    cr_assert_eq(device_check_in(&f.c, lost), 200);
    device_install(&f.c, lost);
    fleet_free(&f);
}

Test(serve_rollouts, the_same_policy_again_is_the_same_rollout_and_another_is_refused,
     .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f, two_stages);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts", two_stages));
    OWN(json)
    json_t *refused =
        admin(&f.c, 409, "POST", "/api/v1/rollouts", "{\"name\":\"r\",\"release\":\"app 1.1\"}");
    cr_assert_str_eq(text_at(refused, "code"), "exists");
    json_decref(
        admin(&f.c, 404, "POST", "/api/v1/rollouts", "{\"name\":\"x\",\"release\":\"app 9.9\"}"));
    fleet_free(&f);
}

Test(serve_rollouts, progress_survives_a_restart_of_the_controller, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f, two_stages);
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), 2);
    OWN(json) json_t *before = admin(&f.c, 200, "GET", "/api/v1/rollouts/r", "");
    controller_kill(&f.c);
    controller_start(&f.c);
    OWN(json) json_t *after = admin(&f.c, 200, "GET", "/api/v1/rollouts/r", "");
    for (size_t i = 0; i < 2; i++) {
        json_t *was = json_array_get(json_object_get(before, "stages"), i);
        json_t *is = json_array_get(json_object_get(after, "stages"), i);
        (void)json_object_del(was, "why"); // a sentence, made anew by the next tick
        (void)json_object_del(is, "why");
        cr_assert(json_equal(was, is));
    }
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), 2);
    fleet_free(&f);
}

// ── Who did not go back ──

static json_int_t behind(const json_t *answer, const char *state) {
    return json_integer_value(json_object_get(json_object_get(answer, "counts"), state));
}

Test(serve_rollouts, who_could_not_go_back_is_listed_with_its_reason, .timeout = 1200) {
    struct fleet f;
    fleet_make(&f);
    apply(&f, "{\"name\":\"r\",\"release\":\"app 1.1\"}");
    cr_assert_eq(check_in_all(&f, BUNDLE_ACTION_INSTALL), FLEET);
    OWN(json) json_t *none = admin(&f.c, 200, "GET", "/api/v1/rollouts/r/failures", "");
    cr_expect_eq(json_array_size(json_object_get(none, "devices")), 0, "it does not go back");
    cr_expect_eq(behind(none, "unheard"), 0);
    for (unsigned i = 0; i < FLEET; i++)
        device_install(&f.c, &f.d[i]);
    json_decref(admin(&f.c, 200, "POST", "/api/v1/rollouts/r/revert", "{}"));
    // The first goes back, the second cannot, the third says nothing, the others do not call.
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(device_check_in(&f.c, &f.d[i]), 200);
        cr_assert(is_told(&f.d[i], BUNDLE_ACTION_REVERT), "%s", f.d[i].heard.why_text);
    }
    device_report(&f.d[0], BUNDLE_EVENT_REVERTED, "rolled_back");
    device_runs(&f.d[0], "1.0", &f.old);
    device_report(&f.d[1], BUNDLE_EVENT_REFUSED, "no_previous");
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(device_check_in(&f.c, &f.d[i]), 200);
        cr_expect(!is_told(&f.d[i], BUNDLE_ACTION_REVERT), "once");
    }
    OWN(json) json_t *all = admin(&f.c, 200, "GET", "/api/v1/rollouts/r/failures", "");
    cr_expect_eq(behind(all, "failed"), 1);
    cr_expect_eq(behind(all, "told"), 1);
    cr_expect_eq(behind(all, "unheard"), FLEET - 3);
    const json_t *devices = json_object_get(all, "devices");
    cr_assert_eq(json_array_size(devices), FLEET - 1);
    const json_t *first = json_array_get(devices, 0), *second = json_array_get(devices, 1);
    cr_expect_str_eq(text_at(first, "device"), "device-1");
    cr_expect_str_eq(text_at(first, "state"), "failed");
    cr_expect_str_eq(text_at(json_object_get(first, "why"), "code"), "no_previous");
    cr_expect_str_eq(text_at(json_object_get(first, "why"), "text"), "what happened");
    cr_expect(json_is_string(json_object_get(first, "told")));
    cr_expect_str_eq(text_at(second, "state"), "told");
    cr_expect_str_eq(text_at(json_array_get(devices, 2), "state"), "unheard");
    cr_expect(json_is_null(json_object_get(json_array_get(devices, 2), "told")));
    cr_expect(json_is_null(json_object_get(all, "next")));
    // In pages.
    OWN(json) json_t *page = admin(&f.c, 200, "GET", "/api/v1/rollouts/r/failures?limit=2", "");
    cr_expect_eq(json_array_size(json_object_get(page, "devices")), 2);
    cr_expect_str_eq(text_at(page, "next"), "device-2");
    OWN(json)
    json_t *rest =
        admin(&f.c, 200, "GET", "/api/v1/rollouts/r/failures?limit=3&after=device-2", "");
    cr_expect_eq(json_array_size(json_object_get(rest, "devices")), FLEET - 3);
    cr_expect(json_is_null(json_object_get(rest, "next")));
    fleet_free(&f);
}
