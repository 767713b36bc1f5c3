// SPDX-License-Identifier: Apache-2.0
//
// Suffix search, and the stretching of matches.
#include "bundle/pack/delta/match.h"

#include <divsufsort.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/pack/delta/program.h"

// A match elsewhere must agree in so many bytes more than going on where we are.
#define LEAD_BYTES 8
// Above so many old bytes the search starts from a table of what two bytes begin with.
#define TABLE_FROM_BYTES (64 * 1024)
#define TABLE_ENTRIES    65536

struct match {
    const uint8_t *old, *new_bytes;
    int64_t n_old, n_new;
    saidx_t *suffixes;
    saidx_t *table; // first suffix that begins with two bytes or more; NULL when there is none
    uint64_t old_address;
    struct pack_delta_match_records *ret;
};

// Where the copy that is being made comes from and goes to.
struct stretch {
    int64_t at, from; // of its first byte
};

int pack_delta_match_add(struct pack_delta_match_records *records,
                         const struct pack_delta_match_record *record, struct err *e) {
    if (record->copy == 0 && record->literal == 0)
        return 0;
    if (records->n == records->max) {
        size_t max = records->max ? 2 * records->max : 16;
        void *grown = realloc(records->list, max * sizeof *records->list);
        if (!grown)
            return err_set(e, &err_memory, "matching: no memory for %zu records", max);
        records->list = grown;
        records->max = max;
    }
    records->list[records->n++] = *record;
    return 0;
}

void pack_delta_match_clear(struct pack_delta_match_records *records) {
    free(records->list);
    *records = (struct pack_delta_match_records){.n = 0};
}

// How many bytes agree from two places on.
static int64_t agree(const struct match *m, int64_t old, int64_t at) {
    int64_t left_old = m->n_old - old, left = m->n_new - at;
    int64_t max = left_old < left ? left_old : left, i = 0;
    for (; i + 8 <= max; i += 8) {
        uint64_t a, b;
        memcpy(&a, m->old + old + i, sizeof a);
        memcpy(&b, m->new_bytes + at + i, sizeof b);
        if (a != b)
            break;
    }
    while (i < max && m->old[old + i] == m->new_bytes[at + i])
        i++;
    return i;
}

// Whether the suffix at `old`, which agrees in `len` bytes with what is looked for, stands behind
// it.
static bool is_behind(const struct match *m, int64_t old, int64_t at, int64_t len) {
    if (old + len >= m->n_old)
        return false;
    return at + len >= m->n_new || m->old[old + len] > m->new_bytes[at + len];
}

// The longest match for the bytes at `at`: its length, and its place.
static int64_t search(const struct match *m, int64_t at, int64_t *ret) {
    int64_t low = 0, high = m->n_old - 1;
    if (m->table && at + 2 <= m->n_new) {
        size_t first = (size_t)m->new_bytes[at] << 8 | m->new_bytes[at + 1];
        low = m->table[first];
        high = (int64_t)m->table[first + 1] - 1;
        if (low > high)
            return 0;
    }
    int64_t low_len = agree(m, m->suffixes[low], at), high_len = agree(m, m->suffixes[high], at);
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2, old = m->suffixes[middle];
        int64_t len = low_len < high_len ? low_len : high_len;
        len += agree(m, old + len, at + len);
        if (is_behind(m, old, at, len)) {
            high = middle;
            high_len = len;
        } else {
            low = middle;
            low_len = len;
        }
    }
    *ret = m->suffixes[low_len >= high_len ? low : high];
    return low_len >= high_len ? low_len : high_len;
}

// Two bytes at a suffix, one past the end counting as zero: rising along the suffix array.
static size_t first_two(const struct match *m, int64_t old) {
    return (size_t)m->old[old] << 8 | (old + 1 < m->n_old ? m->old[old + 1] : 0);
}

