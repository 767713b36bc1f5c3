// SPDX-License-Identifier: Apache-2.0
//
// Who may do what: every route for every role, a part of the fleet for a selector, devices with
// their own key only; and what a crash must not lose.
#include "ctl/serve/route.h"
#include "tests/unit/ctl/serve/device.h"

static struct controller c;

static void set_up(void) {
    controller_make(&c);
    controller_start(&c);
}

static void tear_down(void) {
    controller_free(&c);
}

TestSuite(serve_access, .init = set_up, .fini = tear_down, .timeout = 1200);

static json_t *operator_token(const char *role, const char *selector) {
    char body[512];
    (void)snprintf(body, sizeof body,
                   "{\"kind\":\"operator\",\"name\":\"t-%s\",\"role\":\"%s\",\"selector\":\"%s\"}",
                   role, role, selector);
    return admin(&c, 201, "POST", "/api/v1/tokens", body);
}

static unsigned ask(const char *method, const char *path, const char *token, const char *body) {
    struct reply r;
    unsigned status = http_send(&c, method, path, token, "",
                                (struct slice){(const uint8_t *)body, strlen(body)}, &r);
    http_clear(&r);
    return status;
}

// "/api/v1/devices/{}/why" → "/api/v1/devices/x/why"
static void fill(const char *pattern, char *ret) {
    for (; *pattern != '\0'; pattern++)
        if (*pattern == '{') {
            *ret++ = 'x';
            pattern++;
        } else {
            *ret++ = *pattern;
        }
    *ret = '\0';
}

// Refused means 401 or 403 and nothing else; allowed anything but these.
Test(serve_access, every_route_refuses_every_role_that_its_row_does_not_list) {
    for (unsigned role = 0; role < STORE_ROLES; role++)
        for (int limited = 0; limited < 2; limited++) {
            OWN(json)
            json_t *token =
                operator_token(store_token_roles[role], limited ? "label.site == \\\"z\\\"" : "");
            const char *secret = text_at(token, "secret");
            for (size_t i = 0; i < serve_route_count; i++) {
                const struct serve_route *route = &serve_route_table[i];
                char path[128];
                if (route->access != SERVE_ACCESS_OPERATOR)
                    continue;
                fill(route->pattern, path);
                bool allowed =
                    (route->roles & SERVE_ROUTE_ROLE(role)) && !(limited && route->fleet_wide);
                const char *method = serve_route_method(route->method);
                unsigned status = ask(method, path, secret, route->body ? "{\"x\":1}" : "");
                cr_assert_eq(status == 403, !allowed, "%s %s as %s%s: %u", method, path,
                             store_token_roles[role], limited ? " (limited)" : "", status);
                cr_assert_neq(status, 401);
                cr_assert_eq(ask(method, path, NULL, route->body ? "{}" : ""), 401);
                cr_assert_eq(ask(method, path, "edge-op-unknown", route->body ? "{}" : ""), 401);
            }
        }
}

Test(serve_access, a_selector_hides_the_rest_of_the_fleet) {
    struct device a, b;
    device_join(&c, &a, 1);
    device_join(&c, &b, 2);
    json_decref(
        admin(&c, 200, "POST", "/api/v1/devices/device-2/label", "{\"labels\":{\"site\":\"b\"}}"));
    OWN(json) json_t *token = operator_token("operator", "label.site == \\\"b\\\"");
    const char *secret = text_at(token, "secret");
    cr_assert_eq(ask("GET", "/api/v1/devices/device-2", secret, ""), 200);
    cr_assert_eq(ask("GET", "/api/v1/devices/device-1", secret, ""), 404);
    cr_assert_eq(ask("GET", "/api/v1/devices/device-1/why", secret, ""), 404);
    const char *const verbs[] = {"accept", "reject", "retire", "hold", "label", "pin", "replace"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "/api/v1/devices/device-1/%s", verbs[i]);
        cr_assert_eq(ask("POST", path, secret, "{}"), 404, "%s", verbs[i]);
    }
    cr_assert_eq(ask("DELETE", "/api/v1/devices/device-1", secret, ""), 404);
    // Nor may it push a device out of its own reach, to where another may pull it in.
    cr_assert_eq(
        ask("POST", "/api/v1/devices/device-2/label", secret, "{\"labels\":{\"site\":\"a\"}}"),
        403);
    struct reply r;
    struct slice none = {NULL, 0};
    cr_assert_eq(http_send(&c, "GET", "/api/v1/devices", secret, "", none, &r), 200);
    cr_assert_eq(json_array_size(json_object_get(r.json, "devices")), 1);
    http_clear(&r);
    device_free(&a);
    device_free(&b);
}

