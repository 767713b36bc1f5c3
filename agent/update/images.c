// SPDX-License-Identifier: Apache-2.0
//
// Images of the update under way: which slots they go to, and what is lost with what is in them. Of
// a component with slots only two images are kept, that of the generation that runs and the one
// that is being written. So the previous generation, whose image lies where the new one goes, is given
// up, durably and with a report, before the worker gets the slot (I2).
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "agent/slots.h"
#include "agent/update/engine.h"

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

static void describe(const struct bundle_image_places *places, bool old,
                     struct agent_job_proceed *p, int *fds) {
    for (size_t i = 0; i < places->n; i++) {
        struct agent_job_image *image = &p->images[p->n_images];
        _Static_assert(sizeof image->component == sizeof places->all[i].component, "names");
        memcpy(image->component, places->all[i].component, sizeof image->component);
        image->old = old;
        fds[p->n_images++] = places->all[i].fd;
    }
}

// A message is tens of KiB because of its largest kind: neither the stack nor the program keeps
// one.
static int send_proceed(struct agent_hire *hire, const struct bundle_image_places *to,
                        const struct bundle_image_places *old, struct err *e) {
    int fds[AGENT_JOB_IMAGES_MAX];
    struct agent_job_message *proceed = calloc(1, sizeof *proceed);
    if (!proceed)
        return err_set(e, &err_memory, "letting the worker proceed: out of memory");
    proceed->type = AGENT_JOB_PROCEED;
    describe(to, false, &proceed->u.proceed, fds);
    describe(old, true, &proceed->u.proceed, fds);
    int sent = agent_hire_proceed(hire, proceed, fds, e);
    free(proceed);
    return sent;
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
    return update_images_give_up(u, e) < 0 ? -1 : send_proceed(u->hire, to, &old, e);
}
