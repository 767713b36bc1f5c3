// SPDX-License-Identifier: Apache-2.0
//
// Dry probes (FORMAT.md 13.3): what the `after` probes of a bundle say of what runs now. The
// repository is asked as before a download, and a worker hired that fetches the bundle; it has the
// manifest to show first, and is dismissed then, so that nothing else is fetched and nothing written.
// Nothing here changes what is on the disk; an update that begins ends it. How often a controller may
// ask for this is limited, as its probes are programs that somebody signed and the device runs.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/target.h"
#include "keys/kind.h"

#define PER_DAY  8
#define MOST_MS  600000 // all probes together
#define FETCH_MS 300000 // the manifest

struct update_dry {
    struct agent_update *u;
    struct bundle_instruction probe; // what was asked
    struct bundle_checkin_probed *answer;
    struct trust_verdict verdict;
    bool asked; // the repository, that has not answered
    struct agent_hire *hire;
    int announce; // memfd in which the worker leaves the manifest
    struct bundle_manifest *manifest;
    struct bundle_generation runs;
    struct agent_loop_timer again; // the next try of a probe that failed
    struct probe_run *run;
    size_t index;      // in the manifest's list
    uint64_t failures; // of that one, in a row
    int64_t until_ms;
};

static void drop(struct agent_update *u) {
    struct update_dry *d = u->dry;
    u->dry = NULL;
    // An update that asks is under way with the same.
    if (u->host.trust && d->asked)
        agent_trust_stop(u->host.trust, u);
    agent_hire_dismiss(d->hire);
    probe_run_cancel(d->run);
    agent_loop_remove_timer(u->host.loop, &d->again);
    trust_verdict_clear(&d->verdict);
    bundle_manifest_free(d->manifest);
    own_drop_fd(&d->announce);
    free(d->answer);
    free(d);
}

// It is over: with a reason when no probe was run.
static void finish(struct agent_update *u, const struct err *why) {
    struct bundle_checkin_probed *answer = u->dry->answer;
    if (why->kind) {
        struct fsm_why said = agent_state_why(why);
        answer->n = 0;
        memcpy(answer->code, said.code, sizeof answer->code);
        memcpy(answer->text, said.text, sizeof answer->text);
    }
    agent_log_line(AGENT_LOG_INFO, "dry probes of %s %s: %s", u->dry->probe.bundle_name,
                   u->dry->probe.release, answer->text[0] ? answer->text : "none failed");
    free(u->probed);
    u->probed = answer;
    u->dry->answer = NULL;
    drop(u);
    u->host.checkin_soon(u->host.context);
}

// ── The probes ──

static const struct bundle_probe *probe_of(const struct update_dry *d) {
    return &bundle_manifest_view(d->manifest)->probes[d->index];
}

// Whether an argument names a file of the bundle that is not in what runs.
static bool lacks_file(const struct update_dry *d, const char *component, const char *argument) {
    static const char in_component[] = "{component}/", in_generation[] = "{generation}/";
    OWN(fd) int generation = -1;
    struct stat status;
    struct err e = ERR_NONE;
    char path[BUNDLE_PROBE_ARG_BYTES_MAX + BUNDLE_NAME_MAX + 2];
    if (strncmp(argument, in_component, sizeof in_component - 1) == 0)
        (void)snprintf(path, sizeof path, "%s/%s", component, argument + sizeof in_component - 1);
    else if (strncmp(argument, in_generation, sizeof in_generation - 1) == 0)
        (void)snprintf(path, sizeof path, "%s", argument + sizeof in_generation - 1);
    else
        return false;
    return agent_store_open_generation(&d->u->host.state->store, d->runs.number, &generation, &e) !=
               0 ||
           fs_stat(generation, path, &status, &e) != 0;
}

// Needs contents of the bundle that this device does not hold.
static bool is_not_runnable(const struct update_dry *d) {
    const struct bundle_probe *p = probe_of(d);
    const struct bundle_component *wanted = bundle_manifest_component(d->manifest, p->component);
    const struct bundle_generation_component *here =
        bundle_generation_component(&d->runs, p->component);
    if (p->kind == BUNDLE_PROBE_GOLDEN)
        return !here || !wanted || !keys_digest_equal(&here->digest, &wanted->digest);
    if (p->kind != BUNDLE_PROBE_EXEC)
        return false;
    bool lacks = !here;
    for (size_t i = 0; i < p->n_args && !lacks; i++)
        lacks = lacks_file(d, p->component, p->args[i]);
    return lacks;
}

static int64_t now_ms(const struct update_dry *d) {
    return chrono_boot_ms(d->u->host.loop->clock);
}

