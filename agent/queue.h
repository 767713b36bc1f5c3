// SPDX-License-Identifier: Apache-2.0
//
// The reports that the controller has not acknowledged yet (I5), durable in private/queue:
//
//     edge-queue 1\n
//     <16 hex digits> <one JSON value>\n        for each record; the digits are the digest's first
//     8 bytes
//
// The first record is the head, {"dropped":N,"next":ID,"refused":N}, the others are reports in
// order of their ids. A new report is appended and synced. Acknowledging rewrites the file as a
// whole. A record whose digits do not match, a torn last one for example, is skipped and counted.
//
// Bounded: a report about waiting says nothing that the next check-in does not say too; such
// heartbeats are dropped, the oldest first, when the queue is full. Reports of transitions are
// never dropped; when they alone leave less room than one update needs, agent_queue_has_room says
// no and no install starts. Where no controller is configured nobody is owed them, and a queue that
// nobody empties must not stop anything: then the last AGENT_QUEUE_RING_MAX are kept, for a person
// or for a controller to come, and what is dropped is counted (`ring`, set by who opened it).
//
// What the controller refuses for good is moved to private/refused (the
// last ones) and counted.
//
// The controller takes an id once. Where it acknowledges ids that this queue never gave out, the
// queue is older than what was sent: the state directory was put back. Then what waits is numbered
// anew, above those, and sent; a report that had come through before comes twice, which is better
// than that what happened since is taken for what is known. Where a TPM says so before the first
// check-in (agent/anchor.h), nothing is sent until the controller said where it is (`unsure`).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "bundle/report.h"

#define AGENT_QUEUE_REPORTS_MAX  256
#define AGENT_QUEUE_UPDATE_NEEDS 16 // reports an update may still bring forth
#define AGENT_QUEUE_RING_MAX     64 // kept where nobody takes them
#define AGENT_QUEUE_FILE_MAX     (2 * 1024 * 1024)
#define AGENT_QUEUE_REFUSED_MAX  (64 * 1024) // bytes of private/refused
// What no device gave out between two copies of its state: a controller that acknowledges further
// ahead is not followed, or it could use up all ids there are.
#define AGENT_QUEUE_LEAP_MAX (1ULL << 32)

struct agent_queue {
    int private_dir; // borrowed
    uint64_t next;   // id of the next report
    uint64_t dropped;
    uint64_t refused;
    uint64_t damaged; // records skipped when the file was read
    size_t n;         // reports waiting
    bool ring;        // no controller takes them: the last ones are kept
    bool unsure;      // the state was put back; until the next settling nothing is sent
    size_t n_transitions;
};

// Reads private/queue (absent: empty). Ids below at_least are never given out again.
int agent_queue_open(int private_dir, uint64_t at_least, struct agent_queue *ret, struct err *e)
    __attribute__((nonnull));
// Only looks, for the status: changes nothing. AGENT_QUEUE_ABSENT when there is no file (*ret is
// empty).
enum { AGENT_QUEUE_ABSENT = 1 };
int agent_queue_look(int private_dir, uint64_t at_least, struct agent_queue *ret, struct err *e)
    __attribute__((nonnull));
// Appends, durable when it returns. report->id must be queue->next; it is one higher afterwards.
int agent_queue_add(struct agent_queue *queue, const struct bundle_report *report, struct err *e)
    __attribute__((nonnull));
bool agent_queue_has_room(const struct agent_queue *queue) __attribute__((nonnull));
// The oldest reports, at most max; *ret is a new array for free().
int agent_queue_peek(const struct agent_queue *queue, size_t max, struct bundle_report **ret,
                     size_t *ret_n, struct err *e) __attribute__((nonnull));
// Forgets what the controller has: every report up to `acked`, and the refused ones, which are set
// aside; or numbers anew what waits, see above.
int agent_queue_settle(struct agent_queue *queue, uint64_t acked, const uint64_t *refused,
                       size_t n_refused, struct err *e) __attribute__((nonnull(1, 5)));
