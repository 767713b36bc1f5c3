// SPDX-License-Identifier: Apache-2.0
//
// Damage and lies: any flipped bit, any length that is not the right one, any head, table or map
// that says what is not so.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/unit/bundle/unpack/delta/staging.h"

ParameterizedTestParameters(open, any_flipped_bit_anywhere_is_refused) {
    static int bits[] = {0, 1, 2, 3, 4, 5, 6, 7};
    return cr_make_param_array(int, bits, 8);
}

ParameterizedTest(int *bit, open, any_flipped_bit_anywhere_is_refused) {
    OWN(staging) struct staging t;
    staging_make(&t, NULL);
    cr_assert_eq(staging_check(&t, &t.e), 0, "%s", t.e.text);
    for (size_t i = 0; i < t.bytes.len; i++) {
        t.bytes.data[i] ^= (uint8_t)(1 << *bit);
        err_clear(&t.e);
        cr_assert_lt(staging_check(&t, &t.e), 0, "bit %d of byte %zu", *bit, i);
        t.bytes.data[i] ^= (uint8_t)(1 << *bit);
    }
}

Test(open, truncated_at_every_length_it_is_refused) {
    OWN(staging) struct staging t;
    staging_make(&t, NULL);
    for (size_t len = 0; len < t.bytes.len; len++) {
        struct err e = ERR_NONE;
        cr_assert_lt(delta_scene_check((struct slice){t.bytes.data, len}, t.base.fd, &e), 0, "%zu",
                     len);
        cr_assert(err_is(&e, &err_truncated), "%zu bytes: %s", len, e.text);
    }
}

Test(open, what_follows_the_end_is_refused) {
    OWN(staging) struct staging t;
    staging_make(&t, NULL);
    cr_assert_eq(buf_add(&t.bytes, "", 1, &t.e), 0);
    cr_assert_lt(staging_check(&t, &t.e), 0);
    cr_expect(err_is(&t.e, &err_trailing_data), "%s", t.e.text);
}

Test(open, a_bundle_is_no_delta) {
    static const struct slice content = {(const uint8_t *)"x", 1};
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_delta_candidate *candidate = NULL;
    struct err e = ERR_NONE;
    OWN(buf) struct buf tree;
    OWN(buf) struct buf bytes;
    buf_init(&tree, 4096);
    buf_init(&bytes, 1 << 20);
    forge_file_line("a", content, false, &tree);
    const struct forge f = {.tree = buf_text(&tree), .n_contents = 1, .contents = &content};
    forge_bundle(&f, &bytes);
    forge_source(&memory, buf_slice(&bytes), &source);
    cr_expect_eq(unpack_delta_open(&source, &candidate, &e), UNPACK_DELTA_OPEN_NONE);
    cr_expect_null(candidate);
    cr_expect_null(e.kind);
}

// Verifies what `edit` made of the honest scene, against the honest generation. NULL: accepted.
static const struct err_kind *kind_of(void (*edit)(struct delta_scene *s), char *ret_text) {
    OWN(staging) struct staging t;
    struct err e = ERR_NONE;
    staging_make(&t, edit);
    int r = staging_check(&t, &e);
    int q = staging_stage(&t, false);
    cr_expect_eq(r, q, "checking and staging agree: %s / %s", e.text, t.e.text);
    cr_expect_eq(e.kind, t.e.kind);
    memcpy(ret_text, e.text, sizeof e.text);
    return e.kind;
}

#define EXPECT(edit, wanted, words)                                                                \
    do {                                                                                           \
        char said[ERR_TEXT_BYTES] = "";                                                            \
        const struct err_kind *kind = kind_of(edit, said);                                         \
        cr_expect_eq(kind, &(wanted), "%s: %s", kind ? kind->name : "accepted", said);             \
        cr_expect(strstr(said, words), "%s", said);                                                \
    } while (0)

static void no_signature(struct delta_scene *s) {
    s->unsigned_head = true;
}

Test(open, a_head_that_nobody_signed_is_refused) {
    EXPECT(no_signature, err_below_threshold, "delta.json");
}

static int verify_by_digest(const struct buf *bytes, bool right, uint64_t longer, struct err *e) {
    struct forge_memory memory;
    struct unpack_source source;
    struct keys_envelope_candidate envelope;
    struct keys_digest digest;
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(root) struct keys_root *root = delta_scene_root();
    forge_source(&memory, buf_slice(bytes), &source);
    cr_assert_eq(unpack_delta_open(&source, &candidate, e), 0, "%s", e->text);
    cr_assert_eq(keys_envelope_split(unpack_delta_open_head(candidate), "head", &envelope, e), 0);
    keys_digest_of(envelope.signed_part.data, envelope.signed_part.len, &digest);
    digest.bytes[0] ^= !right;
    uint64_t len = envelope.signed_part.len + longer;
    return unpack_delta_verify_digest(&candidate, root, &digest, len, &delta, e);
}

