// SPDX-License-Identifier: Apache-2.0
//
// See slots.h.
#include "agent/worker/slots.h"

#include <string.h>

#include "agent/kind.h"
#include "base/own.h"

static int on_write(void *context, uint32_t image, const void *data, size_t len, uint64_t offset,
                    struct err *e) {
    struct worker_slots *s = context;
    return worker_hand_write(&s->hand, image, data, len, offset, e);
}

static int on_settle(void *context, uint32_t image, uint64_t offset, struct err *e) {
    struct worker_slots *s = context;
    return worker_hand_settle(&s->hand, image, offset, e);
}

static int on_await(void *context, uint32_t image, uint64_t offset, uint64_t len, struct err *e) {
    struct worker_slots *s = context;
    return worker_hand_await(&s->hand, image, offset, len, e);
}

void worker_slots_init(struct worker_slots *slots) {
    *slots = (struct worker_slots){.to = {.n = 0}};
    worker_hand_init(&slots->hand);
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
    struct err second = ERR_NONE; // the first counts
    if (p->has_scribe &&
        worker_hand_open(&slots->hand, fds + p->n_images, r == 0 ? e : &second) < 0)
        r = -1;
    if (r == 0 && slots->to.n > 0 && slots->hand.commands < 0)
        r = err_set(e, &err_worker_failed, "the agent handed over slots and nobody to write them");
    return r;
}

int worker_slots_finish(struct worker_slots *slots, struct err *e) {
    return slots->hand.commands < 0 ? 0 : worker_hand_flush(&slots->hand, e);
}

void worker_slots_clear(struct worker_slots *slots) {
    bundle_image_close(&slots->to);
    bundle_image_close(&slots->old);
    worker_hand_close(&slots->hand);
}
