// SPDX-License-Identifier: Apache-2.0
//
// The score of a rollout: what its gates of evidence (gates.h) know, and the rules by which a fleet's
// check-ins become evidence (ctl/rollout/evidence.h). Plain data and calls that change it; whoever
// calls (the controller with its store, the simulator with arrays) loads and keeps the structs, in
// one transaction with what was reported. A restart at any instant changes nothing, and the same
// calls give the same bits.
//
// Why it may be believed. Arms are dealt by the keyed hash alone (bundle/rank.h): rank decides who
// is admitted (batch.h), who is compared and in which set. Everything else that is asked of a
// device (is it counted? is it at risk? is it drawn?) is asked of both arms alike, of what was known
// before the release could matter to it. Whoever changes a rule here has to keep that, or the gates
// stop harmless releases.
//
// Who is what.
//   treated     from its first offer in this rollout, whatever becomes of the offer
//   comparison  selected when it was first heard of, and beyond the open bound
//   neither     admitted but not offered: it has not called, or something else is in the way
//   counted     decided when the device's row is made, and for one that was not counted anew at its
//               first check-in of each epoch, always before it is in an arm and by what is known of
//               it then: see rollout_score_counts. It stays counted. Only counted devices have
//               numbers, are at risk, are in sets.
// Whoever is in an arm, or in an open set, stays there though the selector picks it no more: the release
// may be what changed the fact, and an arm must not lose just those devices.
//
// The play. C is the caller.
//
//   progress changed (batch, stage, hold-back, resumed run), and when a score is loaded
//       C: rollout_score_follow. A new number of the batch is a new epoch: nobody is at risk, but those
//       who were at risk of being lost wait for being heard of, or lost. A new run is a new score:
//       what was known before is spent.
//   a device checks in, after its reports were taken
//       C: makes its row when there is none (rollout_score_counts, rollout_score_device_init), else
//       asks rollout_score_count_again, then rollout_score_heard, then decides what to tell it
//   it is offered the release
//       C: rollout_score_offered, in the transaction of the offer
//   it activated, committed, failed, reverted, or is declared lost
//       C: when it has an outcome: rollout_score_outcome, and while the device whose number is
//       score->prefix has one: rollout_score_install_next. A failure that will be tried again
//       (rollout_retry_left) is none yet.
//       C: when its base_s is 0: draws the members of its set and rollout_score_set_begin. To draw:
//       the highest ranks of its stratum for which rollout_score_may_compare holds, up to
//       gates->compared of them
//   the tick: devices at risk, or waiting, that were not heard of for rollout_score_silence_s
//       C: rollout_pulse_tick (pulse.h) and rollout_score_silent; if either says so tells advance.h
//       and scores none of them, nor declares anybody at work on an offer lost. Else for each
//       stratum, and in it each rollout_score_tie_site, with such devices rollout_score_lose once,
//       and rollout_score_lost for each device
//   the tick: a treated device's due_s is over
//       C: rollout_score_set_score with the members of its set
//   it is retired, replaced, taken by another rollout, or its task here ends without outcome
//       C: rollout_score_leave, and the prefix as after an outcome
//   any of these returned that evidence changed
//       C: rollout_score_judge; advance.h acts on it
//
// Counting. Numbers are drawn at the offer, not at the activation: a refusal comes sooner than an
// activation, so in the order of activations failures would come first. A device is at risk from
// its first check-in that comes later than the settling time after its first check-in of the epoch
// (events.h), for a counter a treated one only when its activation, too, is known for longer than that: the
// restart itself is no event. A counter's event is that it reads more at a check-in than at the one before, both
// while at risk; one that reads less was restarted, and goes on from there. A set's values are
// means of the first readings in the slots (a twelfth of window and grace each) of the window before
// base_s, frozen then, and of the window up to the horizon, with the grace for what is heard late. A
// device of which nothing was heard in the later one is worst, in either arm; so is a treated one
// with a bad outcome. A treated device of which nothing was heard in the window before its offer is
// left out of that gate's set, and so is one of the comparison for the window before it was drawn:
// who is in a set is known before the release can matter to it. (A treated one that was heard of
// before its offer, and not between it and base_s, is compared with what was heard before the offer.)
// With a sham members that did not restart are left out, too (trial.h), and one whose restart failed
// is worst, as a treated one is that went back: it would have. The window stays that of the
// set, so that both see the same hours: a member restarted later than the treated device by as long
// as it took to call.
//
// Where the policy counts sites (unit.h) each of these rows is a site's, and score_member.h says what its
// devices bring to it.
//
// Silence is compared within the site (score_sites.h): a site that goes dark with the devices of
// both arms says nothing.
//
// Sets and admission. A member of an open set is not offered the release before the set is scored
// (decide.h, compared): which sets survive would otherwise depend on how the rollout goes. The
// opening that admits it changes nothing of that. When a member is treated or gone all the same the
// set is void.
//
// Guards. The mean over treated devices of each one's mean since it settled; it counts when three
// devices are in it, or all that were offered when there are fewer.
//
// Several gates on one metric share nothing but the readings. Limits: ROLLOUT_GATES_MAX gates,
// BUNDLE_STRATA_MAX strata. Pure; no allocation.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bundle/stratum.h"
#include "ctl/rollout/evidence/combine.h"
#include "ctl/rollout/evidence/events.h"
#include "ctl/rollout/evidence/install.h"
#include "ctl/rollout/evidence/rank.h"
#include "ctl/rollout/gate.h"
#include "ctl/rollout/policy.h"
#include "ctl/rollout/score_sites.h"
#include "ctl/rollout/strata.h"

