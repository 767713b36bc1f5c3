// SPDX-License-Identifier: Apache-2.0
//
// What the files of agent/update/ share: the engine's memory. Only they include this.
#pragma once

#include "agent/fsm/probation.h"
#include "agent/hire.h"
#include "agent/probe/run.h"
#include "agent/task.h"
#include "agent/trust.h"
#include "agent/update.h"
#include "base/medium.h"
#include "bundle/instruction.h"
#include "bundle/manifest.h"
#include "bundle/seal.h"

// The hash of a seal's read-back stands for the re-verification before the swap (I1) when the same
// process made it, since when nobody wrote, and no byte of an image was read longer ago than this.
#define UPDATE_ENGINE_FRESH_MS 60000
// The last look's yes must be used within this time, else the agent looks again (I11).
#define UPDATE_ENGINE_LOOK_MS 600000
#define UPDATE_ENGINE_LOOK_TEXT                                                                    \
    "ready; asks the controller and the repository once more before activating"
// How often what is waited for is looked at.
#define UPDATE_ENGINE_RECHECK_MS 30000
// How often probation's powered-on time is made durable: what a power cut can cost.
#define UPDATE_ENGINE_SAVE_S 60

struct update_engine_told {
    char name[BUNDLE_NAME_MAX + 1];
    bool passed;
    bool ran;
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
};

// When something was done last, by the clock that nobody can set: one after the other in a ring.
#define UPDATE_RATION_MAX 8
struct update_ration {
    uint64_t taken;
    int64_t at_ms[UPDATE_RATION_MAX];
};

struct agent_update {
    struct agent_update_host host;
    struct err fatal;
    uint32_t work;                  // FSM_DO_* bits not begun yet
    bool hashing;                   // nobody's wish may change the state under long hashing
    struct agent_loop_timer worker; // begins them, from the loop
    bool untried; // the next refusal is not the bundle's fault: not held against it (I4)
    char detail[BUNDLE_REPORT_DETAIL_MAX + 1]; // for the next report

    struct trust_verdict verdict; // of the try under way; empty when the repository is to be asked

    // fetch
    struct agent_hire *hire;
    struct update_follow *follow; // of its images; NULL when there is none to write
    struct medium_spare spare;    // for the next one
    struct agent_loop_timer again;
    int64_t backoff_ms;
    int file;        // the bundle of a local update, or -1
    int announce;    // memfd in which the worker leaves the manifest
    bool past_cache; // what came last was damaged: this try goes to the origin
    bool alone;      // staged without the generation that runs, which is damaged
    bool has_progress;
    uint64_t done_bytes, total_bytes;
    struct bundle_report_bytes spent_before; // by the update, before this worker
    uint64_t need_bytes;                     // of the whole update, as far as is known
    bool metered;                            // the link, when it was looked at last
    bool limited;                            // the worker asks on its way whether it may go on
    bool waits_for_link;                     // or for the hours in which it may be used
    struct bundle_manifest *manifest;        // of the update, verified; NULL when not loaded

    // gate and probation
    struct probe_run *probe;
    size_t probe_index; // in the manifest's list
    struct update_engine_told told[BUNDLE_PROBES_MAX];
    // Boot clock at the end of the seal's read-back, or, where an image was read back while it came, when
    // that began: no byte of it is known for longer. -1 none.
    int64_t read_back_ms;

    // wait
    struct agent_loop_timer look_again;
    int64_t looked_ms; // boot clock of the last look's yes; -1 none
    int64_t inhibit_until_ms;
    char inhibit_reason[128];
    bool look_wanted;
    bool asking;     // the repository
    bool unanswered; // what is said now is why it could not

    // activate, revert
    struct agent_task *tell;
    size_t tell_index;
    bool going_back;

    // probation
    struct agent_loop_timer tick;
    struct fsm_probation_probe schedule[BUNDLE_PROBES_MAX];
    int64_t watch_began_ms;
    uint64_t watch_base_s; // powered-on time of earlier starts

    // dry probes
    struct update_dry *dry;               // NULL: none are run
    struct bundle_checkin_probed *probed; // what came of the last ones; NULL when that was told
    struct update_ration dry_ration, sham_ration;

    bool ended;
    enum bundle_event ended_event;
    struct fsm_why ended_why;
};

// Whether it may be done once more, which then counts as done: no more than `most` (up to
// UPDATE_RATION_MAX, always the same) within any 86,400 s.
bool update_engine_ration(struct update_ration *ration, uint64_t most, int64_t now_ms)
    __attribute__((nonnull));
const struct fsm_record *update_engine_record(const struct agent_update *u)
    __attribute__((nonnull));
// Applies an event and notes the work; *why (or NULL) says the reason.
void update_engine_fire(struct agent_update *u, enum fsm_event event, const struct err *why)
    __attribute__((nonnull(1)));
