// SPDX-License-Identifier: Apache-2.0
//
// Bundles made with references: what they unpack to is the same, and fresh is exactly what the rule
// in FORMAT.md §5 says, written here once more and slowly.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "bundle/chunker.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/skeleton.h"
#include "bundle/unpack/stage.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

#define DECODE_MAX (4ULL << 20)
#define NOISE      400000
#define FOUND_MAX  4096

static uint8_t *noise(size_t len, uint64_t seed) {
    uint8_t *data = malloc(len);
    cr_assert(data);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        data[i] = (uint8_t)(seed >> 56);
    }
    return data;
}

static void put(int dir, const char *path, const uint8_t *data, size_t len, mode_t mode) {
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    cr_assert(fd >= 0, "%s", path);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    cr_assert_eq(fchmod(fd, mode), 0);
    cr_assert_eq(close(fd), 0);
}

// What a file of the new tree is to a holder of the old one.
enum relation { WHOLE, LOOKED_FOR };

static const struct file {
    const char *name;
    enum relation relation;
} files[] = {
    {"copied", LOOKED_FOR}, // of `same`, which is behind it and not looked into: nothing is found
    {"edited", LOOKED_FOR}, // 10 bytes in its middle
    {"executable", LOOKED_FOR}, // was not: every chunk is found
    {"moved", LOOKED_FOR},      // a part of the old `edited`
    {"new", LOOKED_FOR},        // nothing is found
    {"same", WHOLE},            //
    {"small", LOOKED_FOR},      // one chunk
    {"tail", LOOKED_FOR},       // longer than it was
    {"twice", LOOKED_FOR},      // `new` again: it repeats
};
#define FILES (sizeof files / sizeof *files)

static void make_old(int dir) {
    uint8_t *a = noise(NOISE, 1), *b = noise(NOISE, 2);
    put(dir, "same", a, NOISE, 0644);
    put(dir, "edited", b, NOISE, 0644);
    put(dir, "executable", b + 100000, 50000, 0644);
    put(dir, "small", (const uint8_t *)"one", 3, 0644);
    put(dir, "tail", a, 70001, 0644);
    put(dir, "gone", b, 1000, 0644);
    free(a);
    free(b);
}

static void make_new(int dir) {
    uint8_t *a = noise(NOISE, 1), *b = noise(NOISE, 2), *c = noise(NOISE, 3);
    put(dir, "same", a, NOISE, 0644);
    put(dir, "copied", a + 200000, NOISE - 200000, 0644);
    put(dir, "moved", b + 250000, 100000, 0644);
    put(dir, "executable", b + 100000, 50000, 0755);
    put(dir, "new", c, NOISE, 0644);
    put(dir, "twice", c, NOISE, 0644);
    put(dir, "small", (const uint8_t *)"two", 3, 0644);
    put(dir, "tail", a, 120000, 0644);
    memcpy(b + NOISE / 2, "ten bytes!", 10);
    put(dir, "edited", b, NOISE, 0644);
    free(a);
    free(b);
    free(c);
}

struct opened {
    int fd;
    struct unpack_source_file file;
    struct unpack_source source;
    struct unpack_bundle *bundle;
};

