// SPDX-License-Identifier: Apache-2.0
//
// The model of differences.
#include "bundle/tensor/difference.h"

#include <stdlib.h>

#define FEATURES        5
#define LEVELS          192 // of a deviation in steps, quarters of octaves
#define LEVEL_0         32  // that of one step
#define PARTS           13  // of what the prediction says beyond whole steps
#define NODES           64  // decisions told apart
#define CHAIN           16  // of them for each direction of counting
#define NODE_UP         1
#define NODE_DOWN       17
#define NODE_SIGN       34
#define NODE_LOW        40
#define NODE_AGAIN      63
#define VALUE_MAX       32767
#define WEIGHT_MAX      (1 << 24)
#define DEVIATION_FRESH (256U << 4)
#define DEVIATION_MAX   (1 << 20)

struct column {
    uint32_t off;        // mean distance from the prediction, in 1/16
    uint32_t off_nought; // and from no change
    int32_t mean;        // in 1/16
    int16_t up[2];       // this column's values in the last rows
    uint8_t again;       // which of its last eight elements changed as is usual in their class
};

struct tensor_difference {
    int32_t unit, old_unit;
    int32_t weights[FEATURES]; // in 1/65536
    uint32_t row_off;
    int16_t left;
    uint8_t again;                            // as in a column, of the row's last eight
    int64_t usual[TENSOR_DIFFERENCE_CLASSES]; // change of a class
    int64_t last[TENSOR_DIFFERENCE_CLASSES];  // of its last element that changed otherwise
    uint32_t again_slots[TENSOR_MIX_INPUTS][256];
    uint16_t inverse[TENSOR_MODEL_ROWS + 1]; // 65536 / n
    uint32_t both[LEVELS * NODES];
    uint32_t parts[LEVELS / 2 * PARTS * NODES];
    uint32_t by_column[LEVELS * NODES];
    uint32_t by_row[LEVELS * NODES];
    struct column columns[];
};

_Static_assert(sizeof(struct tensor_difference) +
                       TENSOR_SECTION_COLUMNS_MAX * sizeof(struct column) <=
                   TENSOR_MODEL_STATE_BYTES,
               "the ceiling of what decoding allocates");

// What is expected of one element.
struct expected {
    int16_t features[FEATURES];
    int32_t value; // predicted, in units
    int64_t steps; // the same in steps of the old exponent, whole
    bool turned;
    unsigned length; // of what is left, in bits
    unsigned level_both, level_part, level_column, level_row;
};

static void fresh(uint32_t *slots, size_t n) {
    for (size_t i = 0; i < n; i++)
        slots[i] = TENSOR_MIX_SLOT_FRESH;
}

struct tensor_difference *tensor_difference_new(uint32_t columns, int32_t unit, int32_t old_unit) {
    struct tensor_difference *d = calloc(1, sizeof *d + columns * sizeof d->columns[0]);
    if (!d)
        return NULL;
    d->unit = unit;
    d->old_unit = old_unit;
    d->row_off = DEVIATION_FRESH;
    for (uint32_t i = 1; i <= TENSOR_MODEL_ROWS; i++)
        d->inverse[i] = (uint16_t)(65535 / i);
    for (int i = 0; i < TENSOR_MIX_INPUTS; i++)
        fresh(d->again_slots[i], 256);
    fresh(d->both, LEVELS * NODES);
    fresh(d->parts, LEVELS / 2 * PARTS * NODES);
    fresh(d->by_column, LEVELS * NODES);
    fresh(d->by_row, LEVELS * NODES);
    for (uint32_t i = 0; i < columns; i++)
        d->columns[i].off = d->columns[i].off_nought = DEVIATION_FRESH;
    return d;
}

// value * 2^by, rounded down, at most 2^60 either way.
static int64_t scaled(int64_t value, int32_t by) {
    const int64_t most = (int64_t)1 << 60;
    if (by <= 0)
        return value >> (by < -63 ? 63 : -by);
    if (value == 0)
        return 0;
    if (by >= 60 || value > most >> by)
        return value > 0 ? most : -most;
    return value < -(most >> by) ? -most : value * ((int64_t)1 << by);
}

static int16_t clamped(int64_t value) {
    return (int16_t)(value > VALUE_MAX ? VALUE_MAX : value < -VALUE_MAX ? -VALUE_MAX : value);
}

static unsigned bit_length(uint64_t value) {
    return value ? 64 - (unsigned)__builtin_clzll(value) : 0;
}

// Logarithm of v >= 1 in quarters of octaves.
static int32_t quarters(uint32_t v) {
    static const uint8_t part[8] = {0, 1, 1, 2, 2, 3, 3, 3};
    unsigned k = bit_length(v) - 1;
    return (int32_t)(4 * k + part[(k >= 3 ? v >> (k - 3) : v << (3 - k)) & 7]);
}

static unsigned level(int32_t q) {
    q += LEVEL_0;
    return (unsigned)(q < 0 ? 0 : q >= LEVELS ? LEVELS - 1 : q);
}