static int make_table(struct match *m, struct err *e) {
    if (m->n_old < TABLE_FROM_BYTES)
        return 0;
    m->table = calloc(TABLE_ENTRIES + 1, sizeof *m->table);
    if (!m->table)
        return err_set(e, &err_memory, "matching: no memory");
    size_t next = 0;
    for (saidx_t i = 0; i < m->n_old; i++)
        for (size_t two = first_two(m, m->suffixes[i]); next <= two; next++)
            m->table[next] = i;
    for (; next <= TABLE_ENTRIES; next++)
        m->table[next] = (saidx_t)m->n_old;
    return 0;
}

// How far to go on behind a copy's start, up to `max` bytes, so that the bytes which agree
// outnumber those that do not by most.
static int64_t stretch_forward(const struct match *m, const struct stretch *s, int64_t max) {
    int64_t same = 0, best = 0, len = 0;
    if (max > m->n_old - s->from)
        max = m->n_old - s->from;
    for (int64_t i = 0; i < max;) {
        same += m->old[s->from + i] == m->new_bytes[s->at + i];
        i++;
        if (same * 2 - i > best * 2 - len) {
            best = same;
            len = i;
        }
    }
    return len;
}

static int64_t stretch_back(const struct match *m, const struct stretch *s, int64_t max) {
    int64_t same = 0, best = 0, len = 0;
    if (max > s->from)
        max = s->from;
    for (int64_t i = 1; i <= max; i++) {
        same += m->old[s->from - i] == m->new_bytes[s->at - i];
        if (same * 2 - i > best * 2 - len) {
            best = same;
            len = i;
        }
    }
    return len;
}

// Of `overlap` bytes that both copies could make, how many the first one should.
static int64_t divide(const struct match *m, const struct stretch *a, int64_t a_len,
                      const struct stretch *b, int64_t b_back, int64_t overlap) {
    int64_t sum = 0, best = 0, len = 0;
    for (int64_t i = 0; i < overlap; i++) {
        int64_t in_a = a_len - overlap + i, in_b = i - b_back;
        sum += m->new_bytes[a->at + in_a] == m->old[a->from + in_a];
        sum -= m->new_bytes[b->at + in_b] == m->old[b->from + in_b];
        if (sum > best) {
            best = sum;
            len = i + 1;
        }
    }
    return len;
}

// Ends the copy that runs, where the next one begins (at the end of everything: *next is there).
static int end_copy(struct match *m, struct stretch *running, const struct stretch *next,
                    struct err *e) {
    bool last = next->at >= m->n_new;
    int64_t len = stretch_forward(m, running, next->at - running->at);
    int64_t back = last ? 0 : stretch_back(m, next, next->at - running->at);
    int64_t overlap = running->at + len - (next->at - back);
    if (overlap > 0) {
        int64_t kept = divide(m, running, len, next, back, overlap);
        len += kept - overlap;
        back -= kept;
    }
    const struct pack_delta_match_record record = {
        .old = m->old_address + (uint64_t)running->from,
        .copy = (uint64_t)len,
        .literal = (uint64_t)(next->at - back - (running->at + len))};
    running->at = next->at - back;
    running->from = next->from - back;
    return pack_delta_match_add(m->ret, &record, e);
}

// Goes through the new bytes. At each place the longest match is compared with what going on with
// the copy that runs would give; `same` counts the bytes of that match in which the latter agrees.
static int match_all(struct match *m, struct err *e) {
    struct stretch running = {0, 0};
    int64_t at = 0, len = 0, from = 0, offset = 0;
    while (at < m->n_new) {
        int64_t same = 0;
        at += len;
        for (int64_t counted = at; at < m->n_new; at++) {
            len = search(m, at, &from);
            for (; counted < at + len; counted++)
                same += counted + offset < m->n_old && counted + offset >= 0 &&
                        m->old[counted + offset] == m->new_bytes[counted];
            if ((len == same && len != 0) || len > same + LEAD_BYTES)
                break;
            same -= at + offset < m->n_old && at + offset >= 0 &&
                    m->old[at + offset] == m->new_bytes[at];
        }
        if (len == same && at < m->n_new)
            continue;
        const struct stretch next = {at < m->n_new ? at : m->n_new, from};
        if (end_copy(m, &running, &next, e) < 0)
            return -1;
        offset = from - at;
    }
    return 0;
}

