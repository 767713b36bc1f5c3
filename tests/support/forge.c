// SPDX-License-Identifier: Apache-2.0
//
// The forge.
#include "tests/support/forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/skeleton.h"
#include "keys/canon.h"

#define FORGE_MAX_BYTES (64UL * 1024 * 1024)

static void must(bool good, const char *what, const struct err *e) {
    if (good)
        return;
    (void)fprintf(stderr, "forge: %s: %s\n", what, e ? e->text : "");
    abort();
}

struct keys_secret *forge_key(unsigned n, struct keys_pub *ret) {
    uint8_t seed[KEYS_ED25519_SEED_BYTES], bytes[KEYS_ED25519_PUBLIC_BYTES];
    struct err e = ERR_NONE;
    struct keys_secret *secret = NULL;
    memset(seed, 0x5a, sizeof seed);
    memcpy(seed, &n, sizeof n);
    must(keys_secret_init(&e) == 0 && keys_secret_take(seed, sizeof seed, &secret, &e) == 0 &&
             keys_secret_public(secret, bytes, &e) == 0 && keys_pub_from_bytes(bytes, ret, &e) == 0,
         "a key", &e);
    return secret;
}

// Computed once for each number: tests that flip every bit of something ask for them by the thousand.
static const struct keys_pub *public_key(unsigned n) {
    static struct keys_pub known[KEYS_ROLE_KEYS_MAX];
    static bool have[KEYS_ROLE_KEYS_MAX];
    must(n < KEYS_ROLE_KEYS_MAX, "a role of so many keys", NULL);
    if (!have[n])
        keys_secret_free(forge_key(n, &known[n]));
    have[n] = true;
    return &known[n];
}

void forge_role(size_t n_keys, size_t threshold, struct keys_role *ret) {
    memset(ret, 0, sizeof *ret);
    ret->threshold = threshold;
    for (unsigned i = 0; i < n_keys; i++)
        ret->keys[ret->n_keys++] = *public_key(i);
}

// By hand: the function that others use refuses to sign what is not canonical.
void forge_envelope(struct slice signed_part, struct buf *ret) {
    struct err e = ERR_NONE;
    struct keys_pub pub;
    uint8_t sig[KEYS_ED25519_SIGNATURE_BYTES];
    char hex[2 * sizeof sig + 1];
    struct keys_secret *secret = forge_key(0, &pub);
    must(keys_secret_sign(secret, signed_part, sig, &e) == 0, "a signature", &e);
    text_hex(sig, sizeof sig, hex);
    must(buf_add_format(ret, &e, "{\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"%s\"}],\"signed\":",
                        pub.id, hex) == 0 &&
             buf_add(ret, signed_part.data, signed_part.len, &e) == 0 &&
             buf_add_text(ret, "}", &e) == 0,
         "an envelope", &e);
    keys_secret_free(secret);
}

void forge_file_line(const char *path, struct slice content, bool exec, struct buf *ret) {
    struct err e = ERR_NONE;
    struct keys_digest digest;
    char hex[KEYS_DIGEST_HEX];
    keys_digest_of(content.data, content.len, &digest);
    must(buf_add_format(ret, &e,
                        "{\"digest\":\"%s\",\"exec\":%s,\"path\":\"%s\",\"size\":%zu,"
                        "\"type\":\"file\"}\n",
                        keys_digest_hex(&digest, hex), exec ? "true" : "false", path,
                        content.len) == 0,
         "a line", &e);
}

static void add_chunk(struct forge_rows *r, struct slice bytes, uint32_t what) {
    struct keys_digest digest;
    if (bytes.len == 0)
        return;
    must(r->n_chunks < FORGE_CHUNKS_MAX && bytes.len <= BUNDLE_CHUNK_MAX_BYTES, "chunks", NULL);
    struct bundle_index_chunk *c = &r->chunks[r->n_chunks++];
    keys_digest_of(bytes.data, bytes.len, &digest);
    memcpy(c->digest, digest.bytes, sizeof c->digest);
    c->what = what;
    c->bytes = (uint32_t)bytes.len;
    r->header.raw_bytes += bytes.len;
}

static void add_frame(struct forge_rows *r, struct slice stored, uint64_t raw) {
    if (r->header.raw_bytes == raw)
        return;
    struct bundle_index_frame *f = &r->frames[r->n_frames++];
    keys_digest_of(stored.data, stored.len, &f->digest);
    f->stored_bytes = (uint32_t)stored.len;
    f->raw_bytes = (uint32_t)(r->header.raw_bytes - raw);
    r->header.data_bytes += stored.len;
}

static void add_bytes(struct buf *b, const void *data, size_t len) {
    struct err e = ERR_NONE;
    must(buf_add(b, data, len, &e) == 0, "memory", &e);
}

