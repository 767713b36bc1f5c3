// SPDX-License-Identifier: Apache-2.0
//
// Updates with an image beside files: which slot it goes to, what is given up for it, and each of
// these killed at every call to the file system and recovered. What the worker would write is
// written here, into the descriptor that it would get.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/scribe.h"
#include "agent/slots.h"
#include "tests/unit/agent/device.h"

#define IMAGE_BYTES 20001
#define SLOT_BYTES  32768

// What the image of a release holds.
static void fill(const char *release, uint8_t ret[static IMAGE_BYTES]) {
    for (size_t i = 0; i < IMAGE_BYTES; i++)
        ret[i] = (uint8_t)(release[i % strlen(release)] + (int)(i / 251));
}

// The next download brings app and model of this release, and this image.
static void release_with(struct device *d, const char *release, const char *image) {
    uint8_t bytes[IMAGE_BYTES];
    struct keys_digest digest;
    char hex[KEYS_DIGEST_HEX];
    device_release(d, release, NULL);
    struct bundle_manifest_unverified *files = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_manifest_peek(buf_slice(&d->manifest), &files, &e), 0, "%s", e.text);
    json_t *components =
        json_deep_copy(json_object_get(bundle_manifest_peek_json(files), "components"));
    bundle_manifest_peek_free(files);
    fill(image, bytes);
    keys_digest_of(bytes, sizeof bytes, &digest);
    json_array_append_new(components,
                          json_pack("{s{ss si} ss si ss}", "content", "digest",
                                    keys_digest_hex(&digest, hex), "size", IMAGE_BYTES, "name",
                                    "rootfs", "security_version", 5, "type", "image"));
    device_release(d, release, json_pack("{so}", "components", components));
}

// In the worker's place.
static int stage_image(struct device *d, struct err *e) {
    OWN(images) struct bundle_image_places to = {.n = 0};
    uint8_t bytes[IMAGE_BYTES];
    struct slice raw = {d->manifest.data, d->manifest.len};
    if (update_engine_keep_manifest(d->update, raw, e) < 0 ||
        update_engine_manifest(d->update, e) < 0 ||
        update_images_claim(d->update, d->update->manifest, &to, e) < 0 ||
        update_images_give_up(d->update, e) < 0)
        return -1;
    fill(d->lie ? d->lie : d->release, bytes);
    for (size_t at = 0; to.n > 0 && at < IMAGE_BYTES; at += 4096) {
        size_t n = IMAGE_BYTES - at < 4096 ? IMAGE_BYTES - at : 4096;
        if (fs_pwrite(to.all[0].fd, bytes + at, n, at, e) < 0)
            return -1;
    }
    return device_stage(d, e);
}

static void fetch(void *context) {
    struct device *d = context;
    struct err e = ERR_NONE;
    update_engine_fire(d->update, FSM_FETCH_BEGUN, NULL);
    if (agent_update_fatal(d->update))
        return;
    d->state.journal.record.update.probation_s = 60;
    d->state.journal.record.update.tries++;
    if (stage_image(d, &e) < 0)
        update_engine_refuse(d->update, &e);
    else
        update_engine_fire(d->update, FSM_FETCHED, NULL);
}

// The agent starts its own program as the scribe: here that is this one.
__attribute__((constructor)) static void be_the_scribe(int argc, char **argv) {
    if (argc != 2 || strcmp(argv[1], AGENT_SCRIBE_OPTION) != 0)
        return;
    (void)signal(SIGPIPE, SIG_IGN);
    _exit(agent_scribe_run());
}

// What the worker says to the scribe.
static void say(const int to[static AGENT_JOB_SCRIBE_FDS], uint32_t what, uint64_t offset,
                const uint8_t *bytes, size_t n) {
    const struct agent_job_record record = {what, 0, offset, n, 0};
    cr_assert(n == 0 || pwrite(to[2], bytes, n, 0) == (ssize_t)n);
    cr_assert_eq(write(to[0], &record, sizeof record), (ssize_t)sizeof record);
}

