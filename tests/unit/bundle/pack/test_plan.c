// SPDX-License-Identifier: Apache-2.0
//
// Installing from far away over what is held: what is fetched, in which order and how often, whatever
// happens in the middle. The source here counts, holds every read against what it was told to expect,
// breaks where it is told to, and changes things while it is read.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/skeleton.h"
#include "bundle/unpack/stage.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

#define DECODE_MAX (4ULL << 20)
#define FILES      80
#define FILE_BYTES 400000 // 32 MB in all: several pages of rows
#define IMAGE      3000000

struct far {
    struct unpack_source_file file;
    struct unpack_source inner;
    uint64_t from, end;   // what was told last
    uint64_t runs;        // how often that was another place
    uint64_t given;       // bytes
    uint64_t outside;     // of them outside of what was told
    uint64_t break_after; // bytes; 0 never
    uint64_t last;        // where the last read ended
    uint64_t back;        // how often a read began before that
    bool forward_only;
};

static struct tmp_dir tmp;
static uint8_t *contents[2][FILES]; // of both releases
static uint8_t *images[2];
static struct unpack_plan_cost cost; // the last one told
static int costs;
static uint64_t given_at_plan;
static struct far *at_plan;     // whose `given` that is
static void (*meanwhile)(void); // called when the plan is there

static uint8_t *noise(size_t len, uint64_t seed) {
    uint8_t *data = malloc(len);
    cr_assert(data);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        data[i] = (uint8_t)(seed >> 56);
    }
    return data;
}

static const char *path_of(const char *name, char ret[static 512]) {
    (void)snprintf(ret, 512, "%s/%s", tmp.path, name);
    return ret;
}