// The contents [from, to) as chunks of one frame.
static void add_contents(const struct forge *f, struct forge_rows *r, size_t from, size_t to,
                         size_t frame, struct buf *data) {
    struct buf raw;
    uint64_t start = r->header.raw_bytes;
    size_t n_frames = r->n_frames;
    buf_init(&raw, FORGE_MAX_BYTES);
    for (size_t i = from; i < to; i++) {
        add_chunk(r, f->contents[i], frame == 2 ? BUNDLE_INDEX_FRESH : BUNDLE_INDEX_KNOWN);
        add_bytes(&raw, f->contents[i].data, f->contents[i].len);
    }
    struct slice stored = f->stored[frame].data ? f->stored[frame] : buf_slice(&raw);
    add_frame(r, stored, start);
    if (r->n_frames > n_frames)
        add_bytes(data, stored.data, stored.len);
    buf_clear(&raw);
}

static void make_rows(const struct forge *f, struct forge_rows *r, struct buf *data) {
    struct slice tree = {(const uint8_t *)f->tree, strlen(f->tree)};
    memset(r, 0, sizeof *r);
    for (size_t at = 0; at < tree.len; at += BUNDLE_CHUNK_MAX_BYTES)
        add_chunk(r,
                  (struct slice){tree.data + at, tree.len - at < BUNDLE_CHUNK_MAX_BYTES
                                                     ? tree.len - at
                                                     : BUNDLE_CHUNK_MAX_BYTES},
                  BUNDLE_INDEX_KNOWN);
    struct slice stored = f->stored[0].data ? f->stored[0] : tree;
    add_frame(r, stored, 0);
    add_bytes(data, stored.data, stored.len);
    r->header.trees_end = r->header.raw_bytes;
    add_contents(f, r, 0, f->n_contents - f->n_fresh, 1, data);
    r->header.fresh_start = r->header.raw_bytes;
    add_contents(f, r, f->n_contents - f->n_fresh, f->n_contents, 2, data);
    r->header.n_frames = r->n_frames;
    r->header.n_chunks = r->n_chunks;
    r->header.stream_bytes = r->header.raw_bytes;
    uint64_t at[3] = {0, 0, r->header.fresh_start};
    for (size_t i = 0; i < r->n_chunks; i++) {
        if (i % BUNDLE_INDEX_CHUNKS_PER_PAGE == 0)
            memcpy(r->pages[1 + i / BUNDLE_INDEX_CHUNKS_PER_PAGE].at, at, sizeof at);
        at[BUNDLE_INDEX_AT_STREAM] += r->chunks[i].bytes;
        at[1 + r->chunks[i].what] += r->chunks[i].bytes;
    }
}

static void make_index(const struct forge_rows *r, struct buf *ret, uint64_t *ret_head) {
    struct err e = ERR_NONE;
    uint64_t size = 0;
    uint8_t *at = NULL;
    must(bundle_index_size(r->n_frames, r->n_chunks, ret_head, &size, &e) == 0, "size", &e);
    must(buf_reserve(ret, size, &at, &e) == 0, "memory", &e);
    memset(at, 0, size);
    buf_commit(ret, size);
    bundle_index_format_header(&r->header, at);
    uint8_t *pages = at + *ret_head, *page = pages;
    for (size_t i = 0; i < r->n_frames; i++)
        bundle_index_format_frame(&r->frames[i], page + i * BUNDLE_INDEX_FRAME_ROW_BYTES);
    page += r->n_frames ? BUNDLE_INDEX_PAGE_BYTES : 0;
    for (size_t i = 0; i < r->n_chunks; i++)
        bundle_index_format_chunk(&r->chunks[i], page + i * BUNDLE_INDEX_CHUNK_ROW_BYTES);
    for (size_t i = 0; i < (size - *ret_head) / BUNDLE_INDEX_PAGE_BYTES; i++) {
        struct bundle_index_page row = r->pages[r->n_frames ? i : 1 + i];
        keys_digest_of(pages + i * BUNDLE_INDEX_PAGE_BYTES, BUNDLE_INDEX_PAGE_BYTES, &row.digest);
        bundle_index_format_page(&row, at + BUNDLE_INDEX_PAGE_BYTES +
                                           i * BUNDLE_INDEX_DIRECTORY_ROW_BYTES);
    }
}

static json_t *digest_value(const void *data, size_t len) {
    struct keys_digest digest;
    char hex[KEYS_DIGEST_HEX];
    keys_digest_of(data, len, &digest);
    return json_string(keys_digest_hex(&digest, hex));
}

static void replace(json_t *object, const json_t *with) {
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)with, key, value) {
        if (json_is_null(value))
            (void)json_object_del(object, key);
        else
            (void)json_object_set(object, key, value);
    }
}

static json_t *make_component(const struct forge *f) {
    json_int_t entries = 0, bytes = 0;
    for (const char *c = f->tree; *c; c++)
        entries += *c == '\n';
    for (size_t i = 0; i < f->n_contents; i++)
        bytes += (json_int_t)f->contents[i].len;
    size_t len = strlen(f->tree);
    json_t *c = json_pack("{s:I,s:b,s:s,s:i,s:I,s:{s:o,s:I},s:s}", "entries", entries, "executable",
                          strstr(f->tree, "\"exec\":true") != NULL, "name", "c", "security_version",
                          1, "stream_bytes", bytes, "tree", "digest", digest_value(f->tree, len),
                          "size", (json_int_t)len, "type", "files");
    must(c != NULL, "a component", NULL);
    if (f->component)
        replace(c, f->component);
    return c;
}

