// SPDX-License-Identifier: Apache-2.0
//
// What survives power cuts and flipped bits: the pair of copies, the journal, the report queue.
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/journal.h"
#include "agent/kind.h"
#include "agent/pair.h"
#include "agent/queue.h"
#include "base/fs.h"
#include "base/own.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/fs_fault.h"
#include "tests/support/tmp.h"

static struct slice text(const char *t) {
    return (struct slice){.data = (const uint8_t *)t, .len = strlen(t)};
}

static int read_pair(int dir, char ret[static 64], uint64_t *serial, struct err *e) {
    OWN(buf) struct buf b;
    buf_init(&b, 4096);
    int done = agent_pair_read(dir, "p", &b, serial, e);
    if (done == 0)
        (void)snprintf(ret, 64, "%s", buf_text(&b));
    return done;
}

static void flip(int dir, const char *name, size_t at) {
    struct err e = ERR_NONE;
    OWN(fd) int fd = -1;
    uint8_t byte;
    size_t got;
    cr_assert_eq(fs_open_write(dir, name, 0600, &fd, &e), 0);
    cr_assert_eq(fs_pread(fd, &byte, 1, at, &got, &e), 0);
    byte ^= 0x10;
    cr_assert_eq(fs_pwrite(fd, &byte, 1, at, &e), 0);
}

Test(pair, any_flipped_bit_in_one_copy_is_noticed_and_the_other_used) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct stat status;
    char got[64];
    uint64_t serial;
    cr_assert_eq(agent_pair_write(dir.fd, "p", 7, text("hello"), &e), 0, "%s", e.text);
    cr_assert_eq(fs_stat(dir.fd, "p", &status, &e), 0);
    for (size_t at = 0; at < (size_t)status.st_size; at++) {
        const char *copy = at % 2 ? "p" : "p.2";
        flip(dir.fd, copy, at);
        got[0] = '\0';
        cr_assert_eq(read_pair(dir.fd, got, &serial, &e), 0, "byte %zu: %s", at, e.text);
        cr_assert_str_eq(got, "hello");
        cr_assert_eq(serial, 7);
        flip(dir.fd, copy, at);
    }
}

Test(pair, two_damaged_copies_are_an_error_and_not_an_empty_text) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    char got[64];
    uint64_t serial;
    cr_assert_eq(read_pair(dir.fd, got, &serial, &e), AGENT_PAIR_ABSENT);
    cr_assert_eq(agent_pair_write(dir.fd, "p", 7, text("hello"), &e), 0);
    flip(dir.fd, "p", 90);
    flip(dir.fd, "p.2", 3);
    cr_assert_lt(read_pair(dir.fd, got, &serial, &e), 0);
    cr_assert(err_is(&e, &err_bad_journal), "%s", e.text);
}

Test(pair, killed_at_any_call_the_old_or_the_new_text_is_read_and_after_success_the_new) {
    bool hit = true;
    for (size_t n = 0; hit; n++) {
        OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
        struct fs_fault fault = {.at = n, .error = EIO, .for_ever = true};
        struct err e = ERR_NONE, failed = ERR_NONE;
        char got[64] = "";
        uint64_t serial;
        cr_assert_eq(agent_pair_write(dir.fd, "p", 1, text("old"), &e), 0);
        fs_fault_begin(&fault);
        int done = agent_pair_write(dir.fd, "p", 2, text("new"), &failed);
        hit = fs_fault_end(NULL);
        cr_assert_eq(done < 0, hit);
        cr_assert_eq(read_pair(dir.fd, got, &serial, &e), 0, "%s", e.text);
        cr_assert(strcmp(got, "new") == 0 || (hit && strcmp(got, "old") == 0), "%zu: %s", n, got);
    }
}

Test(pair, a_newer_format_is_said_to_be_one) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    char got[64];
    uint64_t serial;
    const char *newer = "edge-pair 2 1 0 whatever\n";
    cr_assert_eq(fs_replace(dir.fd, "p", newer, strlen(newer), 0600, &e), 0);
    cr_assert_lt(read_pair(dir.fd, got, &serial, &e), 0);
    cr_assert(err_is(&e, &err_newer_format), "%s", e.text);
}

