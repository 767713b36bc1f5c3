// SPDX-License-Identifier: Apache-2.0
//
// See hand.h.
#include "agent/worker/hand.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/kind.h"
#include "base/own.h"

static int lost(struct err *e) {
    return err_set(e, &err_io, "the agent does not take what goes into a slot any more");
}

void worker_hand_init(struct worker_hand *h) {
    *h = (struct worker_hand){.commands = -1, .answers = -1};
}

int worker_hand_open(struct worker_hand *h, const int fds[static AGENT_JOB_SCRIBE_FDS],
                     struct err *e) {
    OWN(fd) int ring = fds[2];
    h->commands = fds[0];
    h->answers = fds[1];
    return agent_ring_map(ring, true, &h->ring, e);
}

int worker_hand_flush(struct worker_hand *h, struct err *e) {
    const uint8_t *from = (const uint8_t *)h->records;
    size_t left = h->n * sizeof h->records[0];
    h->n = 0;
    while (left > 0) {
        ssize_t sent = write(h->commands, from, left);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EPIPE ? lost(e)
                                  : err_errno(e, errno, "handing over what goes into a slot");
        from += sent;
        left -= (size_t)sent;
    }
    return 0;
}

static int say(struct worker_hand *h, const struct agent_job_record *record, struct err *e) {
    h->records[h->n++] = *record;
    return h->n == WORKER_HAND_RECORDS ? worker_hand_flush(h, e) : 0;
}

static int ask(struct worker_hand *h, struct err *e) {
    const struct agent_job_record record = {.what = AGENT_JOB_AWAIT};
    h->asked++;
    return say(h, &record, e) < 0 ? -1 : worker_hand_flush(h, e);
}

// Until so many questions were answered.
static int hear(struct worker_hand *h, uint64_t number, struct err *e) {
    while (h->answered < number) {
        uint8_t bytes[WORKER_HAND_PARTS + 1];
        ssize_t got = read(h->answers, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return lost(e);
        h->answered += (uint64_t)got;
    }
    return 0;
}

// The part that was filled is left, and the next one is entered when it is free.
static int turn(struct worker_hand *h, struct err *e) {
    size_t part = h->at / WORKER_HAND_PART_BYTES - 1, next = (part + 1) % WORKER_HAND_PARTS;
    if (ask(h, e) < 0)
        return -1;
    h->parts[part].asked = h->asked;
    h->at %= AGENT_RING_BYTES;
    if (hear(h, h->parts[next].asked, e) < 0)
        return -1;
    h->parts[next].to = 0;
    return 0;
}

// Of several images all of each may lie there.
static void note(struct worker_hand *h, uint32_t image, uint64_t from, uint64_t to) {
    size_t part = h->at / WORKER_HAND_PART_BYTES;
    bool is_first = h->parts[part].to == 0;
    if (!is_first && h->parts[part].image != image) {
        from = 0;
        to = UINT64_MAX;
        image = WORKER_HAND_SEVERAL;
    }
    h->parts[part].image = image;
    if (is_first || from < h->parts[part].from)
        h->parts[part].from = from;
    if (to > h->parts[part].to)
        h->parts[part].to = to;
}

static bool is_zero(const uint8_t *data, size_t len) {
    return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

// Noted as if they lay at the end of the part that is being filled: the answer to what is asked there
// comes after them.
static int write_zeros(struct worker_hand *h, uint32_t image, size_t len, uint64_t offset,
                       struct err *e) {
    struct agent_job_record *last = h->n ? &h->records[h->n - 1] : NULL;
    note(h, image, offset, offset + len);
    if (last && last->what == AGENT_JOB_ZERO && last->image == image &&
        last->offset + last->bytes == offset) {
        last->bytes += len;
        return 0;
    }
    const struct agent_job_record record = {
        .what = AGENT_JOB_ZERO, .image = image, .offset = offset, .bytes = len};
    return say(h, &record, e);
}

int worker_hand_write(struct worker_hand *h, uint32_t image, const void *data, size_t len,
                      uint64_t offset, struct err *e) {
    if (len >= WORKER_HAND_ZERO_BYTES && is_zero(data, len))
        return write_zeros(h, image, len, offset, e);
    for (size_t done = 0; done < len;) {
        size_t room = WORKER_HAND_PART_BYTES - h->at % WORKER_HAND_PART_BYTES;
        size_t n = len - done < room ? len - done : room;
        const struct agent_job_record record = {.what = AGENT_JOB_WRITE,
                                                .image = image,
                                                .offset = offset + done,
                                                .bytes = n,
                                                .at = h->at};
        note(h, image, offset + done, offset + done + n);
        memcpy(h->ring + h->at, (const uint8_t *)data + done, n);
        if (say(h, &record, e) < 0)
            return -1;
        h->at += n;
        done += n;
        if (n == room && turn(h, e) < 0)
            return -1;
    }
    return 0;
}

int worker_hand_settle(struct worker_hand *h, uint32_t image, uint64_t offset, struct err *e) {
    const struct agent_job_record record = {
        .what = AGENT_JOB_SETTLE, .image = image, .offset = offset};
    return say(h, &record, e) < 0 ? -1 : worker_hand_flush(h, e);
}

int worker_hand_await(struct worker_hand *h, uint32_t image, uint64_t offset, uint64_t len,
                      struct err *e) {
    size_t current = h->at / WORKER_HAND_PART_BYTES;
    uint64_t number = 0;
    for (size_t i = 0; i < WORKER_HAND_PARTS; i++) {
        bool meets = (h->parts[i].image == image || h->parts[i].image == WORKER_HAND_SEVERAL) &&
                     h->parts[i].to > offset &&
                     (h->parts[i].from <= offset || h->parts[i].from - offset < len);
        if (meets && i == current)
            return ask(h, e) < 0 ? -1 : hear(h, h->asked, e);
        if (meets && h->parts[i].asked > number)
            number = h->parts[i].asked;
    }
    return hear(h, number, e);
}

void worker_hand_close(struct worker_hand *h) {
    own_drop_fd(&h->commands);
    own_drop_fd(&h->answers);
    agent_ring_unmap(h->ring);
    worker_hand_init(h);
}