// Says what came of the probe at hand, and goes on to the next one.
static void note(struct update_dry *d, const char *code, const char *text) {
    struct bundle_checkin_probed *answer = d->answer;
    struct bundle_checkin_probe *one = &answer->probes[answer->n++];
    (void)snprintf(one->name, sizeof one->name, "%s", probe_of(d)->name);
    (void)snprintf(one->code, sizeof one->code, "%s", code);
    if (text && !answer->text[0])
        (void)snprintf(answer->text, sizeof answer->text, "%s", text);
    d->index++;
    d->failures = 0;
}

static void on_probe(void *context, const struct probe_run_result *result) {
    struct update_dry *d = context;
    const struct bundle_probe *p = probe_of(d);
    int64_t wait_ms = (int64_t)p->interval_s * 1000;
    d->run = NULL;
    if (result->passed)
        note(d, "", NULL);
    else if (++d->failures >= p->failures || now_ms(d) + wait_ms > d->until_ms)
        note(d, result->kind->name, result->text);
    agent_loop_arm(d->u->host.loop, &d->again, d->failures > 0 ? wait_ms : 0);
}

static int start(struct update_dry *d, struct err *e) {
    struct agent_update *u = d->u;
    OWN(mem) struct agent_job_net *net = calloc(1, sizeof *net);
    if (!net)
        return err_set(e, &err_memory, "running a probe: out of memory");
    u->host.fill_net(u->host.context, net);
    struct probe_run_spec spec = {.config = u->host.state->config,
                                  .net = net,
                                  .probe = probe_of(d),
                                  .state_dir = u->host.state->store.dir,
                                  .generation = d->runs.number};
    return probe_run_start(u->host.loop, &spec, on_probe, d, &d->run, e);
}

static void next(void *context) {
    struct update_dry *d = context;
    struct agent_update *u = d->u;
    const size_t n = bundle_manifest_view(d->manifest)->n_probes;
    struct err e = ERR_NONE;
    for (; d->index < n; err_clear(&e)) {
        const struct bundle_probe *p = probe_of(d);
        if (!p->after)
            d->index++;
        else if (d->failures == 0 && (now_ms(d) > d->until_ms || is_not_runnable(d)))
            note(d, BUNDLE_CHECKIN_NOT_RUNNABLE, NULL);
        else if (update_fetch_has_runner(u->host.state->config, p, &e) == 0 && start(d, &e) == 0)
            return;
        else
            note(d, e.kind->name, e.text);
    }
    finish(u, &e);
}

// ── The manifest ──

static int take(struct update_dry *d, struct slice raw, struct err *e) {
    const struct agent_state *state = d->u->host.state;
    uint64_t number;
    if (bundle_manifest_verify_root(raw, state->root, &d->manifest, e) < 0 ||
        update_trust_names(&d->verdict, d->manifest, e) < 0 ||
        keys_envelope_check_expiry(&bundle_manifest_view(d->manifest)->header,
                                   "the bundle's manifest", agent_state_trusted_s(state), e) < 0)
        return -1;
    if (!keys_digest_equal(&d->probe.bundle, bundle_manifest_id(d->manifest)))
        return err_set(e, &err_digest_mismatch, "the manifest is not that of the named bundle");
    if (agent_store_current(&state->store, &number, e) != 0)
        return e->kind ? -1 : err_set(e, &err_bad_generation, "nothing runs here");
    return agent_store_record(&state->store, number, &d->runs, e);
}

void update_dry_manifest(struct agent_update *u, struct slice raw) {
    struct err e = ERR_NONE;
    agent_hire_dismiss(u->dry->hire);
    u->dry->hire = NULL;
    u->dry->until_ms = now_ms(u->dry) + MOST_MS;
    if (take(u->dry, raw, &e) < 0)
        finish(u, &e);
    else
        agent_loop_arm(u->host.loop, &u->dry->again, 0);
}

static void on_message(void *context, const struct agent_job_message *message) {
    struct agent_update *u = context;
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    if (message->type == AGENT_JOB_MANIFEST &&
        update_fetch_read_announced(u->dry->announce, &raw, &e) == 0) {
        update_dry_manifest(u, buf_slice(&raw));
        return;
    }
    if (message->type == AGENT_JOB_RESULT) {
        const struct err_kind *kind = agent_state_kind(message->u.result.kind);
        err_set(&e, kind ? kind : &err_worker_failed, "%s", message->u.result.text);
    }
    if (e.kind)
        finish(u, &e);
}

static int fill_job(struct update_dry *d, struct agent_job *job, struct err *e) {
    struct agent_update *u = d->u;
    job->kind = AGENT_JOB_FETCH;
    u->host.fill_net(u->host.context, &job->net);
    (void)snprintf(job->device, sizeof job->device, "%s", u->host.state->identity.device);
    if (d->probe.url[0] == '/') // I9
        (void)snprintf(job->token, sizeof job->token, "%s", u->host.token(u->host.context));
    job->bundle_bytes = d->probe.size;
    keys_digest_hex(&d->probe.bundle, job->bundle);
    return update_fetch_url(u, d->probe.url, job->url, e);
}