// FSM_REFUSED; final (I4) unless the kind may succeed later.
void update_engine_refuse(struct agent_update *u, const struct err *why) __attribute__((nonnull));
// Whether contents that fail with this kind, after every digest of what they were decoded from
// held, are wrong as they were signed.
bool update_engine_blames(const struct err_kind *kind) __attribute__((nonnull));
// Ends the agent's present run: its own state cannot be written.
void update_engine_stop(struct agent_update *u, const struct err *why) __attribute__((nonnull));
// How long to wait after one failure more; longer each time.
int64_t update_engine_back_off(struct agent_update *u) __attribute__((nonnull));
// Drops what an ended update leaves in memory.
void update_engine_forget(struct agent_update *u) __attribute__((nonnull));
// The update's manifest: in memory, or read again from private/ and verified. Kinds bad_manifest, …
int update_engine_manifest(struct agent_update *u, struct err *e) __attribute__((nonnull));
// Keeps it for the next start.
int update_engine_keep_manifest(struct agent_update *u, struct slice raw, struct err *e)
    __attribute__((nonnull));
// For bundle_seal and bundle_seal_verify.
int update_engine_breathe(void *update, uint64_t bytes, struct err *e);

// The stretches; each begins its work and comes back by update_engine_fire.
void update_trust_begin(struct agent_update *u) __attribute__((nonnull));
// Asks whether the targets name the bundle; update_trust_answered hears it, maybe from within.
void update_trust_ask(struct agent_update *u) __attribute__((nonnull));
void update_trust_answered(void *update, struct agent_trust_outcome *outcome)
    __attribute__((nonnull));
void update_trust_stop(struct agent_update *u) __attribute__((nonnull));
// What the targets allow, for a bundle from the network. Kind not_in_targets.
int update_trust_admits(const struct agent_update *u, const struct bundle_manifest *manifest,
                        struct err *e) __attribute__((nonnull));
// The same by a verdict at hand, on which the bundle was found.
int update_trust_names(const struct trust_verdict *verdict, const struct bundle_manifest *manifest,
                       struct err *e) __attribute__((nonnull));
// What the offer of this update said of a delta; false when it said nothing, when its signature
// counts no more, or when a delta was tried and found wrong.
bool update_hint_read(const struct agent_update *u, struct bundle_instruction_delta *ret)
    __attribute__((nonnull));
// The same of the mandate, by the last word on it.
bool update_hint_mandate(const struct agent_update *u, struct bundle_instruction_mandate *ret,
                         uint64_t *ret_stage) __attribute__((nonnull));
// Whether the mandate is to be fetched, and from where: false when none is called for, or it is held.
struct update_mandate_wanted {
    char url[BUNDLE_URL_MAX + 1];
    uint64_t bytes;
};
bool update_mandate_wanted(const struct agent_update *u, struct update_mandate_wanted *ret)
    __attribute__((nonnull));
// Keeps one that was fetched, when it is the one that was named, people signed it, and it is not older
// than one of its rollout that was kept before. Nothing fetched is nothing to keep.
int update_mandate_take(struct agent_update *u, struct slice raw, struct err *e)
    __attribute__((nonnull));
// Whether the update under way lies within what people signed for, by the root and the time of now.
// One from a file at hand does. Kinds: no_mandate, stale_repository (not fetched), those of
// agent_update_check_mandate.
int update_mandate_admits(const struct agent_update *u, struct err *e) __attribute__((nonnull));
// Of an update from the network once the repository said yes: asks it first.
void update_fetch_begin(struct agent_update *u) __attribute__((nonnull));
// Refused before the first byte of contents: what a probe needs and this device does not have. Kind
// runner_missing.
int update_fetch_has_runner(const struct agent_config *config, const struct bundle_probe *probe,
                            struct err *e) __attribute__((nonnull));
// The manifest that a worker left in the memfd, unverified.
int update_fetch_read_announced(int announce, struct buf *raw, struct err *e)
    __attribute__((nonnull));
// The address of a packing, which may be a path on the controller. Kind limit.
int update_fetch_url(const struct agent_update *u, const char *url,
                     char ret[static BUNDLE_URL_MAX + 1], struct err *e) __attribute__((nonnull));
// A try that failed: later again when another may succeed, else the update is refused. It counts
// against the bundle (I4) only when its signed contents are wrong in themselves. judged: by what
// this device is, not by what came.
void update_fetch_failed(struct agent_update *u, const struct err *why, bool judged)
    __attribute__((nonnull));
// The worker has ended, and what it wrote lies in its place. why->kind NULL: it did what it should.
void update_fetch_ended(struct agent_update *u, const struct err *why) __attribute__((nonnull));
void update_fetch_later(struct agent_update *u) __attribute__((nonnull));
// Whether the update has to wait for a window, of this device or of the rollout; *ret_why says for
// which. One from a file at hand has none of a rollout, and does not ask.
enum update_window { UPDATE_WINDOW_DOWNLOAD, UPDATE_WINDOW_INSTALL };
bool update_window_is_closed(const struct agent_update *u, enum update_window what,
                             struct err *ret_why) __attribute__((nonnull));
