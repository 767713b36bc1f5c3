// SPDX-License-Identifier: Apache-2.0
//
// Evidence: what the reports of a fleet prove about a release. This file declares nothing; it says
// how the parts in ctl/rollout/evidence/ fit together and how whoever counts reports uses them.
// Each part's header is the specification of its part: promise, formula, source, units, limits.
//
//     num.h      logs of e-values as integers; why every machine computes the same
//     events.h   crashes, losses: log-rank against devices that do not have the release
//     rank.h     metrics: the treated device's rank among k devices like it
//     install.h  installs that fail: against a stated share
//     combine.h  many gates, one promise; verdicts; what a resumed rollout promises
//     power.h    what a gate can see at a given size, for `rollout plan`
//     robust.h   how many devices a verdict rests on, and whose
//     state.h    each state as a line of text
//
// What is promised. If treated and comparison devices would behave alike under both releases, and
// the stated baseline of failing installs holds, the probability that the gates ever stop the
// rollout is at most alpha, however often one looks and however many gates there are. An e-process
// is a number that starts at 1 and whose mean is at most 1 whenever one stops to look; by Ville's
// inequality it ever reaches 1/alpha with probability at most alpha. So evidence may be judged
// after every report, a rollout may end at any moment, and nothing has to be decided beforehand but
// the gates, their weights, margins and alpha. Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic
// statistics and safe anytime-valid inference", Statistical Science 38(4), 2023 (arXiv:2210.01948).
//
// What is not: that a bad release is stopped (power.h says with what probability), effects below
// the tolerable margin, in strata with few devices, after the horizon, after the last device has
// the release and none was held back; devices that lie; devices that influence one another, unless
// the unit is the site.
//
// Pure. No file, no clock, no random number, no allocation but in robust.h's judgements after a
// verdict. A state is a struct of integers that is all zero at the start; an observation changes it
// in constant time (a tie and a set: in their size), and the same observations give the same bits
// everywhere.
//
// ── How a report is counted, as a play ──
//
// What the store has: for each gate of a rollout and run one row with the line of its state; for
// each rollout, gate of events and stratum the two numbers at risk; for each device and rollout
// arm, stratum, stage, activation number, set and place in the set, all frozen when it was offered
// to or drawn as a comparison; for each set and metric what was scored. Everything below is one
// transaction with the report's own row, whose key (device, report id) is what makes it count once:
// a report that was there already changes nothing, and nothing has to be undone.
//
//     a stage or a batch opens
//         → risk[…] = 0 for every gate of events and stratum; the epoch of the rollout rises
//     a device checks in, of either arm, and its row is not of this epoch
//         → its row: this epoch, and now
//     it checks in later than the settling time after that, and is not at risk
//         → risk[stratum].comparison++ or .treated++ in each gate whose event it has not had
//     a device is offered the release
//         → its row: treated, and its activation number
//     a device reports that it failed, reverted or committed, or is declared lost
//         → its outcome is noted under its activation number; while the next number of the prefix
//           has an outcome: evidence_install_add
//     a device at risk has its first event of a kind
//         → evidence_events_add(state, &risk[stratum], 1, 0) or (…, 0, 1); its row: no longer at
//           risk, and the two numbers before, for robust.h
//     the tick declares devices lost
//         → all of a stratum in one evidence_events_add: they tie
//     the horizon and the grace of a set are over
//         → the values of its members are read, evidence_rank_add for each metric; the set: scored,
//           with the place, for robust.h
//     any of these
//         → evidence_combine over the gates; on stop, robust.h's questions, then the verdict
//
// Several controllers on one store: a gate's row is read and written under the row's lock, which is
// one hot row for each gate and rollout; where that is too many, reports are noted and one of the
// controllers feeds them to the gates a moment later. Events then tie by the batch, which events.h
// allows for; a set and an outcome do not notice.
//
// A restart at any instant changes nothing: state, risk and device rows are of the same
// transaction. A recount from the stored rows gives the same state: sets and outcomes in any order,
// events in the order of their instants (tests hold the store to it).
#pragma once
