// SPDX-License-Identifier: Apache-2.0
//
// See slots.h.
#include "agent/worker/slots.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/kind.h"
#include "base/own.h"

static int lost(struct err *e) {
    if (errno == EPIPE)
        return err_set(e, &err_io, "the agent does not take what goes into a slot any more");
    return err_errno(e, errno, "handing over what goes into a slot");
}

static int send_all(int fd, struct iovec *parts, int n, struct err *e) {
    while (n > 0) {
        ssize_t sent = writev(fd, parts, n);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return lost(e);
        for (; n > 0 && (size_t)sent >= parts->iov_len; parts++, n--)
            sent -= (ssize_t)parts->iov_len;
        if (n > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

static int say(const struct worker_slots *s, struct agent_job_record record, const void *data,
               struct err *e) {
    // writev does not write through iov_base; its type predates const.
    struct iovec parts[2] = {
        {.iov_base = &record, .iov_len = sizeof record},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = (size_t)record.bytes}};
    return send_all(s->commands, parts, record.bytes > 0 ? 2 : 1, e);
}

static int on_write(void *context, uint32_t image, const void *data, size_t len, uint64_t offset,
                    struct err *e) {
    struct worker_slots *s = context;
    if (len == 0)
        return 0;
    if (s->unread[image].to == 0 || offset < s->unread[image].from)
        s->unread[image].from = offset;
    if (offset + len > s->unread[image].to)
        s->unread[image].to = offset + len;
    return say(s,
               (struct agent_job_record){
                   .what = AGENT_JOB_WRITE, .image = image, .offset = offset, .bytes = len},
               data, e);
}

static int on_settle(void *context, uint32_t image, uint64_t offset, struct err *e) {
    const struct worker_slots *s = context;
    return say(
        s, (struct agent_job_record){.what = AGENT_JOB_SETTLE, .image = image, .offset = offset},
        NULL, e);
}

static int on_await(void *context, uint32_t image, uint64_t offset, uint64_t len, struct err *e) {
    struct worker_slots *s = context;
    uint8_t byte;
    ssize_t got;
    if (s->unread[image].to <= offset ||
        (s->unread[image].from >= offset && s->unread[image].from - offset >= len))
        return 0;
    if (say(s, (struct agent_job_record){.what = AGENT_JOB_AWAIT, .image = image}, NULL, e) < 0)
        return -1;
    do
        got = read(s->answers, &byte, sizeof byte);
    while (got < 0 && errno == EINTR);
    if (got != 1)
        return err_set(e, &err_io, "the agent does not take what goes into a slot any more");
    // What came before was said before: all of it is there.
    memset(s->unread, 0, sizeof s->unread);
    return 0;
}

void worker_slots_init(struct worker_slots *slots) {
    *slots = (struct worker_slots){.commands = -1, .answers = -1};
}

static int add(struct worker_slots *s, const struct agent_job_image *image, int *fd,
               struct err *e) {
    struct bundle_image_places *places = image->old ? &s->old : &s->to;
    if (places->n == BUNDLE_COMPONENTS_MAX || bundle_image_find(places, image->component))
        return err_set(e, &err_worker_failed, "the agent handed over a slot twice");
    bundle_image_add(places, image->component, own_take_fd(fd), NULL);
    if (!image->old) {
        places->all[places->n - 1].writer = &s->writer;
        places->all[places->n - 1].number = (uint32_t)places->n - 1;
    }
    return 0;
}

int worker_slots_take(struct worker_slots *slots, const struct agent_job_proceed *p, const int *fds,
                      struct err *e) {
    int r = 0;
    slots->writer = (struct bundle_image_writer){
        .write = on_write, .settle = on_settle, .await = on_await, .context = slots};
    for (size_t i = 0; i < p->n_images; i++) {
        OWN(fd) int fd = fds[i];
        if (r == 0)
            r = add(slots, &p->images[i], &fd, e);
    }
    if (p->has_scribe) {
        slots->commands = fds[p->n_images];
        slots->answers = fds[p->n_images + 1];
    }
    if (r == 0 && slots->to.n > 0 && slots->commands < 0)
        r = err_set(e, &err_worker_failed, "the agent handed over slots and nobody to write them");
    return r;
}

void worker_slots_clear(struct worker_slots *slots) {
    bundle_image_close(&slots->to);
    bundle_image_close(&slots->old);
    own_drop_fd(&slots->commands);
    own_drop_fd(&slots->answers);
    slots->commands = slots->answers = -1;
}
