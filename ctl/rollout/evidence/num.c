// SPDX-License-Identifier: Apache-2.0
//
// Logarithms as integers, and elementary functions that give the same bits everywhere.
#include "ctl/rollout/evidence/num.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define LN2_HIGH        0x1.62e42fefa0000p-1 // 31 bits: exact times any exponent
#define LN2_LOW         0x1.cf79abc9e3b39p-40
#define SQRT_HALF       0x1.6a09e667f3bcdp-1
#define LN_SQRT_TWO_PI  0x1.d67f1c864beb5p-1
#define INVERSE_LN2     0x1.71547652b82fep+0
#define FRACTION_STEPS  200000
#define FRACTION_TINY   1e-300
#define RELATIVE_ERROR  4e-16 // of one term of a sum, computed and added
#define UNITS_OF_A_NAT  4294967296.0
#define STIRLING_FROM   16.0
#define NORMAL_INFINITE 38.0

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static double magnitude(double x) {
    return x < 0 ? -x : x;
}

static bool is_finite(double x) {
    return magnitude(x) <= DBL_MAX;
}

// 2^n for a normal result.
static double power_of_two(int n) {
    return of_bits((uint64_t)(n + 1023) << 52);
}

// ── Elementary functions ──

double evidence_num_ln(double x) {
    int exponent = 0;
    assert(x > 0 && is_finite(x));
    if (x < DBL_MIN) {
        x *= 0x1p54;
        exponent = -54;
    }
    uint64_t bits = bits_of(x);
    exponent += (int)(bits >> 52) - 1022;
    double m = of_bits((bits & 0x000fffffffffffffULL) | 0x3fe0000000000000ULL); // [1/2, 1)
    if (m < SQRT_HALF) {
        m *= 2;
        exponent--;
    }
    double z = (m - 1) / (m + 1), square = z * z, sum = 0;
    for (int i = 23; i >= 3; i -= 2)
        sum = (sum + 1.0 / i) * square;
    return exponent * LN2_HIGH + (exponent * LN2_LOW + 2 * (z + z * sum));
}

double evidence_num_exp(double x) {
    if (x < -745)
        return 0;
    if (!(x <= 709))
        return DBL_MAX;
    int n = (int)(x * INVERSE_LN2 + (x < 0 ? -0.5 : 0.5));
    double r = (x - n * LN2_HIGH) - n * LN2_LOW, sum = 1;
    for (int i = 14; i >= 1; i--)
        sum = 1 + sum * r / i;
    if (n < -1000)
        return sum * power_of_two(n + 100) * power_of_two(-100);
    return n > 1000 ? sum * power_of_two(n - 100) * power_of_two(100) : sum * power_of_two(n);
}

double evidence_num_ln_gamma(double x) {
    // Bernoulli's numbers B(2n) / (2n (2n-1)), n = 8 … 1.
    static const double terms[] = {-3617.0 / 122400, 1.0 / 156,  -691.0 / 360360, 1.0 / 1188,
                                   -1.0 / 1680,      1.0 / 1260, -1.0 / 360,      1.0 / 12};
    double product = 1, sum = 0;
    assert(x > 0 && is_finite(x));
    for (; x < STIRLING_FROM; x += 1)
        product *= x;
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
        sum = sum / (x * x) + terms[i];
    return (x - 0.5) * evidence_num_ln(x) - x + LN_SQRT_TWO_PI + sum / x - evidence_num_ln(product);
}

// The continued fraction of the incomplete beta function (26.5.8), x below its turning point.
static bool fraction(double a, double b, double x, double *ret) {
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (magnitude(d) < FRACTION_TINY ? FRACTION_TINY : d);
    double h = d;
    for (int i = 1; i <= FRACTION_STEPS; i++) {
        double m = i, even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        const double steps[] = {even, odd};
        double change = 0;
        for (int j = 0; j < 2; j++) {
            d = 1 + steps[j] * d;
            c = 1 + steps[j] / c;
            d = 1 / (magnitude(d) < FRACTION_TINY ? FRACTION_TINY : d);
            c = magnitude(c) < FRACTION_TINY ? FRACTION_TINY : c;
            change = c * d;
            h *= change;
        }
        if (magnitude(change - 1) < 1e-15) {
            *ret = h;
            return true;
        }
    }
    return false;
}

