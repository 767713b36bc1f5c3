// SPDX-License-Identifier: Apache-2.0
//
// A delta's head and frame table.
#include "bundle/delta.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "keys/canon.h"
#include "keys/kind.h"

#define TYPE "delta"

static const struct doc_limits limits = {
    .bytes = BUNDLE_DELTA_HEAD_MAX_BYTES, .depth = 6, .values = 512, .floats = false};
static const char *const type_names[] = {
    [BUNDLE_COMPONENT_FILES] = "files", [BUNDLE_COMPONENT_IMAGE] = "image"};

static int wrong(const struct doc_at *at, const char *member, const char *what, struct err *e) {
    return err_set(e, &err_bad_delta, "%s.%s: %s", at->path, member, what);
}

static int read_digest(const struct doc_at *at, const char *key, struct keys_digest *ret,
                       struct err *e) {
    const char *hex = NULL;
    if (doc_string(at, key, KEYS_DIGEST_HEX - 1, &hex, e) < 0)
        return -1;
    return keys_digest_parse(hex, at->path, ret, e);
}

static int read_component(const struct doc_at *at, struct bundle_delta_component *c,
                          struct err *e) {
    static const char *const known[] = {"digest", "name", "size", "stream_bytes", "type", NULL};
    const char *name = NULL, *type = NULL;
    if (doc_no_unknown(at, known, e) < 0 || doc_string(at, "name", BUNDLE_NAME_MAX, &name, e) < 0 ||
        doc_string(at, "type", 16, &type, e) < 0 || read_digest(at, "digest", &c->digest, e) < 0 ||
        doc_u64(at, "size", 0, BUNDLE_STREAM_MAX_BYTES, &c->size, e) < 0 ||
        doc_u64(at, "stream_bytes", 0, BUNDLE_STREAM_MAX_BYTES, &c->stream_bytes, e) < 0)
        return -1;
    if (!text_is_name(name, BUNDLE_NAME_MAX))
        return wrong(at, "name", "not a component's name", e);
    memcpy(c->name, name, strlen(name) + 1);
    if (strcmp(type, type_names[BUNDLE_COMPONENT_IMAGE]) == 0)
        c->type = BUNDLE_COMPONENT_IMAGE;
    else if (strcmp(type, type_names[BUNDLE_COMPONENT_FILES]) == 0)
        c->type = BUNDLE_COMPONENT_FILES;
    else
        return wrong(at, "type", "neither \"files\" nor \"image\"", e);
    if (c->type == BUNDLE_COMPONENT_IMAGE && (c->stream_bytes != c->size || c->size == 0))
        return wrong(at, "stream_bytes", "an image is its own stream, of one byte or more", e);
    if (c->type == BUNDLE_COMPONENT_FILES && c->size > BUNDLE_TREE_MAX_BYTES)
        return wrong(at, "size", "above the ceiling of a tree", e);
    return 0;
}

static int read_base(const struct doc_at *root, struct bundle_delta_head *ret, struct err *e) {
    static const char *const known[] = {"bundle", "components", NULL};
    struct doc_at base, array, at;
    if (doc_object(root, "base", &base, e) < 0 || doc_no_unknown(&base, known, e) < 0 ||
        read_digest(&base, "bundle", &ret->base, e) < 0 ||
        doc_array(&base, "components", BUNDLE_COMPONENTS_MAX, &array, e) < 0)
        return -1;
    ret->n_components = json_array_size(array.value);
    if (ret->n_components == 0)
        return wrong(&base, "components", "a bundle has at least one", e);
    for (size_t i = 0; i < ret->n_components; i++) {
        if (doc_element(&array, i, &at, e) < 0 || read_component(&at, &ret->components[i], e) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(ret->components[k].name, ret->components[i].name) == 0)
                return wrong(&at, "name", "another component has it", e);
    }
    if (bundle_delta_base_bytes(ret) > BUNDLE_STREAM_MAX_BYTES)
        return wrong(&base, "components", "their contents are above the ceiling", e);
    return 0;
}