Test(open, a_head_is_verified_by_a_digest_from_signed_metadata_without_a_signature) {
    OWN(delta_scene) struct delta_scene s;
    OWN(buf) struct buf bytes;
    struct err e = ERR_NONE;
    delta_scene_make(&s);
    s.unsigned_head = true;
    delta_scene_write(&s, &bytes);
    cr_expect_eq(verify_by_digest(&bytes, true, 0, &e), 0, "%s", e.text);
    cr_expect_lt(verify_by_digest(&bytes, false, 0, &e), 0);
    cr_expect(err_is(&e, &err_digest_mismatch), "%s", e.text);
    err_clear(&e);
    cr_expect_lt(verify_by_digest(&bytes, true, 1, &e), 0);
    cr_expect(err_is(&e, &err_digest_mismatch), "%s", e.text);
}

static void other_bundle(struct delta_scene *s) {
    s->id.bytes[5] ^= 1;
}

Test(open, a_head_for_another_manifest_is_refused) {
    EXPECT(other_bundle, err_bad_delta, "another bundle");
}

static void other_base(struct delta_scene *s) {
    s->base.digest.bytes[0] ^= 1;
}
static void other_component(struct delta_scene *s) {
    s->base.name[0] = 'q';
}
static void image(struct delta_scene *s) {
    s->base.type = BUNDLE_COMPONENT_IMAGE;
    s->base.size = s->base.stream_bytes;
}

Test(open, another_base_says_what_to_install_instead) {
    EXPECT(other_base, err_wrong_base, "install forged-1.0.edge instead");
    EXPECT(other_base, err_wrong_base, "this device has that of forged 0.9");
    EXPECT(other_component, err_wrong_base, "this device does not have it");
    EXPECT(image, err_wrong_base, "does not have it");
}

static void larger_files(struct delta_scene *s) {
    s->base.stream_bytes++;
}
static void smaller_files(struct delta_scene *s) {
    s->base.stream_bytes--;
}
static void other_tree_size(struct delta_scene *s) {
    s->base.size++;
}

Test(open, what_the_head_says_of_the_base_must_be_so) {
    EXPECT(larger_files, err_bad_delta, "smaller than the head says");
    EXPECT(smaller_files, err_bad_delta, "larger than the head says");
    EXPECT(other_tree_size, err_bad_delta, "another size");
}

static void decode_at(struct delta_scene *s) {
    s->decode_bytes = DELTA_SCENE_DECODE;
}
static void decode_above(struct delta_scene *s) {
    s->decode_bytes = DELTA_SCENE_DECODE + 1;
}
static void decode_too_little(struct delta_scene *s) {
    s->decode_bytes = 1000;
}

Test(open, decode_memory_is_held_against_the_device_and_each_frame) {
    char text[ERR_TEXT_BYTES] = "";
    cr_expect_null(kind_of(decode_at, text), "%s", text);
    EXPECT(decode_above, err_decode_memory, "this device allows");
    EXPECT(decode_too_little, err_decode_memory, "frame 0");
}

static void fewer_tree_frames(struct delta_scene *s) {
    s->n_tree_frames = 0;
}
static void more_tree_frames(struct delta_scene *s) {
    s->n_tree_frames = 2;
}
static void no_map(struct delta_scene *s) {
    s->n_map_frames = 0;
}
static void longer_map(struct delta_scene *s) {
    s->n_map_frames = 2;
}
static void tree_grows(struct delta_scene *s) {
    s->out[DELTA_SCENE_TREE]++;
}

Test(open, borders_between_trees_map_and_contents_hold) {
    EXPECT(fewer_tree_frames, err_bad_delta, "the frames of its trees make 0 bytes");
    EXPECT(more_tree_frames, err_bad_delta, "the frames of its trees make");
    EXPECT(no_map, err_bad_delta, "the map");
    EXPECT(longer_map, err_bad_delta, "map");
    EXPECT(tree_grows, err_bad_delta, "the frames of its trees make");
}

// with_NAME: the scene in which NAME changes the head, or the rows, before they count.
#define WITH(member, name)                                                                         \
    static void with_##name(struct delta_scene *s) {                                               \
        s->member = name;                                                                          \
    }

static void sum_of_data(struct bundle_delta_head *head) {
    head->packing.data_bytes++;
}
static void sum_of_stream(struct bundle_delta_head *head) {
    head->packing.stream_bytes++;
}
static void frame_ceiling(struct bundle_delta_head *head) {
    head->packing.frame_bytes--;
}
static void index_digest(struct bundle_delta_head *head) {
    head->packing.index_digest.bytes[0] ^= 1;
}
static void fewer_frames(struct bundle_delta_head *head) {
    head->packing.n_frames--;
}
WITH(edit, sum_of_data)
WITH(edit, sum_of_stream)
WITH(edit, frame_ceiling)
WITH(edit, index_digest)
WITH(edit, fewer_frames)

