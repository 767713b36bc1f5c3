// SPDX-License-Identifier: Apache-2.0
//
// The conversation with the controller; see agent/checkin.h.
#include "agent/checkin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/checkin/body.h"
#include "agent/checkin/instruction.h"
#include "agent/fsm/pace.h"
#include "agent/hire.h"
#include "agent/kind.h"
#include "agent/log.h"
#include "agent/trust.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/random.h"
#include "base/text.h"
#include "keys/canon.h"

// "Soon" is not at once: reports that follow each other within an instant travel together. An update
// that only waits for the last look is not made to wait for that.
#define SOON_MS        200
#define JOB_SLACK_MS   10000
#define TOKEN_SLACK_MS 30000

struct agent_checkin {
    struct agent_checkin_host host;
    struct agent_loop_timer timer;
    struct agent_hire *hire;
    int body; // memfd of the job
    bool enrolling;
    bool enroll_next; // the controller does not know us
    bool soon_again;  // asked for while one was under way
    uint64_t probed;  // sequence of the dry probes that are told with it; 0 none
    bool anew;        // what waits was numbered anew by the last answer
    char token[BUNDLE_TOKEN_MAX + 1];
    int64_t token_until_ms;
    int64_t backoff_ms;
    uint64_t poll_s; // from the controller, 0 our own
    uint64_t retry_after_s;
    bool facts_known; // the controller has these facts
    struct keys_digest facts_digest;
    struct fsm_why last; // what the last one brought
    size_t reports_before;
};

static uint32_t random32(void) {
    return (uint32_t)random_below(1ULL << 32);
}

static void digest_facts(struct agent_checkin *c) {
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, BUNDLE_MESSAGE_MAX_BYTES);
    if (keys_canon_format(c->host.facts, &text, &e) < 0)
        agent_log_line(AGENT_LOG_ERROR, "facts: %s", e.text);
    keys_digest_of(text.data, text.len, &c->facts_digest);
    c->facts_known = false;
}

static int64_t soon_ms(const struct agent_checkin *c) {
    return agent_update_wants_look(c->host.update) ? 0 : SOON_MS;
}

// The one place that decides when the next check-in comes.
static void schedule(struct agent_checkin *c, bool failed) {
    const struct agent_config *config = c->host.state->config;
    int64_t in_ms;
    if (failed) {
        c->backoff_ms = fsm_pace_backoff_ms(c->backoff_ms, (int64_t)config->backoff_base_s * 1000,
                                            (int64_t)config->backoff_max_s * 1000, random32());
        in_ms = c->backoff_ms;
    } else {
        c->backoff_ms = 0;
        in_ms = fsm_pace_poll_ms(c->poll_s > 0 ? c->poll_s : config->poll_s, random32());
        // More reports than one check-in carries follow at once, as long as the controller takes
        // them.
        size_t left = c->host.state->queue.n;
        if (c->soon_again || (left > 0 && left < c->reports_before))
            in_ms = soon_ms(c);
    }
    if (c->retry_after_s > 0) {
        int64_t asked = fsm_pace_retry_after_ms(c->retry_after_s, random32());
        in_ms = asked > in_ms ? asked : in_ms;
    }
    c->soon_again = false;
    c->retry_after_s = 0;
    agent_loop_arm(c->host.loop, &c->timer, in_ms);
}

static void finish(struct agent_checkin *c, const struct err *e) {
    agent_hire_dismiss(c->hire);
    c->hire = NULL;
    own_drop_fd(&c->body);
    c->body = -1;
    if (e->kind) {
        c->last = agent_state_why(e);
        agent_log_line(AGENT_LOG_WARNING, "%s: %s", c->enrolling ? "enrolment" : "check-in",
                       e->text);
        // Unknown to the controller, or waiting for a person: ask to be enrolled, keep the key
        // (I9).
        if (err_is(e, &err_not_accepted)) {
            c->enroll_next = !c->enrolling;
            c->token[0] = '\0';
        }
    }
    // Enrolled and waiting for a person: the next check-in is no more urgent than after a failure.
    bool accepted = strcmp(c->host.state->identity.state, "accepted") == 0;
    if (!e->kind && c->enrolling && accepted)
        c->soon_again = true;
    schedule(c, e->kind != NULL || (c->enrolling && !accepted));
}