#define ROLLOUT_SCORE_SLOTS      16 // kept of each metric
#define ROLLOUT_SCORE_SPAN_SLOTS 12 // in window and grace together
#define ROLLOUT_SCORE_RHYTHMS    2  // since it was heard of: it is there
#define ROLLOUT_SCORE_SILENCE    3  // rhythms, at least, of silence before it is lost
#define ROLLOUT_SCORE_SILENT_MIN 4  // so few are never a silent fleet
#define ROLLOUT_SCORE_GUARD_MIN  3  // devices that a guard's mean is of

// Kept as numbers in columns: these do not change.
enum rollout_arm { ROLLOUT_ARM_NONE = 0, ROLLOUT_ARM_COMPARISON = 1, ROLLOUT_ARM_TREATED = 2 };
enum rollout_outcome {
    ROLLOUT_OUTCOME_NONE = 0,
    ROLLOUT_OUTCOME_GOOD = 1, // committed
    ROLLOUT_OUTCOME_BAD = 2,  // refused, failed, reverted, or lost before it committed
    ROLLOUT_OUTCOME_LEFT = 3  // it left without one: its number counts for nothing
};

// What became of the restart that activating, or a sham, is (trial.h).
enum rollout_trial_state {
    ROLLOUT_TRIAL_NONE = 0,
    ROLLOUT_TRIAL_BEGUN = 1,
    ROLLOUT_TRIAL_HELD = 2,   // every probe held
    ROLLOUT_TRIAL_FAILED = 3, // it went back, or would have
    ROLLOUT_TRIAL_OUT = 4     // it never began, and will not
};

// A sum of n decimals, split so that it cannot overflow: whole units and rest in 1e-9.
struct rollout_score_mean {
    uint64_t n;
    int64_t whole, nano;
};

union rollout_score_gate {
    struct evidence_install install;
    struct evidence_events events; // LOST, REVERT, COUNTER
    struct evidence_rank rank;     // METRIC
};

// Of one rollout and run. All zero before the first run.
struct rollout_score {
    uint32_t run;
    uint64_t epoch;                        // number of the batch that opened it
    uint64_t first_number, next_number;    // of this run's offers; they go on over runs
    uint64_t prefix;                       // the next number the install gate waits for
    uint64_t known_failed, known_resolved; // of this run's numbers
    uint64_t first_set, next_set;          // of this run's sets; they go on over runs
    uint64_t sets_scored, sets_void;       // of this run
    uint64_t drift_worse, drift_better;    // comparison devices against their own past
    uint64_t next_trial;                   // the set that gates on reverts wait for (trial.h)
    struct rollout_score_mean guard[ROLLOUT_GATES_MAX]; // of the treated devices' means
    union rollout_score_gate gate[ROLLOUT_GATES_MAX];
    size_t n_strata; // of those ever at risk; risk beyond is zero
    struct evidence_risk risk[ROLLOUT_GATES_MAX][BUNDLE_STRATA_MAX];
    // Of being lost, since an epoch of this run before, and not heard of since.
    uint64_t first_epoch; // of this run
    uint32_t lost_gate;   // the first gate of losses, and one more; 0 while nobody was at risk
    struct evidence_risk late[BUNDLE_STRATA_MAX];
    struct rollout_score_sites sites; // of those at risk of being lost, which are in risk as well
    uint64_t
        waiting; // devices of units that are sites, whose silence may be an event (score_member.h)
};