static void put(const char *name, const uint8_t *data, size_t len) {
    int fd = openat(tmp.fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    cr_assert(fd >= 0, "%s", name);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    cr_assert_eq(close(fd), 0);
}

// Of release 2 two files are changed: one in its middle, one is new as a whole; one is moved.
static void make_contents(void) {
    char name[64];
    cr_assert(mkdirat(tmp.fd, "in1", 0755) == 0 && mkdirat(tmp.fd, "in2", 0755) == 0);
    for (int v = 0; v < 2; v++) {
        for (int i = 0; i < FILES; i++) {
            contents[v][i] = noise(FILE_BYTES, (uint64_t)(i == 20 && v == 1 ? 1000 : i + 1));
            if (i == 10 && v == 1)
                memset(contents[v][i] + 200000, 7, 5000);
            (void)snprintf(name, sizeof name, "in%d/%s%02d", v + 1, i == 30 && v == 1 ? "y" : "f",
                           i);
            put(name, contents[v][i], FILE_BYTES);
        }
        images[v] = noise(IMAGE, 99);
    }
    memset(images[1] + 1000000, 1, 50000);
    memmove(images[1] + 2000000, images[0] + 2000007, 900000);
    put("image1", images[0], IMAGE);
    put("image2", images[1], IMAGE);
}

struct opened {
    int fd;
    struct far far;
    struct unpack_source source;
    struct unpack_bundle *bundle;
};

static int read_far(void *context, uint64_t offset, void *data, size_t len, struct err *e) {
    struct far *f = context;
    if (f->break_after > 0 && f->given + len > f->break_after)
        return err_set(e, &err_io, "the source broke");
    f->given += len;
    if (offset < f->from || offset + len > f->end)
        f->outside += len;
    f->back += offset < f->last;
    f->last = offset + len;
    return f->inner.read(f->inner.context, offset, data, len, e);
}

static uint64_t size_far(void *context) {
    struct far *f = context;
    return f->file.size;
}

static void expect_far(void *context, uint64_t offset, uint64_t len) {
    struct far *f = context;
    if (offset < f->from || offset + len > f->end || offset != f->last)
        f->runs++;
    f->from = offset;
    f->end = offset + len;
}

static bool forward_far(void *context) {
    const struct far *f = context;
    return f->forward_only;
}

static void open_bundle(const char *name, struct opened *ret) {
    struct err e = ERR_NONE;
    struct keys_role role;
    struct unpack_candidate *candidate = NULL;
    forge_role(1, 1, &role);
    *ret = (struct opened){.fd = openat(tmp.fd, name, O_RDONLY)};
    cr_assert_eq(unpack_source_from_file(ret->fd, &ret->far.file, &ret->far.inner, &e), 0);
    ret->source = (struct unpack_source){.read = read_far,
                                         .size = size_far,
                                         .expect = expect_far,
                                         .forward_only = forward_far,
                                         .context = &ret->far};
    cr_assert_eq(unpack_open(&ret->source, &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_verify(&candidate, &role, &ret->bundle, &e), 0, "%s", e.text);
}

static void close_bundle(struct opened *o) {
    unpack_bundle_free(o->bundle);
    cr_assert_eq(close(o->fd), 0);
}

// Bundles "1.edge" and "2.edge", the second one with the first as reference if wanted.
static void pack(int version, bool with_reference) {
    char in[512], image[512], out[512], name[64];
    struct err e = ERR_NONE;
    struct opened old;
    struct pack_build_result made;
    struct pack_reference_from reference;
    struct sign_signer *signer = forge_signer(0);
    if (with_reference) {
        open_bundle("1.edge", &old);
        reference = (struct pack_reference_from){.bundle = old.bundle, .source = &old.source};
    }
    (void)snprintf(name, sizeof name, "in%d", version);
    (void)path_of(name, in);
    (void)snprintf(name, sizeof name, "image%d", version);
    (void)path_of(name, image);
    (void)snprintf(name, sizeof name, "%d.edge", version);
    const struct pack_component components[] = {
        {.name = "app", .type = PACK_INPUT_PATH, .path = in},
        {.name = "root", .type = PACK_INPUT_IMAGE, .path = image}};
    const struct pack_build how = {.name = "demo",
                                   .release = "1.0",
                                   .version = (uint64_t)version,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 2,
                                   .components = components,
                                   .n_references = with_reference,
                                   .references = &reference,
                                   .level = 1,
                                   .frame_bytes = 1 << 18,
                                   .threads = 2,
                                   .n_signers = 1,
                                   .signers = &signer};
    cr_assert_eq(pack_build(&how, path_of(name, out), &made, &e), 0, "%s", e.text);
    if (with_reference)
        close_bundle(&old);
    sign_signer_free(signer);
}

static int on_planned(void *context, const struct unpack_plan_cost *told, struct err *e) {
    (void)context;
    (void)e;
    cost = *told;
    costs++;
    given_at_plan = at_plan->given;
    if (meanwhile)
        meanwhile();
    return 0;
}

// Stages a bundle into folder `to` and slot `slot` (0 or 1), over folder `from` and the other slot.
static int stage(struct opened *o, const char *from, const char *to, int slot, bool resume,
                 struct unpack_stage_result *ret, struct err *e) {
    struct bundle_image_places images_to = {.n = 0}, images_from = {.n = 0};
    int dir = -1, previous = -1;
    (void)mkdirat(tmp.fd, to, 0755);
    cr_assert_eq(fs_open_dir(tmp.fd, to, &dir, e), 0, "%s", e->text);
    for (int i = 0; i < 2; i++) {
        int fd = openat(tmp.fd, i == 0 ? "slot0" : "slot1", O_RDWR | O_CREAT, 0644);
        cr_assert(fd >= 0 && ftruncate(fd, IMAGE + 4096) == 0);
        if (i == slot || from)
            bundle_image_add(i == slot ? &images_to : &images_from, "root", fd, NULL);
    }
    if (from)
        cr_assert_eq(fs_open_dir(tmp.fd, from, &previous, e), 0, "%s", e->text);
    at_plan = &o->far;
    const struct unpack_stage how = {.target_dir = dir,
                                     .previous_dir = previous,
                                     .older_dir = -1,
                                     .images = &images_to,
                                     .old_images = from ? &images_from : NULL,
                                     .resume = resume,
                                     .decode_max_bytes = DECODE_MAX,
                                     .planned = on_planned};
    int r = unpack_stage(o->bundle, &o->source, &how, ret, e);
    bundle_image_close(&images_to);
    bundle_image_close(&images_from);
    (void)close(dir);
    (void)close(previous);
    return r;
}

static void expect_bytes(const char *path, const uint8_t *data, size_t len) {
    struct err e = ERR_NONE;
    struct buf found;
    int fd = openat(tmp.fd, path, O_RDONLY);
    size_t got = 0;
    cr_assert(fd >= 0, "%s", path);
    buf_init(&found, len);
    uint8_t *room = NULL;
    cr_assert_eq(buf_reserve(&found, len, &room, &e), 0);
    cr_assert_eq(fs_pread(fd, room, len, 0, &got, &e), 0);
    cr_assert(got == len && memcmp(room, data, len) == 0, "%s", path);
    buf_clear(&found);
    (void)close(fd);
}

// Release 2 is in folder `to` (but for what is the same in `from`) and in slot 1.
static void expect_second(const char *to, bool over_first) {
    char path[64];
    struct stat status;
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(path, sizeof path, "%s/app/%s%02d", to, i == 30 ? "y" : "f", i);
        if (over_first && i != 10 && i != 20 && i != 30)
            cr_assert_lt(fstatat(tmp.fd, path, &status, 0), 0, "%s is left out", path);
        else
            expect_bytes(path, contents[1][i], FILE_BYTES);
    }
    expect_bytes("slot1", images[1], IMAGE);
    (void)snprintf(path, sizeof path, "%s/.edge/scratch-held", to);
    cr_assert_lt(fstatat(tmp.fd, path, &status, 0), 0, "scratch files are gone");
}

static void begin(void) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened first;
    tmp = tmp_dir_make();
    make_contents();
    pack(1, false);
    open_bundle("1.edge", &first);
    cr_assert_eq(stage(&first, NULL, "gen1", 0, false, &result, &e), 0, "%s", e.text);
    close_bundle(&first);
    costs = 0;
}