static int sign(struct agent_checkin *c, const struct agent_job_sign *ask, struct err *e) {
    const struct agent_identity *identity = &c->host.state->identity;
    const char *context = ask->enroll ? BUNDLE_ENROLL_CONTEXT : BUNDLE_TOKEN_CONTEXT;
    // A worker gets signatures for this device's own name and for the kind of its job only.
    if (strcmp(ask->device, identity->device) != 0 || ask->enroll != c->enrolling)
        return err_set(e, &err_worker_failed,
                       "the worker asked for a signature that is not its job's");
    struct agent_job_message *answer = calloc(1, sizeof *answer);
    if (!answer)
        return err_set(e, &err_memory, "signing for the worker: out of memory");
    answer->type = AGENT_JOB_SIGNATURE;
    int done = agent_identity_sign(identity, context, ask->challenge, ask->device,
                                   answer->u.signature.bytes, e);
    if (done == 0)
        done = agent_hire_send(c->hire, answer, e);
    free(answer);
    return done;
}

static void on_sign(struct agent_checkin *c, const struct agent_job_sign *ask) {
    struct err e = ERR_NONE;
    if (sign(c, ask, &e) < 0)
        finish(c, &e);
}

static void on_enrolled(struct agent_checkin *c, const struct agent_job_enrolled *m) {
    struct agent_identity *identity = &c->host.state->identity;
    struct err e = ERR_NONE;
    if (!text_is_name(m->device, BUNDLE_DEVICE_ID_MAX) || !text_is_name(m->state, 15)) {
        err_set(&e, &err_garbage, "the controller's answer to the enrolment has no usable name");
        finish(c, &e);
        return;
    }
    (void)snprintf(identity->device, sizeof identity->device, "%s", m->device);
    (void)snprintf(identity->state, sizeof identity->state, "%s", m->state);
    if (agent_identity_save(c->host.state->private_dir, identity, &e) < 0)
        finish(c, &e);
    else
        agent_log_line(AGENT_LOG_INFO, "the controller knows this device as %s: %s", m->device,
                       m->state);
    if (e.kind || strcmp(m->state, "accepted") == 0)
        return;
    // Until a person changes that, it is why nothing happens here (I10).
    err_clear(&e);
    err_set(&e, &err_not_accepted, "the controller knows this device as %s, and it is %s there",
            m->device, m->state);
    c->last = agent_state_why(&e);
}

static void on_answer(struct agent_checkin *c, const struct agent_job_answer *m) {
    struct agent_state *state = c->host.state;
    struct err e = ERR_NONE;
    c->poll_s = m->poll_s > 604800 ? 604800 : m->poll_s;
    c->retry_after_s = m->retry_after_s;
    c->facts_known = !m->facts_wanted;
    (void)snprintf(c->last.code, sizeof c->last.code, "%s", m->why_code);
    text_safe(m->why_text, c->last.text, sizeof c->last.text);
    (void)snprintf(state->identity.nonce, sizeof state->identity.nonce, "%s", m->nonce);
    (void)snprintf(state->identity.state, sizeof state->identity.state, "accepted");
    uint64_t next = state->queue.next;
    if (agent_identity_save(state->private_dir, &state->identity, &e) < 0 ||
        agent_queue_settle(&state->queue, m->acked, m->refused, (size_t)m->n_refused, &e) < 0) {
        finish(c, &e);
        return;
    }
    agent_update_told_probed(c->host.update, c->probed);
    // What got its ids by this answer follows at once. By two in a row, the controller is ahead of
    // whatever it gets, and haste gains nothing.
    bool anew = state->queue.n > 0 && state->queue.next != next;
    c->soon_again = c->soon_again || (anew && !c->anew);
    c->anew = anew;
    agent_trust_hint(c->host.trust, m->repository_root, m->repository_snapshot);
    if (m->instruction_bytes == 0)
        return;
    struct slice raw = {.data = m->instruction, .len = (size_t)m->instruction_bytes};
    if (checkin_instruction_obey(state, c->host.update, raw, &e) < 0) {
        c->last = agent_state_why(&e);
        agent_log_line(AGENT_LOG_WARNING, "instruction: %s", e.text);
    }
}