static int hire(struct update_dry *d, struct err *e) {
    struct agent_update *u = d->u;
    OWN(fd) int root = -1;
    OWN(fd) int none = -1;
    OWN(mem) struct agent_job *job = calloc(1, sizeof *job);
    d->announce = memfd_create("manifest", MFD_CLOEXEC);
    if (!job || d->announce < 0)
        return err_errno(e, job ? errno : ENOMEM, "making room for the manifest");
    if (fs_open_read(u->host.state->trust.dir, TRUST_STORE_ROOT, &root, e) < 0 ||
        fs_open_read(AT_FDCWD, "/dev/null", &none, e) < 0 || fill_job(d, job, e) < 0)
        return -1;
    struct agent_hire_spec spec = {.config = u->host.state->config,
                                   .job = job,
                                   .fds = {none, none, root, none, d->announce, none, -1},
                                   .timeout_ms = FETCH_MS};
    return agent_hire_start(u->host.loop, &spec, on_message, u, &d->hire, e);
}

void update_dry_answered(void *update, struct agent_trust_outcome *outcome) {
    struct agent_update *u = update;
    struct err why = outcome->why;
    u->dry->asked = false;
    if (!why.kind) {
        u->dry->verdict = *outcome->verdict;
        *outcome->verdict = (struct trust_verdict){.document = NULL};
        if (u->host.fetch)
            u->host.fetch(u->host.context);
        else
            (void)hire(u->dry, &why);
    }
    if (why.kind)
        finish(u, &why);
}

// ── Whether it may ──

static int admit(struct agent_update *u, struct err *e) {
    int64_t now = chrono_boot_ms(u->host.loop->clock);
    const struct fsm_record *r = update_engine_record(u);
    if (r->state != FSM_IDLE)
        return err_set(e, &err_busy, "an update is %s", fsm_machine_state_names[r->state]);
    if (u->hashing || u->work)
        return err_set(e, &err_busy, "what an update left is being removed");
    if (!u->host.trust && !u->host.ask)
        return err_set(e, &err_not_in_targets, "there is no repository to ask for this bundle");
    if (update_link_is_closed(u, e))
        return -1;
    if (!update_engine_ration(&u->dry_ration, PER_DAY, now))
        return err_set(e, &err_limit, "dry probes are run %d times within a day at most", PER_DAY);
    return 0;
}

static void ask(struct update_dry *d) {
    struct agent_update *u = d->u;
    struct bundle_target target;
    char path[BUNDLE_TARGET_PATH_BYTES];
    bundle_target_path(
        bundle_target_set(&target, d->probe.bundle_name, d->probe.release, &d->probe.bundle), path);
    const struct agent_trust_wanted wanted = {.path = path, .delta = ""};
    d->asked = true;
    if (u->host.ask)
        u->host.ask(u->host.context, &wanted);
    else
        agent_trust_begin(u->host.trust, &wanted, update_dry_answered, u);
}

int agent_update_dry(struct agent_update *update, const struct bundle_instruction *probe,
                     struct err *e) {
    struct err why = ERR_NONE;
    struct update_dry *d = calloc(1, sizeof *d);
    struct bundle_checkin_probed *answer = calloc(1, sizeof *answer);
    if (!d || !answer) {
        free(d);
        free(answer);
        return err_set(e, &err_memory, "running dry probes: out of memory");
    }
    // The new one is what the controller waits for.
    if (update->dry)
        drop(update);
    answer->sequence = probe->header.version;
    answer->bundle = probe->bundle;
    *d = (struct update_dry){.u = update, .probe = *probe, .answer = answer, .announce = -1};
    agent_loop_add_timer(update->host.loop, &d->again, next, d);
    update->dry = d;
    if (admit(update, &why) < 0)
        finish(update, &why);
    else
        ask(d);
    return 0;
}

void update_dry_yield(struct agent_update *u) {
    struct err why = ERR_NONE;
    if (!u->dry)
        return;
    err_set(&why, &err_busy, "an update began");
    finish(u, &why);
}

void update_dry_close(struct agent_update *u) {
    if (u->dry)
        drop(u);
    free(u->probed);
    u->probed = NULL;
}

const struct bundle_checkin_probed *agent_update_probed(const struct agent_update *update) {
    return update->probed;
}

void agent_update_told_probed(struct agent_update *update, uint64_t sequence) {
    if (!update->probed || update->probed->sequence != sequence)
        return;
    free(update->probed);
    update->probed = NULL;
}