// As a worker does that has no descriptor to write by; with d->lie, when all that it wrote was read back, it
// writes something else.
static int stage_by_scribe(struct device *d, struct err *e) {
    OWN(images) struct bundle_image_places to = {.n = 0};
    const struct err well = ERR_NONE;
    struct bundle_seal_reads reads = {.n = 0};
    uint8_t bytes[IMAGE_BYTES];
    struct slice raw = {d->manifest.data, d->manifest.len};
    const char *lie = own_take(&d->lie); // the files are what they should be
    int hand[AGENT_JOB_SCRIBE_FDS];
    if (update_engine_keep_manifest(d->update, raw, e) < 0 ||
        update_engine_manifest(d->update, e) < 0 ||
        update_images_claim(d->update, d->update->manifest, &to, e) < 0 ||
        update_images_give_up(d->update, e) < 0 || device_stage(d, e) < 0 ||
        update_follow_begin(d->update, &to, hand, e) < 0)
        return -1;
    bundle_image_close(&to);
    fill(d->release, bytes);
    say(hand, AGENT_JOB_WRITE, 0, bytes, sizeof bytes);
    say(hand, AGENT_JOB_SETTLE, IMAGE_BYTES, NULL, 0);
    // Until the agent heard that, and read it: one slice is all of it.
    for (int turn = 0; turn < 6000 && d->update->read_back_ms < 0; turn++)
        cr_assert_eq(agent_loop_turn(&d->loop, 10, e), 0, "%s", e->text);
    cr_assert_geq(d->update->read_back_ms, 0);
    if (lie) {
        fill(lie, bytes);
        say(hand, AGENT_JOB_WRITE, 0, bytes, 100);
        say(hand, AGENT_JOB_SETTLE, IMAGE_BYTES, NULL, 0);
    }
    for (size_t i = 0; i < AGENT_JOB_SCRIBE_FDS; i++)
        own_drop_fd(&hand[i]);
    update_follow_reads(d->update, &reads);
    cr_expect_eq(reads.n, 0, "as long as there is a scribe");
    cr_assert(update_follow_worker_ended(d->update, &well));
    return 0;
}

static void fetch_by_scribe(void *context) {
    struct device *d = context;
    struct err e = ERR_NONE;
    update_engine_fire(d->update, FSM_FETCH_BEGUN, NULL);
    d->state.journal.record.update.probation_s = 60;
    d->state.journal.record.update.tries++;
    if (stage_by_scribe(d, &e) < 0)
        update_engine_refuse(d->update, &e);
}

static int open_device(struct device *d, struct err *e) {
    if (device_open(d, e) < 0)
        return -1;
    d->update->host.fetch = fetch;
    return 0;
}

static void write_slot(const struct device *d, const char *name, size_t bytes) {
    static const uint8_t rubbish[SLOT_BYTES] = {7};
    OWN(fd) int fd = openat(d->dir.fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && write(fd, rubbish, bytes) == (ssize_t)bytes);
}

static void start(struct device *d) {
    struct err e = ERR_NONE;
    device_make(d, json_pack("{s{s[ss]}}", "slots", "rootfs", "a", "b"));
    write_slot(d, "a", SLOT_BYTES);
    write_slot(d, "b", SLOT_BYTES);
    cr_assert_eq(open_device(d, &e), 0, "%s", e.text);
}

static void install(struct device *d, const char *release) {
    struct err e = ERR_NONE;
    char runs[16];
    release_with(d, release, release);
    cr_assert_eq(device_offer(d, true, &e), 0, "%s", e.text);
    device_drive(d);
    cr_assert_eq(d->state.journal.record.state, FSM_IDLE);
    cr_assert_str_eq(device_runs(d, runs), release, "%s", d->state.journal.record.why.text);
}

static bool holds(const struct device *d, const char *path, const char *release) {
    uint8_t wanted[IMAGE_BYTES], found[IMAGE_BYTES];
    OWN(fd) int fd = openat(d->dir.fd, path, O_RDONLY | O_CLOEXEC);
    fill(release, wanted);
    return fd >= 0 && read(fd, found, sizeof found) == IMAGE_BYTES &&
           memcmp(wanted, found, sizeof found) == 0;
}

// Reports with this event and code.
static size_t count_reports(struct device *d, enum bundle_event event, const char *code) {
    struct bundle_report *reports = NULL;
    struct err e = ERR_NONE;
    size_t n = 0, found = 0;
    cr_assert_eq(agent_queue_peek(&d->state.queue, 256, &reports, &n, &e), 0, "%s", e.text);
    for (size_t i = 0; i < n; i++)
        found += reports[i].event == event && strcmp(reports[i].code, code) == 0;
    free(reports);
    return found;
}