double evidence_num_ln_beta_above(double a, double b, double x, double *error) {
    assert(a > 0 && b > 0 && x >= 0 && x < 1);
    double la = evidence_num_ln_gamma(a), lb = evidence_num_ln_gamma(b);
    double lab = evidence_num_ln_gamma(a + b), whole = la + lb - lab, part = 0, h = 0;
    *error += 8 * RELATIVE_ERROR * (magnitude(la) + magnitude(lb) + magnitude(lab)) + 1e-13;
    if (x <= 0)
        return whole;
    double lx = a * evidence_num_ln(x), ly = b * evidence_num_ln(1 - x);
    *error += 8 * RELATIVE_ERROR * (magnitude(lx) + magnitude(ly) + a + b) + 1e-12;
    // Directly where the integral above x is the smaller part, else as the rest.
    bool above = x > (a + 1) / (a + b + 2);
    if (!(above ? fraction(b, a, 1 - x, &h) : fraction(a, b, x, &h)) || !(h > 0))
        return -DBL_MAX;
    part = lx + ly + evidence_num_ln(h) - evidence_num_ln(above ? b : a);
    if (above)
        return part;
    double below = evidence_num_exp(part - whole);
    *error += 8 * RELATIVE_ERROR / (1 - below > 1e-6 ? 1 - below : 1e-6);
    return below < 1 ? whole + evidence_num_ln(1 - below) : -DBL_MAX;
}

double evidence_num_normal_below(double x) {
    if (x > NORMAL_INFINITE || x < -NORMAL_INFINITE)
        return x > 0 ? 1 : 0;
    if (x < -6) { // Mills' ratio: x below this cancels in the series
        double f = -x;
        for (int i = 60; i >= 1; i--)
            f = -x + i / f;
        return evidence_num_exp(-x * x / 2 - LN_SQRT_TWO_PI) / f;
    }
    double term = x, sum = x;
    for (int i = 3; i < 1000 && sum + term != sum; i += 2) {
        term *= x * x / i;
        sum += term;
    }
    double below = 0.5 + sum * evidence_num_exp(-x * x / 2 - LN_SQRT_TWO_PI);
    return below > 1 ? 1 : below < 0 ? 0 : below;
}

// ── Logs ──

// The largest whole number that is not above x, for |x| < 2^62.
static int64_t floor_of(double x) {
    int64_t whole = (int64_t)x;
    return (double)whole > x ? whole - 1 : whole;
}

int64_t evidence_num_down(double nats, double error) {
    double units = (nats - error - magnitude(nats) * RELATIVE_ERROR) * UNITS_OF_A_NAT;
    if (!(units > (double)EVIDENCE_LOG_ZERO))
        return EVIDENCE_LOG_ZERO;
    return units >= (double)EVIDENCE_LOG_MAX ? EVIDENCE_LOG_MAX : floor_of(units) - 1;
}

int64_t evidence_num_up(double nats, double error) {
    return -evidence_num_down(-nats, error);
}

double evidence_num_nats(int64_t log) {
    return (double)log / UNITS_OF_A_NAT;
}

double evidence_num_value(int64_t log) {
    return evidence_num_exp(evidence_num_nats(log));
}

int64_t evidence_num_product(int64_t log, int64_t factor) {
    if (log <= EVIDENCE_LOG_ZERO || factor <= EVIDENCE_LOG_ZERO)
        return EVIDENCE_LOG_ZERO;
    int64_t sum = log + factor; // each is below 2^57
    if (sum <= EVIDENCE_LOG_ZERO)
        return EVIDENCE_LOG_ZERO;
    return sum > EVIDENCE_LOG_MAX ? EVIDENCE_LOG_MAX : sum;
}

int64_t evidence_num_sum(const int64_t *logs, size_t n) {
    int64_t most = EVIDENCE_LOG_ZERO;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        most = logs[i] > most ? logs[i] : most;
    if (most == EVIDENCE_LOG_ZERO)
        return EVIDENCE_LOG_ZERO;
    for (size_t i = 0; i < n; i++)
        sum +=
            logs[i] == EVIDENCE_LOG_ZERO ? 0 : evidence_num_exp(evidence_num_nats(logs[i] - most));
    return evidence_num_product(
        most, evidence_num_down(evidence_num_ln(sum), (double)n * 4 * RELATIVE_ERROR));
}

int64_t evidence_num_share(size_t n) {
    assert(n > 0);
    return evidence_num_down(-evidence_num_ln((double)n), 0);
}

int64_t evidence_num_part(uint32_t ppm) {
    assert(ppm > 0 && ppm <= EVIDENCE_PPM);
    return ppm == EVIDENCE_PPM ? 0 : evidence_num_down(evidence_num_ln(ppm / 1e6), 1e-15);
}

int64_t evidence_num_level(uint32_t alpha_ppm) {
    assert(alpha_ppm > 0 && alpha_ppm <= EVIDENCE_PPM);
    return evidence_num_up(-evidence_num_ln(alpha_ppm / 1e6), 1e-15);
}