static int read_packing(const struct doc_at *root, struct bundle_delta_packing *p, struct err *e) {
    static const char *const known[] = {"data_bytes",   "decode_bytes", "frame_bytes",
                                        "frames",       "index",        "map_frames",
                                        "stream_bytes", "tree_frames",  NULL};
    static const char *const known_index[] = {"digest", "size", NULL};
    struct doc_at at, index;
    uint64_t size = 0;
    if (doc_object(root, "packing", &at, e) < 0 || doc_no_unknown(&at, known, e) < 0 ||
        doc_u64(&at, "data_bytes", 0, BUNDLE_STREAM_MAX_BYTES, &p->data_bytes, e) < 0 ||
        doc_u64(&at, "decode_bytes", 0, BUNDLE_DELTA_DECODE_MAX_BYTES, &p->decode_bytes, e) < 0 ||
        doc_u64(&at, "frame_bytes", 0, BUNDLE_DELTA_FRAME_MAX_BYTES, &p->frame_bytes, e) < 0 ||
        doc_u64(&at, "stream_bytes", 0, BUNDLE_STREAM_MAX_BYTES, &p->stream_bytes, e) < 0 ||
        doc_u64(&at, "frames", 0, BUNDLE_DELTA_FRAMES_MAX, &p->n_frames, e) < 0 ||
        doc_u64(&at, "tree_frames", 0, p->n_frames, &p->n_tree_frames, e) < 0 ||
        doc_u64(&at, "map_frames", 0, p->n_frames - p->n_tree_frames, &p->n_map_frames, e) < 0 ||
        doc_object(&at, "index", &index, e) < 0 || doc_no_unknown(&index, known_index, e) < 0 ||
        read_digest(&index, "digest", &p->index_digest, e) < 0 ||
        doc_u64(&index, "size", 0, BUNDLE_DELTA_FRAMES_MAX * BUNDLE_DELTA_ROW_BYTES, &size, e) < 0)
        return -1;
    if (size != p->n_frames * BUNDLE_DELTA_ROW_BYTES)
        return wrong(&index, "size", "not 48 bytes for each frame", e);
    return 0;
}

static int read_root(const struct doc_at *root, struct bundle_delta_head *ret, struct err *e) {
    const char *type = NULL, *version = NULL;
    if (doc_string(root, "_type", 16, &type, e) < 0)
        return -1;
    if (strcmp(type, TYPE) != 0)
        return err_set(e, &err_wrong_type, "%s: it is a '%s', not a delta", root->path, type);
    if (doc_string(root, "spec_version", 16, &version, e) < 0)
        return -1;
    if (strcmp(version, KEYS_SPEC_VERSION) != 0)
        return err_set(e, &err_newer_format,
                       "%s: its format is %s, this program reads " KEYS_SPEC_VERSION, root->path,
                       version);
    if (read_digest(root, "bundle", &ret->bundle, e) < 0 || read_base(root, ret, e) < 0)
        return -1;
    return read_packing(root, &ret->packing, e);
}

int bundle_delta_parse(struct slice signed_part, struct bundle_delta_head *ret, struct err *e) {
    OWN(json) json_t *document = NULL;
    OWN(mem) struct bundle_delta_head *head = calloc(1, sizeof *head);
    struct doc_at root;
    if (!head)
        return err_set(e, &err_memory, "reading a delta's head");
    if (keys_canon_parse(signed_part, "delta", &limits, &document, e) < 0)
        return -1;
    if (doc_root(document, "delta", &root, e) < 0 || read_root(&root, head, e) < 0) {
        // As with manifests: what breaks a rule of this format is called after the format.
        if (err_is(e, &err_syntax) || err_is(e, &err_limit) || err_is(e, &err_config))
            e->kind = &err_bad_delta;
        return -1;
    }
    *ret = *head;
    return 0;
}

