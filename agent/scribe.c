// SPDX-License-Identifier: Apache-2.0
//
// See scribe.h.
#include "agent/scribe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/kind.h"
#include "agent/ring.h"
#include "base/fs.h"
#include "base/own.h"

#define COMMANDS_FD AGENT_JOB_SPEC_FD
#define ANSWERS_FD  AGENT_JOB_FIRST_FD
#define RING_FD     (AGENT_JOB_FIRST_FD + 1)
#define RECORDS     64 // taken at once

struct slot {
    int fd;
    uint64_t bytes;   // of the image
    uint64_t settled; // as the worker says
    uint64_t told;    // as the agent was told
    uint64_t begun;   // writing to the medium
    uint64_t waited;  // for that
    bool is_void;
};

struct scribe {
    struct agent_job_message message;
    size_t n;
    struct slot slots[BUNDLE_COMPONENTS_MAX];
    uint8_t *ring;
    // Records that came, the last one perhaps in part.
    union {
        uint8_t bytes[RECORDS * sizeof(struct agent_job_record)];
        struct agent_job_record all[RECORDS];
    } came;
    size_t filled;
};

static int take_slots(struct scribe *s, struct err *e) {
    int fds[AGENT_JOB_PROCEED_FDS_MAX];
    const struct agent_job_proceed *p = &s->message.u.proceed;
    int got = agent_job_receive_proceed(AGENT_JOB_CONTROL_FD, &s->message, fds, e);
    if (got < 0)
        return -1;
    if (got != 0 || s->message.type != AGENT_JOB_PROCEED || p->has_scribe ||
        p->n_images > BUNDLE_COMPONENTS_MAX)
        return err_set(e, &err_worker_failed, "the agent handed over no slots");
    for (; s->n < p->n_images; s->n++)
        s->slots[s->n] = (struct slot){.fd = fds[s->n], .bytes = p->images[s->n].bytes};
    return 0;
}

// 0: more came; END: the pipe ended.
enum { END = 1 };
static int take(struct scribe *s, struct err *e) {
    ssize_t got;
    do
        got = read(COMMANDS_FD, s->came.bytes + s->filled, sizeof s->came.bytes - s->filled);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_errno(e, errno, "hearing what the worker has for a slot");
    s->filled += (size_t)got;
    return got == 0 ? END : 0;
}

static int tell(struct scribe *s, uint64_t image, uint64_t bytes, struct err *e) {
    s->message.type = AGENT_JOB_SETTLED;
    s->message.u.settled = (struct agent_job_settled){.image = image, .bytes = bytes};
    s->slots[image].told = bytes;
    return agent_job_send(AGENT_JOB_CONTROL_FD, &s->message, e);
}

// Bytes, or zeros.
static int write_bytes(struct scribe *s, const struct agent_job_record *r, struct err *e) {
    struct slot *slot = &s->slots[r->image];
    // Said before the first byte of it is written.
    if (r->offset < slot->settled && !slot->is_void) {
        slot->is_void = true;
        if (tell(s, r->image, 0, e) < 0)
            return -1;
    }
    if (r->what == AGENT_JOB_ZERO)
        return fs_zero(slot->fd, r->bytes, r->offset, e);
    return fs_pwrite(slot->fd, s->ring + r->at, (size_t)r->bytes, r->offset, e);
}

static int settle(struct scribe *s, const struct agent_job_record *r, struct err *e) {
    struct slot *slot = &s->slots[r->image];
    bool all = r->offset == slot->bytes;
    if (r->offset <= slot->settled || slot->is_void)
        return 0;
    slot->settled = r->offset;
    if (slot->settled - slot->told < AGENT_SCRIBE_STEP_BYTES && !all)
        return 0;
    fs_begin_write_back(slot->fd, slot->begun, slot->settled - slot->begun);
    slot->begun = slot->settled;
    if (slot->begun - slot->waited > AGENT_SCRIBE_DIRTY_BYTES) {
        uint64_t to = slot->begun - AGENT_SCRIBE_DIRTY_BYTES / 2;
        if (fs_await_write_back(slot->fd, slot->waited, to - slot->waited, e) < 0)
            return -1;
        slot->waited = to;
    }
    return tell(s, r->image, slot->settled, e);
}