static int16_t predict(const struct tensor_difference *d, const struct expected *x) {
    int64_t sum = 0;
    for (int i = 0; i < FEATURES; i++)
        sum += (int64_t)d->weights[i] * x->features[i];
    return clamped(sum >> 16);
}

// Where the prediction is mostly wrong, as in the column of a unit that is never active, none is
// used.
static bool silent(const struct column *col) {
    return col->off_nought < col->off / 2;
}

static unsigned part_of(int64_t sixty_fourths, int64_t whole) {
    static const uint8_t small[33] = {0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5,
                                      5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7};
    return whole == 0 ? small[sixty_fourths] : 8U + (unsigned)(sixty_fourths >> 3);
}

static void expect(const struct tensor_model *m, const struct column *col, int32_t exponent,
                   struct expected *x) {
    struct tensor_difference *d = m->difference;
    bool nought = silent(col);
    int32_t by = exponent - d->unit;
    x->value = predict(d, x);
    int64_t fine = scaled(nought ? 0 : x->value, 6 - by);
    x->steps = (fine + 32) >> 6;
    int64_t part = fine - x->steps * 64;
    x->turned = part < 0 || (part == 0 && fine < 0);
    int32_t in_column = quarters((nought ? col->off_nought : col->off) + 1) - 16 - 4 * by;
    int32_t in_row = quarters(d->row_off + 1) - 16 - 4 * by;
    int32_t both = (in_column + in_row) / 2;
    x->level_both = level(both);
    x->level_column = level(in_column);
    x->level_row = level(in_row);
    x->level_part = x->level_both / 2 * PARTS + part_of(part < 0 ? -part : part, x->steps);
    int32_t length = both < 0 ? 1 : (both + 2) / 4 + 1;
    x->length = length > (int32_t)m->element.bits ? m->element.bits : (unsigned)length;
}

static unsigned decide(struct tensor_model *m, struct tensor_coder *c, const struct expected *x,
                       unsigned node, unsigned bit) {
    struct tensor_difference *d = m->difference;
    uint32_t *slots[TENSOR_MIX_INPUTS] = {
        &d->both[x->level_both * NODES + node], &d->parts[x->level_part * NODES + node],
        &d->by_column[x->level_column * NODES + node], &d->by_row[x->level_row * NODES + node]};
    return tensor_mix_bit(&m->mix, c, slots, node, bit);
}

// The length in bits of what is left, 0 for nothing.
static unsigned code_length(struct tensor_model *m, struct tensor_coder *c,
                            const struct expected *x, unsigned is) {
    unsigned length = x->length;
    if (decide(m, c, x, 0, is >= length)) {
        unsigned step = 0;
        while (length < m->element.bits &&
               decide(m, c, x, NODE_UP + (step < CHAIN ? step : CHAIN - 1), is > length)) {
            length++;
            step++;
        }
        return length;
    }
    length--;
    for (unsigned step = 0;
         length > 0 && decide(m, c, x, NODE_DOWN + (step < CHAIN ? step : CHAIN - 1), is < length);
         step++)
        length--;
    return length;
}

// The bits under the leading one.
static uint64_t code_low(struct tensor_model *m, struct tensor_coder *c, const struct expected *x,
                         unsigned length, uint64_t is) {
    uint64_t value = 1;
    unsigned left = length - 1;
    for (unsigned prefix = 1; left > 0 && prefix < 8; left--) {
        unsigned bit = decide(m, c, x, NODE_LOW + prefix, is >> (left - 1) & 1);
        prefix = prefix * 2 + bit;
        value = value * 2 + bit;
    }
    while (left > 0) {
        unsigned n = left > 16 ? 16 : left;
        left -= n;
        value = value << n | tensor_coder_raw(c, (uint32_t)(is >> left) & ((1U << n) - 1), n);
    }
    return value;
}

static int64_t code_rest(struct tensor_model *m, struct tensor_coder *c, const struct expected *x,
                         int64_t rest) {
    uint64_t is = rest < 0 ? -(uint64_t)rest : (uint64_t)rest;
    unsigned length = code_length(m, c, x, bit_length(is));
    if (length == 0)
        return 0;
    unsigned minus = decide(m, c, x, NODE_SIGN + (length > 2 ? 2 : length - 1), rest < 0);
    uint64_t magnitude = code_low(m, c, x, length, is);
    return tensor_element_wrap(minus ? -magnitude : magnitude, m->element.bits);
}

static void approach(uint32_t *mean, int32_t value, uint32_t inverse) {
    *mean = (uint32_t)((int32_t)*mean + (int32_t)(((int64_t)value - *mean) * inverse >> 16));
}

static int32_t distance(int32_t a, int32_t b) {
    int32_t d = a < b ? b - a : a - b;
    return (d > DEVIATION_MAX ? DEVIATION_MAX : d) * 16;
}