static json_t *describe_component(const struct bundle_delta_component *c) {
    char hex[KEYS_DIGEST_HEX];
    return json_pack("{ss ss sI sI ss}", "digest", keys_digest_hex(&c->digest, hex), "name",
                     c->name, "size", (json_int_t)c->size, "stream_bytes",
                     (json_int_t)c->stream_bytes, "type", type_names[c->type]);
}

static json_t *describe(const struct bundle_delta_head *head) {
    const struct bundle_delta_packing *p = &head->packing;
    char bundle[KEYS_DIGEST_HEX], base[KEYS_DIGEST_HEX], index[KEYS_DIGEST_HEX];
    json_t *components = json_array();
    for (size_t i = 0; components && i < head->n_components; i++)
        if (json_array_append_new(components, describe_component(&head->components[i])) < 0) {
            json_decref(components);
            return NULL;
        }
    return json_pack("{ss s{ss so} ss s{sI sI sI sI s{ss sI} sI sI sI} ss}", "_type", TYPE, "base",
                     "bundle", keys_digest_hex(&head->base, base), "components", components,
                     "bundle", keys_digest_hex(&head->bundle, bundle), "packing", "data_bytes",
                     (json_int_t)p->data_bytes, "decode_bytes", (json_int_t)p->decode_bytes,
                     "frame_bytes", (json_int_t)p->frame_bytes, "frames", (json_int_t)p->n_frames,
                     "index", "digest", keys_digest_hex(&p->index_digest, index), "size",
                     (json_int_t)(p->n_frames * BUNDLE_DELTA_ROW_BYTES), "map_frames",
                     (json_int_t)p->n_map_frames, "stream_bytes", (json_int_t)p->stream_bytes,
                     "tree_frames", (json_int_t)p->n_tree_frames, "spec_version",
                     KEYS_SPEC_VERSION);
}

int bundle_delta_format(const struct bundle_delta_head *head, struct buf *ret, struct err *e) {
    OWN(buf) struct buf text;
    OWN(mem) struct bundle_delta_head *again = calloc(1, sizeof *again);
    buf_init(&text, BUNDLE_DELTA_HEAD_MAX_BYTES);
    OWN(json) json_t *document = describe(head);
    if (!document || !again)
        return err_set(e, &err_memory, "writing a delta's head");
    if (keys_canon_format(document, &text, e) < 0 ||
        bundle_delta_parse(buf_slice(&text), again, e) < 0)
        return -1;
    return buf_add(ret, text.data, text.len, e);
}

// Each part is at most 2^42 and there are 32 of them: no overflow.
uint64_t bundle_delta_component_bytes(const struct bundle_delta_component *c) {
    return c->stream_bytes + (c->type == BUNDLE_COMPONENT_FILES ? c->size : 0);
}

uint64_t bundle_delta_base_bytes(const struct bundle_delta_head *head) {
    uint64_t sum = 0;
    for (size_t i = 0; i < head->n_components; i++)
        sum += bundle_delta_component_bytes(&head->components[i]);
    return sum;
}

