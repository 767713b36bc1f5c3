// SPDX-License-Identifier: Apache-2.0
//
// The journal: the record of the state machine and what must become durable in the same instant. It
// is one text in two checksummed copies (agent/pair.h), private/journal and private/journal.2,
// replaced as a whole at every change of state *before* the work of the new state begins.
//
//   {"committed":N,"dates":{SOURCE:{"held":N,"signed":N},…},
//    "failures":[{"attempt":N,"bundle":ID},…],"format":1,"last":UPDATE|null,"next":N,
//    "previous":N|null,"report":REPORT|null,"report_next":N,"revert_committed":bool,"revert_to":N,
//    "sequence":N,
//    "sham":{"report":REPORT|null,"state":"sham_probation"|"","taken":[{"at":N,"attempt":N,"rollout":…},…],"update":UPDATE|null},
//    "state":"idle","trusted_s":N,"update":UPDATE|null,"why":{"code":…,"text":…}}
//
// `report` is the report of the last change of state. It is queued after the journal is durable; if
// the power fails between the two, opening finds that the queue ends before its id and queues it
// then, so that every change is reported exactly once into the queue (I5).
//
// `dates` are those of agent/fsm/trusted.h; `trusted_s` is the largest of them, all that agents
// knew that had no `dates`, and what such an agent leaves counts as the director's word.
//
// During a sham (agent/fsm/machine.h) `state` is idle, for agents that do not know of shams: what runs is
// committed. Which of its states it is, and its report, which has an event that they do not know, are in `sham`;
// and the shams that were taken.
//
// Unknown members are ignored and missing ones have defaults, so that the agent one version back or
// ahead reads it; `format` rises only when that would be wrong.
#pragma once

#include "agent/fsm/record.h"
#include "agent/fsm/trusted.h"

#define AGENT_JOURNAL_FORMAT 1

struct agent_journal {
    uint64_t serial; // of the pair
    struct fsm_record record;
    uint64_t sequence; // of the last instruction that was accepted
    struct fsm_trusted trusted;
    uint64_t report_next; // id of the next report
    bool has_report;
    struct bundle_report report;
};

// Reads private/journal. AGENT_JOURNAL_ABSENT on a new device. Kinds: bad_journal, newer_format.
enum { AGENT_JOURNAL_ABSENT = 1 };
int agent_journal_read(int private_dir, struct agent_journal *ret, struct err *e)
    __attribute__((nonnull));
// Makes it durable with the next serial. On failure memory and disk may differ: the caller stops
// work.
int agent_journal_write(int private_dir, struct agent_journal *journal, struct err *e)
    __attribute__((nonnull));
