// SPDX-License-Identifier: Apache-2.0
//
// A delta's head, frame table and numbers: what is good at a ceiling and refused above it.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/delta.h"
#include "bundle/kind.h"
#include "keys/kind.h"

static void make(struct bundle_delta_head *h) {
    *h = (struct bundle_delta_head){.n_components = 2,
                                    .components = {{.name = "app", .size = 100, .stream_bytes = 9},
                                                   {.name = "disk",
                                                    .type = BUNDLE_COMPONENT_IMAGE,
                                                    .size = 4096,
                                                    .stream_bytes = 4096}},
                                    .packing = {.data_bytes = 7,
                                                .decode_bytes = 1 << 20,
                                                .frame_bytes = 4,
                                                .stream_bytes = 12,
                                                .n_frames = 3,
                                                .n_tree_frames = 1,
                                                .n_map_frames = 1}};
    h->bundle.bytes[0] = 1;
    h->base.bytes[0] = 2;
}

static void format(const struct bundle_delta_head *h, struct buf *ret) {
    struct err e = ERR_NONE;
    buf_init(ret, BUNDLE_DELTA_HEAD_MAX_BYTES);
    cr_assert_eq(bundle_delta_format(h, ret, &e), 0, "%s", e.text);
}

Test(delta, a_head_comes_back_as_it_was_written) {
    struct bundle_delta_head h, found;
    struct err e = ERR_NONE;
    OWN(buf) struct buf text;
    make(&h);
    format(&h, &text);
    cr_assert_eq(bundle_delta_parse(buf_slice(&text), &found, &e), 0, "%s", e.text);
    cr_expect_eq(bundle_delta_base_bytes(&found), 100 + 9 + 4096);
    cr_expect_str_eq(found.components[1].name, "disk");
    cr_expect_eq(found.components[1].type, BUNDLE_COMPONENT_IMAGE);
    cr_expect_eq(found.packing.n_frames, 3);
    cr_expect(keys_digest_equal(&found.bundle, &h.bundle));
    cr_expect(keys_digest_equal(&found.base, &h.base));
}

// Whether a head as `edit` makes it is one.
static bool is_good(void (*edit)(struct bundle_delta_head *h)) {
    struct bundle_delta_head h;
    struct err e = ERR_NONE;
    OWN(buf) struct buf text;
    buf_init(&text, BUNDLE_DELTA_HEAD_MAX_BYTES);
    make(&h);
    edit(&h);
    bool good = bundle_delta_format(&h, &text, &e) == 0;
    cr_expect(good || err_is(&e, &err_bad_delta), "%s", e.text);
    return good;
}

#define EDIT(name, what)                                                                           \
    static void name(struct bundle_delta_head *h) {                                                \
        struct bundle_delta_packing *p = &h->packing;                                              \
        struct bundle_delta_component *c = &h->components[0];                                      \
        (void)p, (void)c;                                                                          \
        what;                                                                                      \
    }
EDIT(frames_at, p->n_frames = BUNDLE_DELTA_FRAMES_MAX)
EDIT(frames_above, p->n_frames = BUNDLE_DELTA_FRAMES_MAX + 1)
EDIT(frame_at, p->frame_bytes = BUNDLE_DELTA_FRAME_MAX_BYTES)
EDIT(frame_above, p->frame_bytes = BUNDLE_DELTA_FRAME_MAX_BYTES + 1)
EDIT(decode_at, p->decode_bytes = BUNDLE_DELTA_DECODE_MAX_BYTES)
EDIT(decode_above, p->decode_bytes = BUNDLE_DELTA_DECODE_MAX_BYTES + 1)
EDIT(stream_at, p->stream_bytes = BUNDLE_STREAM_MAX_BYTES)
EDIT(stream_above, p->stream_bytes = BUNDLE_STREAM_MAX_BYTES + 1)
EDIT(tree_at, c->size = BUNDLE_TREE_MAX_BYTES)
EDIT(tree_above, c->size = BUNDLE_TREE_MAX_BYTES + 1)
EDIT(base_above, c->stream_bytes = BUNDLE_STREAM_MAX_BYTES)
EDIT(borders_at, p->n_map_frames = 2)
EDIT(borders_above, p->n_map_frames = 3)
EDIT(no_components, h->n_components = 0)
EDIT(same_name, memcpy(h->components[1].name, "app", 4))
EDIT(no_name, c->name[0] = '\0')
EDIT(up_name, memcpy(c->name, "../x", 5))
EDIT(image_lies, h->components[1].stream_bytes--)

