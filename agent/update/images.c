// SPDX-License-Identifier: Apache-2.0
//
// Images of the update under way: which slots they go to, and what is lost with what is in them. Of
// a component with slots only two images are kept, that of the generation that runs and the one
// that is being written. So the previous generation, whose image lies where the new one goes, is given
// up, durably and with a report, before the worker gets the slot (I2).
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "agent/slots.h"
#include "agent/update/engine.h"
#include "base/fs.h"

// What runs, and what the bundle makes of it.
static int foresee(const struct agent_update *u, const struct bundle_manifest *manifest,
                   struct bundle_generation *ret_before, struct bundle_generation *ret_after,
                   struct err *e) {
    const struct fsm_record *r = update_engine_record(u);
    if (agent_store_record(&u->host.state->store, r->committed, ret_before, e) < 0 ||
        bundle_generation_after(ret_before, manifest, r->update.target, ret_after, e) < 0)
        return -1;
    if (u->alone)
        bundle_generation_leave_slots(ret_after, ret_before, manifest);
    return 0;
}

int update_images_claim(const struct agent_update *u, const struct bundle_manifest *manifest,
                        struct bundle_image_places *ret, struct err *e) {
    const struct agent_state *state = u->host.state;
    struct bundle_generation before, after;
    OWN(fd) int runs = -1;
    if (foresee(u, manifest, &before, &after, e) < 0 ||
        agent_slots_claim(state->config, &before, &after, ret, e) < 0)
        return -1;
    int found =
        agent_store_open_generation(&state->store, state->journal.record.committed, &runs, e);
    if (found != 0)
        return found == AGENT_STORE_ABSENT ? 0 : -1;
    return agent_slots_check_running(runs, ret, e);
}

int update_images_all(const struct agent_update *u, struct bundle_image_places *ret,
                      struct err *e) {
    struct bundle_generation before, after;
    if (foresee(u, u->manifest, &before, &after, e) < 0)
        return -1;
    return agent_slots_open(u->host.state->config, &after, ret, e);
}

// 1 when the previous generation has an image where one will be written. One whose record cannot be
// read has nothing left to lose.
static int spoils_previous(const struct agent_update *u, struct err *e) {
    const struct fsm_record *r = update_engine_record(u);
    struct bundle_generation before, after, previous;
    struct err unreadable = ERR_NONE;
    if (!r->has_previous ||
        agent_store_record(&u->host.state->store, r->previous, &previous, &unreadable) < 0)
        return 0;
    if (foresee(u, u->manifest, &before, &after, e) < 0)
        return -1;
    return agent_slots_spoil(&before, &after, &previous);
}

int update_images_give_up(struct agent_update *u, struct err *e) {
    const struct fsm_record *r = update_engine_record(u);
    struct err why = ERR_NONE;
    uint64_t previous = r->previous;
    int spoils = spoils_previous(u, e);
    if (spoils <= 0)
        return spoils;
    err_set(&why, &err_previous_dropped,
            "generation %" PRIu64
            " was given up: the image of %s %s is written over its own; until "
            "the next commit there is none to go back to but the one that runs",
            previous, r->update.name, r->update.release);
    update_engine_fire(u, FSM_OVERWRITES, &why);
    if (u->fatal.kind)
        return err_set(e, u->fatal.kind, "%s", u->fatal.text);
    assert(!r->has_previous &&
           "I2: a generation that is written over is no longer one to go back to");
    // Half of it would be no use.
    if (agent_store_clean(&u->host.state->store, r, &why) < 0)
        agent_log_line(AGENT_LOG_ERROR, "%s", why.text);
    return 0;
}

static struct agent_job_image *add(struct agent_job_proceed *p, const char *component) {
    struct agent_job_image *image = &p->images[p->n_images++];
    (void)snprintf(image->component, sizeof image->component, "%s", component);
    return image;
}

// The worker gets all slots to read, and what it hands over to the scribe, which writes, by.
static void describe(const struct bundle_image_places *to, const struct bundle_image_places *old,
                     const int scribe[static AGENT_JOB_SCRIBE_FDS], struct agent_job_proceed *p,
                     int *fds) {
    for (size_t i = 0; i < to->n; i++) {
        fds[p->n_images] = to->all[i].fd;
        (void)add(p, to->all[i].component);
    }
    for (size_t i = 0; i < old->n; i++) {
        fds[p->n_images] = old->all[i].fd;
        add(p, old->all[i].component)->old = true;
    }
    p->has_scribe = to->n > 0;
    if (p->has_scribe)
        memcpy(&fds[p->n_images], scribe, AGENT_JOB_SCRIBE_FDS * sizeof *scribe);
}

// By an open file of its own: what the worker does to that is nobody's concern.
static int open_readers(const struct bundle_image_places *to, struct bundle_image_places *ret,
                        struct err *e) {
    for (size_t i = 0; i < to->n; i++) {
        int fd = -1;
        if (fs_open_read(AT_FDCWD, to->all[i].path, &fd, e) < 0)
            return -1;
        bundle_image_add(ret, to->all[i].component, fd, NULL);
    }
    return 0;
}

// A message is tens of KiB because of its largest kind: neither the stack nor the program keeps
// one.
static int send_proceed(struct agent_update *u, const struct bundle_image_places *to,
                        const struct bundle_image_places *old, struct err *e) {
    int fds[AGENT_JOB_PROCEED_FDS_MAX], scribe[AGENT_JOB_SCRIBE_FDS] = {-1, -1, -1};
    OWN(images) struct bundle_image_places readers = {.n = 0};
    struct agent_job_message *proceed = calloc(1, sizeof *proceed);
    if (!proceed)
        return err_set(e, &err_memory, "letting the worker proceed: out of memory");
    int done = open_readers(to, &readers, e);
    if (done == 0 && to->n > 0)
        done = update_follow_begin(u, to, scribe, e);
    proceed->type = AGENT_JOB_PROCEED;
    if (done == 0) {
        describe(&readers, old, scribe, &proceed->u.proceed, fds);
        done = agent_hire_proceed(u->hire, proceed, fds, e);
    }
    // The scribe hears the end when the worker has gone: nobody else may hold these.
    for (size_t i = 0; i < AGENT_JOB_SCRIBE_FDS; i++)
        own_drop_fd(&scribe[i]);
    free(proceed);
    return done;
}

int update_images_proceed(struct agent_update *u, const struct bundle_image_places *to,
                          struct err *e) {
    OWN(images) struct bundle_image_places old = {.n = 0};
    const struct fsm_record *r = update_engine_record(u);
    struct bundle_generation before;
    // Of a generation that is damaged nothing is taken.
    if (!u->alone && (agent_store_record(&u->host.state->store, r->committed, &before, e) < 0 ||
                      agent_slots_open(u->host.state->config, &before, &old, e) < 0))
        return -1;
    return update_images_give_up(u, e) < 0 ? -1 : send_proceed(u, to, &old, e);
}