struct rollout_score_slot {
    int64_t slot; // number since 1970
    struct rollout_score_mean sum;
};
// What was heard of one device for one gate.
struct rollout_score_history {
    bool has_last;
    int64_t last_nano;                                    // COUNTER: the reading before
    struct rollout_score_slot slots[ROLLOUT_SCORE_SLOTS]; // METRIC, by slot % ROLLOUT_SCORE_SLOTS
    struct rollout_score_mean before; // METRIC: frozen at its offer, and when its set began
    bool has_guard;
    int64_t guard_nano; // METRIC: what it is in the guard's sum with
    // What its own event or set added, for verdict.h. Events: at risk before it (comparison,
    // treated, 0), of treated devices alone. Sets: compared, better, equal, of the treated one.
    bool has_mark;
    uint32_t mark[3];
};

// Of the devices of a site that were heard of in this run and have not left (score_member.h); zero when
// the unit is a device.
struct rollout_score_crowd {
    uint64_t heard;
    uint64_t based; // whose activation, or outcome before one, is known, or not waited for
    uint64_t resolved, failed; // that have an outcome, whether they left or not
    int64_t based_s;           // when the last one of `based` became known
    int64_t entered_s;         // when the site was last counted into risk sets
};

// Of one device, or site (unit.h), and rollout. Its columns and its line are the caller's to keep whenever a call
// returned that it changed; a row that did not change need not be written.
struct rollout_score_device {
    uint32_t run; // of which the rest is
    enum rollout_arm arm;
    bool counted;
    bool gone;
    uint32_t stratum, stage;
    uint64_t rank;
    uint64_t site;   // a hash of its name, 0 none; set by the caller when the row is made
    uint64_t number; // 0 none
    enum rollout_outcome outcome;
    int64_t heard_s;  // last check-in, down to a multiple of 1/ROLLOUT_SCORE_HEARD of a rhythm
    uint64_t epoch;   // of which the next three are
    int64_t first_s;  // first check-in of the epoch
    bool entered;     // it was counted in
    uint32_t at_risk; // bit per gate
    bool sited;       // in the numbers of its site
    uint32_t had;     // bit per gate: its event of this run
    int64_t base_s;   // treated: when its activation, or its failing before, was known
    uint64_t set_no;  // 0 none
    uint32_t place;   // in the set: 0 the treated one, 1 …
    int64_t due_s;    // its set is open until then; 0: it is in none, or that is over
    enum rollout_trial_state trial;
    struct rollout_score_crowd crowd;
    struct rollout_score_history history[ROLLOUT_GATES_MAX];
};

// What a call changed, beside what its arguments show.
struct rollout_score_unit {
    size_t gate;
    // Events: at risk before the event (its tie), comparison and treated; 1 the device was treated.
    // Sets: compared, better, equal, and the values, the treated one's first.
    uint64_t a, b, c;
    size_t n_values;
    struct evidence_rank_value values[EVIDENCE_RANK_COMPARED_MAX + 1];
};
struct rollout_score_news {
    bool shared;    // the score beside the gates' evidence: its line is to be written
    bool device;    // the device's row
    uint32_t gates; // bit per gate whose evidence changed: its line, and time to judge
    uint64_t sites; // bit per block of score->sites that changed: its line
    size_t n_units; // to be kept for recounts and verdicts
    struct rollout_score_unit units[ROLLOUT_GATES_MAX];
};

// ── Openings ──

// Brings the score to the run and to the number of openings that the progress is at
// (rollout_progress.spend.runs, .batch.number). true when it changed: all of it is to be written.
bool rollout_score_follow(uint32_t run, uint64_t number, struct rollout_score *io)
    __attribute__((nonnull));

// ── Devices ──

