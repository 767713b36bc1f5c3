// SPDX-License-Identifier: Apache-2.0
//
// What the worker hands to the scribe: bytes through the memory that they share (agent/ring.h), and records of what they are through a pipe. The memory
// is used in parts. At the end of a part goes an AWAIT, and before a part is used again the scribe's answer to that is awaited: so many bytes, and not
// more, can be on their way. Long zeros need none of it. Records are kept until there are some, a part ends, something is settled, or somebody waits for an answer.
#pragma once

#include "agent/job.h"
#include "agent/ring.h"

#define WORKER_HAND_PARTS      4
#define WORKER_HAND_PART_BYTES (AGENT_RING_BYTES / WORKER_HAND_PARTS)
#define WORKER_HAND_ZERO_BYTES 32768      // what has fewer of them is handed over as bytes
#define WORKER_HAND_RECORDS    64         // kept, at most
#define WORKER_HAND_SEVERAL    UINT32_MAX // images, in one part

struct worker_hand {
    int commands, answers; // pipes, owned; -1: there is no scribe
    uint8_t *ring;         // owned
    size_t at;             // in it, where the next byte goes
    uint64_t asked, answered;
    // Of each part: the number of the AWAIT at its end, 0 when it was not used before; and what lies in
    // it now, from the first place of an image to behind the last.
    struct {
        uint64_t asked;
        uint32_t image;
        uint64_t from, to;
    } parts[WORKER_HAND_PARTS];
    size_t n;
    struct agent_job_record records[WORKER_HAND_RECORDS];
};

// There is no scribe.
void worker_hand_init(struct worker_hand *h) __attribute__((nonnull));
// fds: the two pipes and the memory, its own from now on, also after a failure.
int worker_hand_open(struct worker_hand *h, const int fds[static AGENT_JOB_SCRIBE_FDS],
                     struct err *e) __attribute__((nonnull));
// These bytes to a place of an image. Kinds: io, also when the scribe has gone.
int worker_hand_write(struct worker_hand *h, uint32_t image, const void *data, size_t len,
                      uint64_t offset, struct err *e) __attribute__((nonnull));
int worker_hand_settle(struct worker_hand *h, uint32_t image, uint64_t offset, struct err *e)
    __attribute__((nonnull));
// Returns when what was handed over of these bytes can be read.
int worker_hand_await(struct worker_hand *h, uint32_t image, uint64_t offset, uint64_t len,
                      struct err *e) __attribute__((nonnull));
// All that was handed over before is on its way. To be called at the end.
int worker_hand_flush(struct worker_hand *h, struct err *e) __attribute__((nonnull));
void worker_hand_close(struct worker_hand *h) __attribute__((nonnull));
