// SPDX-License-Identifier: Apache-2.0
//
// Images of the download under way: a scribe writes them (agent/scribe.h), and what is settled is
// read back behind it on the loop, a slice at a time. The download has ended when the worker has, the
// scribe has written the last of it, and that was read. What was read counts (I1) because no other
// process had a descriptor to write to the slots, and this one had ended when the digest was
// complete. Whatever goes wrong with that costs time only: sealing reads what nobody has read.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "agent/ring.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "bundle/image.h"
#include "bundle/seal/follow.h"

struct update_follow {
    struct agent_hire *scribe; // NULL: it has ended
    struct agent_loop_timer turn;
    bool worker_ended;
    struct err worker, written; // how they ended
    size_t n;
    struct {
        char component[BUNDLE_NAME_MAX + 1];
        int fd;
        struct seal_follow follow;
    } images[BUNDLE_COMPONENTS_MAX];
};

static void say_over(struct update_follow *f) {
    for (size_t i = 0; i < f->n; i++)
        seal_follow_over(&f->images[i].follow);
}

static bool failed(const struct update_follow *f) {
    return f->worker.kind || f->written.kind;
}

// The next slice of any image: 0, or SEAL_FOLLOW_IDLE.
static int step(struct agent_update *u) {
    struct update_follow *f = u->follow;
    for (size_t i = 0; i < f->n; i++) {
        struct seal_follow *follow = &f->images[i].follow;
        struct err e = ERR_NONE;
        int r = seal_follow_step(follow, &e);
        if (r < 0) {
            agent_log_line(AGENT_LOG_WARNING, "reading back %s: %s", f->images[i].component,
                           e.text);
            seal_follow_void(follow);
        }
        if (r != SEAL_FOLLOW_IDLE) {
            if (u->read_back_ms < 0)
                u->read_back_ms = chrono_boot_ms(u->host.loop->clock);
            return 0;
        }
    }
    return SEAL_FOLLOW_IDLE;
}

static void on_turn(void *context) {
    struct agent_update *u = context;
    struct update_follow *f = u->follow;
    bool ended = f->worker_ended && !f->scribe;
    if (!(ended && failed(f)) && step(u) == 0) {
        agent_loop_arm(u->host.loop, &f->turn, 0);
        return;
    }
    if (!ended)
        return;
    // What the scribe could not write is why the worker could not go on.
    struct err why = f->written.kind ? f->written : f->worker;
    if (why.kind)
        update_follow_stop(u);
    update_fetch_ended(u, &why);
}

static void on_result(struct agent_update *u, const struct agent_job_result *result) {
    struct update_follow *f = u->follow;
    agent_hire_dismiss(f->scribe); // it is gone when this returns
    f->scribe = NULL;
    if (result->kind[0] != '\0') {
        const struct err_kind *kind = agent_state_kind(result->kind);
        err_set(&f->written, kind ? kind : &err_worker_failed, "%s", result->text);
    }
    say_over(f);
}

static void on_message(void *context, const struct agent_job_message *message) {
    struct agent_update *u = context;
    struct update_follow *f = u->follow;
    const struct agent_job_settled *said = &message->u.settled;
    if (message->type == AGENT_JOB_RESULT)
        on_result(u, &message->u.result);
    else if (message->type == AGENT_JOB_SETTLED && said->image < f->n)
        seal_follow_settle(&f->images[said->image].follow, said->bytes);
    agent_loop_arm(u->host.loop, &f->turn, 0);
}

static int open_images(struct update_follow *f, const struct bundle_image_places *to,
                       const struct bundle_manifest *manifest, struct medium_spare *spare,
                       struct err *e) {
    for (; f->n < to->n; f->n++) {
        const struct bundle_image_place *place = &to->all[f->n];
        const struct bundle_component *c = bundle_manifest_component(manifest, place->component);
        assert(c && c->type == BUNDLE_COMPONENT_IMAGE);
        OWN(fd) int fd = -1;
        if (fs_open_read(AT_FDCWD, place->path, &fd, e) < 0 ||
            seal_follow_init(&f->images[f->n].follow, fd, c->size, c->has_blocks, spare, e) < 0)
            return -1;
        f->images[f->n].fd = own_take_fd(&fd);
        memcpy(f->images[f->n].component, place->component, sizeof place->component);
    }
    return 0;
}