Test(serve_access, a_selector_bounds_the_rollouts_of_its_token) {
    struct device a, b;
    struct keys_digest id;
    device_join(&c, &a, 1);
    device_join(&c, &b, 2);
    json_decref(
        admin(&c, 200, "POST", "/api/v1/devices/device-2/label", "{\"labels\":{\"site\":\"b\"}}"));
    bundle_publish(&c, "1.0", &id);
    OWN(json) json_t *token = operator_token("deployer", "label.site == \\\"b\\\"");
    const char *secret = text_at(token, "secret");
    cr_assert_eq(
        ask("POST", "/api/v1/rollouts", secret, "{\"name\":\"r\",\"release\":\"app 1.0\"}"), 201);
    cr_assert_eq(device_check_in(&c, &a), 200);
    cr_assert_not(a.instructed);
    cr_assert_eq(device_check_in(&c, &b), 200);
    cr_assert(b.instructed);
    json_decref(
        admin(&c, 201, "POST", "/api/v1/rollouts", "{\"name\":\"s\",\"release\":\"app 1.0\"}"));
    cr_assert_eq(ask("GET", "/api/v1/rollouts/s", secret, ""), 404);
    cr_assert_eq(ask("POST", "/api/v1/rollouts/s/abort", secret, "{}"), 404);
    cr_assert_eq(ask("POST", "/api/v1/rollouts/r/pause", secret, "{}"), 200);
    device_free(&a);
    device_free(&b);
}

Test(serve_access, a_revoked_token_ends_with_the_next_request) {
    OWN(json) json_t *token = operator_token("viewer", "");
    char path[128];
    cr_assert_eq(ask("GET", "/api/v1/whoami", text_at(token, "secret"), ""), 200);
    (void)snprintf(path, sizeof path, "/api/v1/tokens/%s",
                   text_at(json_object_get(token, "token"), "id"));
    json_decref(admin(&c, 200, "DELETE", path, ""));
    cr_assert_eq(ask("GET", "/api/v1/whoami", text_at(token, "secret"), ""), 401);
}

Test(serve_access, a_device_out_of_service_is_refused_at_once) {
    struct device d;
    device_join(&c, &d, 1);
    cr_assert_eq(device_check_in(&c, &d), 200);
    json_decref(admin(&c, 409, "DELETE", "/api/v1/devices/device-1", ""));
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-1/retire", "{}"));
    cr_assert_eq(device_check_in(&c, &d), 401);
    cr_assert_eq(device_sign_in(&c, &d), 403);
    json_decref(admin(&c, 200, "DELETE", "/api/v1/devices/device-1", ""));
    cr_assert_eq(device_sign_in(&c, &d), 401);
    device_free(&d);
}

static void sign_in_refused(struct device *d, const char *wanted) {
    OWN(json) json_t *said = NULL;
    cr_expect_neq(device_ask_token(&c, d, &said), 200);
    cr_expect_str_eq(text_at(said, "code"), wanted);
    cr_expect(strstr(text_at(said, "text"), "device"), "%s", text_at(said, "text"));
}

// A device acts by these names: it waits, enrols again, or says that a person must look.
Test(serve_access, a_device_that_is_not_in_is_told_which_of_three_it_is) {
    struct device d, gone;
    device_make(&d, 1);
    sign_in_refused(&d, "not_enrolled");
    cr_assert_eq(device_enroll(&c, &d, "", NULL), 200);
    sign_in_refused(&d, "device_pending");
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-1/reject", ""));
    sign_in_refused(&d, "device_rejected");
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-1/accept", ""));
    cr_assert_eq(device_sign_in(&c, &d), 200);
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-1/retire", ""));
    sign_in_refused(&d, "device_rejected");
    // Its token outlives what the controller knows of it, until that is looked up.
    device_join(&c, &gone, 2);
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-2/retire", "{}"));
    json_decref(admin(&c, 200, "DELETE", "/api/v1/devices/device-2", ""));
    OWN(json) json_t *said = NULL;
    cr_expect_eq(device_call(&c, &gone, &said), 401);
    cr_expect_str_eq(text_at(said, "code"), "not_enrolled");
    device_free(&d);
    device_free(&gone);
}

