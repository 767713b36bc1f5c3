// SPDX-License-Identifier: Apache-2.0
//
// Packets to and from the agent; see voice.h.
#include "agent/worker/voice.h"

#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "base/fs.h"

int worker_voice_read_fd(int fd, size_t max, struct buf *ret, struct err *e) {
    uint64_t size = 0;
    size_t got = 0;
    uint8_t *room = NULL;
    if (fs_size(fd, &size, e) < 0)
        return -1;
    if (size > max)
        return err_set(e, &err_limit, "the agent handed over %llu bytes, more than %zu",
                       (unsigned long long)size, max);
    if (buf_reserve(ret, (size_t)size, &room, e) < 0 ||
        fs_pread(fd, room, (size_t)size, 0, &got, e) < 0)
        return -1;
    buf_commit(ret, got);
    return 0;
}

int worker_voice_send(const struct worker_voice *v, const struct agent_job_message *m,
                      struct err *e) {
    return agent_job_send(v->control, m, e);
}

static int check_type(int got, const struct agent_job_message *m, enum agent_job_message_type type,
                      struct err *e) {
    if (got < 0)
        return -1;
    if (got != 0)
        return err_set(e, &err_worker_failed, "the agent has gone away");
    if (m->type != type)
        return err_set(e, &err_worker_failed, "the agent said %d where %d was expected",
                       (int)m->type, (int)type);
    return 0;
}

int worker_voice_expect(const struct worker_voice *v, enum agent_job_message_type type,
                        struct agent_job_message *ret, struct err *e) {
    return check_type(agent_job_receive(v->control, ret, e), ret, type, e);
}

int worker_voice_proceed(const struct worker_voice *v, struct agent_job_message *ret, int *ret_fds,
                         struct err *e) {
    int got = agent_job_receive_proceed(v->control, ret, ret_fds, e);
    return check_type(got, ret, AGENT_JOB_PROCEED, e);
}

int worker_voice_sign(const struct worker_voice *v, bool enroll, const char *challenge,
                      uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e) {
    struct agent_job_message m = {.type = AGENT_JOB_SIGN, .u.sign.enroll = enroll};
    snprintf(m.u.sign.challenge, sizeof m.u.sign.challenge, "%s", challenge);
    snprintf(m.u.sign.device, sizeof m.u.sign.device, "%s", v->job->device);
    if (worker_voice_send(v, &m, e) < 0 || worker_voice_expect(v, AGENT_JOB_SIGNATURE, &m, e) < 0)
        return -1;
    memcpy(ret, m.u.signature.bytes, KEYS_ED25519_SIGNATURE_BYTES);
    return 0;
}

int worker_voice_progress(struct worker_voice *v, uint64_t done, uint64_t total, struct err *e) {
    int64_t now_ms = chrono_boot_ms(v->clock);
    if (now_ms - v->last_progress_ms < WORKER_VOICE_PROGRESS_MS && done < total)
        return 0;
    v->last_progress_ms = now_ms;
    struct agent_job_message m = {.type = AGENT_JOB_PROGRESS,
                                  .u.progress = {.done_bytes = done, .total_bytes = total}};
    return worker_voice_send(v, &m, e);
}

int worker_voice_result(const struct worker_voice *v, const struct err *outcome) {
    struct err ignored = ERR_NONE;
    struct agent_job_message m = {.type = AGENT_JOB_RESULT,
                                  .u.result = {.source_bytes = v->source_bytes,
                                               .stream_bytes = v->stream_bytes,
                                               .retry_after_s = v->retry_after_s}};
    if (outcome->kind) {
        snprintf(m.u.result.kind, sizeof m.u.result.kind, "%s", outcome->kind->name);
        snprintf(m.u.result.text, sizeof m.u.result.text, "%s", outcome->text);
    }
    return worker_voice_send(v, &m, &ignored);
}