static struct agent_journal full_journal(void) {
    struct agent_journal j = {
        .sequence = 99,
        .trusted.dates = {[FSM_TRUSTED_ONLINE] = {.signed_s = 1780000000, .held_s = 1790000000},
                          [FSM_TRUSTED_ROOT] = {.signed_s = 1770000000}},
        .report_next = 8};
    struct fsm_record *r = &j.record;
    r->state = FSM_PROBATION;
    r->committed = 4;
    r->has_previous = true;
    r->previous = 3;
    r->next = 6;
    r->has_update = r->has_last = true;
    r->update = (struct fsm_update){
        .target = 5,
        .rollout = "r",
        .attempt = 2,
        .has_bundle = true,
        .bundle = {{1, 2, 3}},
        .name = "n",
        .release = "1.0~rc1",
        .url = "/b",
        .size = 1ULL << 40,
        .looked = true,
        .tries = 3,
        .restarts = 1,
        .restarts_max = 4,
        .probation_s = 600,
        .probation_done_s = 60,
        .budget = {.has_bytes = true, .has_metered_bytes = true, .bytes = 1ULL << 30},
        .spent = {.delta = 1, .range = 2, .full = 3, .index = 4, .cache = 5, .reused = 6},
        .packing = FSM_PACKING_BUNDLE,
        .staged_bytes = 7,
        .no_delta = true};
    r->last = r->update;
    r->last.target = 4;
    r->last.local = true;
    r->n_failures = 1;
    r->failures[0] = (struct fsm_failure){.bundle = {{9}}, .attempt = 3};
    (void)snprintf(r->why.code, sizeof r->why.code, "probe_failed");
    (void)snprintf(r->why.text, sizeof r->why.text, "a \"quoted\" word");
    j.has_report = true;
    j.report = (struct bundle_report){.id = 7,
                                      .at_s = -1,
                                      .boot_ms = 5,
                                      .event = BUNDLE_EVENT_ACTIVATED,
                                      .rollout = "r",
                                      .attempt = 2};
    return j;
}

Test(journal, what_is_written_is_what_is_read) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_journal out = full_journal(), in;
    memset(&in, 0, sizeof in);
    cr_assert_eq(agent_journal_write(dir.fd, &out, &e), 0, "%s", e.text);
    cr_assert_eq(agent_journal_read(dir.fd, &in, &e), 0, "%s", e.text);
    cr_expect_eq(in.serial, 1);
    cr_expect_eq(in.sequence, 99);
    for (size_t i = 0; i < FSM_TRUSTED_SOURCES; i++) {
        cr_expect_eq(in.trusted.dates[i].signed_s, out.trusted.dates[i].signed_s);
        cr_expect_eq(in.trusted.dates[i].held_s, out.trusted.dates[i].held_s);
    }
    cr_expect_eq(in.report_next, 8);
    cr_expect_eq(in.report.id, 7);
    cr_expect_eq(in.record.state, FSM_PROBATION);
    cr_expect_eq(in.record.previous, 3);
    cr_expect_str_eq(in.record.why.text, "a \"quoted\" word");
    cr_expect_eq(in.record.failures[0].attempt, 3);
    cr_expect_eq(memcmp(&in.record.update, &out.record.update, sizeof in.record.update), 0);
    cr_expect_eq(memcmp(&in.record.last, &out.record.last, sizeof in.record.last), 0);
}

// The JSON library loses the name of a member, and says nothing, where it cannot make room for it.
Test(journal, whatever_allocation_fails_one_that_was_written_is_read) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct agent_journal out = full_journal(), in;
    struct err e = ERR_NONE;
    cr_assert_eq(agent_journal_write(dir.fd, &out, &e), 0, "%s", e.text);
    bool refused = true;
    for (size_t n = 0; refused; n++) {
        out.sequence++;
        alloc_fault_begin(n, false);
        int done = agent_journal_write(dir.fd, &out, &e);
        refused = alloc_fault_end();
        cr_assert(done == 0 || err_is(&e, &err_memory), "allocation %zu: %s", n, e.text);
        err_clear(&e);
        cr_assert_eq(agent_journal_read(dir.fd, &in, &e), 0, "allocation %zu: %s", n, e.text);
        cr_assert(done < 0 || in.sequence == out.sequence, "allocation %zu", n);
        cr_assert_eq(in.record.update.target, 5, "allocation %zu", n);
        cr_assert_eq(in.report.event, BUNDLE_EVENT_ACTIVATED, "allocation %zu", n);
    }
}