static void open_bundle(int dir, const char *name, struct opened *ret) {
    struct err e = ERR_NONE;
    struct keys_role role;
    struct unpack_candidate *candidate = NULL;
    forge_role(1, 1, &role);
    ret->fd = openat(dir, name, O_RDONLY);
    cr_assert_eq(unpack_source_from_file(ret->fd, &ret->file, &ret->source, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_open(&ret->source, &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_verify(&candidate, &role, &ret->bundle, &e), 0, "%s", e.text);
}

static void close_bundle(struct opened *o) {
    unpack_bundle_free(o->bundle);
    cr_assert_eq(close(o->fd), 0);
}

// A folder with old and new, and bundles of them.
struct scene {
    struct tmp_dir tmp;
    struct opened old;
};

static int pack(struct scene *s, enum pack_input_type type, const char *from, const char *to,
                const struct opened *const *references, size_t n, unsigned threads,
                struct pack_build_result *ret, struct err *e) {
    char in[512], out[512];
    struct pack_reference_from list[PACK_REFERENCES_MAX + 1];
    struct sign_signer *signer = forge_signer(0);
    (void)snprintf(in, sizeof in, "%s/%s", s->tmp.path, from);
    (void)snprintf(out, sizeof out, "%s/%s", s->tmp.path, to);
    for (size_t i = 0; i < n; i++)
        list[i] = (struct pack_reference_from){.bundle = references[i]->bundle,
                                               .source = &references[i]->source};
    const struct pack_component component = {.name = "app", .type = type, .path = in};
    const struct pack_build how = {.name = "demo",
                                   .release = "1.0",
                                   .version = 7,
                                   .issued_s = FORGE_ISSUED_S,
                                   .expires_s = FORGE_EXPIRES_S,
                                   .n_components = 1,
                                   .components = &component,
                                   .n_references = n,
                                   .references = list,
                                   .level = 3,
                                   .frame_bytes = 65536,
                                   .threads = threads,
                                   .n_signers = 1,
                                   .signers = &signer};
    int r = pack_build(&how, out, ret, e);
    sign_signer_free(signer);
    return r;
}

static void make_scene(struct scene *s) {
    struct err e = ERR_NONE;
    struct pack_build_result made;
    s->tmp = tmp_dir_make();
    static const char *const names[] = {"old", "new"};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(mkdirat(s->tmp.fd, names[i], 0755), 0);
        OWN(fd) int dir = openat(s->tmp.fd, names[i], O_RDONLY | O_DIRECTORY);
        (i ? make_new : make_old)(dir);
    }
    cr_assert_eq(pack(s, PACK_INPUT_PATH, "old", "old.edge", NULL, 0, 2, &made, &e), 0, "%s",
                 e.text);
    open_bundle(s->tmp.fd, "old.edge", &s->old);
}

static void end_scene(struct scene *s) {
    close_bundle(&s->old);
    tmp_dir_remove(&s->tmp);
}

static void expect_equal(const struct scene *s, const char *a, const char *b) {
    char one[512], two[512];
    (void)snprintf(one, sizeof one, "%s/%s", s->tmp.path, a);
    (void)snprintf(two, sizeof two, "%s/%s", s->tmp.path, b);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("diff", "diff", "-r", one, two, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0, "%s and %s differ", a, b);
}

static void stage(struct scene *s, const struct opened *o, const char *name) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    cr_assert_eq(mkdirat(s->tmp.fd, name, 0755), 0);
    OWN(fd) int to = openat(s->tmp.fd, name, O_RDONLY | O_DIRECTORY);
    const struct unpack_stage how = {
        .target_dir = to, .previous_dir = -1, .older_dir = -1, .decode_max_bytes = DECODE_MAX};
    cr_expect_eq(unpack_check(o->bundle, &o->source, DECODE_MAX, &e), 0, "%s", e.text);
    cr_assert_eq(unpack_stage(o->bundle, &o->source, &how, &result, &e), 0, "%s", e.text);
}

// Chunks by the first bytes of their digests.
struct found {
    size_t n;
    uint8_t digests[FOUND_MAX][BUNDLE_INDEX_CHUNK_DIGEST_BYTES];
};

static void look_into(struct found *f, const uint8_t *data, size_t len) {
    struct bundle_chunker chunker;
    bundle_chunker_init(&chunker);
    for (size_t at = 0; at < len;) {
        struct keys_digest digest;
        size_t n = bundle_chunker_cut(&chunker, data + at, len - at);
        keys_digest_of(data + at, n, &digest);
        cr_assert_lt(f->n, FOUND_MAX);
        memcpy(f->digests[f->n++], digest.bytes, BUNDLE_INDEX_CHUNK_DIGEST_BYTES);
        at += n;
    }
}

static bool is_found(const struct found *f, const uint8_t *digest) {
    for (size_t i = 0; i < f->n; i++)
        if (memcmp(f->digests[i], digest, sizeof f->digests[i]) == 0)
            return true;
    return false;
}

static uint8_t *read_all(int dir, const char *path, size_t *ret_len) {
    struct stat status;
    OWN(fd) int fd = openat(dir, path, O_RDONLY);
    cr_assert_eq(fstat(fd, &status), 0);
    *ret_len = (size_t)status.st_size;
    uint8_t *data = malloc(*ret_len);
    cr_assert_eq(pread(fd, data, *ret_len, 0), (ssize_t)*ret_len);
    return data;
}

// What the holder of the old bundle looks into: all but `same` (and the tree, in which there is
// nothing to be found).
static void look_into_old(const struct scene *s, struct found *f) {
    static const char *const old[] = {"edited", "executable", "small", "tail", "gone"};
    OWN(fd) int dir = openat(s->tmp.fd, "old", O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        size_t len = 0;
        uint8_t *data = read_all(dir, old[i], &len);
        look_into(f, data, len);
        free(data);
    }
}

