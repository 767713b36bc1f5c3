// SPDX-License-Identifier: Apache-2.0
//
// Numbers of evidence: logarithms that are stored, and the few functions they are computed with.
//
// What is kept is the natural logarithm of an e-value as an integer in units of 2^-32 nat
// (EVIDENCE_NAT is one nat; a member or variable that holds one has `log` or `level` in its name).
// Integers add without rounding, so that observations whose order does not matter to the formula
// give the same state in any order, and a column or a line of text holds a state exactly.
//
// Rounding is always against the claim: what goes into a log is rounded down by more than its
// computation can be wrong (evidence_num_down), a bound it has to reach is rounded up. So a stored
// log never exceeds the true one, and every promise that holds for exact numbers holds for the
// stored ones.
//
// The same on every machine. Only + - * / and comparisons of IEEE 754 doubles are used, which are
// exact to the last bit everywhere; logarithm, exponential, gamma and beta are written with them
// here, because libm's last digits differ between versions and processors. That a compiler neither
// fuses a product and a sum nor computes in a wider type is asserted or asked for below. The bits
// are tested (tests/unit/ctl/rollout/evidence/test_num.c).
//
// Sources: logarithm by the series of atanh, exponential by Taylor's, both after reduction by ln 2;
// ln Gamma by Stirling's series (Abramowitz & Stegun 6.1.41); incomplete beta by the continued
// fraction of Abramowitz & Stegun 26.5.8, evaluated by Lentz's method (Press et al., Numerical
// Recipes, 3rd ed., 6.4); normal distribution by the series of Marsaglia, "Evaluating the normal
// distribution", J. Stat. Software 11(4), 2004.
#pragma once

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__FAST_MATH__)
#error "the logs of evidence need IEEE 754 arithmetic: build without -ffast-math"
#endif
#if defined(FLT_EVAL_METHOD)
_Static_assert(FLT_EVAL_METHOD == 0, "doubles must not be computed in a wider type: on 32-bit x86 "
                                     "build with -msse2 -mfpmath=sse");
#endif
// GCC contracts outside of ISO mode (the project's mode is C17), and does not know the pragma.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif !defined(__STRICT_ANSI__)
#error "the logs of evidence need separate products and sums: build as ISO C (-std=c17)"
#endif

#define EVIDENCE_NAT     (INT64_C(1) << 32)
#define EVIDENCE_PPM     1000000U
#define EVIDENCE_LOG_MAX (EVIDENCE_NAT << 24) // about 16 million nats; nothing grows past it
// The log of 0. Whoever has it has lost everything, and stays there.
#define EVIDENCE_LOG_ZERO (-EVIDENCE_LOG_MAX)

// Natural logarithm of a finite x > 0 and exponential of a finite x (0 below -745, the largest
// double above 709), both to about 2 units in the last place.
double evidence_num_ln(double x);
double evidence_num_exp(double x);
// ln Gamma(x) for x > 0.
double evidence_num_ln_gamma(double x);
// ln of the integral of p^(a-1) (1-p)^(b-1) over (x, 1) for a, b > 0 and 0 <= x < 1. *error grows
// by what it may be wrong.
double evidence_num_ln_beta_above(double a, double b, double x, double *error)
    __attribute__((nonnull));
// The share of a standard normal distribution below x.
double evidence_num_normal_below(double x);

// Nats as a log, rounded against the claim by more than `error` (nats, >= 0): down for what counts
// as evidence, up for what has to be reached. What is not a number becomes EVIDENCE_LOG_ZERO, or
// EVIDENCE_LOG_MAX when rounded up.
int64_t evidence_num_down(double nats, double error);
int64_t evidence_num_up(double nats, double error);
// A log in nats; an e-value as people read it (capped at the largest double).
double evidence_num_nats(int64_t log);
double evidence_num_value(int64_t log);

// The log of a product: capped at EVIDENCE_LOG_MAX; EVIDENCE_LOG_ZERO stays what it is.
int64_t evidence_num_product(int64_t log, int64_t factor);
// The log of the sum, rounded down; EVIDENCE_LOG_ZERO of none.
int64_t evidence_num_sum(const int64_t *logs, size_t n) __attribute__((nonnull));
// What the log of the sum of n equal shares has to lose for their mean, rounded down: -ln n.
int64_t evidence_num_share(size_t n);
// ln of a part in a million (1..EVIDENCE_PPM), rounded down.
int64_t evidence_num_part(uint32_t ppm);
// What a log must reach for an error probability of alpha_ppm: ln(1/alpha), rounded up.
int64_t evidence_num_level(uint32_t alpha_ppm);
