// SPDX-License-Identifier: Apache-2.0
//
// Cuts are those of the rule in FORMAT.md §5, written here once more and slowly.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/chunker.h"
#include "bundle/limits.h"
#include "keys/digest.h"
#include "keys/secret.h"

#define BYTES (2UL * 1024 * 1024)

static uint64_t gear(uint8_t byte) {
    uint8_t text[] = "edge gear ";
    struct keys_digest digest;
    uint64_t value = 0;
    text[9] = byte;
    keys_digest_of(text, 10, &digest);
    for (int i = 7; i >= 0; i--)
        value = value * 256 + digest.bytes[i];
    return value;
}

// Number of the byte behind which a chunk ends.
static size_t last_byte(const uint64_t table[static 256], const uint8_t *data, size_t len) {
    uint64_t fp = 0;
    for (size_t n = 1984; n < len; n++) {
        fp = 2 * fp + table[data[n]];
        if ((n >= 2047 && fp >> 49 == 0) || (n >= 8192 && fp >> 53 == 0) || n == 32767)
            return n;
    }
    return len - 1;
}

static uint8_t *noise(void) {
    struct err e = ERR_NONE;
    uint64_t seed = 5;
    uint8_t *data = malloc(BYTES);
    cr_assert(data && keys_secret_init(&e) == 0);
    for (size_t i = 0; i < BYTES; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        data[i] = (uint8_t)(seed >> 56);
    }
    return data;
}

Test(chunker, cuts_follow_the_rule_of_the_format) {
    uint8_t *data = noise();
    uint64_t table[256];
    struct bundle_chunker chunker;
    size_t kinds[3] = {0}; // early, late, at the ceiling
    bundle_chunker_init(&chunker);
    for (unsigned i = 0; i < 256; i++)
        table[i] = gear((uint8_t)i);
    memset(data + BYTES / 2, 'x', BYTES / 4); // nothing cuts here
    for (size_t at = 0; at < BYTES;) {
        size_t left = BYTES - at;
        size_t len = bundle_chunker_cut(&chunker, data + at, left);
        cr_assert_eq(len, last_byte(table, data + at, left) + 1, "at %zu", at);
        kinds[len == BUNDLE_CHUNK_MAX_BYTES ? 2 : len > BUNDLE_CHUNK_AVG_BYTES]++;
        at += len;
    }
    cr_expect(kinds[0] > 0 && kinds[1] > 0 && kinds[2] > 0, "all three kinds of cut were seen");
    for (size_t len = 1; len < 5000; len += 7)
        cr_assert_eq(bundle_chunker_cut(&chunker, data, len), last_byte(table, data, len) + 1);
    cr_expect_eq(bundle_chunker_cut(&chunker, data, 0), 0);
    free(data);
}

Test(chunker, an_insertion_moves_cuts_only_near_it) {
    uint8_t *data = noise(), *other = malloc(BYTES + 1);
    struct bundle_chunker chunker;
    size_t a = 0, b = 0;
    bundle_chunker_init(&chunker);
    memcpy(other, data, 100000);
    other[100000] = 'x';
    memcpy(other + 100001, data + 100000, BYTES - 100000);
    while (a < BYTES && (a < 100000 || b != a + 1)) {
        a += bundle_chunker_cut(&chunker, data + a, BYTES - a);
        while (b < a + 1 && b < BYTES + 1)
            b += bundle_chunker_cut(&chunker, other + b, BYTES + 1 - b);
    }
    cr_expect_lt(a, 100000 + 10 * BUNDLE_CHUNK_MAX_BYTES, "in step again at %zu", a);
    free(data);
    free(other);
}