Test(serve_access, enrolment_tokens_hold_for_whom_and_as_often_as_they_say) {
    struct device a, b, other;
    OWN(json) json_t *state = NULL;
    OWN(json)
    json_t *token = admin(&c, 201, "POST", "/api/v1/tokens",
                          "{\"kind\":\"enroll\",\"max_uses\":1,\"serials\":[\"device-1\"]}");
    const char *secret = text_at(token, "secret");
    device_make(&a, 1);
    device_make(&b, 2);
    device_make(&other, 3);
    cr_assert_eq(device_enroll(&c, &b, secret, NULL), 403);
    cr_assert_eq(device_enroll(&c, &b, "edge-en-0000", NULL), 403);
    cr_assert_eq(device_enroll(&c, &a, secret, &state), 200);
    cr_assert_str_eq(text_at(state, "state"), "accepted");
    cr_assert_eq(device_enroll(&c, &a, secret, NULL), 200); // its answer was lost
    // Another key cannot take the id; without a token a device waits.
    (void)snprintf(other.id, sizeof other.id, "device-1");
    cr_assert_eq(device_enroll(&c, &other, secret, NULL), 403);
    cr_assert_eq(device_enroll(&c, &other, "", NULL), 409);
    cr_assert_eq(device_enroll(&c, &b, "", NULL), 200);
    cr_assert_eq(device_sign_in(&c, &b), 403);
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-2/accept", ""));
    cr_assert_eq(device_sign_in(&c, &b), 200);
    // New hardware, with an operator's word.
    cr_assert_eq(device_sign_in(&c, &a), 200);
    OWN(json) json_t *replaced = admin(&c, 200, "POST", "/api/v1/devices/device-1/replace", "{}");
    cr_assert_eq(device_check_in(&c, &a), 401);
    cr_assert_eq(device_enroll(&c, &other, text_at(replaced, "enroll_token"), NULL), 200);
    (void)snprintf(other.say.device, sizeof other.say.device, "device-1");
    cr_assert_eq(device_sign_in(&c, &other), 200);
    cr_assert_eq(device_check_in(&c, &other), 200);
    cr_assert_eq(device_sign_in(&c, &a), 403);
    device_free(&a);
    device_free(&b);
    device_free(&other);
}

Test(serve_access, a_copy_of_a_device_is_noticed) {
    struct device d;
    char copied[BUNDLE_NONCE_HEX];
    device_join(&c, &d, 1);
    cr_assert_eq(device_check_in(&c, &d), 200);
    (void)snprintf(copied, sizeof copied, "%s", d.say.nonce);
    cr_assert_eq(device_check_in(&c, &d), 200); // an answer that was lost is no clone
    (void)snprintf(d.say.nonce, sizeof d.say.nonce, "%s", copied);
    cr_assert_eq(device_check_in(&c, &d), 200);
    OWN(json) json_t *fine = admin(&c, 200, "GET", "/api/v1/devices/device-1", "");
    cr_assert(json_is_null(json_object_get(json_object_get(fine, "device"), "clone")));
    cr_assert_eq(device_check_in(&c, &d), 200);
    (void)snprintf(d.say.nonce, sizeof d.say.nonce, "%s", copied);
    cr_assert_eq(device_check_in(&c, &d), 200);
    OWN(json) json_t *marked = admin(&c, 200, "GET", "/api/v1/devices/device-1", "");
    cr_assert(json_is_string(json_object_get(json_object_get(marked, "device"), "clone")));
    device_free(&d);
}

