// SPDX-License-Identifier: Apache-2.0
//
// Refusals of a controller as errors: its own words when they are a controller's, the status else.
#include "ctl/net/failure.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "keys/kind.h"

static struct err answered(long status, const char *body) {
    struct err e = ERR_NONE;
    struct slice text = {(const uint8_t *)body, strlen(body)};
    cr_assert_eq(net_failure_answer(status, text, &e), -1);
    return e;
}

Test(failure, a_code_that_is_ours_is_the_kind) {
    static const struct {
        const char *code;
        const struct err_kind *kind;
    } cases[] = {{"usage", &err_usage},
                 {"below_threshold", &err_below_threshold},
                 {"rollout_state", &err_rollout_state}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[128];
        (void)snprintf(body, sizeof body, "{\"code\":\"%s\",\"text\":\"because\"}", cases[i].code);
        struct err e = answered(409, body);
        cr_expect_eq(e.kind, cases[i].kind, "%s became %s", cases[i].code, e.kind->name);
        cr_expect_str_eq(e.text, "because");
    }
}

Test(failure, a_code_of_a_newer_controller_leaves_the_status_to_tell) {
    struct err e = answered(404, "{\"code\":\"vanished\",\"text\":\"gone\"}");
    cr_assert_eq(e.kind, &err_not_found);
    cr_assert_str_eq(e.text, "gone");
}

Test(failure, what_is_no_controllers_answer_says_so) {
    static const char *const bodies[] = {
        "", "<html>", "[]", "{}", "{\"code\":1,\"text\":\"x\"}", "{\"code\":\"usage\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct err e = answered(401, bodies[i]);
        cr_expect_eq(e.kind, &err_unauthorized, "%s: %s", bodies[i], e.kind->name);
        cr_expect(strstr(e.text, "401"), "%s", e.text);
    }
    cr_assert_eq(answered(500, "oops").kind, &err_controller_garbage);
    cr_assert_eq(answered(503, "").kind, &err_overloaded);
    cr_assert_eq(answered(502, "").kind, &err_controller_unreachable);
}

Test(failure, a_redirect_is_refused_whatever_it_says) {
    struct err e = answered(302, "{\"code\":\"usage\",\"text\":\"x\"}");
    cr_assert_eq(e.kind, &err_controller_garbage);
    cr_assert(strstr(e.text, "--controller"), "%s", e.text);
}

Test(failure, words_of_a_controller_cannot_drive_a_terminal) {
    struct err e = answered(400, "{\"code\":\"usage\",\"text\":\"\\u001b[2J\\u009b\"}");
    for (const char *at = e.text; *at; at++)
        cr_expect(*at >= ' ' && *at <= '~', "byte %d", *at);
}

Test(failure, kinds_of_every_room_are_found) {
    cr_assert_eq(net_failure_kind("io"), &err_io);
    cr_assert_eq(net_failure_kind("expired"), &err_expired);
    cr_assert_eq(net_failure_kind("overloaded"), &err_overloaded);
    cr_assert_null(net_failure_kind("nonsense"));
}
