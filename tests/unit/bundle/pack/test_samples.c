// SPDX-License-Identifier: Apache-2.0
//
// A slot that is looked at in samples: which places of it the medium is asked for ahead, seen by what the page cache has of the slot when the plan
// is made, and what of the index that costs. The image that is installed lies between two that stay.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/unpack/plan.h"
#include "tests/support/forge.h"
#include "tests/support/skip.h"
#include "tests/support/tmp.h"

#define DECODE_MAX   (4ULL << 20)
#define BEFORE_BYTES 100001
#define ROOT_BYTES   48500001 // more samples than may be under way
#define AGAIN_BYTES  3000000  // at its end, of what is at its beginning
#define BEHIND_BYTES 6000000
#define SLOT_BYTES   (ROOT_BYTES + 1000000)
#define WAIT_MS      10000

struct scene {
    struct tmp_dir tmp;
    int bundle_fd, slot, dir;
    size_t page_bytes, n_pages;
    struct unpack_source_file file;
    struct unpack_source source;
    struct unpack_bundle *bundle;
    struct bundle_image_places to, old;
    uint64_t index_bytes;       // as planned
    unsigned char *seen, *want; // pages of the slot; of the first NULL when they are not looked at
};

static void own_drop_scene(struct scene *s) {
    bundle_image_close(&s->to);
    bundle_image_close(&s->old);
    unpack_bundle_free(s->bundle);
    own_drop_fd(&s->bundle_fd);
    own_drop_fd(&s->slot);
    own_drop_fd(&s->dir);
    free(s->seen);
    free(s->want);
    tmp_dir_remove(&s->tmp);
}

static const char *path_of(const struct scene *s, const char *name, char ret[static 512]) {
    (void)snprintf(ret, 512, "%s/%s", s->tmp.path, name);
    return ret;
}

static void put_noise(const struct scene *s, const char *name, size_t len, size_t again) {
    uint64_t seed = len;
    uint8_t *data = malloc(len);
    OWN(fd) int fd = openat(s->tmp.fd, name, O_WRONLY | O_CREAT, 0644);
    cr_assert(data && fd >= 0);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        data[i] = (uint8_t)(seed >> 56);
    }
    memmove(data + len - again, data, again);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    free(data);
}

static void pack(const struct scene *s) {
    static const char *const names[] = {"before", "root", "zbehind"};
    struct err e = ERR_NONE;
    char paths[3][512], out[512];
    struct pack_component components[3];
    struct pack_build_result made;
    struct sign_signer *signer = forge_signer(0);
    put_noise(s, names[0], BEFORE_BYTES, 0);
    put_noise(s, names[1], ROOT_BYTES, AGAIN_BYTES);
    put_noise(s, names[2], BEHIND_BYTES, 0);
    for (size_t i = 0; i < 3; i++)
        components[i] = (struct pack_component){
            .name = names[i], .type = PACK_INPUT_IMAGE, .path = path_of(s, names[i], paths[i])};
    const struct pack_build how = {.name = "demo",
                                   .release = "1.0",
                                   .version = 1,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 3,
                                   .components = components,
                                   .level = 1,
                                   .frame_bytes = 1 << 20,
                                   .threads = 2,
                                   .n_signers = 1,
                                   .signers = &signer};
    cr_assert_eq(pack_build(&how, path_of(s, "edge", out), &made, &e), 0, "%s", e.text);
    sign_signer_free(signer);
}