static void end(void) {
    for (int i = 0; i < FILES; i++) {
        free(contents[0][i]);
        free(contents[1][i]);
    }
    free(images[0]);
    free(images[1]);
    tmp_dir_remove(&tmp);
}

TestSuite(plan, .init = begin, .fini = end, .timeout = 600);

// Bytes of what is not in release 1: one file, what the other changes touch.
#define NEW_MIN (FILE_BYTES + 5000)
#define NEW_MAX (FILE_BYTES + 8 * BUNDLE_CHUNK_MAX_BYTES)

Test(plan, only_what_is_nowhere_on_the_device_is_fetched) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened second;
    pack(2, true);
    open_bundle("2.edge", &second);
    uint64_t before = second.far.given;
    cr_assert_eq(stage(&second, "gen1", "gen2", 1, false, &result, &e), 0, "%s", e.text);
    expect_second("gen2", true);
    cr_assert_eq(costs, 1);
    cr_assert_eq(second.far.outside, 0, "the source was told of every byte");
    cr_assert_eq(second.far.given - given_at_plan, cost.fetch_bytes, "the cost was known");
    cr_assert_eq(cost.fetched_bytes, given_at_plan);
    cr_assert_eq(result.source_bytes, second.far.given);
    cr_assert(cost.fetch_bytes >= NEW_MIN && cost.fetch_bytes <= NEW_MAX, "%lu",
              (unsigned long)cost.fetch_bytes);
    cr_assert_eq(result.files_left_out, FILES - 3);
    // The head, and the rows of the tree, of three files and of the image.
    uint64_t index_bytes = unpack_bundle_skeleton(second.bundle)->size[BUNDLE_SKELETON_INDEX];
    cr_assert_leq(cost.index_bytes, index_bytes * 2 / 3, "%lu of %lu",
                  (unsigned long)cost.index_bytes, (unsigned long)index_bytes);
    cr_assert_leq(second.far.given - before, NEW_MAX + 16 * BUNDLE_INDEX_PAGE_BYTES);
    cr_assert_leq(second.far.runs, 8, "%lu runs", (unsigned long)second.far.runs);
    cr_assert_geq(cost.reused_bytes, (uint64_t)FILES * FILE_BYTES + IMAGE - NEW_MAX - 100000);
    close_bundle(&second);
}