Test(images, i2_the_generation_that_is_written_over_is_given_up_with_a_report) {
    struct device d;
    const struct fsm_record *r = &d.state.journal.record;
    start(&d);
    install(&d, "1.0");
    cr_expect_not(r->has_previous && r->previous != 0, "generation 0 is empty");
    install(&d, "1.1");
    cr_expect(r->has_previous && holds(&d, "a", "1.0") && holds(&d, "b", "1.1"));
    cr_expect_eq(count_reports(&d, BUNDLE_EVENT_WAITING, "previous_dropped"), 0,
                 "the empty generation had nothing to lose");
    install(&d, "1.2");
    cr_expect_eq(count_reports(&d, BUNDLE_EVENT_WAITING, "previous_dropped"), 1);
    cr_expect(r->has_previous && holds(&d, "a", "1.2") && holds(&d, "b", "1.1"));
    cr_expect_eq(device_generations(&d), 2, "I8");
    device_drop(&d);
}

Test(images, i2_an_update_that_fails_after_that_leaves_what_runs_and_nothing_else) {
    struct device d;
    const struct fsm_record *r = &d.state.journal.record;
    struct err e = ERR_NONE;
    start(&d);
    install(&d, "1.0");
    install(&d, "1.1");
    release_with(&d, "1.2", "1.2");
    d.lie = "other";
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    device_drive(&d);
    // Read back, it was wrong: what runs is what ran, and there is nothing before it.
    cr_expect_eq(r->state, FSM_IDLE);
    cr_expect_str_eq(r->why.code, "bad_content");
    cr_expect_not(r->has_previous);
    cr_expect_eq(device_generations(&d), 1, "what was given up is gone");
    cr_expect_eq(count_reports(&d, BUNDLE_EVENT_WAITING, "previous_dropped"), 1);
    char runs[16];
    cr_expect_str_eq(device_runs(&d, runs), "1.1");
    cr_expect_lt(device_ask(&d, FSM_ASK_REVERT, &e), 0);
    cr_expect(err_is(&e, &err_no_previous), "%s", e.text);
    device_drop(&d);
}

Test(images, i1_damage_to_a_slot_is_found_before_it_runs) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    const struct fsm_record *r = &d.state.journal.record;
    start(&d);
    install(&d, "1.0");
    release_with(&d, "1.1", "1.1");
    cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_WAITING));
    OWN(fd) int slot = openat(d.dir.fd, "b", O_RDWR | O_CLOEXEC);
    cr_assert_eq(pwrite(slot, "damage", 6, 12345), 6);
    fake_clock_advance(&d.clock, UPDATE_ENGINE_FRESH_MS + 1000);
    agent_update_looked(d.update);
    device_drive(&d);
    cr_expect_eq(r->state, FSM_IDLE);
    cr_expect_str_eq(r->why.code, "bad_content", "%s", r->why.text);
    cr_expect_eq(r->n_failures, 0, "I4: not the bundle's fault");
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    device_drop(&d);
}

Test(images, i1_a_slot_that_was_damaged_is_not_gone_back_to) {
    struct device d;
    char runs[16];
    const struct fsm_record *r = &d.state.journal.record;
    start(&d);
    install(&d, "1.0");
    install(&d, "1.1");
    OWN(fd) int slot = openat(d.dir.fd, "a", O_RDWR | O_CLOEXEC);
    cr_assert_eq(pwrite(slot, "damage", 6, 12345), 6);
    device_obey(&d, FSM_ASK_REVERT);
    device_drive(&d);
    cr_expect_eq(r->state, FSM_IDLE);
    cr_expect_str_eq(r->why.code, "revert_failed");
    cr_expect_str_eq(device_runs(&d, runs), "1.1");
    device_drop(&d);
}

Test(images, i1_an_image_is_read_back_while_a_scribe_writes_it) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    start(&d);
    d.update->host.fetch = fetch_by_scribe;
    release_with(&d, "1.0", "1.0");
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    for (int turn = 0; turn < 2000 && !agent_update_is_settled(d.update); turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 10, &e), 0, "%s", e.text);
    for (int turn = 0; turn < 2000 && d.state.journal.record.state == FSM_FETCHING; turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 10, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_assert_eq(d.state.journal.record.state, FSM_IDLE);
    cr_expect_str_eq(device_runs(&d, runs), "1.0", "%s", d.state.journal.record.why.text);
    cr_expect(holds(&d, "a", "1.0") || holds(&d, "b", "1.0"));
    device_drop(&d);
}

