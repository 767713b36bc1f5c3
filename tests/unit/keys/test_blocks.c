// SPDX-License-Identifier: Apache-2.0
//
// The digest of blocks is what its definition says, in whatever pieces the data comes.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "keys/blocks.h"
#include "keys/secret.h"

#define BLOCK     KEYS_BLOCKS_BLOCK_BYTES
#define MAX_BYTES (11UL * BLOCK + 77)

static uint8_t *data;

static void fill(void) {
    struct err e = ERR_NONE;
    uint32_t seed = 3;
    cr_assert_eq(keys_secret_init(&e), 0);
    data = malloc(MAX_BYTES);
    cr_assert(data);
    for (size_t i = 0; i < MAX_BYTES; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (uint8_t)(seed >> 24);
    }
}

static void clear(void) {
    free(data);
}

static void by_definition(size_t len, struct keys_digest *ret) {
    struct keys_digest digests[MAX_BYTES / BLOCK + 1];
    size_t n = 0;
    memset(digests, 0, sizeof digests);
    for (size_t at = 0; at < len; at += BLOCK)
        keys_digest_of(data + at, len - at < BLOCK ? len - at : BLOCK, &digests[n++]);
    keys_digest_of(digests, n * sizeof digests[0], ret);
}

static void expect_right(size_t len, size_t piece) {
    struct keys_blocks state;
    struct keys_digest wanted, found;
    by_definition(len, &wanted);
    keys_blocks_init(&state);
    for (size_t at = 0; at < len; at += piece)
        keys_blocks_add(&state, data + at, len - at < piece ? len - at : piece);
    keys_blocks_final(&state, &found);
    cr_expect(keys_digest_equal(&wanted, &found), "%zu bytes in pieces of %zu", len, piece);
}

TestSuite(blocks, .init = fill, .fini = clear);

Test(blocks, every_length_in_pieces_of_every_kind_is_by_the_definition) {
    static const size_t lens[] = {0,         1,         BLOCK - 1, BLOCK,         BLOCK + 1,
                                  2 * BLOCK, 7 * BLOCK, 8 * BLOCK, 8 * BLOCK + 1, MAX_BYTES};
    static const size_t pieces[] = {4093, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 9, MAX_BYTES};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
            expect_right(lens[i], pieces[k]);
}

// Of 200,000 zero bytes, as the command in keys/blocks.h prints it.
Test(blocks, the_digest_is_the_one_that_other_tools_make) {
    struct keys_blocks state;
    struct keys_digest found;
    char hex[KEYS_DIGEST_HEX];
    uint8_t *zeros = calloc(1, 200000);
    cr_assert(zeros);
    keys_blocks_init(&state);
    keys_blocks_add(&state, zeros, 200000);
    keys_blocks_final(&state, &found);
    free(zeros);
    cr_expect_str_eq(keys_digest_hex(&found, hex),
                     "fbece1e7c6dc8bc40fae4556b22b15b534898279813eab1a138cfbf6aab629ea");
}