Test(plan, without_references_whole_frames_come_and_no_others) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened second;
    pack(2, false);
    open_bundle("2.edge", &second);
    cr_assert_eq(stage(&second, "gen1", "gen2", 1, false, &result, &e), 0, "%s", e.text);
    expect_second("gen2", true);
    cr_assert_eq(second.far.outside, 0);
    cr_assert_eq(second.far.given - given_at_plan, cost.fetch_bytes);
    cr_assert_leq(cost.fetch_bytes, NEW_MAX + 10 * (1 << 18));
    close_bundle(&second);
}

Test(plan, a_device_that_holds_nothing_reads_each_group_once_and_forward) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened second;
    pack(2, true);
    open_bundle("2.edge", &second);
    cr_assert_eq(stage(&second, NULL, "gen2", 1, false, &result, &e), 0, "%s", e.text);
    expect_second("gen2", false);
    cr_assert_eq(second.far.outside, 0);
    cr_assert_eq(second.far.given - given_at_plan, cost.fetch_bytes);
    // Beginning, head, pages, trees, then the fresh group and back to the known one.
    cr_assert_leq(second.far.runs, 6, "%lu runs", (unsigned long)second.far.runs);
    cr_assert_leq(second.far.back, 2, "%lu steps back", (unsigned long)second.far.back);
    cr_assert_leq(second.far.given, second.far.file.size);
    cr_assert_eq(result.files_written, FILES + 1, "each is counted once");
    close_bundle(&second);
}

Test(plan, a_source_that_only_goes_forward_is_read_forward) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened second;
    pack(2, true);
    for (int over = 0; over < 2; over++) {
        open_bundle("2.edge", &second);
        second.far.forward_only = true;
        cr_assert_eq(
            stage(&second, over ? "gen1" : NULL, over ? "gen3" : "gen2", 1, false, &result, &e), 0,
            "%s", e.text);
        expect_second(over ? "gen3" : "gen2", over);
        cr_assert_eq(second.far.back, 0);
        cr_assert_eq(cost.fetched_bytes + cost.fetch_bytes, second.far.file.size,
                     "all of it comes, whatever is asked for");
        close_bundle(&second);
    }
}

Test(plan, what_was_there_when_it_broke_is_not_fetched_again) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened second;
    pack(2, true);
    open_bundle("2.edge", &second);
    cr_assert_eq(stage(&second, "gen1", "gen2", 1, false, &result, &e), 0, "%s", e.text);
    uint64_t whole = second.far.given, frames = cost.fetch_bytes;
    close_bundle(&second);
    for (uint64_t at = 1000; at < whole; at += whole / 7) {
        cr_assert_eq(fs_remove_tree(tmp.fd, "gen2", &e), 0);
        cr_assert_eq(fs_remove(tmp.fd, "slot1", &e), 0);
        open_bundle("2.edge", &second);
        second.far.break_after = second.far.given + at;
        cr_assert_lt(stage(&second, "gen1", "gen2", 1, true, &result, &e), 0);
        cr_assert(err_is(&e, &err_io), "%s", e.text);
        err_clear(&e);
        uint64_t got =
            costs > 0 && second.far.given > given_at_plan ? second.far.given - given_at_plan : 0;
        second.far.break_after = 0;
        costs = 0;
        cr_assert_eq(stage(&second, "gen1", "gen2", 1, true, &result, &e), 0, "%s", e.text);
        expect_second("gen2", true);
        // Frames that had come whole have been used; one may have been on its way.
        if (got > 0)
            cr_assert_leq(cost.fetch_bytes, frames - got + (1 << 18), "broken at %lu",
                          (unsigned long)at);
        close_bundle(&second);
    }
}