static int match_window(struct slice old, uint64_t old_address, struct slice new_bytes,
                        struct pack_delta_match_records *ret, struct err *e) {
    struct match m = {.old = old.data,
                      .new_bytes = new_bytes.data,
                      .n_old = (int64_t)old.len,
                      .n_new = (int64_t)new_bytes.len,
                      .old_address = old_address,
                      .ret = ret};
    m.suffixes = malloc(old.len * sizeof *m.suffixes);
    int r = -1;
    if (!m.suffixes || divsufsort(old.data, m.suffixes, (saidx_t)old.len) != 0)
        (void)err_set(e, &err_memory, "matching against %zu bytes: no memory", old.len);
    else if (make_table(&m, e) == 0)
        r = match_all(&m, e);
    free(m.table);
    free(m.suffixes);
    return r;
}

// The part of the old bytes that stands where bytes [at, at + len) of the new ones do.
static struct slice window_of(struct slice old, struct slice new_bytes, size_t at, size_t len,
                              size_t *ret_start) {
    size_t start = 0, size = old.len;
    if (old.len > PACK_DELTA_MATCH_WINDOW_BYTES) {
        double middle = ((double)at + (double)len / 2) / (double)new_bytes.len * (double)old.len;
        size = PACK_DELTA_MATCH_WINDOW_BYTES;
        start = middle > (double)size / 2 ? (size_t)(middle - (double)size / 2) : 0;
        if (start > old.len - size)
            start = old.len - size;
    }
    *ret_start = start;
    return (struct slice){old.data + start, size};
}

static int match_windows(struct slice old, uint64_t old_address, struct slice new_bytes,
                         struct pack_delta_match_records *ret, struct err *e) {
    size_t step =
        old.len > PACK_DELTA_MATCH_WINDOW_BYTES ? PACK_DELTA_MATCH_STEP_BYTES : new_bytes.len;
    if (step > (size_t)INT32_MAX / 2)
        step = (size_t)INT32_MAX / 2;
    for (size_t at = 0; at < new_bytes.len; at += step) {
        size_t len = new_bytes.len - at < step ? new_bytes.len - at : step, start = 0;
        struct slice window = window_of(old, new_bytes, at, len, &start);
        if (match_window(window, old_address + start, (struct slice){new_bytes.data + at, len}, ret,
                         e) < 0)
            return -1;
    }
    return 0;
}

int pack_delta_match(struct slice old, uint64_t old_address, struct slice new_bytes,
                     struct pack_delta_match_records *ret, struct err *e) {
    if (new_bytes.len == 0)
        return 0;
    if (old.len == 0)
        return pack_delta_match_add(ret,
                                    &(struct pack_delta_match_record){.literal = new_bytes.len}, e);
    enum pack_delta_program_machine machine = pack_delta_program_machine(new_bytes);
    if (machine == PACK_DELTA_PROGRAM_NONE || machine != pack_delta_program_machine(old))
        return match_windows(old, old_address, new_bytes, ret, e);
    struct slice blank_old = {NULL, 0}, blank_new = {NULL, 0};
    int r = -1;
    if (pack_delta_program_blank(old, machine, &blank_old, e) == 0 &&
        pack_delta_program_blank(new_bytes, machine, &blank_new, e) == 0)
        r = match_windows(blank_old, old_address, blank_new, ret, e);
    free((void *)(uintptr_t)blank_old.data);
    free((void *)(uintptr_t)blank_new.data);
    return r;
}