// I1 against a worker that was taken over: what was hashed is what stays.
Test(images, i1_a_worker_that_writes_after_it_was_read_gains_nothing) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    d.update->host.fetch = fetch_by_scribe;
    release_with(&d, "1.0", "1.0");
    d.lie = "0.0";
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    for (int turn = 0; turn < 2000 && !agent_update_is_settled(d.update); turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 10, &e), 0, "%s", e.text);
    for (int turn = 0; turn < 2000 && d.state.journal.record.state == FSM_FETCHING; turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 10, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_assert_eq(d.state.journal.record.state, FSM_IDLE);
    cr_expect_eq(count_reports(&d, BUNDLE_EVENT_REFUSED, "bad_content"), 1, "%s",
                 d.state.journal.record.why.text);
    cr_expect_eq(count_reports(&d, BUNDLE_EVENT_ACTIVATED, ""), 0);
    device_drop(&d);
}

// A worker that leaves a manifest, says so twice, and stays.
static void write_worker(struct device *d) {
    static const struct {
        uint32_t type, bytes;
        struct agent_job_manifest body;
    } packet = {.type = AGENT_JOB_MANIFEST, .bytes = sizeof packet.body};
    char script[4 * TMP_PATH_BYTES], path[TMP_PATH_BYTES + 16];
    int len =
        snprintf(script, sizeof script,
                 "#!/bin/sh\ncd '%s' && cat manifest >&%d && cat said >&%d && cat said >&%d\n"
                 "exec sleep 600\n",
                 d->dir.path, AGENT_JOB_FIRST_FD + 4, AGENT_JOB_CONTROL_FD, AGENT_JOB_CONTROL_FD);
    device_write(d, "worker", script, (size_t)len);
    device_write(d, "said", &packet, sizeof packet);
    device_write(d, "manifest", d->manifest.data, d->manifest.len);
    // Run as root the worker is another user, who must come in.
    (void)snprintf(path, sizeof path, "%s/worker", d->dir.path);
    cr_assert(chmod(path, 0755) == 0 && chmod(d->dir.path, 0755) == 0);
}

// Taken over, it can say at any time whatever there is to say.
Test(images, a_worker_that_announces_a_second_manifest_ends_its_job_and_not_the_agent) {
    struct device d;
    struct err e = ERR_NONE;
    struct fsm_update offer = {.local = true, .attempt = 1, .restarts_max = 3};
    const struct fsm_record *r = &d.state.journal.record;
    device_make(&d, json_pack("{s{s[ss]} ss ss}", "slots", "rootfs", "a", "b", "worker", "worker",
                              "worker_user", "nobody"));
    write_slot(&d, "a", SLOT_BYTES);
    write_slot(&d, "b", SLOT_BYTES);
    release_with(&d, "1.0", "1.0");
    write_worker(&d);
    d.hires = true;
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    int file = openat(d.dir.fd, "manifest", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(file, 0);
    cr_assert_eq(agent_update_offer(d.update, &offer, file, &e), 0, "%s", e.text);
    for (int turn = 0; turn < 600 && (r->state != FSM_IDLE || r->why.code[0] == '\0'); turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 100, &e), 0, "%s", e.text);
    cr_expect_str_eq(r->why.code, "worker_failed", "%s", r->why.text);
    cr_expect(strstr(r->why.text, "twice"), "%s", r->why.text);
    cr_expect_eq(r->n_failures, 0, "I4: not the bundle's fault");
    cr_expect_null(d.update->follow);
    device_drop(&d);
}

Test(images, the_same_image_is_not_written_again) {
    struct device d;
    const struct fsm_record *r = &d.state.journal.record;
    struct err e = ERR_NONE;
    start(&d);
    install(&d, "1.0");
    install(&d, "1.1");
    uint64_t before = r->previous;
    release_with(&d, "1.2", "1.1");
    cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_WAITING));
    cr_expect(r->has_previous && r->previous == before, "nothing is given up for it");
    agent_update_looked(d.update);
    device_drive(&d);
    cr_expect(holds(&d, "a", "1.0") && holds(&d, "state/current/rootfs/image", "1.1"));
    device_drop(&d);
}