// What a job may cost, and what was spent and begun before it.
void update_link_fill(struct agent_update *u, struct agent_job *job) __attribute__((nonnull));
// Makes durable what the worker said, and answers it where it waits for that.
int update_link_note(struct agent_update *u, const struct agent_job_spent *said, struct err *e)
    __attribute__((nonnull));
// What was staged is gone.
void update_link_unstaged(struct agent_update *u) __attribute__((nonnull));
// Whether what a try failed with passes when the link is not metered, or a window opens; and the
// waiting for that.
bool update_link_may_wait(const struct agent_update *u, const struct err *why)
    __attribute__((nonnull));
void update_link_wait(struct agent_update *u, const struct err *why) __attribute__((nonnull));
// Whether it is known before anything is asked that nothing may be fetched now, or over this metered
// link; *why says so.
bool update_link_is_closed(struct agent_update *u, struct err *why) __attribute__((nonnull));
// Opens the slots that images of a bundle are to be written to; the caller's. Kinds of
// agent_slots_claim.
struct bundle_image_places;
int update_images_claim(const struct agent_update *u, const struct bundle_manifest *manifest,
                        struct bundle_image_places *ret, struct err *e) __attribute__((nonnull));
// Opens the slots of all images that the update's generation will have; the caller's.
int update_images_all(const struct agent_update *u, struct bundle_image_places *ret, struct err *e)
    __attribute__((nonnull));
// Gives up the previous generation, durably and with a report, when one of its images is to be written
// over.
int update_images_give_up(struct agent_update *u, struct err *e) __attribute__((nonnull));
// Does that, and lets the worker proceed.
int update_images_proceed(struct agent_update *u, const struct bundle_image_places *to,
                          struct err *e) __attribute__((nonnull));
// Starts the scribe for the images of u->manifest that go to these slots; *ret_worker_fds are what the worker
// hands over to it by, the caller's.
int update_follow_begin(struct agent_update *u, const struct bundle_image_places *to,
                        int ret_worker_fds[static AGENT_JOB_SCRIBE_FDS], struct err *e)
    __attribute__((nonnull));
// The worker has ended: update_fetch_ended is called when the scribe has, too, and all was read. false: there
// is no scribe.
bool update_follow_worker_ended(struct agent_update *u, const struct err *why)
    __attribute__((nonnull));
// What was read back whole.
void update_follow_reads(const struct agent_update *u, struct bundle_seal_reads *ret)
    __attribute__((nonnull));
// The scribe is gone when this returns, and what was read forgotten.
void update_follow_stop(struct agent_update *u) __attribute__((nonnull));
void update_gate_begin(struct agent_update *u) __attribute__((nonnull));
void update_wait_begin(struct agent_update *u) __attribute__((nonnull));
// What the repository said before the swap; kind NULL when it names the bundle.
void update_wait_answered(struct agent_update *u, const struct err *why) __attribute__((nonnull));
// While activating: whether `current` names the update's generation. What cannot be read counts as
// swapped.
bool update_activate_swapped(const struct agent_update *u) __attribute__((nonnull));
void update_activate_begin(struct agent_update *u) __attribute__((nonnull));
void update_activate_revert(struct agent_update *u) __attribute__((nonnull));
// The manifest that a part of what runs came from, read from its generation and verified by its id.
int update_sham_manifest(const struct agent_update *u, const struct keys_digest *id,
                         struct bundle_manifest **ret, struct err *e) __attribute__((nonnull));
void update_watch_begin(struct agent_update *u) __attribute__((nonnull));
void update_watch_tick(void *update);

// Starts one probe of the manifest against a generation.
int update_gate_probe(struct agent_update *u, size_t index,
                      void (*done)(void *context, const struct probe_run_result *result),
                      struct err *e) __attribute__((nonnull));
// Notes a result for the status and its last output for the report.
void update_gate_note(struct agent_update *u, size_t index, const struct probe_run_result *result)
    __attribute__((nonnull));

// What came with the repository's word for dry probes, and the manifest of their bundle; called by
// what stands in for the repository and the download in tests, too.
void update_dry_answered(void *update, struct agent_trust_outcome *outcome)
    __attribute__((nonnull));
void update_dry_manifest(struct agent_update *u, struct slice raw) __attribute__((nonnull));
// Ends dry probes that are run, because an update begins, and says so.
void update_dry_yield(struct agent_update *u) __attribute__((nonnull));
// Ends them without a word, and forgets what earlier ones came to.
void update_dry_close(struct agent_update *u) __attribute__((nonnull));