// What is known of a device when its row is made.
struct rollout_score_seen {
    int64_t enrolled_s;
    int64_t seen_s; // the check-in before this one; 0 none
    bool fits;      // a bundle of the release fits it, and it does not run the release
    bool named;     // a stage names it: nobody drew it
    bool apart;     // held, pinned or cloned
    bool shams; // its agent knows how, and one bundle is what the release would take the place of
};
// Whether the device is counted: it fits, was not named or put apart, can sham where that is asked,
// enrolled longer than newcomer_s ago, and was heard of within two rhythms before.
bool rollout_score_counts(const struct rollout_gates *gates, const struct rollout_score_seen *seen,
                          int64_t now_s) __attribute__((nonnull));
// A new row, of no site. stage: the first that admits it.
void rollout_score_device_init(const struct rollout_score *score, uint32_t stratum, uint32_t stage,
                               uint64_t rank, bool counted, struct rollout_score_device *ret)
    __attribute__((nonnull));

// Whether it is to be asked now: once an epoch, while it is not treated.
bool rollout_score_is_asked(const struct rollout_score *score,
                            const struct rollout_score_device *device) __attribute__((nonnull));
// Whether a device that is not counted is from now on: asked once an epoch, while it is not treated.
// A fleet that was off when the rollout began would be counted by nobody else. true when the row
// changed, which is then to be written.
bool rollout_score_count_again(const struct rollout_score *score, const struct rollout_gates *gates,
                               const struct rollout_score_seen *seen, int64_t now_s,
                               struct rollout_score_device *io) __attribute__((nonnull));

struct rollout_score_checkin {
    int64_t now_s;
    bool admitted;  // within the open bound (rollout_batch_admission is OPEN)
    uint32_t given; // bit per gate: its metric came with the check-in
    int64_t nano[ROLLOUT_GATES_MAX];
};
// A check-in of a device of either arm (or of neither). ret is set, all zero when nothing changed:
// one that says nothing new, soon after another, is not written.
void rollout_score_heard(struct rollout_score *score, const struct rollout_gates *gates,
                         const struct rollout_score_checkin *checkin,
                         struct rollout_score_device *device, struct rollout_score_news *ret)
    __attribute__((nonnull));
// The device was offered the release. The first time it is treated and gets its number, in each run.
void rollout_score_offered(struct rollout_score *score, const struct rollout_gates *gates,
                           struct rollout_score_device *device, struct rollout_score_news *ret)
    __attribute__((nonnull));
// It has an outcome. The first one of a run counts.
void rollout_score_outcome(struct rollout_score *score, const struct rollout_gates *gates, bool bad,
                           struct rollout_score_device *device, struct rollout_score_news *ret)
    __attribute__((nonnull));
// The outcome of the device with the number score->prefix; not NONE.
void rollout_score_install_next(struct rollout_score *score, const struct rollout_gates *gates,
                                enum rollout_outcome outcome, struct rollout_score_news *ret)
    __attribute__((nonnull));
// It does not take part any more, for a reason that has nothing to do with its arm. When it had a
// number and no outcome the prefix goes on without it (rollout_score_install_next).
void rollout_score_leave(struct rollout_score *score, struct rollout_score_device *device,
                         struct rollout_score_news *ret) __attribute__((nonnull));

// ── Silence ──

// Devices at risk of an event of this kind count as lost when nothing was heard of them for longer.
int64_t rollout_score_silence_s(const struct rollout_policy *policy) __attribute__((nonnull));
// Whether it is the fleet that is silent (a network, the controller's own link), when so many of
// those at risk of being lost, both arms together, are: more than half, and at least
// ROLLOUT_SCORE_SILENT_MIN. Devices, also where sites are counted: of those that wait (score_member.h).
bool rollout_score_silent(const struct rollout_score *score, const struct rollout_gates *gates,
                          uint64_t silent) __attribute__((nonnull));
// Bits of the gates whose event is a loss: devices at risk of one are at risk of all.
uint32_t rollout_score_lost_gates(const struct rollout_gates *gates) __attribute__((nonnull));

// The stratum that it would be compared within: its own, or, when it was at risk in an epoch before and
// was not heard of since, ROLLOUT_SCORE_SITE_LATE more. Whoever died before the last opening would
// otherwise be lost to nobody. Those who wait so leave at their next check-in, both arms alike, so that
// they are compared with one another only.
uint32_t rollout_score_tie_stratum(const struct rollout_score *score,
                                   const struct rollout_score_device *device)
    __attribute__((nonnull));