// ── Killed everywhere ───────────────────────────────────────────────────────────────────────────

struct plan {
    const char *before, *after;
    bool (*begin)(struct device *d); // false when the device died at it
};

static bool begin_update(struct device *d) {
    struct err e = ERR_NONE;
    return device_offer(d, true, &e) == 0;
}

static bool begin_failing_update(struct device *d) {
    struct err e = ERR_NONE, why = ERR_NONE;
    err_set(&why, &err_probe_failed, "slow");
    return device_offer(d, true, &e) == 0 && device_reach(d, FSM_PROBATION) &&
           agent_update_ask(d->update, FSM_ASK_REVERT, &why, &e) == 0;
}

static bool begin_rollback(struct device *d) {
    struct err e = ERR_NONE;
    return device_ask(d, FSM_ASK_REVERT, &e) == 0;
}

// What applications see when nobody is there to repair anything.
static void check_seen(const struct device *d, const struct plan *plan, size_t n) {
    cr_assert(holds(d, "state/current/rootfs/image", plan->before) ||
                  holds(d, "state/current/rootfs/image", plan->after),
              "I1: after call %zu current leads to no whole image", n);
}

static void check_recovered(struct device *d, const struct plan *plan, size_t n) {
    const struct fsm_record *r = &d->state.journal.record;
    struct bundle_generation g;
    struct err e = ERR_NONE;
    char runs[16];
    device_runs(d, runs); // verifies it, slot included
    cr_assert(strcmp(runs, plan->before) == 0 || strcmp(runs, plan->after) == 0, "%s runs", runs);
    cr_assert(holds(d, "state/current/rootfs/image", runs), "I7: after call %zu", n);
    cr_assert_eq(agent_store_verify(&d->state.store, r->committed, NULL, NULL, &g, &e), 0,
                 "I2: after call %zu, the committed generation: %s", n, e.text);
    if (r->has_previous)
        cr_assert_eq(agent_store_verify(&d->state.store, r->previous, NULL, NULL, &g, &e), 0,
                     "I2: after call %zu, the previous generation: %s", n, e.text);
}

// Everything fails from the n-th call on, then the device starts again. False when no call failed.
static bool killed_at(const struct plan *plan, size_t n) {
    struct device d;
    struct err e = ERR_NONE;
    const struct fs_fault fault = {
        .at = n, .effect = FS_FAULT_ERROR, .error = EIO, .for_ever = true};
    start(&d);
    install(&d, "1.0");
    install(&d, "1.1");
    release_with(&d, "1.2", "1.2");
    fs_fault_begin(&fault);
    if (plan->begin(&d))
        device_drive(&d);
    device_close(&d);
    bool hit = fs_fault_end(NULL);
    check_seen(&d, plan, n);
    cr_assert_eq(open_device(&d, &e), 0, "after call %zu: %s", n, e.text);
    check_recovered(&d, plan, n);
    device_drive(&d);
    const struct fsm_record *r = &d.state.journal.record;
    cr_assert_eq(r->state, FSM_IDLE, "after call %zu: %s", n, fsm_machine_state_names[r->state]);
    check_recovered(&d, plan, n);
    cr_assert_eq(device_generations(&d), r->has_previous ? 2 : 1,
                 "I8: after call %zu something is left over", n);
    device_drop(&d);
    return hit;
}

static void kill_everywhere(const struct plan *plan) {
    size_t n = 0;
    while (killed_at(plan, n))
        n++;
    cr_assert_gt(n, 20, "only %zu calls were killed", n);
}

Test(images, killed_at_any_call_an_update_leaves_whole_what_it_says_it_has, .timeout = 1200) {
    const struct plan plan = {"1.1", "1.2", begin_update};
    kill_everywhere(&plan);
}

Test(images, killed_at_any_call_an_update_that_fails_leaves_whole_what_it_says_it_has,
     .timeout = 1200) {
    const struct plan plan = {"1.2", "1.1", begin_failing_update};
    kill_everywhere(&plan);
}

Test(images, killed_at_any_call_a_rollback_leaves_whole_what_it_says_it_has, .timeout = 1200) {
    const struct plan plan = {"1.1", "1.0", begin_rollback};
    kill_everywhere(&plan);
}