// What an agent that knows no shams takes for a device at rest.
Test(journal, a_sham_is_read_as_it_was_written) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_journal out = full_journal(), in;
    out.record.state = FSM_SHAM_WAITING;
    out.record.update.target = out.record.committed;
    out.record.update.until_s = 1790000000;
    out.record.update.windows.install = (struct bundle_window_list){.n = 1, .list = {{60, 90, 3}}};
    out.record.n_shams = 2;
    out.record.shams[0] = (struct fsm_sham_taken){.rollout = "q", .attempt = 4, .at_s = 5};
    out.record.shams[1] = (struct fsm_sham_taken){.rollout = "r", .attempt = 2, .at_s = 6};
    out.report.event = BUNDLE_EVENT_SHAM_REFUSED;
    cr_assert_eq(agent_journal_write(dir.fd, &out, &e), 0, "%s", e.text);
    cr_assert_eq(agent_journal_read(dir.fd, &in, &e), 0, "%s", e.text);
    cr_expect_eq(in.record.state, FSM_SHAM_WAITING);
    cr_expect(in.record.has_update);
    cr_expect_eq(in.record.update.target, 4);
    cr_expect_eq(in.record.update.until_s, 1790000000);
    const struct bundle_window *w = in.record.update.windows.install.list;
    cr_expect_eq(in.record.update.windows.install.n, 1);
    cr_expect(w->start_min == 60 && w->end_min == 90 && w->days == 3);
    cr_assert_eq(in.record.n_shams, 2);
    cr_expect_str_eq(in.record.shams[1].rollout, "r");
    cr_expect_eq(in.record.shams[0].attempt, 4);
    cr_expect_eq(in.record.shams[1].at_s, 6);
    cr_expect(in.has_report);
    cr_expect_eq(in.report.id, 7);
    cr_expect_eq(in.report.event, BUNDLE_EVENT_SHAM_REFUSED);
}

Test(journal, one_from_an_older_agent_with_fewer_members_is_read) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_journal in;
    const char *old =
        "{\"committed\":2,\"format\":1,\"next\":3,\"state\":\"idle\",\"unknown\":[1]}";
    cr_assert_eq(agent_pair_write(dir.fd, "journal", 1, text(old), &e), 0);
    cr_assert_eq(agent_journal_read(dir.fd, &in, &e), 0, "%s", e.text);
    cr_expect_eq(in.record.committed, 2);
    cr_expect_eq(in.report_next, 1);
}

Test(journal, members_that_this_agent_does_not_know_are_passed_over) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_journal in;
    const char *other = "{\"committed\":1,\"format\":1,\"next\":3,\"state\":\"waiting\",\"update\":"
                        "{\"named_root\":2,\"named_snapshot\":1790000001,\"target\":2}}";
    cr_assert_eq(agent_pair_write(dir.fd, "journal", 1, text(other), &e), 0);
    cr_assert_eq(agent_journal_read(dir.fd, &in, &e), 0, "%s", e.text);
    cr_expect_eq(in.record.state, FSM_WAITING);
    cr_expect_eq(in.record.update.target, 2);
    // What an agent that knew no deltas left behind: nothing spent, no budget, a delta may be tried.
    cr_expect_not(in.record.update.budget.has_bytes || in.record.update.budget.has_metered_bytes);
    cr_expect_eq(in.record.update.spent.full, 0);
    cr_expect_eq(in.record.update.packing, FSM_PACKING_NONE);
    cr_expect_not(in.record.update.no_delta);
}

Test(journal, one_that_contradicts_itself_is_refused) {
    static const char *const bad[] = {
        "{\"committed\":3,\"format\":1,\"next\":3,\"state\":\"idle\"}",
        "{\"committed\":2,\"format\":1,\"next\":3,\"state\":\"probation\"}",
        "{\"committed\":2,\"format\":1,\"next\":3,\"previous\":2,\"state\":\"idle\"}",
        "{\"committed\":2,\"format\":1,\"next\":3,\"state\":\"idle\",\"update\":{\"target\":2}}",
        "{\"committed\":2,\"format\":1,\"next\":3,\"sham\":{\"state\":\"sham_waiting\",\"update\":"
        "{\"target\":1}},\"state\":\"idle\"}",
        "{\"committed\":2,\"format\":1,\"next\":3,\"sham\":{\"state\":\"sham_waiting\"},"
        "\"state\":\"idle\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
        struct err e = ERR_NONE;
        struct agent_journal in;
        cr_assert_eq(agent_pair_write(dir.fd, "journal", 1, text(bad[i]), &e), 0);
        cr_expect_lt(agent_journal_read(dir.fd, &in, &e), 0, "case %zu", i);
        cr_expect(err_is(&e, &err_bad_journal), "case %zu: %s", i, e.text);
    }
}