// The site that the device's loss would be compared within; 0: its stratum, but for the sites that
// are compared by themselves.
uint64_t rollout_score_tie_site(const struct rollout_score *score,
                                const struct rollout_score_device *device) __attribute__((nonnull));
// Devices of one rollout_score_tie_stratum and rollout_score_tie_site, at risk of being lost, that are declared lost
// in one instant: they tie.
struct rollout_score_tie {
    uint32_t stratum;
    uint64_t site;
    int64_t before_s; // nothing was heard of them since
    uint64_t comparison, treated;
    bool dark; // the whole site is silent: they are not lost, and at risk no more
    struct evidence_risk before;
    uint64_t marked; // treated devices that rollout_score_lost was called for
};
// Scores stratum, site, before_s, comparison and treated of *io, and sets the rest of it.
void rollout_score_lose(struct rollout_score *score, const struct rollout_gates *gates,
                        struct rollout_score_tie *io, struct rollout_score_news *ret)
    __attribute__((nonnull));
// One of them. It is at risk of nothing any more until the next epoch, or, of a dark site, until it
// is heard of again.
void rollout_score_lost(struct rollout_score *score, const struct rollout_gates *gates,
                        struct rollout_score_tie *tie, struct rollout_score_device *device,
                        struct rollout_score_news *ret) __attribute__((nonnull));

// ── Sets ──

// Whether the device may be drawn now: comparison (and still beyond the open bound: admitted is
// false), counted, in no set of this run, heard of within two rhythms.
bool rollout_score_may_compare(const struct rollout_score *score, const struct rollout_gates *gates,
                               const struct rollout_score_device *device, bool admitted,
                               int64_t now_s) __attribute__((nonnull));
// The treated device's activation is known, or its failing before that: its set begins, with n
// members that were drawn for it, highest rank first. ROLLOUT_SCORE_NO_SET when it gets none (no
// gate on a metric or on reverts, too few members, not counted); its base_s is set all the same, and
// members are untouched. Too few is less than EVIDENCE_RANK_COMPARED_MIN, without gates on metrics
// none, and then a device that never activated has no set.
enum { ROLLOUT_SCORE_NO_SET = 1 };
int rollout_score_set_begin(struct rollout_score *score, const struct rollout_gates *gates,
                            struct rollout_score_device *treated,
                            struct rollout_score_device *const *members, size_t n, int64_t now_s)
    __attribute__((nonnull(1, 2, 3)));
// The set is due: its members, in order of their places. ROLLOUT_SCORE_VOID when it was not scored.
// Either way all of them are in an open set no more.
enum { ROLLOUT_SCORE_VOID = 1 };
int rollout_score_set_score(struct rollout_score *score, const struct rollout_gates *gates,
                            struct rollout_score_device *treated,
                            struct rollout_score_device *const *members, size_t n,
                            struct rollout_score_news *ret) __attribute__((nonnull));

// ── Judging ──

struct rollout_judgement_gate {
    enum evidence_verdict verdict;
    int64_t worse, better; // ln e against "at most the tolerable", "at least the intolerable"
};
struct rollout_judgement {
    enum rollout_gate_verdict overall; // PASS when each gate passed; FAIL: stop or guard; else WAIT
    struct evidence_sum sum;           // .stop; .gate says which; .level what is needed
    size_t n_gates;
    struct rollout_judgement_gate gate[ROLLOUT_GATES_MAX];
    bool guard;        // a guard is exceeded:
    size_t guard_gate; //   that of this gate
    struct decimal guard_mean;
    bool control;  // the comparison left its own past: it stands for nothing, metrics do not pass
    int64_t drift; // ln e of that
};
// alpha_ppm: what the current run may spend (rollout_progress.spend.alpha_ppm).
void rollout_score_judge(const struct rollout_score *score, const struct rollout_gates *gates,
                         uint32_t alpha_ppm, struct rollout_judgement *ret)
    __attribute__((nonnull));
// ln e against "the tolerable" of one gate, without its weight, as in the judgement.
enum evidence_line rollout_score_line(enum rollout_gate_kind kind);
// At risk of a gate's event, over all strata.
struct evidence_risk rollout_score_at_risk(const struct rollout_score *score, size_t gate)
    __attribute__((nonnull));