// The weights of the prediction move against its error, by as much as the features can explain.
static void adapt(struct tensor_difference *d, const struct column *col, const struct expected *x,
                  int32_t value) {
    int32_t deviation = (int32_t)(col->off / 16 + 16);
    int32_t error = value - x->value;
    int64_t power = (int64_t)deviation * deviation * 4;
    error = error > 3 * deviation ? 3 * deviation : error;
    error = error < -3 * deviation ? -3 * deviation : error;
    for (int i = 0; i < FEATURES; i++)
        power += (int32_t)x->features[i] * x->features[i];
    unsigned shift = bit_length((uint64_t)power);
    for (int i = 0; i < FEATURES; i++) {
        int64_t weight = d->weights[i] + ((int64_t)error * x->features[i] * 1024 >> shift);
        weight = weight > WEIGHT_MAX ? WEIGHT_MAX : weight;
        d->weights[i] = (int32_t)(weight < -WEIGHT_MAX ? -WEIGHT_MAX : weight);
    }
}

static void learn(struct tensor_model *m, struct column *col, const struct expected *x,
                  int16_t value) {
    struct tensor_difference *d = m->difference;
    uint32_t seen = m->row;
    uint32_t quick = d->inverse[seen < 16 ? seen / 2 + 2 : 10];
    bool nought = silent(col);
    approach(&d->row_off, distance(value, nought ? 0 : x->value), d->inverse[32]);
    adapt(d, col, x, value);
    approach(&col->off, distance(value, x->value), quick);
    approach(&col->off_nought, distance(value, 0), quick);
    col->mean +=
        (int32_t)(((int64_t)value * 16 - col->mean) * d->inverse[seen < 50 ? seen + 1 : 50] >> 16);
    col->up[1] = col->up[0];
    col->up[0] = value;
    d->left = value;
}

// Whether the element changes by as many steps as is usual in its class.
static bool code_again(struct tensor_model *m, struct tensor_coder *c, struct column *col,
                       unsigned class, bool is) {
    struct tensor_difference *d = m->difference;
    uint32_t *slots[TENSOR_MIX_INPUTS] = {
        &d->again_slots[0][col->again], &d->again_slots[1][d->again],
        &d->again_slots[2][(col->again & 15U) << 4 | (d->again & 15U)],
        &d->again_slots[3][(col->again & 1U) << 7 | (d->again & 1U) << 6 | class >> 2]};
    unsigned again = tensor_mix_bit(&m->mix, c, slots, NODE_AGAIN, is);
    col->again = (uint8_t)((unsigned)col->again << 1 | again);
    d->again = (uint8_t)((unsigned)d->again << 1 | again);
    return again;
}

// The change in steps from `from`, which has the bits `old`, to `to`.
static uint64_t code_change(struct tensor_model *m, struct tensor_coder *c, uint64_t old,
                            uint64_t from, uint64_t to) {
    const struct tensor_element *t = &m->element;
    struct tensor_difference *d = m->difference;
    struct column *col = &d->columns[m->column];
    int32_t exponent = m->based ? tensor_element_exponent(t, old) : 0;
    struct expected x = {.features = {col->up[0], col->up[1], d->left, clamped(col->mean / 16)}};
    if (m->based)
        x.features[4] = clamped(scaled(tensor_element_steps(t, old), exponent - d->old_unit));
    expect(m, col, exponent, &x);
    int64_t rest = tensor_element_wrap(to - from - (uint64_t)x.steps, t->bits);
    rest = x.turned ? tensor_element_wrap(-(uint64_t)rest, t->bits) : rest;
    rest = code_rest(m, c, &x, rest);
    uint64_t change = (uint64_t)x.steps + (x.turned ? -(uint64_t)rest : (uint64_t)rest);
    int64_t wrapped = tensor_element_wrap(change, t->bits);
    learn(m, col, &x, clamped(scaled(wrapped, exponent - d->unit)));
    return change;
}

uint64_t tensor_difference_code(struct tensor_model *m, struct tensor_coder *c, uint64_t old,
                                uint64_t new) {
    const struct tensor_element *t = &m->element;
    struct tensor_difference *d = m->difference;
    uint64_t from = m->based ? (uint64_t)tensor_element_ordered(t, old) : 0;
    uint64_t to = (uint64_t)tensor_element_ordered(t, new);
    if (!m->again)
        return tensor_element_bits(t, from + code_change(m, c, old, from, to));
    unsigned class = tensor_difference_class(t, old);
    bool is = tensor_element_wrap(to - from, t->bits) == d->usual[class];
    if (code_again(m, c, &d->columns[m->column], class, is))
        return tensor_element_bits(t, from + (uint64_t)d->usual[class]);
    uint64_t change = code_change(m, c, old, from, to);
    int64_t steps = tensor_element_wrap(change, t->bits);
    if (d->last[class] == steps)
        d->usual[class] = steps;
    d->last[class] = steps;
    return tensor_element_bits(t, from + change);
}
