// SPDX-License-Identifier: Apache-2.0
//
// The worker's conversations with a controller, from both of its sides.
#include "base/text.h"
#include "tests/support/faultd.h"
#include "tests/unit/agent/worker/hired.h"

#define CHALLENGE "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NONCE     "00112233445566778899aabbccddeeff"
#define JSON(status, text)                                                                         \
    {                                                                                              \
        "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n", text, sizeof text - 1,                 \
            .cut = FAULTD_WHOLE                                                                    \
    }
#define SAY_CHALLENGE JSON("200 OK", "{\"challenge\":\"" CHALLENGE "\"}")
#define SAY_TOKEN     JSON("200 OK", "{\"expires_in_s\":900,\"token\":\"new.token\",\"more\":1}")
#define SAY_NO        JSON("401 No", "{\"code\":\"unauthorized\",\"text\":\"no\"}")
#define SAY_ANSWER                                                                                 \
    JSON("200 OK", "{\"acked\":7,\"facts_wanted\":true,\"instruction\":\"{\\\"signed\\\":1}\","    \
                   "\"nonce\":\"" NONCE "\",\"now\":\"2026-11-22T15:00:00Z\",\"poll_s\":60,"       \
                   "\"protocol\":1,\"refused\":[3,5],\"why\":null,\"unknown\":{}}")

static struct agent_job job = {
    .kind = AGENT_JOB_CHECKIN,
    .device = "d-1",
    .net = {
        .connect_timeout_s = 60, .request_timeout_s = 60, .rate_min_bytes_s = 1, .stall_s = 60}};
static struct faultd *server;
static const char body[] = "{\"device\":\"d-1\"}";

TestSuite(talk, .timeout = 1200);

static struct hired begin(const struct faultd_scene *scenes, size_t n) {
    int fds[] = {hired_text(body), -1};
    server = faultd_open(scenes, n);
    snprintf(job.net.controller, sizeof job.net.controller, "%s", faultd_url(server));
    struct hired h = hire(&job, fds);
    close(fds[0]);
    return h;
}

static void sign(const struct hired *h, bool enroll) {
    const struct agent_job_message *asked = hired_say(h, AGENT_JOB_SIGN);
    cr_assert_eq(asked->u.sign.enroll, enroll);
    cr_assert_str_eq(asked->u.sign.challenge, CHALLENGE);
    cr_assert_str_eq(asked->u.sign.device, "d-1");
    struct agent_job_message m = {.type = AGENT_JOB_SIGNATURE};
    memset(m.u.signature.bytes, 0xab, sizeof m.u.signature.bytes);
    hired_answer(h, &m);
}

static void expect_answer(const struct hired *h) {
    const struct agent_job_answer *a = &hired_say(h, AGENT_JOB_ANSWER)->u.answer;
    cr_assert_str_eq(a->nonce, NONCE);
    cr_assert_eq(a->acked, 7);
    cr_assert(a->facts_wanted);
    cr_assert_eq(a->poll_s, 60);
    cr_assert_eq(a->now_s, 1795359600);
    cr_assert_eq(a->n_refused, 2);
    cr_assert_eq(a->refused[1], 5);
    cr_assert_str_eq(a->why_code, "");
    cr_assert_eq(a->instruction_bytes, 12);
    cr_assert(memcmp(a->instruction, "{\"signed\":1}", 12) == 0);
}

static void expect_asked(size_t n, const char *path, const char *token, const char *says) {
    const char *asked = faultd_request(server, n);
    char line[200];
    snprintf(line, sizeof line, "POST %s HTTP/1.1\r\n", path);
    cr_assert(strncmp(asked, line, strlen(line)) == 0, "%s", asked);
    snprintf(line, sizeof line, "\r\nAuthorization: Bearer %s\r\n", token);
    cr_assert_eq(strstr(asked, "Authorization") != NULL, token[0] != '\0');
    cr_assert(!token[0] || strstr(asked, line) != NULL, "%s", asked);
    cr_assert(strstr(asked, says) != NULL, "%s", asked);
}

Test(talk, a_token_that_is_good_is_used) {
    const struct faultd_scene scenes[] = {SAY_ANSWER};
    strcpy(job.token, "old.token");
    struct hired h = begin(scenes, 1);
    expect_answer(&h);
    hired_result(&h, NULL);
    expect_asked(0, "/api/device/v1/checkin", "old.token", body);
    faultd_close(server);
}

