// SPDX-License-Identifier: Apache-2.0
//
// Events (a crash, a revert, a device that is lost): do they come sooner with the release? The
// stratified, sequential, one-sided log-rank test as an e-process.
//
// Promise. Let in each stratum and at each instant every device at risk have the same chance of the
// event, whichever arm it is in (or the treated ones a smaller one). Then the probability that
// evidence_events_worse(…, EVIDENCE_EVENTS_EQUAL) ever reaches evidence_num_level(alpha) is at most
// alpha, however often one looks, whatever the chance is and however it changes with the time of
// day, with outages or with the stratum: it drops out. More generally, for every hazard ratio: that
// the ratio's true value lies below a bound from below that evidence_events_bounds ever gave, or
// above one from above, has at most the probability of the level asked for, each.
//
// Formula. When an event comes while a devices of the comparison and b treated ones of the stratum
// are at risk, and the treated ones' hazard is r times the others', the event is a treated device's
// with probability r b / (a + r b). So the likelihood ratio of r against s is multiplied by
//
//     (r / s)^[the event is a treated device's] (a + s b) / (a + r b)
//
// a martingale under s, and a supermartingale under every smaller ratio when r > s. The product
// runs over events of all strata in the order in which the controller learns of them. The e-process
// against "at most s" is the mean of the products over the grid of r above s
// (evidence_events_ratio: quarter octaves from 1/8 to 128, so the prior is uniform in ln r), that
// against "at least s" the mean over the grid below s. One likelihood per node of the grid serves
// all of them. At the last node of the grid nothing lies beyond it, and nothing is rejected.
//
// Why: given that an event comes, and what is known before it, its arm is the only thing left to
// chance; the mean of the factor over it is ((r / s) s b + a) / (a + s b) × (a + s b) / (a + r b) =
// 1 under s, and falls with the true ratio when r > s. A mean of such products is one again, and a
// supermartingale that starts at 1 ever reaches 1/alpha with probability at most alpha (Ville). For
// the bounds: a lower bound is the end of an unbroken run of rejected nodes, so it passes the true
// ratio only when the first node at or above that is rejected, of which "at most" is true.
//
// Source: ter Schure, Perez-Ortiz, Ly, Grünwald, "The anytime-valid logrank test: error control
// under continuous monitoring with unlimited horizon", New England J. Statistics in Data Science
// 2(2), 2024, 190-214 (arXiv:2011.06931; first titled "The safe logrank test"): the test martingale
// from Cox's partial likelihood, one-sided alternatives, confidence sequences by inverting it (for
// ties they take Fisher's noncentral hypergeometric distribution; see below for ours). Mixtures
// over effect sizes: Darling and Robbins, PNAS 58, 1967; Robbins, Ann. Math. Statist. 41(5), 1970.
// Ville, Étude critique de la notion de collectif, 1939.
//
// Ties. Events learned of in one instant (the tick that declares devices lost) have no order. They
// are scored in the order that is worst for the claim: against "at most" the comparison's first,
// against "at least" the treated ones' first. Both factors above are monotone in b, so that this
// product is at most that of the true order, whatever it was, and at most the mean over all orders;
// what is at most an e-process keeps its promise. No random number and no hypergeometric sum is
// needed, at the price of some power when very many events tie.
//
// Who is at risk. Time is the controller's clock, not the device's age since the update. A device
// is at risk from when it is counted in (struct evidence_risk) until its first event or until it is
// counted out; entering late and leaving early (staggered entry, left truncation, censoring) are no
// more than that, as long as neither depends on the arm. So, for the promise:
//
//  * At each opening (a stage, a batch) both numbers of every stratum become 0. From then on a
//    device, of either arm, old or new, is counted in at its first check-in that comes later than a
//    fixed settling time after its first check-in since the opening; with that first one a device
//    that is admitted gets its offer, and is treated from then on, whatever it does with it
//    (intention to treat). Otherwise those who are heard of often would stand in one arm first.
//  * What an offer does to a device before that (refused, reverted, silent since) is the outcome of
//    an install (install.h), with a baseline of its own, and cannot happen to the comparison.
//  * A revert is an event where the comparison runs the policy's sham (restart and probes of what
//    it has). Its hazard is that of the minutes behind a restart, so it is scored within the set and on
//    the time since each device's own restart (ctl/rollout/trial.h), and not with those at risk now;
//    without a sham it is the install's outcome alone.
//  * An event counts when the controller learns of it, in both arms, so late reports need nothing.
//    A device's event is its first since the rollout began, in whichever arm: later it is not at
//    risk.
//  * Leaving for another reason than the event (horizon over, taken out of service) is decided by
//    rules that do not look at the arm.
//
// Sites and clusters. Read the promise the other way round: the arms were dealt by a keyed hash
// (bundle/rank.h), and who has an event when does not depend on the arm. Then the arms that
// the events reveal one after the other are draws without replacement from those at risk, however
// the events hang together: a gateway that takes a whole site along does no harm to the promise.
// Devices whose treatment influences their neighbours do: the unit is the site then.
//
// Not promised. Power against effects that come later than the horizon; anything in strata where
// one arm is empty (their events count for nothing); an effect of restarting as such, unless the
// comparison restarts, too (the sham) or the settling time covers it.
//
// Cost: an event is O(nodes), a tie of n as many times that; entering and leaving are one addition.
// Order: events that come while the numbers at risk are the same give the same state in any order.
#pragma once

