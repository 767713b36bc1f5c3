// SPDX-License-Identifier: Apache-2.0
//
// Installing from far away what an older generation has: its chunks are copied, and whatever has become of it, the
// update comes out right.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "bundle/pack/build.h"
#include "bundle/unpack/stage.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

#define DECODE_MAX  (4ULL << 20)
#define FILES       6
#define FILE_BYTES  300000
#define FRAME_BYTES (1 << 16)

static struct tmp_dir tmp;
static struct unpack_source_file file;
static struct unpack_source near;
static uint64_t given;
static struct unpack_plan_cost cost;
static uint64_t given_at_plan;
static void (*meanwhile)(void); // called when the plan is there

static int read_far(void *context, uint64_t offset, void *data, size_t len, struct err *e) {
    (void)context;
    given += len;
    return near.read(near.context, offset, data, len, e);
}

static uint64_t size_far(void *context) {
    (void)context;
    return file.size;
}

static void expect_far(void *context, uint64_t offset, uint64_t len) {
    (void)context;
    (void)offset;
    (void)len;
}

static const struct unpack_source far = {
    .read = read_far, .size = size_far, .expect = expect_far, .context = &file};

static uint8_t content_of(unsigned release, unsigned number, size_t at) {
    uint64_t x = ((uint64_t)release << 40 | (uint64_t)number << 32 | at) * 0x9e3779b97f4a7c15ULL;
    x ^= x >> 29;
    return (uint8_t)(x * 0xbf58476d1ce4e5b9ULL >> 56);
}

static const char *path_of(const char *name, char ret[static 512]) {
    (void)snprintf(ret, 512, "%s/%s", tmp.path, name);
    return ret;
}

// File 0 is the same in all releases; the others are those of the release, and of the third those of the first.
static unsigned release_of(unsigned release, unsigned number) {
    return number == 0 || release == 3 ? 1 : release;
}

static void pack(unsigned release) {
    char name[64], in[512], out[512];
    struct err e = ERR_NONE;
    struct pack_build_result made;
    struct sign_signer *signer = forge_signer(0);
    uint8_t *data = malloc(FILE_BYTES);
    cr_assert(data);
    (void)snprintf(name, sizeof name, "in%u", release);
    cr_assert_eq(mkdirat(tmp.fd, name, 0755), 0);
    (void)path_of(name, in);
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof name, "in%u/f%u", release, i);
        for (size_t k = 0; k < FILE_BYTES; k++)
            data[k] = content_of(release_of(release, i), i, k);
        int fd = openat(tmp.fd, name, O_WRONLY | O_CREAT, 0644);
        cr_assert(fd >= 0 && write(fd, data, FILE_BYTES) == FILE_BYTES && close(fd) == 0);
    }
    free(data);
    (void)snprintf(name, sizeof name, "%u.edge", release);
    const struct pack_component component = {.name = "app", .type = PACK_INPUT_PATH, .path = in};
    const struct pack_build how = {.name = "demo",
                                   .release = "1.0",
                                   .version = release,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 1,
                                   .components = &component,
                                   .level = 1,
                                   .frame_bytes = FRAME_BYTES,
                                   .threads = 1,
                                   .n_signers = 1,
                                   .signers = &signer};
    cr_assert_eq(pack_build(&how, path_of(name, out), &made, &e), 0, "%s", e.text);
    sign_signer_free(signer);
}

static int on_planned(void *context, const struct unpack_plan_cost *told, struct err *e) {
    (void)context;
    (void)e;
    cost = *told;
    given_at_plan = given;
    if (meanwhile)
        meanwhile();
    return 0;
}

static int open_generation(const char *name) {
    struct err e = ERR_NONE;
    int fd = -1;
    if (name)
        cr_assert_eq(fs_open_dir(tmp.fd, name, &fd, &e), 0, "%s", e.text);
    return fd;
}