Test(talk, a_device_without_a_token_gets_one_first) {
    const struct faultd_scene scenes[] = {SAY_CHALLENGE, SAY_TOKEN, SAY_ANSWER};
    char hex[2 * KEYS_ED25519_SIGNATURE_BYTES + 1];
    memset(hex, 'x', sizeof hex);
    for (size_t i = 0; i < sizeof hex - 1; i += 2)
        memcpy(hex + i, "ab", 2);
    hex[sizeof hex - 1] = '\0';
    struct hired h = begin(scenes, 3);
    sign(&h, false);
    const struct agent_job_message *m = hired_say(&h, AGENT_JOB_TOKEN);
    cr_assert_str_eq(m->u.token.token, "new.token");
    cr_assert_eq(m->u.token.expires_in_s, 900);
    expect_answer(&h);
    hired_result(&h, NULL);
    expect_asked(0, "/api/device/v1/challenge", "", "{}");
    expect_asked(1, "/api/device/v1/token", "", hex);
    expect_asked(1, "/api/device/v1/token", "", CHALLENGE);
    expect_asked(2, "/api/device/v1/checkin", "new.token", body);
    faultd_close(server);
}

Test(talk, a_token_that_ran_out_is_renewed) {
    const struct faultd_scene scenes[] = {SAY_NO, SAY_CHALLENGE, SAY_TOKEN, SAY_ANSWER};
    strcpy(job.token, "old.token");
    struct hired h = begin(scenes, 4);
    sign(&h, false);
    hired_say(&h, AGENT_JOB_TOKEN);
    expect_answer(&h);
    hired_result(&h, NULL);
    expect_asked(0, "/api/device/v1/checkin", "old.token", body);
    expect_asked(3, "/api/device/v1/checkin", "new.token", body);
    faultd_close(server);
}

Test(talk, a_new_token_that_is_refused_is_the_end) {
    const struct faultd_scene scenes[] = {SAY_CHALLENGE, SAY_TOKEN, SAY_NO,
                                          SAY_CHALLENGE, SAY_TOKEN, SAY_NO};
    struct hired h = begin(scenes, 6);
    for (int i = 0; i < 2; i++) {
        sign(&h, false);
        hired_say(&h, AGENT_JOB_TOKEN);
    }
    hired_result(&h, &err_not_accepted);
    cr_assert_eq(faultd_played(server), 6);
    faultd_close(server);
}

static void expect_failure(const struct faultd_scene *scene, const struct err_kind *kind,
                           const char *says) {
    strcpy(job.token, "old.token");
    struct hired h = begin(scene, 1);
    const struct agent_job_result *r = hired_result(&h, kind);
    cr_assert(strstr(r->text, says) != NULL, "%s", r->text);
    faultd_close(server);
}

Test(talk, a_device_that_is_not_accepted_is_told_why) {
    const struct faultd_scene scene =
        JSON("403 Forbidden", "{\"code\":\"pending\",\"text\":\"wait for \\u001b[31m Ann\"}");
    expect_failure(&scene, &err_not_accepted, "wait for ");
    strcpy(job.token, "old.token");
    struct hired h = begin(&scene, 1);
    const struct agent_job_result *r = hired_result(&h, &err_not_accepted);
    cr_assert(strchr(r->text, '\033') == NULL, "nothing for terminals comes through");
    faultd_close(server);
}

Test(talk, a_busy_controller_says_when_to_come_back) {
    const struct faultd_scene scene = {
        "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nConnection: close\r\n\r\n",
        "{\"code\":\"busy\",\"text\":\"too many\"}", 33, .cut = FAULTD_WHOLE};
    strcpy(job.token, "old.token");
    struct hired h = begin(&scene, 1);
    const struct agent_job_result *r = hired_result(&h, &err_http);
    cr_assert_eq(r->retry_after_s, 120);
    cr_assert(strstr(r->text, "too many") != NULL, "%s", r->text);
    faultd_close(server);
}

Test(talk, an_answer_that_says_when_to_come_back_is_passed_on) {
    struct faultd_scene scene = SAY_ANSWER;
    scene.head = "HTTP/1.1 200 OK\r\nRetry-After: 90\r\nConnection: close\r\n\r\n";
    strcpy(job.token, "old.token");
    struct hired h = begin(&scene, 1);
    cr_assert_eq(hired_say(&h, AGENT_JOB_ANSWER)->u.answer.retry_after_s, 90);
    hired_result(&h, NULL);
    faultd_close(server);
}

Test(talk, answers_that_are_no_answers_are_garbage) {
    static const struct faultd_scene scenes[] = {
        JSON("200 OK", ""),
        JSON("200 OK", "<html>log in</html>"),
        JSON("200 OK", "[]"),
        JSON("200 OK", "{}"),
        JSON("200 OK", "{\"a\":1,\"a\":2}"),
        JSON("200 OK", "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]"),
        JSON("200 OK", "{\"acked\":-1,\"nonce\":\"" NONCE "\",\"now\":\"2026-11-22T15:00:00Z\"}"),
        JSON("200 OK", "{\"nonce\":\"\xff\"}"),
    };
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        expect_failure(&scenes[i], &err_garbage, "checking in");
}