Test(delta, heads_at_a_ceiling_are_good_and_above_it_are_not) {
    cr_expect(is_good(frames_at) && !is_good(frames_above));
    cr_expect(is_good(frame_at) && !is_good(frame_above));
    cr_expect(is_good(decode_at) && !is_good(decode_above));
    cr_expect(is_good(stream_at) && !is_good(stream_above));
    cr_expect(is_good(tree_at) && !is_good(tree_above));
    cr_expect(is_good(borders_at) && !is_good(borders_above));
}

Test(delta, heads_that_cannot_be_are_refused) {
    cr_expect(!is_good(base_above));
    cr_expect(!is_good(no_components));
    cr_expect(!is_good(same_name));
    cr_expect(!is_good(no_name));
    cr_expect(!is_good(up_name));
    cr_expect(!is_good(image_lies));
}

static const struct err_kind *kind_with(const char *from, const char *to) {
    struct bundle_delta_head h, found;
    struct err e = ERR_NONE;
    OWN(buf) struct buf text;
    char changed[8192];
    make(&h);
    format(&h, &text);
    const char *at = strstr(buf_text(&text), from);
    cr_assert(at, "%s", from);
    int n = snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - buf_text(&text)),
                     buf_text(&text), to, at + strlen(from));
    (void)bundle_delta_parse((struct slice){(const uint8_t *)changed, (size_t)n}, &found, &e);
    return e.kind;
}

Test(delta, members_of_another_type_or_unknown_are_refused) {
    cr_expect_eq(kind_with("\"delta\"", "\"bundle\""), &err_wrong_type);
    cr_expect_eq(kind_with("\"1.0\"", "\"2.0\""), &err_newer_format);
    cr_expect_eq(kind_with("\"files\"", "\"folder\""), &err_bad_delta);
    cr_expect_eq(kind_with("\"size\":100", "\"size\":\"100\""), &err_bad_delta);
    cr_expect_eq(kind_with("\"size\":100,", "\"size\":100,\"sizf\":1,"), &err_bad_delta);
    cr_expect_eq(kind_with("\"size\":144}", "\"size\":143}"), &err_bad_delta);
    cr_expect_eq(kind_with("\"size\":100", "\"size\": 100"), &err_not_canonical);
}

Test(delta, numbers_are_as_short_as_can_be_and_no_longer_than_64_bits) {
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t bytes[BUNDLE_DELTA_VARINT_BYTES];
        struct err e = ERR_NONE;
        uint64_t found = 1;
        struct slice rest = {bytes, bundle_delta_put_varint(values[i], bytes)};
        struct slice cut = {bytes, rest.len - 1};
        cr_expect_eq(bundle_delta_get_varint(&rest, &found, &e), 0, "%s", e.text);
        cr_expect(found == values[i] && rest.len == 0);
        cr_expect_lt(bundle_delta_get_varint(&cut, &found, &e), 0);
        cr_expect_eq(bundle_delta_unzigzag(bundle_delta_zigzag((int64_t)values[i])),
                     (int64_t)values[i]);
    }
}

Test(delta, numbers_that_are_padded_or_too_large_are_refused) {
    static const char *const wrong[] = {"\x80\x00", "\xff\x80\x00",
                                        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                                        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ""};
    static const size_t lengths[] = {2, 3, 10, 11, 0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err e = ERR_NONE;
        uint64_t found = 0;
        struct slice rest = {(const uint8_t *)wrong[i], lengths[i]};
        cr_expect_lt(bundle_delta_get_varint(&rest, &found, &e), 0, "number %zu", i);
        cr_expect(err_is(&e, &err_bad_delta), "%s", e.text);
    }
}