static void set_up(struct scene *s) {
    struct err e = ERR_NONE;
    struct keys_role role;
    struct unpack_candidate *candidate = NULL;
    *s = (struct scene){.tmp = tmp_dir_make(), .page_bytes = (size_t)sysconf(_SC_PAGESIZE)};
    s->n_pages = (SLOT_BYTES + s->page_bytes - 1) / s->page_bytes;
    pack(s);
    s->bundle_fd = openat(s->tmp.fd, "edge", O_RDONLY | O_CLOEXEC);
    s->slot = openat(s->tmp.fd, "slot", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    cr_assert(s->bundle_fd >= 0 && s->slot >= 0 && ftruncate(s->slot, SLOT_BYTES) == 0);
    cr_assert_eq(mkdirat(s->tmp.fd, "partial", 0755), 0);
    s->dir = openat(s->tmp.fd, "partial", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(s->dir, 0);
    forge_role(1, 1, &role);
    cr_assert_eq(unpack_source_from_file(s->bundle_fd, &s->file, &s->source, &e), 0);
    cr_assert_eq(unpack_open(&s->source, &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_verify(&candidate, &role, &s->bundle, &e), 0, "%s", e.text);
    bundle_image_add(&s->old, "before", openat(s->tmp.fd, "before", O_RDONLY | O_CLOEXEC), NULL);
    bundle_image_add(&s->old, "zbehind", openat(s->tmp.fd, "zbehind", O_RDONLY | O_CLOEXEC), NULL);
}

// Marks pages of the slot that are in memory.
static size_t note_pages(const struct scene *s, unsigned char *ret) {
    size_t n = 0;
    unsigned char *now = malloc(s->n_pages);
    void *map = mmap(NULL, SLOT_BYTES, PROT_READ, MAP_SHARED, s->slot, 0);
    cr_assert(now && map != MAP_FAILED && mincore(map, SLOT_BYTES, now) == 0);
    for (size_t i = 0; i < s->n_pages; i++) {
        n += now[i] & 1;
        ret[i] |= now[i] & 1;
    }
    (void)munmap(map, SLOT_BYTES);
    free(now);
    return n;
}

static bool has_all(const struct scene *s) {
    for (size_t i = 0; i < s->n_pages; i++)
        if (s->want[i] && !s->seen[i])
            return false;
    return true;
}

// Ends the staging.
static int on_planned(void *context, const struct unpack_plan_cost *cost, struct err *e) {
    struct scene *s = context;
    s->index_bytes = cost->index_bytes;
    for (int ms = 0; s->seen && ms < WAIT_MS; ms++) {
        (void)note_pages(s, s->seen);
        if (has_all(s))
            break;
        (void)poll(NULL, 0, 1); // what was asked for is under way
    }
    return err_set(e, &err_limit, "this is all that was wanted");
}

static void plan(struct scene *s, int slot, bool untouched) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    cr_assert_geq(slot, 0);
    bundle_image_add(&s->to, "root", slot, NULL);
    const struct unpack_stage how = {.target_dir = s->dir,
                                     .previous_dir = -1,
                                     .older_dir = -1,
                                     .images = &s->to,
                                     .old_images = &s->old,
                                     .resume = true,
                                     .untouched = untouched,
                                     .decode_max_bytes = DECODE_MAX,
                                     .planned = on_planned,
                                     .context = s};
    cr_assert_lt(unpack_stage(s->bundle, &s->source, &how, &result, &e), 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
    bundle_image_close(&s->to);
    s->to.n = 0;
}

static void want_chunk(struct scene *s, uint64_t offset, uint32_t bytes) {
    for (uint64_t page = offset / s->page_bytes; page * s->page_bytes < offset + bytes; page++)
        s->want[page] = 1;
}

// By the index: every so manieth chunk behind those that are looked at in any case, but for repeats. How many, and how many repeats there were.
static size_t want_samples(struct scene *s, size_t *ret_repeats) {
    struct err e = ERR_NONE;
    struct unpack_stream *stream = NULL;
    struct unpack_piece piece;
    size_t n = 0;
    OWN(fd) int index = openat(s->tmp.fd, "index", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    *ret_repeats = 0;
    cr_assert_eq(unpack_stream_open(s->bundle, &s->source, UNPACK_STREAM_FORWARD, index, DECODE_MAX,
                                    &stream, &e),
                 0, "%s", e.text);
    for (uint64_t at = 0; at < BEFORE_BYTES; at += piece.bytes)
        cr_assert_eq(unpack_stream_next(stream, BEFORE_BYTES - at, &piece, &e), 0);
    for (uint64_t at = 0, i = 0; at < ROOT_BYTES; at += piece.bytes, i++) {
        cr_assert_eq(unpack_stream_next(stream, ROOT_BYTES - at, &piece, &e), 0);
        if (i < UNPACK_PLAN_MISSES || piece.number % UNPACK_PLAN_SAMPLE != 0)
            continue;
        *ret_repeats += piece.repeat;
        n += !piece.repeat;
        if (!piece.repeat)
            want_chunk(s, at, piece.bytes);
    }
    unpack_stream_close(stream);
    return n;
}

// Whether what is read of a file, and nothing else, is seen to be in memory: not where files lie in memory, or in a cache of their own.
static bool shows_pages(const struct scene *s) {
    uint8_t byte = 0;
    unsigned char *found = calloc(s->n_pages, 1);
    cr_assert(found && fsync(s->slot) == 0);
    (void)posix_fadvise(s->slot, 0, 0, POSIX_FADV_RANDOM);
    fs_drop_cache(s->slot);
    bool shows = note_pages(s, found) == 0;
    cr_assert_eq(pread(s->slot, &byte, 1, SLOT_BYTES / 2), 1);
    shows = shows && note_pages(s, found) == 1 && found[SLOT_BYTES / 2 / s->page_bytes];
    fs_drop_cache(s->slot);
    free(found);
    return shows;
}

// Through a descriptor that cannot be read from nothing is compared: what is in memory was asked for ahead.
Test(samples, what_will_be_compared_is_asked_for_and_nothing_else, .timeout = 300) {
    OWN(scene) struct scene s;
    size_t repeats = 0;
    set_up(&s);
    if (!shows_pages(&s)) {
        skip_part("the page cache of this file system cannot be seen");
        return;
    }
    s.seen = calloc(s.n_pages, 1);
    s.want = calloc(s.n_pages, 1);
    cr_assert(s.seen && s.want);
    cr_assert_gt(want_samples(&s, &repeats), UNPACK_PLAN_AHEAD);
    cr_assert_gt(repeats, 0);
    plan(&s, openat(s.tmp.fd, "slot", O_WRONLY | O_CLOEXEC), true);
    for (size_t i = 0; i < s.n_pages; i++)
        cr_expect_eq(s.seen[i], s.want[i], "page %zu", i);
}

static void expect_nothing(void *context, uint64_t offset, uint64_t len) {
    (void)context;
    (void)offset;
    (void)len;
}

// Number of the first row that is not of the image, in the index.
static uint64_t end_of_rows(const struct scene *s) {
    struct err e = ERR_NONE;
    struct unpack_stream *stream = NULL;
    struct unpack_piece piece;
    OWN(fd) int index = openat(s->tmp.fd, "index", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    cr_assert_eq(unpack_stream_open(s->bundle, &s->source, UNPACK_STREAM_FORWARD, index, DECODE_MAX,
                                    &stream, &e),
                 0, "%s", e.text);
    cr_assert_eq(unpack_stream_pass(stream, BEFORE_BYTES + ROOT_BYTES, &e), 0);
    cr_assert_eq(unpack_stream_next(stream, BEHIND_BYTES, &piece, &e), 0, "%s", e.text);
    unpack_stream_close(stream);
    return piece.number;
}

// From far away only rows of what is installed are fetched, and the samples ahead end where it does.
Test(samples, no_rows_of_the_image_behind_are_fetched_for_them, .timeout = 300) {
    OWN(scene) struct scene s;
    set_up(&s);
    cr_assert_gt(end_of_rows(&s) % BUNDLE_INDEX_CHUNKS_PER_PAGE, UNPACK_PLAN_SAMPLE,
                 "the next sample would be in another page");
    s.source.expect = expect_nothing;
    plan(&s, openat(s.tmp.fd, "slot", O_RDWR | O_CLOEXEC), false);
    uint64_t all = s.index_bytes;
    plan(&s, openat(s.tmp.fd, "slot", O_RDWR | O_CLOEXEC), true);
    cr_expect_eq(s.index_bytes, all);
    cr_expect_lt(all, unpack_bundle_skeleton(s.bundle)->size[BUNDLE_SKELETON_INDEX]);
}