#include "ctl/rollout/evidence/num.h"

#define EVIDENCE_EVENTS_NODES 41
#define EVIDENCE_EVENTS_EQUAL 12 // the node of hazard ratio 1

// Devices of one stratum that are at risk now. Counted by the caller, but for events.
struct evidence_risk {
    uint64_t comparison;
    uint64_t treated;
};

struct evidence_events {
    uint64_t scored; // events
    // Log-likelihood ratio of each node against 1: ties scored for "at most" and for "at least".
    int64_t at_most[EVIDENCE_EVENTS_NODES];
    int64_t at_least[EVIDENCE_EVENTS_NODES];
};

// Events of one stratum that were learned of in one instant (one: any event by itself). Those who
// had them leave the risk set. There are at most as many as at risk.
void evidence_events_add(struct evidence_events *io, struct evidence_risk *stratum,
                         uint64_t comparison, uint64_t treated) __attribute__((nonnull));
// What one event adds to each node, with the numbers at risk before it: what is stored of an event
// to judge later what a verdict rests on (robust.h).
void evidence_events_score(const struct evidence_risk *before, int is_treated,
                           int64_t ret[static EVIDENCE_EVENTS_NODES]) __attribute__((nonnull));

// ln e against "the hazard ratio is at most (at least) that of the node".
int64_t evidence_events_worse(const struct evidence_events *state, unsigned node)
    __attribute__((nonnull));
int64_t evidence_events_better(const struct evidence_events *state, unsigned node)
    __attribute__((nonnull));
// The terms whose sum evidence_events_worse is the log of: EVIDENCE_LOG_ZERO up to the node.
void evidence_events_terms(const struct evidence_events *state, unsigned node,
                           int64_t ret[static EVIDENCE_EVENTS_NODES]) __attribute__((nonnull));

// Bounds of the hazard ratio, as nodes: every ratio up to and including *ret_lower is rejected at
// this level, and every one from *ret_upper on. -1 and EVIDENCE_EVENTS_NODES: none is.
void evidence_events_bounds(const struct evidence_events *state, int64_t level, int *ret_lower,
                            int *ret_upper) __attribute__((nonnull));

// The hazard ratio of a node.
double evidence_events_ratio(unsigned node);
// The node for a margin, in parts per million, so that less is claimed than with the margin itself:
// for the tolerable ratio the least node that is not below it (the last one when there is none),
// for the intolerable one the largest that is not above it (node 0 when there is none).
unsigned evidence_events_tolerable(uint64_t ratio_ppm);
unsigned evidence_events_intolerable(uint64_t ratio_ppm);