static void on_message(void *context, const struct agent_job_message *m) {
    struct agent_checkin *c = context;
    struct err e = ERR_NONE;
    switch (m->type) {
    case AGENT_JOB_SIGN:
        on_sign(c, &m->u.sign);
        break;
    case AGENT_JOB_TOKEN:
        (void)snprintf(c->token, sizeof c->token, "%s", m->u.token.token);
        c->token_until_ms =
            chrono_boot_ms(c->host.loop->clock) +
            (int64_t)(m->u.token.expires_in_s > 900 ? 900 : m->u.token.expires_in_s) * 1000;
        break;
    case AGENT_JOB_ENROLLED:
        on_enrolled(c, &m->u.enrolled);
        break;
    case AGENT_JOB_ANSWER:
        on_answer(c, &m->u.answer);
        break;
    case AGENT_JOB_RESULT:
        c->retry_after_s = m->u.result.retry_after_s ? m->u.result.retry_after_s : c->retry_after_s;
        if (m->u.result.kind[0] != '\0') {
            const struct err_kind *kind = agent_state_kind(m->u.result.kind);
            err_set(&e, kind ? kind : &err_worker_failed, "%s", m->u.result.text);
        }
        finish(c, &e);
        break;
    default:
        break;
    }
}

const char *agent_checkin_token(const struct agent_checkin *c) {
    bool good = c->token_until_ms - chrono_boot_ms(c->host.loop->clock) > TOKEN_SLACK_MS;
    return good ? c->token : "";
}

static int make_body(struct agent_checkin *c, struct err *e) {
    OWN(buf) struct buf text;
    buf_init(&text, AGENT_JOB_BODY_MAX_BYTES);
    struct checkin_body what = {.state = c->host.state,
                                .update = c->host.update,
                                .facts = c->host.facts,
                                .facts_digest = &c->facts_digest,
                                .send_facts = !c->facts_known};
    int done = c->enrolling ? keys_canon_format(c->host.facts, &text, e)
                            : checkin_body_format(&what, &text, e);
    if (done < 0)
        return -1;
    c->body = memfd_create("body", MFD_CLOEXEC);
    if (c->body < 0)
        return err_errno(e, errno, "writing a check-in");
    if (fs_write(c->body, text.data, text.len, e) < 0)
        return -1;
    if (lseek(c->body, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "writing a check-in");
    return 0;
}

static int read_enroll_token(const struct agent_config *config, char *ret, size_t ret_bytes,
                             struct err *e) {
    (void)snprintf(ret, ret_bytes, "%s", config->enroll_token);
    if (config->enroll_token_file[0] == '\0')
        return 0;
    OWN(buf) struct buf text;
    buf_init(&text, ret_bytes - 1);
    if (fs_read_file(AT_FDCWD, config->enroll_token_file, ret_bytes - 1, &text, e) < 0)
        return err_prefix(e, "enroll_token_file");
    (void)snprintf(ret, ret_bytes, "%.*s", (int)strcspn(buf_text(&text), "\r\n"), buf_text(&text));
    return 0;
}

static int fill_job(struct agent_checkin *c, struct agent_job *job, struct err *e) {
    const struct agent_state *state = c->host.state;
    job->kind = c->enrolling ? AGENT_JOB_ENROLL : AGENT_JOB_CHECKIN;
    agent_checkin_fill_net(state, &job->net);
    (void)snprintf(job->device, sizeof job->device, "%s", state->identity.device);
    (void)snprintf(job->token, sizeof job->token, "%s", agent_checkin_token(c));
    text_hex(state->identity.pub.ed25519, KEYS_ED25519_PUBLIC_BYTES, job->public_key);
    return c->enrolling
               ? read_enroll_token(state->config, job->enroll_token, sizeof job->enroll_token, e)
               : 0;
}

static void begin(void *context) {
    struct agent_checkin *c = context;
    struct err e = ERR_NONE;
    const struct agent_config *config = c->host.state->config;
    struct agent_job *job = calloc(1, sizeof *job);
    c->enrolling = c->enroll_next || strcmp(c->host.state->identity.state, "unknown") == 0;
    c->enroll_next = false;
    c->reports_before = c->host.state->queue.n;
    const struct bundle_checkin_probed *probed = agent_update_probed(c->host.update);
    c->probed = probed ? probed->sequence : 0;
    if (!job)
        err_set(&e, &err_memory, "a check-in: out of memory");
    if (job && fill_job(c, job, &e) == 0 && make_body(c, &e) == 0) {
        struct agent_hire_spec spec = {.config = config,
                                       .job = job,
                                       .fds = {c->body, -1},
                                       .timeout_ms =
                                           config->request_timeout_s * 1000 * 2 + JOB_SLACK_MS};
        (void)agent_hire_start(c->host.loop, &spec, on_message, c, &c->hire, &e);
    }
    free(job);
    if (e.kind)
        finish(c, &e);
}

int agent_checkin_open(const struct agent_checkin_host *host, struct agent_checkin **ret,
                       struct err *e) {
    struct agent_checkin *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, &err_memory, "starting: out of memory");
    c->host = *host;
    c->body = -1;
    digest_facts(c);
    agent_loop_add_timer(host->loop, &c->timer, begin, c);
    if (host->state->config->controller[0] != '\0')
        agent_loop_arm(host->loop, &c->timer, SOON_MS);
    *ret = c;
    return 0;
}