Test(talk, tokens_and_challenges_that_are_none_are_garbage) {
    static const struct faultd_scene challenges[] = {
        JSON("200 OK", "{}"), JSON("200 OK", "{\"challenge\":5}"),
        JSON("200 OK", "{\"challenge\":\"abc\"}"),
        JSON("200 OK", "{\"challenge\":\"ZZ23456789abcdef0123456789abcdef0123456789abcdef01234567"
                       "89abcdef\"}")};
    static const struct faultd_scene tokens[] = {
        JSON("200 OK", "{}"), JSON("200 OK", "{\"expires_in_s\":900,\"token\":7}"),
        JSON("200 OK", "{\"expires_in_s\":0,\"token\":\"a\"}"),
        JSON("200 OK", "{\"expires_in_s\":9,\"token\":\"a\\r\\nX-Evil: 1\"}")};
    for (size_t i = 0; i < sizeof challenges / sizeof challenges[0]; i++) {
        struct hired h = begin(&challenges[i], 1);
        hired_result(&h, &err_garbage);
        faultd_close(server);
    }
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        const struct faultd_scene scenes[] = {SAY_CHALLENGE, tokens[i]};
        struct hired h = begin(scenes, 2);
        sign(&h, false);
        hired_result(&h, &err_garbage);
        faultd_close(server);
    }
}

Test(talk, an_agent_that_hangs_up_ends_the_worker) {
    const struct faultd_scene scenes[] = {SAY_CHALLENGE};
    struct hired h = begin(scenes, 1);
    hired_say(&h, AGENT_JOB_SIGN);
    shutdown(h.control, SHUT_RDWR);
    cr_assert_eq(hired_end(&h), err_worker_failed.exit_status);
    faultd_close(server);
}

Test(talk, an_agent_that_answers_something_else_ends_the_worker) {
    const struct faultd_scene scenes[] = {SAY_CHALLENGE};
    const struct agent_job_message proceed = {.type = AGENT_JOB_PROCEED};
    struct hired h = begin(scenes, 1);
    hired_say(&h, AGENT_JOB_SIGN);
    hired_answer(&h, &proceed);
    hired_result(&h, &err_worker_failed);
    faultd_close(server);
}

// Enrolment

static struct hired begin_enrolment(const struct faultd_scene *scenes, size_t n) {
    int fds[] = {hired_text("{\"arch\":\"x86_64\"}"), -1};
    job.kind = AGENT_JOB_ENROLL;
    strcpy(job.enroll_token, "enroll.me");
    for (size_t i = 0; i < 2 * KEYS_ED25519_PUBLIC_BYTES; i += 2) // the base point
        memcpy(job.public_key + i, i == 0 ? "58" : "66", 3);
    server = faultd_open(scenes, n);
    snprintf(job.net.controller, sizeof job.net.controller, "%s", faultd_url(server));
    struct hired h = hire(&job, fds);
    close(fds[0]);
    return h;
}

Test(talk, a_device_enrols_with_its_own_key) {
    const struct faultd_scene scenes[] = {
        SAY_CHALLENGE, JSON("200 OK", "{\"device\":\"d-1\",\"state\":\"pending\"}")};
    struct hired h = begin_enrolment(scenes, 2);
    sign(&h, true);
    const struct agent_job_message *m = hired_say(&h, AGENT_JOB_ENROLLED);
    cr_assert_str_eq(m->u.enrolled.device, "d-1");
    cr_assert_str_eq(m->u.enrolled.state, "pending");
    hired_result(&h, NULL);
    expect_asked(1, "/api/device/v1/enroll", "", "enroll.me");
    expect_asked(1, "/api/device/v1/enroll", "", "x86_64");
    expect_asked(1, "/api/device/v1/enroll", "", job.public_key);
    faultd_close(server);
}

Test(talk, a_refused_enrolment_is_not_accepted) {
    const struct faultd_scene scenes[] = {
        SAY_CHALLENGE, JSON("403 Forbidden", "{\"code\":\"x\",\"text\":\"used up\"}")};
    struct hired h = begin_enrolment(scenes, 2);
    sign(&h, true);
    const struct agent_job_result *r = hired_result(&h, &err_not_accepted);
    cr_assert(strstr(r->text, "used up") != NULL, "%s", r->text);
    faultd_close(server);
}

Test(talk, an_id_that_is_no_name_is_garbage) {
    static const struct faultd_scene answers[] = {
        JSON("200 OK", "{\"device\":\"../../etc\",\"state\":\"accepted\"}"),
        JSON("200 OK", "{\"device\":\"\",\"state\":\"accepted\"}"),
        JSON("200 OK", "{\"device\":\"d-1\",\"state\":\"a state that is much too long\"}"),
        JSON("200 OK", "{\"device\":\"d-1\",\"state\":\"excited\"}"),
        JSON("200 OK", "{\"device\":\"d-1\"}")};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const struct faultd_scene scenes[] = {SAY_CHALLENGE, answers[i]};
        struct hired h = begin_enrolment(scenes, 2);
        sign(&h, true);
        hired_result(&h, &err_garbage);
        faultd_close(server);
    }
}