static uint64_t get_number(const uint8_t *bytes, size_t len) {
    uint64_t value = 0;
    for (size_t i = len; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static void put_number(uint64_t value, uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

enum { OUT_AT = 32, STORED_AT = 40, ZERO_AT = 44 };

void bundle_delta_format_row(const struct bundle_delta_frame *row,
                             uint8_t ret[static BUNDLE_DELTA_ROW_BYTES]) {
    memcpy(ret, row->digest.bytes, KEYS_DIGEST_BYTES);
    put_number(row->out_bytes, ret + OUT_AT, 8);
    put_number(row->stored_bytes, ret + STORED_AT, 4);
    put_number(0, ret + ZERO_AT, 4);
}

// Offsets and positions are running sums, so `next` holds those of the row on entry and of the row
// behind it on return.
static int read_row(const uint8_t *bytes, const struct bundle_delta_packing *packing,
                    struct bundle_delta_frame *next, struct bundle_delta_frame *ret,
                    struct err *e) {
    struct bundle_delta_frame row = {.offset = next->offset,
                                     .position = next->position,
                                     .out_bytes = get_number(bytes + OUT_AT, 8),
                                     .stored_bytes = (uint32_t)get_number(bytes + STORED_AT, 4)};
    memcpy(row.digest.bytes, bytes, KEYS_DIGEST_BYTES);
    if (row.stored_bytes == 0 || row.stored_bytes > packing->frame_bytes)
        return err_set(e, &err_bad_delta,
                       "it has %" PRIu32 " stored bytes, 1 to %" PRIu64 " are allowed",
                       row.stored_bytes, packing->frame_bytes);
    if (row.out_bytes == 0 || row.out_bytes > BUNDLE_DELTA_OUT_MAX_BYTES)
        return err_set(e, &err_bad_delta, "it makes %" PRIu64 " bytes, 1 to %llu are allowed",
                       row.out_bytes, BUNDLE_DELTA_OUT_MAX_BYTES);
    if (get_number(bytes + ZERO_AT, 4) != 0)
        return err_set(e, &err_bad_delta, "its last four bytes are not zero");
    // 8192 rows of at most 4 GiB: no overflow.
    next->offset += row.stored_bytes;
    next->position += row.out_bytes;
    *ret = row;
    return 0;
}

int bundle_delta_parse_index(struct slice index, const struct bundle_delta_packing *packing,
                             struct bundle_delta_frame **ret, struct err *e) {
    struct keys_digest found;
    struct bundle_delta_frame next = {.offset = 0};
    keys_digest_of(index.data, index.len, &found);
    if (!keys_digest_equal(&found, &packing->index_digest) ||
        index.len != packing->n_frames * BUNDLE_DELTA_ROW_BYTES)
        return err_set(e, &err_bad_delta,
                       "its frame table is not the one that was signed: damaged on the way or on "
                       "the medium, get the delta again");
    OWN(mem) struct bundle_delta_frame *rows = calloc((size_t)packing->n_frames + 1, sizeof *rows);
    if (!rows)
        return err_set(e, &err_memory, "reading a frame table");
    for (size_t i = 0; i < packing->n_frames; i++)
        if (read_row(index.data + i * BUNDLE_DELTA_ROW_BYTES, packing, &next, &rows[i], e) < 0)
            return err_prefix(e, "frame %zu", i);
    if (next.offset != packing->data_bytes || next.position != packing->stream_bytes)
        return err_set(e, &err_bad_delta,
                       "its frames add up to %" PRIu64 " stored bytes and %" PRIu64
                       " made ones, its head says %" PRIu64 " and %" PRIu64,
                       next.offset, next.position, packing->data_bytes, packing->stream_bytes);
    rows[packing->n_frames] = next;
    *ret = own_take(&rows);
    return 0;
}

size_t bundle_delta_put_varint(uint64_t value, uint8_t ret[static BUNDLE_DELTA_VARINT_BYTES]) {
    size_t n = 0;
    for (; value > 0x7f; value >>= 7)
        ret[n++] = (uint8_t)(value | 0x80);
    ret[n++] = (uint8_t)value;
    return n;
}

int bundle_delta_get_varint(struct slice *rest, uint64_t *ret, struct err *e) {
    uint64_t value = 0;
    for (size_t i = 0; i < rest->len && i < BUNDLE_DELTA_VARINT_BYTES; i++) {
        uint8_t byte = rest->data[i];
        if (i == BUNDLE_DELTA_VARINT_BYTES - 1 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (byte == 0 && i > 0)
            return err_set(e, &err_bad_delta, "a number is not as short as can be");
        *rest = (struct slice){rest->data + i + 1, rest->len - i - 1};
        *ret = value;
        return 0;
    }
    return err_set(e, &err_bad_delta, "a number is cut short or too long");
}