static struct bundle_index_reader *open_index(const struct opened *o) {
    struct err e = ERR_NONE;
    struct bundle_index_reader *reader = NULL;
    const struct bundle_index_file file = {
        .fd = o->fd, .offset = unpack_bundle_skeleton(o->bundle)->offset[BUNDLE_SKELETON_INDEX]};
    const struct bundle_manifest_view *view =
        bundle_manifest_view(unpack_bundle_manifest(o->bundle));
    cr_assert_eq(bundle_index_open(&file, &view->packing, &reader, &e), 0, "%s", e.text);
    return reader;
}

// Counts the fresh chunks of each file, holding each row against what was found.
static void check_groups(const struct scene *s, const struct opened *o, const struct found *f,
                         size_t ret_fresh[static FILES]) {
    struct err e = ERR_NONE;
    struct bundle_index_reader *reader = open_index(o);
    struct bundle_index_chunk c;
    OWN(fd) int dir = openat(s->tmp.fd, "new", O_RDONLY | O_DIRECTORY);
    uint64_t i = 0,
             end = bundle_manifest_view(unpack_bundle_manifest(o->bundle))->components[0].size;
    for (; bundle_index_chunk(reader, i, &c, &e) == 0 && c.stream < end; i++)
        cr_expect_eq(c.what, BUNDLE_INDEX_KNOWN, "trees are known");
    for (size_t k = 0; k < FILES; k++) {
        struct stat status;
        cr_assert_eq(fstatat(dir, files[k].name, &status, 0), 0);
        end += (uint64_t)status.st_size;
        ret_fresh[k] = 0;
        for (; i < bundle_index_head(reader)->n_chunks &&
               bundle_index_chunk(reader, i, &c, &e) == 0 && c.stream < end;
             i++) {
            if (c.what >= BUNDLE_INDEX_REPEATS)
                continue;
            bool held = files[k].relation == WHOLE || is_found(f, c.digest);
            cr_expect_eq(c.what, held ? BUNDLE_INDEX_KNOWN : BUNDLE_INDEX_FRESH,
                         "a chunk of %s at %llu", files[k].name, (unsigned long long)c.stream);
            ret_fresh[k] += c.what == BUNDLE_INDEX_FRESH;
        }
    }
    cr_expect_eq(i, bundle_index_head(reader)->n_chunks);
    bundle_index_close(reader);
}

Test(reference, fresh_is_what_a_holder_of_the_reference_does_not_find) {
    struct scene s;
    struct err e = ERR_NONE;
    struct pack_build_result made;
    struct opened fresh;
    size_t n[FILES];
    make_scene(&s);
    struct found *found = calloc(1, sizeof *found);
    const struct opened *const old[] = {&s.old};
    cr_assert_eq(pack(&s, PACK_INPUT_PATH, "new", "new.edge", old, 1, 2, &made, &e), 0, "%s",
                 e.text);
    open_bundle(s.tmp.fd, "new.edge", &fresh);
    look_into_old(&s, found);
    check_groups(&s, &fresh, found, n);
    cr_expect_gt(n[0], 5, "of a copy of what is not looked into");
    cr_expect(n[1] > 0 && n[1] < 5, "near the edit: %zu", n[1]);
    cr_expect_eq(n[2], 0, "the mode alone");
    cr_expect(n[3] > 0 && n[3] < 8, "at both ends of what was moved: %zu", n[3]);
    cr_expect_gt(n[4], 10);
    cr_expect_eq(n[5], 0);
    cr_expect_eq(n[6], 1);
    cr_expect_eq(n[8], 0, "it repeats");
    struct bundle_index_reader *reader = open_index(&fresh);
    const struct bundle_index_header *h = bundle_index_head(reader);
    cr_expect_eq(made.fresh_raw_bytes, h->raw_bytes - h->fresh_start);
    cr_expect(made.fresh_data_bytes > 0 && made.fresh_data_bytes <= made.fresh_raw_bytes);
    bundle_index_close(reader);
    close_bundle(&fresh);
    free(found);
    end_scene(&s);
}

