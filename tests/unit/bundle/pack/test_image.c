// SPDX-License-Identifier: Apache-2.0
//
// Images in slots, from bundles and deltas that were really made: staged, sealed, read back, broken
// off and gone on with, and left where they are when they are the same.
#include "keys/canon.h"
#include "tests/unit/bundle/pack/slots.h"

// Signs the manifest of release `n` anew, with other blocks of its image: NULL takes them out, as
// builders from before them had it.
static void say_blocks(const struct scene *s, unsigned n, const char *hex) {
    struct err e = ERR_NONE;
    char name[64];
    json_t *blocks = hex ? json_string(hex) : NULL, *envelope = NULL;
    OWN(buf) struct buf bundle, part, made;
    buf_init(&bundle, 64 << 20);
    buf_init(&part, BUNDLE_MANIFEST_MAX_BYTES);
    buf_init(&made, BUNDLE_MANIFEST_MAX_BYTES);
    (void)number_of("", n, ".edge", name);
    cr_assert_eq(fs_read_file(s->tmp.fd, name, 64 << 20, &bundle, &e), 0, "%s", e.text);
    struct slice old = forge_manifest_of((struct slice){bundle.data, bundle.len});
    envelope = json_loadb((const char *)old.data, old.len, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *of_image =
        json_array_get(json_object_get(json_object_get(envelope, "signed"), "components"), 1);
    json_t *content = json_object_get(of_image, "content");
    cr_assert(content && json_object_get(content, "blocks"));
    cr_assert_eq(blocks ? json_object_set_new(content, "blocks", blocks)
                        : json_object_del(content, "blocks"),
                 0);
    cr_assert_eq(keys_canon_format(json_object_get(envelope, "signed"), &part, &e), 0, "%s",
                 e.text);
    forge_envelope((struct slice){part.data, part.len}, &made);
    cr_assert_leq(made.len, old.len);
    uint8_t *at = bundle.data + (old.data - bundle.data);
    memset(at, ' ', old.len);
    memcpy(at, made.data, made.len);
    put(s, name, bundle.data, bundle.len);
    json_decref(envelope);
}

static void expect_three(struct scene *s, bool by_delta) {
    char target[512] = "", name[64];
    struct err e = ERR_NONE;
    install(s, 1, false);
    install(s, 2, by_delta);
    cr_expect_eq(image_of(s, 1)->slot, 0);
    cr_expect_eq(image_of(s, 2)->slot, 1);
    expect_image(s, 0, 1);
    expect_image(s, 1, 2);
    cr_expect_eq(verify(s, 1, &e), 0, "the one before is whole: %s", e.text);
    install(s, 3, by_delta);
    cr_expect_eq(image_of(s, 3)->slot, 1, "the same image stays where it is");
    expect_image(s, 0, 1);
    cr_expect_eq(verify(s, 1, &e), 0, "and nothing is lost: %s", e.text);
    cr_expect_eq(verify(s, 2, &e), 0, "%s", e.text);
    cr_assert_gt(readlinkat(s->tmp.fd, number_of("g", 3, "/rootfs/image", name), target, 511), 0);
    cr_expect_str_eq(target, s->slot_paths[1]);
}

Test(image, goes_into_the_slot_that_the_generation_before_does_not_use) {
    OWN(scene) struct scene s;
    set_up(&s);
    expect_three(&s, false);
}

// In the second zeros come again behind bytes that the first has elsewhere, and behind others that
// repeat, twice over.
static void put_zeros_between(struct scene *s) {
    uint8_t *at = s->images[1];
    memcpy(at + 400000, s->images[0] + 20000, 60000);
    memset(at + 300000, 0, 100000);
    memset(at + 460000, 0, 100000);
    memset(at + 560000, 1, 66000);
    memset(at + 626000, 0, 70000);
    memcpy(s->images[2], at, IMAGE_BYTES);
}

static void far_away(void *context, uint64_t offset, uint64_t len) {
    (void)context, (void)offset, (void)len;
}

// From far away, so that what the device has is copied.
Test(image, what_repeats_comes_again_behind_anything) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    OWN(input) struct input i;
    set_up_with(&s, put_zeros_between);
    install(&s, 1, false);
    OWN(fd) int dir = open_dir(&s, 2, "");
    open_bundle(&s, 2, &i);
    i.from.expect = far_away;
    cr_assert_eq(stage(&s, &i, 1, dir, &result, &e), 0, "%s", e.text);
    cr_assert_eq(seal(&s, &i, 1, dir, false, &e), 0, "%s", e.text);
    expect_image(&s, 1, 2);
}