// What one is told the other would do as well, and both report under the same numbers.
Test(serve_access, a_cloned_device_is_told_nothing_until_a_person_decides) {
    struct device d;
    struct keys_digest id;
    char copied[BUNDLE_NONCE_HEX];
    device_join(&c, &d, 1);
    cr_assert_eq(device_check_in(&c, &d), 200);
    (void)snprintf(copied, sizeof copied, "%s", d.say.nonce);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(device_check_in(&c, &d), 200);
    (void)snprintf(d.say.nonce, sizeof d.say.nonce, "%s", copied);
    bundle_publish(&c, "1.0", &id);
    json_decref(
        admin(&c, 201, "POST", "/api/v1/rollouts", "{\"name\":\"r\",\"release\":\"app 1.0\"}"));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(device_check_in(&c, &d), 200);
        cr_assert_not(d.instructed);
        cr_assert_str_eq(d.heard.why_code, "clone");
    }
    json_decref(admin(&c, 200, "POST", "/api/v1/devices/device-1/accept", "{}"));
    cr_assert_eq(device_check_in(&c, &d), 200);
    cr_assert(d.instructed && d.told.action == BUNDLE_ACTION_INSTALL, "%s", d.heard.why_text);
    device_free(&d);
}

Test(serve_access, a_tampered_expired_or_foreign_device_token_is_refused) {
    struct device a, b;
    device_join(&c, &a, 1);
    device_join(&c, &b, 2);
    size_t len = strlen(a.token);
    for (size_t i = 0; i < len; i += 7) {
        char was = a.token[i];
        a.token[i] = was == '1' ? '2' : '1';
        cr_assert_eq(device_check_in(&c, &a), 401, "byte %zu", i);
        a.token[i] = was;
    }
    cr_assert_eq(device_check_in(&c, &a), 200);
    (void)snprintf(a.token, sizeof a.token, "%s", b.token);
    cr_assert_eq(device_check_in(&c, &a), 403);
    cr_assert_eq(ask("GET", "/api/v1/whoami", b.token, ""), 401);
    device_free(&a);
    device_free(&b);
}

// What was acknowledged is there after kill -9 at any moment; what comes again counts once.
Test(serve_access, a_killed_controller_loses_nothing_it_acknowledged, .timeout = 1200) {
    struct device d;
    uint64_t acked = 0;
    device_join(&c, &d, 1);
    for (int round = 0; round < 6; round++) {
        // Some time after the first answer, so that each round has one on a slow machine, too.
        int answered[2];
        cr_assert_eq(pipe(answered), 0);
        pid_t killer = fork();
        if (killer == 0) {
            char byte;
            (void)close(answered[1]);
            (void)!read(answered[0], &byte, 1);
            (void)usleep((useconds_t)(10000 + 7919 * round));
            (void)kill(c.pid, SIGKILL);
            _exit(0);
        }
        for (;;) {
            // A request that is cut off has no answer: the reports stay in the device's queue.
            if (d.say.n_reports == 0)
                device_report(&d, BUNDLE_EVENT_STAGED, "");
            if (device_check_in(&c, &d) != 200)
                break;
            acked = d.heard.acked;
            (void)!write(answered[1], "", 1);
        }
        (void)close(answered[1]);
        (void)waitpid(killer, NULL, 0);
        (void)close(answered[0]);
        (void)waitpid(c.pid, NULL, 0);
        controller_start(&c);
        OWN(json) json_t *shown = admin(&c, 200, "GET", "/api/v1/devices/device-1", "");
        json_t *newest = json_array_get(json_object_get(shown, "reports"), 0);
        cr_assert_geq((uint64_t)json_integer_value(json_object_get(newest, "id")), acked);
        cr_assert_eq(device_check_in(&c, &d), 200);
        cr_assert_eq(d.heard.acked, d.report_id);
        acked = d.heard.acked;
    }
    cr_assert_gt(acked, 6);
    OWN(json) json_t *audit = admin(&c, 200, "GET", "/api/v1/audit/verify", "");
    cr_assert(json_is_true(json_object_get(audit, "holds")));
    device_free(&d);
}

Test(serve_access, a_second_controller_on_the_same_store_is_told_so) {
    struct err e = ERR_NONE;
    struct serve_options options = {
        .workspace = c.workspace, .listen = "127.0.0.1:0", .say = controller_say};
    cr_assert_lt(serve_run(&options, &e), 0);
    cr_assert_str_eq(e.kind->name, "busy");
}