void agent_checkin_close(struct agent_checkin *checkin) {
    if (!checkin)
        return;
    agent_hire_dismiss(checkin->hire);
    own_drop_fd(&checkin->body);
    agent_loop_remove_timer(checkin->host.loop, &checkin->timer);
    free(checkin);
}

void agent_checkin_soon(struct agent_checkin *checkin) {
    if (checkin->host.state->config->controller[0] == '\0')
        return;
    if (checkin->hire)
        checkin->soon_again = true;
    else if (checkin->backoff_ms == 0) // a controller that is down is not asked more often
        agent_loop_arm(checkin->host.loop, &checkin->timer, soon_ms(checkin));
}

void agent_checkin_enroll(struct agent_checkin *checkin) {
    checkin->enroll_next = true;
    checkin->backoff_ms = 0;
    agent_checkin_soon(checkin);
}

void agent_checkin_set_facts(struct agent_checkin *checkin, const json_t *facts) {
    checkin->host.facts = facts;
    digest_facts(checkin);
}

static const char *proxy_of(const struct agent_config *config) {
    if (strcmp(config->proxy, "environment") != 0)
        return config->proxy;
    bool tls = strncmp(config->controller, "https:", 6) == 0;
    const char *found = getenv(tls ? "https_proxy" : "http_proxy");
    return found ? found : "";
}

void agent_checkin_fill_net(const struct agent_state *state, struct agent_job_net *ret) {
    const struct agent_config *c = state->config;
    *ret = (struct agent_job_net){
        .connect_timeout_s = c->connect_timeout_s,
        .request_timeout_s = c->request_timeout_s,
        .rate_max_bytes_s = c->rate_max_bytes_s,
        .rate_min_bytes_s = c->rate_min_bytes_s,
        .stall_s = c->stall_s,
        .fetch_timeout_s = c->fetch_timeout_s,
        .fetch_budget_bytes = c->fetch_budget_bytes,
        .retries = c->fetch_retries,
        .time_floor_s = agent_state_trusted_s(state),
        .allow_http = c->allow_http,
    };
    (void)snprintf(ret->controller, sizeof ret->controller, "%s", c->controller);
    (void)snprintf(ret->ca_file, sizeof ret->ca_file, "%s", c->ca_file);
    (void)snprintf(ret->proxy, sizeof ret->proxy, "%s", proxy_of(c));
    (void)snprintf(ret->site_cache, sizeof ret->site_cache, "%s", c->site_cache);
}

int agent_checkin_describe(const struct agent_checkin *checkin, json_t *status, struct err *e) {
    int64_t left = checkin->timer.at_ms - chrono_boot_ms(checkin->host.loop->clock);
    bool armed = checkin->timer.armed && left > 0;
    json_t *one = json_pack("{ss ss ss sI sb}", "enrolment", checkin->host.state->identity.state,
                            "code", checkin->last.code, "text", checkin->last.text, "next_s",
                            (json_int_t)(armed ? left / 1000 : 0), "busy", checkin->hire != NULL);
    if (json_object_set_new(status, "controller", one) < 0)
        return err_set(e, &err_memory, "describing the check-ins: out of memory");
    return 0;
}