Test(reference, with_any_references_it_unpacks_to_the_same_and_is_the_same_on_any_threads) {
    struct scene s;
    struct err e = ERR_NONE;
    struct pack_build_result made;
    struct opened b;
    make_scene(&s);
    cr_assert_eq(pack(&s, PACK_INPUT_PATH, "new", "plain", NULL, 0, 2, &made, &e), 0, "%s", e.text);
    cr_expect_eq(made.fresh_raw_bytes, 0);
    open_bundle(s.tmp.fd, "plain", &b);
    const struct opened *const lists[3][3] = {
        {&s.old, NULL, NULL}, {&b, NULL, NULL}, {&s.old, &b, &s.old}};
    static const size_t lengths[] = {1, 1, 3};
    uint64_t fresh[3];
    stage(&s, &b, "stage");
    expect_equal(&s, "new", "stage/app");
    for (unsigned i = 0; i < 3; i++) {
        char name[32], again[32], staged[32], app[64];
        struct opened o;
        (void)snprintf(name, sizeof name, "%u-one", i);
        (void)snprintf(again, sizeof again, "%u-three", i);
        (void)snprintf(staged, sizeof staged, "stage%u", i);
        (void)snprintf(app, sizeof app, "%s/app", staged);
        cr_assert_eq(pack(&s, PACK_INPUT_PATH, "new", name, lists[i], lengths[i], 1, &made, &e), 0,
                     "%s", e.text);
        fresh[i] = made.fresh_raw_bytes;
        cr_assert_eq(pack(&s, PACK_INPUT_PATH, "new", again, lists[i], lengths[i], 3, &made, &e), 0,
                     "%s", e.text);
        expect_equal(&s, name, again);
        open_bundle(s.tmp.fd, name, &o);
        stage(&s, &o, staged);
        expect_equal(&s, "new", app);
        close_bundle(&o);
    }
    cr_expect_gt(fresh[0], 0);
    cr_expect_eq(fresh[1], 0, "who has the same needs nothing");
    cr_expect_eq(fresh[2], fresh[0], "it is what any of the holders lacks");
    close_bundle(&b);
    end_scene(&s);
}

Test(reference, an_image_is_looked_for_in_the_old_image) {
    struct scene s;
    struct err e = ERR_NONE;
    struct pack_build_result made;
    struct opened old, new;
    make_scene(&s);
    uint8_t *data = noise(NOISE, 5);
    put(s.tmp.fd, "v1.img", data, NOISE, 0644);
    memcpy(data + 100000, "x", 1);
    put(s.tmp.fd, "v2.img", data, NOISE, 0644);
    free(data);
    cr_assert_eq(pack(&s, PACK_INPUT_IMAGE, "v1.img", "i1", NULL, 0, 2, &made, &e), 0);
    open_bundle(s.tmp.fd, "i1", &old);
    const struct opened *const one[] = {&old}, *const other[] = {&s.old};
    cr_assert_eq(pack(&s, PACK_INPUT_IMAGE, "v1.img", "i1b", one, 1, 2, &made, &e), 0);
    cr_expect_eq(made.fresh_raw_bytes, 0, "the same image");
    cr_assert_eq(pack(&s, PACK_INPUT_IMAGE, "v2.img", "i2", one, 1, 2, &made, &e), 0);
    cr_expect(made.fresh_raw_bytes > 0 && made.fresh_raw_bytes < 3 * BUNDLE_CHUNK_MAX_BYTES,
              "%llu bytes near the edit", (unsigned long long)made.fresh_raw_bytes);
    open_bundle(s.tmp.fd, "i2", &new);
    cr_expect_eq(unpack_check(new.bundle, &new.source, DECODE_MAX, &e), 0, "%s", e.text);
    cr_assert_eq(pack(&s, PACK_INPUT_IMAGE, "v2.img", "i3", other, 1, 2, &made, &e), 0);
    cr_expect_eq(made.fresh_raw_bytes, made.raw_bytes, "a component of another type has nothing");
    close_bundle(&old);
    close_bundle(&new);
    end_scene(&s);
}

Test(reference, one_that_is_damaged_or_one_too_many_is_refused_and_nothing_is_left) {
    struct scene s;
    struct err e = ERR_NONE;
    struct pack_build_result made;
    struct stat status;
    make_scene(&s);
    const struct opened *many[PACK_REFERENCES_MAX + 1];
    for (size_t i = 0; i <= PACK_REFERENCES_MAX; i++)
        many[i] = &s.old;
    cr_expect_lt(pack(&s, PACK_INPUT_PATH, "new", "n", many, PACK_REFERENCES_MAX + 1, 2, &made, &e),
                 0);
    cr_expect(err_is(&e, &err_limit), "%s", e.text);
    err_clear(&e);
    OWN(fd) int fd = openat(s.tmp.fd, "old.edge", O_WRONLY);
    uint64_t at = unpack_bundle_skeleton(s.old.bundle)->offset[BUNDLE_SKELETON_DATA] + 5000;
    cr_assert_eq(pwrite(fd, "damage", 6, (off_t)at), 6);
    cr_expect_lt(pack(&s, PACK_INPUT_PATH, "new", "n", many, 1, 2, &made, &e), 0);
    cr_expect(err_is(&e, &err_bad_frame), "%s", e.text);
    cr_expect_not_null(strstr(e.text, "reference demo 1.0"), "%s", e.text);
    cr_expect_lt(fstatat(s.tmp.fd, "n", &status, 0), 0, "nothing was left");
    end_scene(&s);
}