static void make_manifest(const struct forge *f, const struct buf *index, uint64_t head,
                          uint64_t data_bytes, struct buf *ret) {
    struct err e = ERR_NONE;
    json_t *m =
        json_pack("{s:s,s:[o],s:s,s:s,s:s,s:{s:I,s:i,s:{s:o,s:I,s:I}},s:s,s:s,s:i}", "_type",
                  "bundle", "components", make_component(f), "expires", "2096-10-02T07:06:40Z",
                  "issued", "2023-11-14T22:13:20Z", "name", "forged", "packing", "data_bytes",
                  (json_int_t)data_bytes, "frame_bytes", BUNDLE_FRAME_DEFAULT_BYTES, "index",
                  "digest", digest_value(index->data, head), "head_bytes", (json_int_t)head, "size",
                  (json_int_t)index->len, "release", "1.0", "spec_version", "1.0", "version", 1);
    must(m != NULL, "a manifest", NULL);
    if (f->members)
        replace(m, f->members);
    must(keys_canon_format(m, ret, &e) == 0, "a manifest", &e);
    json_decref(m);
}

static void put_member(const struct bundle_skeleton *k, enum bundle_skeleton_member member,
                       const struct buf *bytes, uint8_t *file) {
    bundle_skeleton_header(k, member, file + k->offset[member] - BUNDLE_SKELETON_BLOCK);
    if (bytes->len)
        memcpy(file + k->offset[member], bytes->data, bytes->len);
}

static void make_container(struct buf *manifest, const struct buf *index, const struct buf *data,
                           struct buf *ret) {
    struct err e = ERR_NONE;
    struct bundle_skeleton k;
    uint8_t *file = NULL;
    do
        add_bytes(manifest, " ", 1);
    while (manifest->len % BUNDLE_MANIFEST_ALIGN != 0);
    const uint64_t size[BUNDLE_SKELETON_MEMBERS] = {manifest->len, index->len, data->len};
    must(bundle_skeleton_layout(size, &k, &e) == 0 && buf_reserve(ret, k.total, &file, &e) == 0,
         "a container", &e);
    memset(file, 0, k.total);
    put_member(&k, BUNDLE_SKELETON_MANIFEST, manifest, file);
    put_member(&k, BUNDLE_SKELETON_INDEX, index, file);
    put_member(&k, BUNDLE_SKELETON_DATA, data, file);
    buf_commit(ret, k.total);
}

void forge_bundle(const struct forge *f, struct buf *ret) {
    struct forge_rows *rows = malloc(sizeof *rows);
    struct buf data, index, signed_part, manifest;
    uint64_t head = 0;
    must(rows != NULL, "memory", NULL);
    buf_init(&data, FORGE_MAX_BYTES);
    buf_init(&index, FORGE_MAX_BYTES);
    buf_init(&signed_part, BUNDLE_MANIFEST_MAX_BYTES);
    buf_init(&manifest, BUNDLE_MANIFEST_MAX_BYTES);
    make_rows(f, rows, &data);
    if (f->edit)
        f->edit(rows);
    make_index(rows, &index, &head);
    if (f->edit_index)
        f->edit_index(&index);
    make_manifest(f, &index, head, data.len, &signed_part);
    forge_envelope(buf_slice(&signed_part), &manifest);
    make_container(&manifest, &index, &data, ret);
    buf_clear(&data);
    buf_clear(&index);
    buf_clear(&signed_part);
    buf_clear(&manifest);
    free(rows);
}

struct slice forge_manifest_of(struct slice bundle) {
    struct err e = ERR_NONE;
    uint64_t size = 0;
    must(bundle_skeleton_check(bundle.data, BUNDLE_SKELETON_MANIFEST, &size, &e) == 0, "a bundle",
         &e);
    return (struct slice){bundle.data + BUNDLE_SKELETON_BLOCK, size};
}

static int read_memory(void *context, uint64_t offset, void *data, size_t len, struct err *e) {
    struct forge_memory *m = context;
    m->reads++;
    if (offset > m->bytes.len || len > m->bytes.len - offset)
        return err_set(e, &err_truncated, "the bytes end at %zu", m->bytes.len);
    m->given += len;
    if (m->break_after && m->given > m->break_after)
        return err_set(e, &err_io, "the connection broke");
    if (len)
        memcpy(data, m->bytes.data + offset, len);
    return 0;
}

static uint64_t size_of_memory(void *context) {
    const struct forge_memory *m = context;
    return m->bytes.len;
}

void forge_source(struct forge_memory *memory, struct slice bytes, struct unpack_source *ret) {
    *memory = (struct forge_memory){.bytes = bytes};
    *ret = (struct unpack_source){.read = read_memory, .size = size_of_memory, .context = memory};
}