// What the scribe needs: its slots, to write.
static int send_slots(struct update_follow *f, const struct bundle_image_places *to,
                      struct err *e) {
    int fds[BUNDLE_COMPONENTS_MAX];
    struct agent_job_message *proceed = calloc(1, sizeof *proceed);
    if (!proceed)
        return err_set(e, &err_memory, "starting to write images: out of memory");
    proceed->type = AGENT_JOB_PROCEED;
    proceed->u.proceed.n_images = to->n;
    for (size_t i = 0; i < to->n; i++) {
        memcpy(proceed->u.proceed.images[i].component, to->all[i].component,
               sizeof to->all[i].component);
        proceed->u.proceed.images[i].bytes = f->images[i].follow.bytes;
        fds[i] = to->all[i].fd;
    }
    int sent = agent_hire_proceed(f->scribe, proceed, fds, e);
    free(proceed);
    return sent;
}

static int open_pipe(int *ret_read, int *ret_write, struct err *e) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, errno, "starting to write images");
    *ret_read = ends[0];
    *ret_write = ends[1];
    return 0;
}

static int start_scribe(struct agent_update *u, const struct bundle_image_places *to,
                        int ret_worker_fds[static AGENT_JOB_SCRIBE_FDS], struct err *e) {
    OWN(fd) int heard = -1;
    OWN(fd) int said = -1;
    OWN(fd) int answered = -1;
    OWN(fd) int answers = -1;
    OWN(fd) int ring = -1;
    if (open_pipe(&heard, &said, e) < 0 || open_pipe(&answered, &answers, e) < 0 ||
        agent_ring_make(&ring, e) < 0)
        return -1;
    const struct agent_hire_spec spec = {.config = u->host.state->config,
                                         .fds = {heard, answers, ring, -1}};
    if (agent_hire_start(u->host.loop, &spec, on_message, u, &u->follow->scribe, e) < 0 ||
        send_slots(u->follow, to, e) < 0)
        return -1;
    ret_worker_fds[0] = own_take_fd(&said);
    ret_worker_fds[1] = own_take_fd(&answered);
    ret_worker_fds[2] = own_take_fd(&ring);
    return 0;
}

int update_follow_begin(struct agent_update *u, const struct bundle_image_places *to,
                        int ret_worker_fds[static AGENT_JOB_SCRIBE_FDS], struct err *e) {
    assert(!u->follow);
    struct update_follow *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, &err_memory, "starting to write images: out of memory");
    u->follow = f;
    u->read_back_ms = -1;
    agent_loop_add_timer(u->host.loop, &f->turn, on_turn, u);
    if (open_images(f, to, u->manifest, &u->spare, e) == 0 &&
        start_scribe(u, to, ret_worker_fds, e) == 0)
        return 0;
    update_follow_stop(u);
    return -1;
}

bool update_follow_worker_ended(struct agent_update *u, const struct err *why) {
    if (!u->follow)
        return false;
    u->follow->worker_ended = true;
    u->follow->worker = *why;
    agent_loop_arm(u->host.loop, &u->follow->turn, 0);
    return true;
}

void update_follow_reads(const struct agent_update *u, struct bundle_seal_reads *ret) {
    const struct update_follow *f = u->follow;
    ret->n = 0;
    if (!f || f->scribe || failed(f))
        return;
    for (size_t i = 0; i < f->n; i++) {
        const struct seal_follow *follow = &f->images[i].follow;
        struct bundle_seal_read *read = &ret->all[ret->n];
        if (!seal_follow_has_all(follow))
            continue;
        memcpy(read->component, f->images[i].component, sizeof read->component);
        read->bytes = follow->bytes;
        read->by_blocks = follow->hash.by_blocks;
        read->digest = follow->digest;
        ret->n++;
    }
}

void update_follow_stop(struct agent_update *u) {
    struct update_follow *f = u->follow;
    if (!f)
        return;
    agent_hire_dismiss(f->scribe);
    agent_loop_remove_timer(u->host.loop, &f->turn);
    for (size_t i = 0; i < f->n; i++) {
        seal_follow_clear(&f->images[i].follow);
        own_drop_fd(&f->images[i].fd);
    }
    free(f);
    u->follow = NULL;
}