static struct bundle_report report(const struct agent_queue *q, enum bundle_event event) {
    struct bundle_report r = {.id = q->next, .at_s = -1, .event = event, .attempt = 1};
    (void)snprintf(r.text, sizeof r.text, "number %llu", (unsigned long long)q->next);
    return r;
}

static void add(struct agent_queue *q, enum bundle_event event, size_t n) {
    struct err e = ERR_NONE;
    for (size_t i = 0; i < n; i++) {
        struct bundle_report r = report(q, event);
        cr_assert_eq(agent_queue_add(q, &r, &e), 0, "%s", e.text);
    }
}

Test(queue, i5_reports_stay_in_order_until_they_are_acknowledged) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_queue q;
    struct bundle_report *reports = NULL;
    size_t n;
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0, "%s", e.text);
    add(&q, BUNDLE_EVENT_OFFERED, 5);
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0, "%s", e.text);
    cr_assert_eq(agent_queue_settle(&q, 2, NULL, 0, &e), 0, "%s", e.text);
    cr_assert_eq(agent_queue_peek(&q, 2, &reports, &n, &e), 0);
    cr_assert_eq(n, 2);
    cr_expect_eq(reports[0].id, 3);
    cr_expect_str_eq(reports[1].text, "number 4");
    free(reports);
}

Test(queue, i5_an_id_is_never_given_out_twice) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_queue q;
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
    add(&q, BUNDLE_EVENT_OFFERED, 3);
    cr_assert_eq(agent_queue_settle(&q, 3, NULL, 0, &e), 0);
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
    cr_expect_eq(q.n, 0);
    cr_expect_eq(q.next, 4);
    cr_assert_eq(fs_remove(dir.fd, "queue", &e), 0);
    cr_assert_eq(agent_queue_open(dir.fd, 9, &q, &e), 0);
    cr_expect_eq(q.next, 9, "the journal remembers when the file is lost");
}

Test(queue, i5_whatever_allocation_fails_a_report_that_was_queued_is_read) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_queue q;
    bool refused = true;
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
    for (size_t n = 0; refused; n++) {
        struct bundle_report r = report(&q, BUNDLE_EVENT_OFFERED);
        alloc_fault_begin(n, false);
        int done = agent_queue_add(&q, &r, &e);
        refused = alloc_fault_end();
        cr_assert(done == 0 || err_is(&e, &err_memory), "allocation %zu: %s", n, e.text);
        err_clear(&e);
        size_t queued = q.n;
        cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0, "%s", e.text);
        cr_assert_eq(q.n, queued, "allocation %zu", n);
    }
    cr_assert_gt(q.n, 0);
}

Test(queue, i5_heartbeats_go_first_and_transitions_never) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_queue q;
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
    add(&q, BUNDLE_EVENT_WAITING, 10);
    add(&q, BUNDLE_EVENT_COMMITTED, AGENT_QUEUE_REPORTS_MAX - 10);
    cr_expect_not(agent_queue_has_room(&q), "no new install when transitions fill it");
    add(&q, BUNDLE_EVENT_REVERTED, 12);
    cr_expect_eq(q.dropped, 10);
    cr_expect_eq(q.n_transitions, AGENT_QUEUE_REPORTS_MAX + 2);
    add(&q, BUNDLE_EVENT_WAITING, 1);
    cr_expect_eq(q.dropped, 11);
    cr_expect_eq(q.n, q.n_transitions);
}

Test(queue, where_nobody_takes_them_the_last_reports_are_kept_and_the_dropped_counted) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    struct err e = ERR_NONE;
    struct agent_queue q;
    struct bundle_report *reports = NULL;
    size_t n;
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
    q.ring = true;
    add(&q, BUNDLE_EVENT_COMMITTED, 3 * AGENT_QUEUE_REPORTS_MAX);
    cr_expect(agent_queue_has_room(&q));
    cr_expect_leq(q.n, AGENT_QUEUE_RING_MAX);
    cr_expect_eq(q.n + q.dropped, 3 * AGENT_QUEUE_REPORTS_MAX);
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
    cr_assert_eq(agent_queue_peek(&q, AGENT_QUEUE_RING_MAX, &reports, &n, &e), 0);
    cr_assert_eq(n, q.n);
    cr_expect_eq(reports[n - 1].id, 3 * AGENT_QUEUE_REPORTS_MAX, "the last one is there");
    cr_expect_eq(q.n + q.dropped, 3 * AGENT_QUEUE_REPORTS_MAX, "counted durably");
    free(reports);
}

