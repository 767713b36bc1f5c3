// SPDX-License-Identifier: Apache-2.0
//
// Whole bundles under a good signature: tree, rows and stored bytes come from the input, so that
// the reader is reached behind every digest.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/unpack/stage.h"
#include "tests/support/forge.h"

#define DECODE_MAX (4ULL << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice changes; // exclusive-or on the rows

static void edit(struct forge_rows *rows) {
    uint8_t *at = (uint8_t *)rows->frames;
    size_t n = sizeof rows->frames + 4 * sizeof rows->chunks[0];
    for (size_t i = 0; i < changes.len && i < n; i++)
        if (i < sizeof rows->frames)
            at[i] ^= changes.data[i];
        else
            ((uint8_t *)rows->chunks)[i - sizeof rows->frames] ^= changes.data[i];
}

// The next part of the input: a length of two bytes, then that many.
static struct slice part(const uint8_t **data, size_t *size) {
    if (*size < 2)
        return (struct slice){NULL, 0};
    size_t len = (size_t)(*data)[0] | (size_t)(*data)[1] << 8;
    *data += 2;
    *size -= 2;
    if (len > *size)
        len = *size;
    struct slice found = {*data, len};
    *data += len;
    *size -= len;
    return found;
}

static void check(struct slice bytes, const struct keys_role *role) {
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_candidate *candidate = NULL;
    struct unpack_bundle *bundle = NULL;
    struct err e = ERR_NONE;
    forge_source(&memory, bytes, &source);
    if (unpack_open(&source, &candidate, &e) < 0)
        abort(); // the forge writes a container
    int r = unpack_verify(&candidate, role, &bundle, &e);
    if (r == 0)
        r = unpack_check(bundle, &source, DECODE_MAX, &e);
    if (r < 0 && !e.kind)
        abort();
    unpack_bundle_free(bundle);
}

// Input: tree, content, stored form of the content (empty: as it is), changes to the rows.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct keys_role role;
    if (role.n_keys == 0)
        forge_role(1, 1, &role);
    struct slice tree = part(&data, &size), content = part(&data, &size);
    struct slice stored = part(&data, &size);
    changes = part(&data, &size);
    OWN(buf) struct buf bytes;
    buf_init(&bytes, 1 << 22);
    OWN(mem) char *text = calloc(1, tree.len + 1);
    if (!text || memchr(tree.data ? (const void *)tree.data : "", 0, tree.len) || tree.len == 0 ||
        content.len > BUNDLE_CHUNK_MAX_BYTES)
        return 0;
    memcpy(text, tree.data, tree.len);
    const struct forge f = {.tree = text,
                            .n_contents = 1,
                            .contents = &content,
                            .stored = {{NULL, 0}, {stored.len ? stored.data : NULL, stored.len}},
                            .edit = edit};
    forge_bundle(&f, &bytes);
    check(buf_slice(&bytes), &role);
    return 0;
}