Test(image, by_a_delta_comes_out_the_same) {
    OWN(scene) struct scene s;
    set_up(&s);
    expect_three(&s, true);
}

// Breaks off after more and more bytes; each time the next try goes on to the end.
static void break_anywhere(bool by_delta) {
    OWN(scene) struct scene s;
    uint64_t whole = 0;
    set_up(&s);
    install(&s, 1, false);
    for (uint64_t at = 4096, step = 30011;; at += step) {
        struct err e = ERR_NONE;
        struct unpack_stage_result result;
        OWN(input) struct input i;
        uint8_t *rubbish = noise(SLOT_BYTES, 78);
        put(&s, "b", rubbish, SLOT_BYTES);
        free(rubbish);
        OWN(tmp_dir) struct tmp_dir partial = tmp_dir_make();
        by_delta ? open_delta(&s, 2, &i) : open_bundle(&s, 2, &i);
        i.left = at;
        int r = stage(&s, &i, 1, partial.fd, &result, &e);
        if (r < 0)
            cr_assert(err_is(&e, &err_io), "%s", e.text);
        else if (whole == 0)
            whole = at;
        err_clear(&e);
        i.left = UINT64_MAX;
        cr_assert_eq(stage(&s, &i, 1, partial.fd, &result, &e), 0, "at %llu: %s",
                     (unsigned long long)at, e.text);
        cr_assert_eq(seal(&s, &i, 1, partial.fd, false, &e), 0, "at %llu: %s",
                     (unsigned long long)at, e.text);
        expect_image(&s, 1, 2);
        if (r == 0)
            break;
    }
    cr_expect_gt(whole, 100000);
}

Test(image, a_bundle_that_breaks_off_is_gone_on_with, .timeout = 300) {
    break_anywhere(false);
}

Test(image, a_delta_that_breaks_off_is_gone_on_with, .timeout = 300) {
    break_anywhere(true);
}

// What came is there: the second try reads less.
static void expect_less(bool by_delta) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    struct unpack_stage_result first, second;
    OWN(input) struct input i;
    set_up(&s);
    install(&s, 1, false);
    OWN(fd) int dir = open_dir(&s, 2, "");
    by_delta ? open_delta(&s, 2, &i) : open_bundle(&s, 2, &i);
    cr_assert_eq(stage(&s, &i, 1, dir, &first, &e), 0, "%s", e.text);
    cr_assert_eq(stage(&s, &i, 1, dir, &second, &e), 0, "%s", e.text);
    cr_expect_lt(second.source_bytes, first.source_bytes - 200000);
    cr_expect_gt(second.files_kept, 0);
    // What the slot has no more is found and made again.
    cr_assert_eq(pwrite(s.slots[1], "damage", 6, 5000), 6);
    cr_assert_eq(stage(&s, &i, 1, dir, &second, &e), 0, "%s", e.text);
    cr_assert_eq(seal(&s, &i, 1, dir, false, &e), 0, "%s", e.text);
    expect_image(&s, 1, 2);
}

Test(image, what_is_in_the_slot_is_not_read_again) {
    expect_less(false);
}

Test(image, what_is_in_the_slot_is_not_made_again) {
    expect_less(true);
}

// What an earlier try left is found to the last chunk. In a slot that has some other image in it what is
// right by chance is found where it begins right, and where a sample meets it, and nowhere else.
Test(image, a_slot_that_nobody_began_is_looked_at_in_samples) {
    uint64_t kept[2][2];
    for (int untouched = 0; untouched < 2; untouched++)
        for (int at_front = 0; at_front < 2; at_front++) {
            OWN(scene) struct scene s;
            struct err e = ERR_NONE;
            struct unpack_stage_result result;
            OWN(input) struct input i;
            size_t from = at_front ? 0 : IMAGE_BYTES - 60000;
            set_up(&s);
            install(&s, 1, false);
            OWN(fd) int dir = open_dir(&s, 2, "");
            cr_assert_eq(pwrite(s.slots[1], s.images[1] + from, 60000, (off_t)from), 60000);
            open_bundle(&s, 2, &i);
            i.untouched = untouched;
            cr_assert_eq(stage(&s, &i, 1, dir, &result, &e), 0, "%s", e.text);
            kept[untouched][at_front] = i.kept_bytes;
            cr_assert_eq(seal(&s, &i, 1, dir, false, &e), 0, "%s", e.text);
            expect_image(&s, 1, 2);
        }
    cr_expect_gt(kept[0][0], 20000);
    cr_expect_eq(kept[1][0], 0);
    cr_expect_gt(kept[0][1], 20000);
    cr_expect_eq(kept[1][1], kept[0][1]);
}