// Stages a release into gen<release>; previous and older are names of generations, or NULL.
static void stage(unsigned release, const char *previous, const char *older) {
    char name[64];
    struct err e = ERR_NONE;
    struct keys_role role;
    struct unpack_candidate *candidate = NULL;
    struct unpack_bundle *bundle = NULL;
    struct unpack_stage_result result;
    forge_role(1, 1, &role);
    (void)snprintf(name, sizeof name, "%u.edge", release);
    int fd = openat(tmp.fd, name, O_RDONLY);
    cr_assert_eq(unpack_source_from_file(fd, &file, &near, &e), 0);
    cr_assert_eq(unpack_open(&far, &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_verify(&candidate, &role, &bundle, &e), 0, "%s", e.text);
    (void)snprintf(name, sizeof name, "gen%u", release);
    cr_assert_eq(mkdirat(tmp.fd, name, 0755), 0);
    const struct unpack_stage how = {.target_dir = open_generation(name),
                                     .previous_dir = open_generation(previous),
                                     .older_dir = open_generation(older),
                                     .decode_max_bytes = DECODE_MAX,
                                     .planned = on_planned};
    cr_assert_eq(unpack_stage(bundle, &far, &how, &result, &e), 0, "%s", e.text);
    unpack_bundle_free(bundle);
    (void)close(how.target_dir);
    (void)close(how.previous_dir);
    (void)close(how.older_dir);
    (void)close(fd);
}

// Release 3 is in gen3, but for what the generation before it has (file 0).
static void expect_third(bool all) {
    char name[64];
    uint8_t *data = malloc(FILE_BYTES + 1);
    cr_assert(data);
    for (unsigned i = all ? 0 : 1; i < FILES; i++) {
        (void)snprintf(name, sizeof name, "gen3/app/f%u", i);
        int fd = openat(tmp.fd, name, O_RDONLY);
        cr_assert(fd >= 0, "%s", name);
        cr_assert_eq(read(fd, data, FILE_BYTES + 1), FILE_BYTES, "%s", name);
        for (size_t k = 0; k < FILE_BYTES; k++)
            if (data[k] != content_of(1, i, k))
                cr_assert_fail("%s: byte %zu", name, k);
        (void)close(fd);
    }
    free(data);
}

static void begin(void) {
    tmp = tmp_dir_make();
    for (unsigned release = 1; release <= 3; release++)
        pack(release);
    stage(1, NULL, NULL);
    stage(2, "gen1", NULL);
}

static void end(void) {
    tmp_dir_remove(&tmp);
}

TestSuite(plan_older, .init = begin, .fini = end, .timeout = 600);

Test(plan_older, what_an_older_generation_has_is_not_fetched) {
    stage(3, "gen2", "gen1");
    expect_third(false);
    cr_assert_eq(cost.fetch_bytes, 0);
    cr_assert_eq(given, given_at_plan);
    cr_assert_eq(cost.reused_bytes, (uint64_t)FILES * FILE_BYTES);
}

Test(plan_older, without_it_all_that_differs_is_fetched) {
    stage(3, "gen2", NULL);
    expect_third(false);
    cr_assert_geq(cost.fetch_bytes, (FILES - 1) * FILE_BYTES);
}

// Where what runs was found damaged, and is not looked into.
Test(plan_older, it_alone_has_all_of_it) {
    stage(3, NULL, "gen1");
    expect_third(true);
    cr_assert_eq(cost.fetch_bytes, 0);
}

static void spoil(const char *name, off_t at) {
    int fd = openat(tmp.fd, name, O_WRONLY);
    cr_assert(fd >= 0 && pwrite(fd, "\"\"\"", 3, at) == 3 && close(fd) == 0, "%s", name);
}

Test(plan_older, what_is_damaged_in_it_is_fetched_and_no_more) {
    spoil("gen1/app/f2", 1000);
    cr_assert_eq(unlinkat(tmp.fd, "gen1/app/f4", 0), 0);
    stage(3, "gen2", "gen1");
    expect_third(false);
    cr_assert_eq(given - given_at_plan, cost.fetch_bytes, "the cost says so");
    cr_assert_geq(cost.fetch_bytes, FILE_BYTES);
    cr_assert_leq(cost.fetch_bytes, FILE_BYTES + 5 * FRAME_BYTES);
}

Test(plan_older, a_tree_of_it_that_is_damaged_ends_there) {
    struct stat status;
    cr_assert_eq(fstatat(tmp.fd, "gen1/.edge/app.tree", &status, 0), 0);
    spoil("gen1/.edge/app.tree", status.st_size / 2);
    stage(3, "gen2", "gen1");
    expect_third(false);
    cr_assert_geq(cost.fetch_bytes, 2UL * FILE_BYTES);
    cr_assert_leq(cost.fetch_bytes, (FILES - 2) * FILE_BYTES);
}

static void take_it_away(void) {
    struct err e = ERR_NONE;
    spoil("gen1/app/f1", 200000);
    cr_assert_eq(fs_remove_tree(tmp.fd, "gen1/app/f3", &e), 0);
    cr_assert_eq(ftruncate(openat(tmp.fd, "gen1/app/f5", O_WRONLY), 7), 0);
}

Test(plan_older, what_goes_while_it_is_read_is_fetched_after_all) {
    meanwhile = take_it_away;
    stage(3, "gen2", "gen1");
    expect_third(false);
    cr_assert_eq(cost.fetch_bytes, 0);
    cr_assert_geq(given - given_at_plan, 2UL * FILE_BYTES);
}

Test(plan_older, nothing_of_it_is_there) {
    struct err e = ERR_NONE;
    cr_assert_eq(fs_remove_tree(tmp.fd, "gen1", &e), 0);
    cr_assert_eq(mkdirat(tmp.fd, "gen1", 0755), 0);
    stage(3, "gen2", "gen1");
    expect_third(false);
    cr_assert_geq(cost.fetch_bytes, (FILES - 1) * FILE_BYTES);
}