static void damage_old(void) {
    int fd = openat(tmp.fd, "gen1/app/f10", O_WRONLY);
    cr_assert(fd >= 0 && pwrite(fd, "damaged", 7, 20000) == 7 && close(fd) == 0);
    fd = openat(tmp.fd, "slot0", O_WRONLY);
    cr_assert(fd >= 0 && pwrite(fd, "damaged", 7, 20000) == 7 && close(fd) == 0);
    cr_assert_eq(unlinkat(tmp.fd, "gen1/app/f30", 0), 0); // and what was moved is gone
}

Test(plan, what_is_not_held_any_more_is_fetched) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened second;
    pack(2, true);
    open_bundle("2.edge", &second);
    meanwhile = damage_old;
    cr_assert_eq(stage(&second, "gen1", "gen2", 1, false, &result, &e), 0, "%s", e.text);
    expect_second("gen2", true);
    cr_assert_gt(second.far.given - given_at_plan, cost.fetch_bytes + FILE_BYTES);
    close_bundle(&second);
}

Test(plan, what_was_damaged_before_is_not_held) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened second;
    pack(2, true);
    damage_old();
    open_bundle("2.edge", &second);
    cr_assert_eq(stage(&second, "gen1", "gen2", 1, false, &result, &e), 0, "%s", e.text);
    expect_second("gen2", true);
    cr_assert_eq(second.far.given - given_at_plan, cost.fetch_bytes, "and the cost says so");
    cr_assert_gt(cost.fetch_bytes, 2UL * FILE_BYTES);
    close_bundle(&second);
}

// Damage of this device is no fault of the bundle: what the old tree no longer says is fetched.
Test(plan, an_old_tree_that_was_damaged_ends_there) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened second;
    char path[64];
    struct stat status;
    pack(2, true);
    int fd = openat(tmp.fd, "gen1/.edge/app.tree", O_WRONLY);
    cr_assert(fd >= 0 && fstat(fd, &status) == 0);
    cr_assert_eq(pwrite(fd, "\"\"\"", 3, status.st_size / 2), 3);
    cr_assert_eq(close(fd), 0);
    open_bundle("2.edge", &second);
    cr_assert_eq(stage(&second, "gen1", "gen2", 1, false, &result, &e), 0, "%s", e.text);
    cr_assert_lt(fstatat(tmp.fd, "gen2/app/f00", &status, 0), 0, "before it nothing changed");
    for (int i = FILES / 2 + 1; i < FILES; i++) {
        (void)snprintf(path, sizeof path, "gen2/app/%s%02d", i == 30 ? "y" : "f", i);
        expect_bytes(path, contents[1][i], FILE_BYTES);
    }
    close_bundle(&second);
}

static int refuse(void *context, const struct unpack_plan_cost *told, struct err *e) {
    (void)context;
    return err_set(e, &err_io, "%lu are too many", (unsigned long)told->fetch_bytes);
}

Test(plan, a_cost_that_is_too_high_ends_it_before_any_content_is_fetched) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct opened first;
    int dir = -1;
    open_bundle("1.edge", &first);
    cr_assert_eq(mkdirat(tmp.fd, "no", 0755), 0);
    cr_assert_eq(fs_open_dir(tmp.fd, "no", &dir, &e), 0);
    struct bundle_image_places none = {.n = 0};
    bundle_image_add(&none, "root", dir, NULL);
    const struct unpack_stage how = {.target_dir = dir,
                                     .previous_dir = -1,
                                     .older_dir = -1,
                                     .old_images = &none,
                                     .decode_max_bytes = DECODE_MAX,
                                     .planned = refuse};
    cr_assert_lt(unpack_stage(first.bundle, &first.source, &how, &result, &e), 0);
    cr_assert(strstr(e.text, "are too many") != NULL, "%s", e.text);
    cr_assert_leq(first.far.given, 30 * BUNDLE_INDEX_PAGE_BYTES);
    (void)close(dir);
    close_bundle(&first);
}
