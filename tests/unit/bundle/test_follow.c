// SPDX-License-Identifier: Apache-2.0
//
// Reading back behind a writer: past the cache and through it, the digest is that of what lies there,
// it is only there when nobody writes any more, and a writer that breaks its word gets none.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/seal/follow.h"
#include "tests/support/skip.h"
#include "tests/support/tmp.h"

#define IMAGE_BYTES (40UL * 1024 * 1024 + 4321)
#define SLOT_BYTES  (41L * 1024 * 1024)
#define PIECE_BYTES 700001 // no multiple of anything

struct scene {
    struct tmp_dir tmp;
    int writes, reads;
    uint8_t *image;
    struct seal_follow follow;
};

static void own_drop_scene(struct scene *s) {
    seal_follow_clear(&s->follow);
    own_drop_fd(&s->writes);
    own_drop_fd(&s->reads);
    free(s->image);
    tmp_dir_remove(&s->tmp);
}

static void set_up(struct scene *s, bool through_cache, bool by_blocks) {
    struct err e = ERR_NONE;
    uint64_t seed = 1;
    *s = (struct scene){.tmp = tmp_dir_make(), .image = malloc(IMAGE_BYTES)};
    cr_assert(s->image);
    for (size_t i = 0; i < IMAGE_BYTES; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        s->image[i] = (uint8_t)(seed >> 56);
    }
    s->writes = openat(s->tmp.fd, "slot", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(s->writes >= 0 && ftruncate(s->writes, SLOT_BYTES) == 0);
    s->reads = openat(s->tmp.fd, "slot", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(s->reads, 0);
    cr_assert_eq(seal_follow_init(&s->follow, s->reads, IMAGE_BYTES, by_blocks, NULL, &e), 0, "%s",
                 e.text);
    if (!through_cache || s->follow.buffer)
        return;
    // As where it cannot be read past the cache.
    medium_close(&s->follow.medium);
    cr_assert_eq(fcntl(s->reads, F_SETFL, 0), 0);
    s->follow.buffer = malloc(MEDIUM_SLICE_BYTES);
    cr_assert(s->follow.buffer);
}

static void write_piece(struct scene *s, size_t from, size_t to) {
    struct err e = ERR_NONE;
    cr_assert_eq(fs_pwrite(s->writes, s->image + from, to - from, from, &e), 0, "%s", e.text);
}

static void run(struct scene *s) {
    struct err e = ERR_NONE;
    int r;
    while ((r = seal_follow_step(&s->follow, &e)) == 0)
        ;
    cr_assert_eq(r, SEAL_FOLLOW_IDLE, "%s", e.text);
}

static void expect_digest(const struct scene *s) {
    struct keys_digest wanted;
    struct seal_hash hash;
    seal_hash_init(&hash, s->follow.hash.by_blocks);
    seal_hash_add(&hash, s->image, IMAGE_BYTES);
    seal_hash_final(&hash, &wanted);
    cr_assert(seal_follow_has_all(&s->follow));
    cr_expect(keys_digest_equal(&wanted, &s->follow.digest));
}

static void follow(struct scene *s) {
    for (size_t at = 0; at < IMAGE_BYTES; at += PIECE_BYTES) {
        size_t to = IMAGE_BYTES - at < PIECE_BYTES ? IMAGE_BYTES : at + PIECE_BYTES;
        write_piece(s, at, to);
        seal_follow_settle(&s->follow, to);
        run(s);
        cr_assert_leq(s->follow.hashed, to);
        cr_assert_not(seal_follow_has_all(&s->follow), "somebody writes");
    }
    cr_expect_gt(s->follow.hashed, IMAGE_BYTES / 2, "most of it was read while it came");
    seal_follow_over(&s->follow);
    run(s);
    expect_digest(s);
}

Test(follow, i1_past_the_cache_the_digest_is_that_of_what_was_written) {
    for (int by_blocks = 0; by_blocks < 2; by_blocks++) {
        OWN(scene) struct scene s;
        set_up(&s, false, by_blocks);
        if (s.follow.buffer)
            skip_test("files here cannot be read past the cache");
        follow(&s);
    }
}

Test(follow, i1_through_the_cache_it_is_the_same) {
    for (int by_blocks = 0; by_blocks < 2; by_blocks++) {
        OWN(scene) struct scene s;
        set_up(&s, true, by_blocks);
        follow(&s);
    }
}

// A page that stays in memory, because somebody else holds it or it reaches further than what was
// dropped, is not read there.
static void expect_reads(bool through_cache) {
    OWN(scene) struct scene s;
    struct rusage before, after;
    set_up(&s, through_cache, true);
    cr_assert_eq(getrusage(RUSAGE_SELF, &before), 0);
    follow(&s);
    cr_assert_eq(getrusage(RUSAGE_SELF, &after), 0);
    if (after.ru_inblock == 0 && before.ru_inblock == 0)
        skip_test("files here lie in memory");
    cr_expect_geq(after.ru_inblock - before.ru_inblock, (long)(IMAGE_BYTES / 512));
}

Test(follow, i1_what_is_hashed_comes_from_the_medium) {
    expect_reads(false);
}

Test(follow, i1_and_so_it_does_through_the_cache) {
    expect_reads(true);
}

// As a page that somebody has mapped does.
Test(follow, i1_what_stays_in_memory_is_not_hashed_before_the_end) {
    OWN(scene) struct scene s;
    const size_t at = 20UL << 20;
    set_up(&s, true, true);
    write_piece(&s, 0, IMAGE_BYTES);
    uint8_t *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.writes, (off_t)at);
    cr_assert_neq(page, MAP_FAILED);
    cr_assert_eq(*(volatile uint8_t *)page, s.image[at]);
    seal_follow_settle(&s.follow, IMAGE_BYTES);
    run(&s);
    cr_expect_leq(s.follow.hashed, at);
    cr_expect_gt(s.follow.hashed, at / 2);
    seal_follow_over(&s.follow);
    run(&s);
    expect_digest(&s);
    cr_assert_eq(munmap(page, 4096), 0);
}

Test(follow, what_differs_on_the_medium_differs_in_the_digest) {
    OWN(scene) struct scene s;
    struct keys_digest wanted;
    struct err e = ERR_NONE;
    set_up(&s, false, true);
    write_piece(&s, 0, IMAGE_BYTES);
    cr_assert_eq(fs_pwrite(s.writes, "damage", 6, 30000000, &e), 0);
    seal_follow_settle(&s.follow, IMAGE_BYTES);
    seal_follow_over(&s.follow);
    run(&s);
    keys_digest_of(s.image, IMAGE_BYTES, &wanted);
    cr_assert(seal_follow_has_all(&s.follow));
    cr_expect_not(keys_digest_equal(&wanted, &s.follow.digest));
}

Test(follow, i1_a_writer_that_breaks_its_word_gets_no_digest) {
    for (int way = 0; way < 4; way++) {
        OWN(scene) struct scene s;
        set_up(&s, false, true);
        write_piece(&s, 0, IMAGE_BYTES);
        seal_follow_settle(&s.follow, IMAGE_BYTES);
        run(&s);
        if (way == 0)
            seal_follow_settle(&s.follow, 0);
        else if (way == 1)
            seal_follow_settle(&s.follow, IMAGE_BYTES - 1);
        else if (way == 2)
            seal_follow_settle(&s.follow, IMAGE_BYTES + 1);
        seal_follow_over(&s.follow);
        if (way == 3)
            seal_follow_settle(&s.follow, IMAGE_BYTES); // from whom, when nobody writes?
        run(&s);
        cr_expect_not(seal_follow_has_all(&s.follow), "way %d", way);
    }
}

Test(follow, what_was_never_settled_is_nobodys_digest) {
    OWN(scene) struct scene s;
    set_up(&s, false, true);
    write_piece(&s, 0, IMAGE_BYTES);
    seal_follow_settle(&s.follow, IMAGE_BYTES - 1);
    seal_follow_over(&s.follow);
    run(&s);
    cr_expect_not(seal_follow_has_all(&s.follow));
}

Test(follow, a_slot_that_gets_shorter_is_an_error) {
    for (int way = 0; way < 2; way++) {
        OWN(scene) struct scene s;
        struct err e = ERR_NONE;
        int r;
        set_up(&s, way == 1, true);
        write_piece(&s, 0, IMAGE_BYTES);
        seal_follow_settle(&s.follow, IMAGE_BYTES);
        seal_follow_over(&s.follow);
        cr_assert_eq(ftruncate(s.writes, 8192), 0);
        while ((r = seal_follow_step(&s.follow, &e)) == 0)
            ;
        cr_expect_lt(r, 0);
        cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    }
}

// As the kernel leaves it: what was under way came to an error. It is asked for by io_submit, which no
// seam is before.
Test(follow, i1_what_could_not_be_made_durable_aside_is_not_hashed) {
    OWN(scene) struct scene s;
    set_up(&s, false, true);
    write_piece(&s, 0, IMAGE_BYTES);
    seal_follow_settle(&s.follow, IMAGE_BYTES);
    s.follow.syncing = SEAL_FOLLOW_STEP_BYTES;
    s.follow.medium.synced = -EIO;
    for (int tries = 0; tries < 2; tries++) { // nor is it trusted when it is tried again
        struct err e = ERR_NONE;
        cr_expect_lt(seal_follow_step(&s.follow, &e), 0);
        cr_expect(err_is(&e, &err_io), "%s", e.text);
    }
    cr_expect_eq(s.follow.durable, 0);
    cr_expect_eq(s.follow.hashed, 0);
    s.follow.medium.synced = 0; // had it gone well
    struct err e = ERR_NONE;
    cr_expect_eq(seal_follow_step(&s.follow, &e), 0, "%s", e.text);
    cr_expect_eq(s.follow.durable, SEAL_FOLLOW_STEP_BYTES);
}
