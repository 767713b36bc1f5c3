// SPDX-License-Identifier: Apache-2.0
//
// One probe, once; see run.h. exec and golden are a task, http and metric a hired worker.
#include "agent/probe/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/hire.h"
#include "agent/kind.h"
#include "agent/probe/golden.h"
#include "agent/task.h"
#include "base/text.h"

// The worker needs a moment more than the probe itself to start and to say that it timed out.
#define HIRE_SLACK_MS 5000

struct probe_run {
    struct agent_loop *loop;
    const struct bundle_probe *probe;
    int state_dir;
    struct agent_task *task;
    struct agent_hire *hire;
    struct probe_command command;
    bool sampled;
    struct agent_job_sample sample;
    struct agent_loop_timer soon; // tells a failure to start from the loop, like any other
    struct err failed;
    void (*done)(void *context, const struct probe_run_result *result);
    void *context;
};

// Tells the end and is gone. *e empty means passed.
static void finish(struct probe_run *run, const struct err *e, const char *detail) {
    void (*done)(void *, const struct probe_run_result *) = run->done;
    void *context = run->context;
    struct probe_run_result result = {.passed = e->kind == NULL, .kind = e->kind};
    char text[sizeof result.text + BUNDLE_NAME_MAX + 16];
    if (e->kind)
        (void)snprintf(text, sizeof text, "probe %s: %s", run->probe->name, e->text);
    else
        (void)snprintf(text, sizeof text, "probe %s passed", run->probe->name);
    text_safe(text, result.text, sizeof result.text);
    size_t len = strlen(detail);
    size_t skip = len > sizeof result.detail / 2 ? len - sizeof result.detail / 2 : 0;
    text_safe(detail + skip, result.detail, sizeof result.detail);
    probe_run_cancel(run);
    done(context, &result);
}

static void on_task(void *context, const struct agent_task_result *result) {
    struct probe_run *run = context;
    struct err e = ERR_NONE;
    char how[256];
    run->task = NULL;
    if (run->probe->kind == BUNDLE_PROBE_GOLDEN)
        (void)probe_golden_judge(run->probe, &run->command, run->state_dir, result, &e);
    else if (!agent_task_passed(result))
        err_set(&e, &err_probe_failed, "%s", agent_task_describe(result, how, sizeof how));
    finish(run, &e, result->noise);
}

static void judge_sample(const struct probe_run *run, struct err *e) {
    const struct bundle_probe *probe = run->probe;
    char why[256];
    if (!run->sampled)
        err_set(e, &err_probe_failed, "the worker gave no sample");
    else if (probe->kind == BUNDLE_PROBE_HTTP && run->sample.status != probe->status)
        err_set(e, &err_probe_failed, "%s answered %" PRIu64 ", wanted %" PRIu64, probe->url,
                run->sample.status, probe->status);
    else if (probe->kind == BUNDLE_PROBE_METRIC && !run->sample.found)
        err_set(e, &err_probe_failed, "%s has no sample of %s", probe->url, probe->metric);
    else if (probe->kind == BUNDLE_PROBE_METRIC &&
             bundle_probe_judge_value(probe, run->sample.value, why, sizeof why) != 0)
        err_set(e, &err_probe_failed, "%s", why);
}

static void on_worker(void *context, const struct agent_job_message *message) {
    struct probe_run *run = context;
    struct err e = ERR_NONE;
    if (message->type == AGENT_JOB_SAMPLE) {
        run->sample = message->u.sample;
        run->sampled = true;
    }
    if (message->type != AGENT_JOB_RESULT)
        return;
    if (message->u.result.kind[0] != '\0')
        err_set(&e, &err_probe_failed, "%s", message->u.result.text);
    else
        judge_sample(run, &e);
    finish(run, &e, "");
}

static void on_soon(void *context) {
    struct probe_run *run = context;
    struct err e = run->failed;
    finish(run, &e, "");
}

static int start_task(struct probe_run *run, const struct probe_run_spec *spec, struct err *e) {
    OWN(buf) struct buf input;
    const struct bundle_probe *probe = spec->probe;
    buf_init(&input, AGENT_TASK_OUTPUT_MAX * 8);
    if (probe_command_make(spec->config, probe, spec->state_dir, spec->generation, &run->command,
                           e) < 0)
        return -1;
    if (probe->kind == BUNDLE_PROBE_GOLDEN &&
        probe_golden_input(probe, &run->command, &input, e) < 0)
        return -1;
    struct agent_task_spec task = {
        .argv = run->command.argv,
        .env = run->command.env,
        .input = {.data = input.data, .len = input.len},
        .limits = &run->command.limits,
        .timeout_ms = probe->timeout_s * 1000,
    };
    return agent_task_start(run->loop, &task, on_task, run, &run->task, e);
}

static int start_hire(struct probe_run *run, const struct probe_run_spec *spec, struct err *e) {
    const struct bundle_probe *probe = spec->probe;
    const char *endpoint = bundle_probe_endpoint(probe->url);
    const char *url = endpoint ? agent_config_endpoint(spec->config, endpoint) : probe->url;
    if (!url)
        return err_set(e, &err_runner_missing,
                       "probe %s asks endpoint %s, which the configuration does not name",
                       probe->name, endpoint);
    struct agent_job *job = calloc(1, sizeof *job);
    if (!job)
        return err_set(e, &err_memory, "out of memory");
    job->kind = AGENT_JOB_PROBE;
    job->net = *spec->net;
    job->timeout_s = probe->timeout_s;
    (void)snprintf(job->probe_url, sizeof job->probe_url, "%s", url);
    if (probe->kind == BUNDLE_PROBE_METRIC)
        (void)snprintf(job->metric, sizeof job->metric, "%s", probe->metric);
    struct agent_hire_spec hire = {.config = spec->config,
                                   .job = job,
                                   .fds = {-1},
                                   .timeout_ms = probe->timeout_s * 1000 + HIRE_SLACK_MS};
    int done = agent_hire_start(run->loop, &hire, on_worker, run, &run->hire, e);
    free(job);
    return done;
}

int probe_run_start(struct agent_loop *loop, const struct probe_run_spec *spec,
                    void (*done)(void *context, const struct probe_run_result *result),
                    void *context, struct probe_run **ret, struct err *e) {
    struct probe_run *run = calloc(1, sizeof *run);
    if (!run)
        return err_set(e, &err_memory, "running probe %s: out of memory", spec->probe->name);
    *run = (struct probe_run){.loop = loop,
                              .probe = spec->probe,
                              .state_dir = spec->state_dir,
                              .done = done,
                              .context = context};
    agent_loop_add_timer(loop, &run->soon, on_soon, run);
    bool program =
        spec->probe->kind == BUNDLE_PROBE_EXEC || spec->probe->kind == BUNDLE_PROBE_GOLDEN;
    int started =
        program ? start_task(run, spec, &run->failed) : start_hire(run, spec, &run->failed);
    if (started < 0)
        agent_loop_arm(loop, &run->soon, 0);
    *ret = run;
    return 0;
}

void probe_run_cancel(struct probe_run *run) {
    if (!run)
        return;
    agent_task_cancel(run->task);
    agent_hire_dismiss(run->hire);
    agent_loop_remove_timer(run->loop, &run->soon);
    probe_command_clear(&run->command, run->state_dir);
    free(run);
}