// The copy of a state that was put back does not know which ids were used since.
Test(queue, i5_what_waits_in_a_queue_that_was_put_back_is_numbered_above_what_is_acknowledged) {
    static const struct {
        uint64_t acked;
        bool unsure;
        uint64_t first, n; // of what waits afterwards
    } cases[] = {
        {2, false, 3, 1},  // as ever
        {3, false, 0, 0},  // all of it
        {4, false, 5, 3},  // id 4 was never given out here
        {9, false, 10, 3}, // nor was 9
        {9, true, 10, 3},  // which the TPM said before
        {3, true, 4, 3},   // ids that may be those of others
        {0, true, 4, 3},   // a controller that knows nothing
        {4 + AGENT_QUEUE_LEAP_MAX - 1, false, 4 + AGENT_QUEUE_LEAP_MAX, 3},
        {4 + AGENT_QUEUE_LEAP_MAX, false, 0, 0}, // no device was there: as ever
        {UINT64_MAX, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
        struct err e = ERR_NONE;
        struct agent_queue q;
        struct bundle_report *got = NULL;
        size_t n;
        cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0, "%s", e.text);
        for (int k = 0; k < 3; k++) {
            struct bundle_report r = report(&q, BUNDLE_EVENT_OFFERED);
            cr_assert_eq(agent_queue_add(&q, &r, &e), 0, "%s", e.text);
        }
        q.unsure = cases[i].unsure;
        cr_assert_eq(agent_queue_settle(&q, cases[i].acked, NULL, 0, &e), 0, "%s", e.text);
        cr_expect_not(q.unsure);
        for (int reopened = 0; reopened < 2; reopened++) {
            cr_assert_eq(agent_queue_peek(&q, 10, &got, &n, &e), 0, "%s", e.text);
            cr_expect_eq(n, cases[i].n, "case %zu: %zu", i, n);
            for (size_t k = 0; k < n; k++)
                cr_expect_eq(got[k].id, cases[i].first + k, "case %zu: %" PRIu64, i, got[k].id);
            cr_expect_eq(q.next, n > 0 ? cases[i].first + n : 4, "case %zu: %" PRIu64, i, q.next);
            free(got);
            cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0, "%s", e.text);
        }
    }
}

Test(queue, what_the_controller_refuses_is_set_aside_and_counted) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    OWN(buf) struct buf aside;
    struct err e = ERR_NONE;
    struct agent_queue q;
    const uint64_t refused[] = {2};
    buf_init(&aside, 65536);
    cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
    add(&q, BUNDLE_EVENT_OFFERED, 3);
    cr_assert_eq(agent_queue_settle(&q, 1, refused, 1, &e), 0, "%s", e.text);
    cr_expect_eq(q.n, 1);
    cr_expect_eq(q.refused, 1);
    cr_assert_eq(fs_read_file(dir.fd, "refused", 65536, &aside, &e), 0);
    cr_expect(strstr(buf_text(&aside), "number 2"));
}

Test(queue, a_torn_or_flipped_record_costs_that_record_alone) {
    struct err e = ERR_NONE;
    for (size_t cut = 1; cut < 60; cut += 7) {
        OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
        OWN(fd) int fd = -1;
        struct agent_queue q;
        uint64_t size;
        cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
        add(&q, BUNDLE_EVENT_OFFERED, 3);
        cr_assert_eq(fs_open_write(dir.fd, "queue", 0600, &fd, &e), 0);
        cr_assert_eq(fs_size(fd, &size, &e), 0);
        cr_assert_eq(fs_truncate(fd, size - cut, &e), 0);
        cr_assert_eq(agent_queue_open(dir.fd, 4, &q, &e), 0, "%s", e.text);
        cr_expect_eq(q.n, 2);
        cr_expect_eq(q.damaged, 1);
        add(&q, BUNDLE_EVENT_OFFERED, 1);
        cr_assert_eq(agent_queue_open(dir.fd, 1, &q, &e), 0);
        cr_expect_eq(q.n, 3, "what is appended after it stays readable");
    }
}