static int answer(struct err *e) {
    static const uint8_t byte = 1;
    ssize_t sent;
    do
        sent = write(ANSWERS_FD, &byte, sizeof byte);
    while (sent < 0 && errno == EINTR);
    return sent == 1 || errno == EPIPE ? 0 : err_errno(e, errno, "answering the worker");
}

static bool is_place(const struct scribe *s, const struct agent_job_record *r) {
    return r->image < s->n && r->offset <= s->slots[r->image].bytes &&
           r->bytes <= s->slots[r->image].bytes - r->offset;
}

static bool is_write(const struct scribe *s, const struct agent_job_record *r) {
    bool lies_somewhere = r->what == AGENT_JOB_WRITE && r->at <= AGENT_RING_BYTES &&
                          r->bytes <= AGENT_RING_BYTES - r->at;
    return (lies_somewhere || r->what == AGENT_JOB_ZERO) && is_place(s, r);
}

static bool goes_on(const struct agent_job_record *r, const struct agent_job_record *next) {
    return next->what == r->what && next->image == r->image &&
           next->offset == r->offset + r->bytes &&
           (r->what == AGENT_JOB_ZERO || next->at == r->at + r->bytes);
}

static int obey(struct scribe *s, const struct agent_job_record *r, struct err *e) {
    if (is_write(s, r))
        return write_bytes(s, r, e);
    if (r->what == AGENT_JOB_SETTLE && is_place(s, r))
        return settle(s, r, e);
    if (r->what == AGENT_JOB_AWAIT)
        return answer(e);
    return err_set(e, &err_worker_failed, "the worker had something for no place in a slot");
}

// The record at `number`, and with it those behind it that go on where it ends: they are written at
// once. Returns the number of the one behind.
static size_t join(const struct scribe *s, size_t number, size_t n, struct agent_job_record *ret) {
    *ret = s->came.all[number++];
    for (; number < n && is_write(s, ret) && is_write(s, &s->came.all[number]); number++) {
        if (!goes_on(ret, &s->came.all[number]))
            break;
        ret->bytes += s->came.all[number].bytes;
    }
    return number;
}

static int run(struct scribe *s, struct err *e) {
    int r = take_slots(s, e);
    if (r == 0)
        r = agent_ring_map(RING_FD, false, &s->ring, e);
    while (r == 0) {
        r = take(s, e);
        size_t done = 0, n = s->filled / sizeof s->came.all[0];
        while (r == 0 && done < n) {
            struct agent_job_record record;
            done = join(s, done, n, &record);
            r = obey(s, &record, e);
        }
        s->filled -= done * sizeof s->came.all[0];
        memmove(s->came.bytes, s->came.all + done, s->filled);
    }
    return r < 0 ? -1 : 0;
}

// What the agent hears of it ends with this.
static int conclude(struct scribe *s, const struct err *outcome) {
    struct err unheard = ERR_NONE;
    s->message.type = AGENT_JOB_RESULT;
    s->message.u.result = (struct agent_job_result){.source_bytes = 0};
    if (outcome->kind) {
        (void)snprintf(s->message.u.result.kind, sizeof s->message.u.result.kind, "%s",
                       outcome->kind->name);
        (void)snprintf(s->message.u.result.text, sizeof s->message.u.result.text, "%s",
                       outcome->text);
    }
    return agent_job_send(AGENT_JOB_CONTROL_FD, &s->message, &unheard);
}

int agent_scribe_run(void) {
    struct err e = ERR_NONE;
    struct scribe *s = calloc(1, sizeof *s);
    if (!s)
        return err_memory.exit_status;
    (void)run(s, &e);
    int told = conclude(s, &e);
    for (size_t i = 0; i < s->n; i++)
        own_drop_fd(&s->slots[i].fd);
    agent_ring_unmap(s->ring);
    free(s);
    return told < 0 ? err_worker_failed.exit_status : e.kind ? e.kind->exit_status : 0;
}