Test(open, counts_that_lie_are_refused) {
    EXPECT(with_sum_of_data, err_bad_skeleton, "prescribe");
    EXPECT(with_sum_of_stream, err_bad_delta, "add up to");
    EXPECT(with_frame_ceiling, err_bad_delta, "stored bytes");
    EXPECT(with_index_digest, err_bad_delta, "frame table");
    EXPECT(with_fewer_frames, err_bad_skeleton, "frame table");
}

static void zero_field(uint8_t *rows) {
    rows[47] = 1;
}
static void no_output(uint8_t *rows) {
    memset(rows + 32, 0, 8);
}
static void bomb(uint8_t *rows) {
    rows[32 + 4] = 2; // 2 * 2^32 bytes
}
static void nothing_stored(uint8_t *rows) {
    memset(rows + 40, 0, 4);
}
WITH(edit_rows, zero_field)
WITH(edit_rows, no_output)
WITH(edit_rows, bomb)
WITH(edit_rows, nothing_stored)

Test(open, rows_of_the_frame_table_that_cannot_be_are_refused) {
    EXPECT(with_zero_field, err_bad_delta, "not zero");
    EXPECT(with_no_output, err_bad_delta, "it makes 0 bytes");
    EXPECT(with_bomb, err_bad_delta, "4294967296 are allowed");
    EXPECT(with_nothing_stored, err_bad_delta, "0 stored bytes");
}

static void remap(struct delta_scene *s, const char *map, size_t len) {
    delta_scene_plain(s, DELTA_SCENE_MAP, (struct slice){(const uint8_t *)map, len});
}
#define MAP(name, bytes)                                                                           \
    static void name(struct delta_scene *s) {                                                      \
        remap(s, bytes, sizeof(bytes) - 1);                                                        \
    }
// The honest one is 0, 9, 4, 7, 0, 0.
MAP(map_cut, "\x00\x09\x04\x07\x00")
MAP(map_long, "\x00\x09\x04\x07\x00\x00\x00")
MAP(map_other_old, "\x00\x05\x04\x07\x00\x00")
MAP(map_no_old, "\x00\x0d\x04\x07\x00\x00")
MAP(map_below_old, "\x00\x03\x04\x07\x00\x00")
MAP(map_far_old, "\x00\xfd\xff\xff\xff\xff\xff\xff\xff\xff\x01\x04\x07\x00\x00")
MAP(map_other_new, "\x00\x09\x02\x07\x00\x00")
MAP(map_itself, "\x02\x09\x04\x07\x00\x00")
MAP(map_later, "\x00\x09\x08\x07\x00\x00")
MAP(map_all_coded, "\x00\x00\x00\x00\x00\x00")
MAP(map_less_coded, "\x00\x09\x04\x07\x02\x00")
MAP(map_padded, "\x80\x00\x09\x04\x07\x00\x00")
MAP(map_empty_not_coded, "\x00\x09\x04\x07\x00\x02")

Test(open, a_map_that_lies_is_refused_before_a_content_is_touched) {
    EXPECT(map_cut, err_bad_delta, "the map");
    EXPECT(map_long, err_bad_delta, "more records");
    EXPECT(map_other_old, err_bad_delta, "old content number 1, and it is not");
    EXPECT(map_no_old, err_bad_delta, "no old content number 3");
    EXPECT(map_below_old, err_bad_delta, "cannot be");
    EXPECT(map_far_old, err_bad_delta, "");
    EXPECT(map_other_new, err_bad_delta, "content number 1, and it is not");
    EXPECT(map_itself, err_bad_delta, "repeats a content 1 places before number 0");
    EXPECT(map_later, err_bad_delta, "repeats a content 4 places before number 2");
    EXPECT(map_all_coded, err_bad_delta, "fewer bytes than the map needs");
    EXPECT(map_less_coded, err_bad_delta, "it is not");
    EXPECT(map_padded, err_bad_delta, "as short as can be");
    EXPECT(map_empty_not_coded, err_bad_delta, "it is not");
}

static void more_coded(struct delta_scene *s) {
    delta_scene_plain(s, s->n_frames++, (struct slice){(const uint8_t *)"more", 4});
}
static void wrong_tree(struct delta_scene *s) {
    s->stored[DELTA_SCENE_TREE].data[20] ^= 1;
}
static void wrong_content(struct delta_scene *s) {
    s->stored[DELTA_SCENE_FRESH].data[5] ^= 1;
}

Test(open, what_comes_out_is_what_was_signed_or_nothing) {
    EXPECT(more_coded, err_bad_delta, "more bytes than the map needs");
    EXPECT(wrong_tree, err_bad_delta, "the tree of c is not the one that was signed");
    EXPECT(wrong_content, err_bad_delta, "component c: fresh: it does not become what was signed");
}
