// SPDX-License-Identifier: Apache-2.0
//
// edge-agent-worker: does one job for edge-agent and ends (agent/job.h). It is not for people, but
// for two modes:
//
//   edge-agent-worker --verify ROOT FILE [BASE]     exit status 0 when the bundle can be trusted,
//   or the delta from the generation BASE; else the error kind's
//
//   edge-agent-worker --choose DIR FACTS ROOT STATE_DIR    the name of the bundle in DIR for a
//   device with these facts (agent/worker/choose.h)
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/kind.h"
#include "agent/net/handle.h"
#include "agent/worker/choose.h"
#include "agent/worker/fetch.h"
#include "agent/worker/judge.h"
#include "agent/worker/probe.h"
#include "agent/worker/refresh.h"
#include "agent/worker/sandbox.h"
#include "agent/worker/talk.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "keys/secret.h"

#if !defined(__SANITIZE_ADDRESS__) && defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 // clang's way to say it
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
// A build with AddressSanitizer looks for leaks at the end by tracing itself from a new process,
// and the sandbox allows neither. The label is the sanitizer's own hook.
const char *worker_main_sanitizer_options(void) __asm__("__asan_default_options");
const char *worker_main_sanitizer_options(void) {
    return "detect_leaks=0";
}
#endif

static int complain(const struct err *e) {
    char safe[2 * ERR_TEXT_BYTES];
    fprintf(stderr, "edge-agent-worker: %s\n", text_safe(e->text, safe, sizeof safe));
    return e->kind->exit_status;
}

static int verify(const char *root, const char *bundle, const char *base) {
    struct err e = ERR_NONE;
    if (keys_secret_init(&e) < 0 || worker_fetch_verify(root, bundle, base, &e) < 0)
        return complain(&e);
    return 0;
}

static int choose(char *const *argv) {
    struct err e = ERR_NONE;
    const struct worker_choose how = {
        .dir = argv[0], .facts = argv[1], .root = argv[2], .state_dir = argv[3]};
    if (keys_secret_init(&e) < 0 || worker_choose_bundle(&how, &e) < 0)
        return complain(&e);
    return 0;
}

// The job has the controller's token in it. Where the worker has a user that the agent gave it,
// other processes of that user (the fallback, nobody, is many a service's) have no business in its
// memory. Where it shares the agent's user nothing would be gained, as that user can read private/;
// and who watches his own processes would be shut out.
static void close_memory(void) {
    struct ucred agent;
    socklen_t len = sizeof agent;
    if (getsockopt(AGENT_JOB_CONTROL_FD, SOL_SOCKET, SO_PEERCRED, &agent, &len) == 0 &&
        agent.uid != geteuid())
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int read_job(struct agent_job *ret, struct err *e) {
    OWN(buf) struct buf text;
    buf_init(&text, AGENT_JOB_SPEC_MAX_BYTES);
    if (worker_voice_read_fd(AGENT_JOB_SPEC_FD, AGENT_JOB_SPEC_MAX_BYTES, &text, e) < 0)
        return -1;
    return agent_job_parse(buf_slice(&text), ret, e);
}

static int enter_sandbox(const struct agent_job *job, struct err *e) {
    struct worker_sandbox how = {
        .writable_dir = -1, .readable_dir = -1, .other_dir = -1, .read_file = job->net.ca_file};
    struct worker_sandbox_state state;
    if (job->kind == AGENT_JOB_FETCH) {
        how.writable_dir = WORKER_FETCH_PARTIAL_FD;
        how.readable_dir = WORKER_FETCH_PREVIOUS_FD;
        how.other_dir = WORKER_FETCH_OLDER_FD;
    } else if (job->kind == AGENT_JOB_REFRESH) {
        how.writable_dir = WORKER_REFRESH_INCOMING_FD;
        how.readable_dir = WORKER_REFRESH_TRUSTED_FD;
    } else if (job->kind == AGENT_JOB_JUDGE) {
        how.readable_dir = WORKER_JUDGE_INCOMING_FD;
        how.other_dir = WORKER_JUDGE_TRUSTED_FD;
        how.no_sockets = true;
    } else if (job->kind == AGENT_JOB_PROBE && strncmp(job->probe_url, "file:", 5) == 0) {
        how.read_file = job->probe_url + 5;
    }
    if (worker_sandbox_enter(&how, &state, e) < 0)
        return -1;
    if (!state.landlock || !state.seccomp)
        fprintf(stderr, "this kernel has no%s%s: the worker runs with less protection\n",
                state.landlock ? "" : " Landlock", state.seccomp ? "" : " seccomp");
    return 0;
}

static int run(struct worker_voice *v, struct err *e) {
    static int (*const jobs[AGENT_JOB_KINDS])(struct worker_voice *, struct err *) = {
        [AGENT_JOB_CHECKIN] = worker_talk_checkin, [AGENT_JOB_ENROLL] = worker_talk_enroll,
        [AGENT_JOB_FETCH] = worker_fetch,          [AGENT_JOB_PROBE] = worker_probe,
        [AGENT_JOB_REFRESH] = worker_refresh,      [AGENT_JOB_JUDGE] = worker_judge,
    };
    bool talks = v->job->kind != AGENT_JOB_JUDGE;
    if (keys_secret_init(e) < 0 || (talks && net_handle_start(e) < 0) ||
        enter_sandbox(v->job, e) < 0)
        return -1;
    return jobs[v->job->kind](v, e);
}

int main(int argc, char **argv) {
    (void)signal(SIGXFSZ, SIG_IGN); // a limit on the size of files is an error of the write
    (void)signal(SIGPIPE, SIG_IGN); // and so is a scribe that has gone away
    if ((argc == 4 || argc == 5) && strcmp(argv[1], "--verify") == 0)
        return verify(argv[2], argv[3], argc == 5 ? argv[4] : NULL);
    if (argc == 6 && strcmp(argv[1], "--choose") == 0)
        return choose(argv + 2);
    if (argc != 1) {
        fprintf(stderr, "edge-agent-worker is started by edge-agent; see edge-agent(1)\n");
        return err_usage.exit_status;
    }
    struct err e = ERR_NONE;
    struct agent_job job;
    close_memory();
    if (read_job(&job, &e) < 0)
        return complain(&e);
    struct worker_voice voice = {
        .control = AGENT_JOB_CONTROL_FD, .job = &job, .clock = chrono_system()};
    (void)run(&voice, &e);
    if (worker_voice_result(&voice, &e) < 0)
        return err_worker_failed.exit_status;
    return e.kind ? e.kind->exit_status : 0;
}