// One byte of the slot is wrong, when it is sealed and when it is read back later.
static void expect_damage_is_found(bool has_blocks) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    OWN(input) struct input i;
    set_up(&s);
    if (!has_blocks)
        say_blocks(&s, 1, NULL);
    OWN(fd) int dir = open_dir(&s, 1, "");
    open_bundle(&s, 1, &i);
    cr_assert_eq(stage(&s, &i, 0, dir, &result, &e), 0, "%s", e.text);
    uint8_t byte = (uint8_t)~s.images[0][IMAGE_BYTES - 1];
    cr_assert_eq(pwrite(s.slots[0], &byte, 1, IMAGE_BYTES - 1), 1);
    cr_expect_lt(seal(&s, &i, 0, dir, false, &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    // Mended, it is sealed; damaged later, it is found before it runs.
    err_clear(&e);
    cr_assert_eq(pwrite(s.slots[0], s.images[0] + IMAGE_BYTES - 1, 1, IMAGE_BYTES - 1), 1);
    cr_assert_eq(seal(&s, &i, 0, dir, false, &e), 0, "%s", e.text);
    cr_assert_eq(pwrite(s.slots[0], &byte, 1, IMAGE_BYTES - 1), 1);
    cr_expect_lt(verify(&s, 1, &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    // Behind the image anything may stand.
    err_clear(&e);
    cr_assert_eq(pwrite(s.slots[0], s.images[0] + IMAGE_BYTES - 1, 1, IMAGE_BYTES - 1), 1);
    cr_assert_eq(pwrite(s.slots[0], &byte, 1, IMAGE_BYTES), 1);
    cr_expect_eq(verify(&s, 1, &e), 0, "%s", e.text);
}

Test(image, damage_behind_the_writer_is_found) {
    expect_damage_is_found(true);
}

Test(image, damage_is_found_where_the_manifest_says_no_blocks) {
    expect_damage_is_found(false);
}

Test(image, whose_blocks_were_signed_wrongly_is_found_when_it_is_checked_and_never_sealed) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    OWN(input) struct input i;
    char hex[KEYS_DIGEST_HEX];
    struct keys_digest other;
    set_up(&s);
    // The digest of the whole, in the place of that of its blocks.
    keys_digest_of(s.images[0], IMAGE_BYTES, &other);
    say_blocks(&s, 1, keys_digest_hex(&other, hex));
    OWN(fd) int dir = open_dir(&s, 1, "");
    open_bundle(&s, 1, &i);
    cr_expect_lt(unpack_check(i.bundle, &i.source, DECODE_MAX, &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    err_clear(&e);
    cr_assert_eq(stage(&s, &i, 0, dir, &result, &e), 0, "%s", e.text);
    cr_expect_lt(seal(&s, &i, 0, dir, false, &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
}

Test(image, whose_slot_is_damaged_is_written_to_the_other_one) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct bundle_image_places to;
    OWN(input) struct input i;
    set_up(&s);
    install(&s, 1, false);
    install(&s, 2, false);
    cr_assert_eq(pwrite(s.slots[1], "damage", 6, 5000), 6);
    OWN(fd) int dir = open_dir(&s, 3, "");
    open_bundle(&s, 3, &i);
    cr_assert_eq(stage(&s, &i, 2, dir, &result, &e), 0, "%s", e.text);
    cr_expect_lt(seal(&s, &i, 2, dir, false, &e), 0, "it was left where it is");
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    err_clear(&e);
    to.n = 0;
    bundle_image_add(&to, "rootfs", s.slots[0], s.slot_paths[0]);
    OWN(tmp_dir) struct tmp_dir partial = tmp_dir_make();
    const struct unpack_stage how = {.target_dir = partial.fd,
                                     .previous_dir = -1,
                                     .older_dir = -1,
                                     .images = &to,
                                     .decode_max_bytes = DECODE_MAX};
    cr_assert_eq(unpack_stage(i.bundle, &i.from, &how, &result, &e), 0, "%s", e.text);
    cr_assert_eq(seal(&s, &i, 2, partial.fd, true, &e), 0, "%s", e.text);
    cr_expect_eq(image_of(&s, 3)->slot, 0);
    expect_image(&s, 0, 3);
}

// Each is found before anything of the generation is believed.
Test(image, a_generation_that_leads_elsewhere_is_refused) {
    OWN(scene) struct scene s;
    struct bundle_generation record;
    struct bundle_image_places all;
    set_up(&s);
    install(&s, 1, false);
    struct err e = ERR_NONE;
    OWN(fd) int dir = open_generation(&s, 1);
    cr_expect_lt(bundle_seal_verify(dir, NULL, NULL, &record, &e), 0);
    cr_expect(err_is(&e, &err_unsupported_component), "%s", e.text);
    err_clear(&e);
    places(&s, &s.records[1], NULL, &all);
    all.all[0].path = s.slot_paths[1];
    cr_expect_lt(bundle_seal_verify_images(dir, &all, NULL, NULL, &record, &e), 0);
    cr_expect(err_is(&e, &err_bad_generation), "%s", e.text);
    err_clear(&e);
    put(&s, "g1/rootfs/more", "x", 1);
    cr_expect_lt(verify(&s, 1, &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    err_clear(&e);
    cr_assert_eq(unlinkat(s.tmp.fd, "g1/rootfs/more", 0), 0);
    cr_assert_eq(unlinkat(s.tmp.fd, "g1/rootfs/image", 0), 0);
    cr_expect_lt(verify(&s, 1, &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    err_clear(&e);
    OWN(fd) int tiny = openat(s.tmp.fd, "tiny", O_RDWR | O_CREAT, 0644);
    cr_assert_eq(symlinkat(s.slot_paths[0], s.tmp.fd, "g1/rootfs/image"), 0);
    all.all[0] = (struct bundle_image_place){.component = "rootfs", .fd = tiny};
    cr_expect_lt(bundle_seal_verify_images(dir, &all, NULL, NULL, &record, &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
}

Test(image, without_a_slot_is_refused_before_anything_is_made) {
    OWN(scene) struct scene s;
    struct stat status;
    struct unpack_stage_result result;
    set_up(&s);
    for (unsigned by_delta = 0; by_delta < 2; by_delta++) {
        struct err e = ERR_NONE;
        OWN(input) struct input i;
        OWN(tmp_dir) struct tmp_dir partial = tmp_dir_make();
        by_delta ? open_delta(&s, 2, &i) : open_bundle(&s, 2, &i);
        const struct unpack_stage full = {.target_dir = partial.fd,
                                          .previous_dir = -1,
                                          .older_dir = -1,
                                          .decode_max_bytes = DECODE_MAX};
        const struct unpack_delta_stage delta = {.target_dir = partial.fd,
                                                 .base_dir = partial.fd,
                                                 .previous_dir = -1,
                                                 .decode_max_bytes = 2 * DECODE_MAX};
        int r = by_delta ? unpack_delta_stage(i.delta, &i.from, &delta, &result, &e)
                         : unpack_stage(i.bundle, &i.from, &full, &result, &e);
        cr_expect_lt(r, 0);
        cr_expect(err_is(&e, &err_unsupported_component), "%s", e.text);
        cr_expect_lt(fstatat(partial.fd, ".edge", &status, 0), 0);
    }
}

Test(image, a_delta_needs_the_old_image) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    OWN(input) struct input i;
    struct unpack_delta_base *base = NULL;
    set_up(&s);
    install(&s, 1, false);
    open_delta(&s, 2, &i);
    OWN(fd) int dir = open_generation(&s, 1);
    OWN(fd) int table = openat(s.tmp.fd, "table", O_RDWR | O_CREAT, 0600);
    cr_expect_lt(unpack_delta_base_open(i.delta, dir, NULL, table, &base, &e), 0);
    cr_expect(err_is(&e, &err_bad_generation), "%s", e.text);
    err_clear(&e);
    // Of generation 2 it has another one.
    install(&s, 2, false);
    OWN(fd) int other = open_generation(&s, 2);
    cr_expect_lt(unpack_delta_base_match(i.delta, other, &e), 0);
    cr_expect(err_is(&e, &err_wrong_base), "%s", e.text);
}
