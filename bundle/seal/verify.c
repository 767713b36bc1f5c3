// SPDX-License-Identifier: Apache-2.0
//
// A generation, read back.
#include "bundle/seal/verify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/manifest.h"
#include "bundle/seal/hash.h"

#define EDGE_DIR     ".edge"
#define RECORD_NAME  "generation.json"
#define PERMISSIONS  07777
#define TREE_SUFFIX  ".tree"
#define TRUST_SUFFIX ".manifest"

char *seal_verify_name(const char *component, const char *suffix, char *ret) {
    (void)snprintf(ret, SEAL_VERIFY_NAME_BYTES, "%s%s", component, suffix);
    return ret;
}

bool seal_verify_known(const struct bundle_generation *record, bool recorded, const char *name) {
    char known[SEAL_VERIFY_NAME_BYTES];
    if (recorded && strcmp(name, RECORD_NAME) == 0)
        return true;
    for (size_t i = 0; i < record->n_components; i++) {
        const char *component = record->components[i].name;
        if ((record->components[i].type == BUNDLE_COMPONENT_FILES &&
             strcmp(name, seal_verify_name(component, TREE_SUFFIX, known)) == 0) ||
            strcmp(name, seal_verify_name(component, TRUST_SUFFIX, known)) == 0)
            return true;
    }
    return false;
}

int seal_verify_tree(int edge, const struct bundle_generation_component *c, int *ret_fd,
                     struct bundle_tree_reader **ret, struct err *e) {
    char name[SEAL_VERIFY_NAME_BYTES];
    struct keys_digest found;
    uint64_t size = 0, hashed = 0;
    OWN(fd) int fd = -1;
    if (fs_open_read(edge, seal_verify_name(c->name, TREE_SUFFIX, name), &fd, e) < 0) {
        if (err_is(e, &err_not_found))
            e->kind = &err_bad_generation;
        return -1;
    }
    if (fs_size(fd, &size, e) < 0)
        return -1;
    if (size > BUNDLE_TREE_MAX_BYTES)
        return err_set(e, &err_bad_tree, "%s is above the ceiling", name);
    uint8_t *buffer = malloc(SEAL_VERIFY_BUFFER_BYTES);
    if (!buffer)
        return err_set(e, &err_memory, "verifying a tree");
    fs_drop_cache(fd);
    int r = keys_digest_fd(fd, buffer, SEAL_VERIFY_BUFFER_BYTES, &found, &hashed, e);
    free(buffer);
    if (r < 0)
        return -1;
    if (hashed != size || !keys_digest_equal(&found, &c->digest))
        return err_set(e, &err_bad_tree, "%s is not the tree that was signed", name);
    if (bundle_tree_open(fd, 0, size, ret, e) < 0)
        return -1;
    *ret_fd = own_take_fd(&fd);
    return 0;
}

struct walk {
    struct seal_verify *v;
    int dir; // of the component
    uint8_t *buffer;
    uint64_t listed; // entries that lie on the disk
};

static int count_entry(void *context, const char *name, mode_t type, struct err *e) {
    struct walk *w = context;
    (void)name;
    (void)type;
    (void)e;
    w->listed++;
    return 0;
}

static int hash_file(struct walk *w, int fd, uint64_t size, bool by_blocks, struct keys_digest *ret,
                     struct err *e) {
    struct seal_hash hash;
    uint64_t asked = 0;
    seal_hash_init(&hash, by_blocks);
    for (uint64_t done = 0; done < size;) {
        if (size > SEAL_VERIFY_BUFFER_BYTES)
            fs_read_ahead(fd, done, size, &asked);
        size_t want = size - done < SEAL_VERIFY_BUFFER_BYTES ? (size_t)(size - done)
                                                             : SEAL_VERIFY_BUFFER_BYTES;
        size_t got = 0;
        if (fs_pread(fd, w->buffer, want, done, &got, e) < 0)
            return -1;
        if (got < want)
            return err_set(e, &err_bad_content, "it got shorter while it was read");
        seal_hash_add(&hash, w->buffer, got);
        done += got;
        w->v->bytes_hashed += got;
        if (w->v->progress && w->v->progress(w->v->context, w->v->bytes_hashed, e) < 0)
            return -1;
    }
    seal_hash_final(&hash, ret);
    return 0;
}

static int verify_file(struct walk *w, const struct bundle_tree_entry *entry, struct err *e) {
    struct keys_digest found;
    struct stat status;
    OWN(fd) int fd = -1;
    int r = fs_stat(w->dir, entry->path, &status, e);
    if (r < 0)
        return -1;
    if (r == FS_ABSENT || !S_ISREG(status.st_mode))
        return err_set(e, &err_bad_content, "there is no file");
    if ((status.st_mode & PERMISSIONS) != (entry->exec ? 0555U : 0444U))
        return err_set(e, &err_bad_content, "its mode is %04o", status.st_mode & PERMISSIONS);
    if ((uint64_t)status.st_size != entry->size)
        return err_set(e, &err_bad_content, "it has %lld bytes, %" PRIu64 " were signed",
                       (long long)status.st_size, entry->size);
    if (fs_open_read(w->dir, entry->path, &fd, e) < 0)
        return -1;
    // What is read must come from the medium, not from what was written into memory.
    fs_drop_cache(fd);
    if (hash_file(w, fd, entry->size, false, &found, e) < 0)
        return -1;
    if (!keys_digest_equal(&found, &entry->digest))
        return err_set(e, &err_bad_content,
                       "its contents read back are not those that were "
                       "signed");
    return 0;
}

static int verify_link(const struct walk *w, const struct bundle_tree_entry *entry, struct err *e) {
    char target[BUNDLE_LINK_MAX + 2];
    struct stat status;
    int r = fs_stat(w->dir, entry->path, &status, e);
    if (r < 0)
        return -1;
    if (r == FS_ABSENT || !S_ISLNK(status.st_mode))
        return err_set(e, &err_bad_content, "there is no link");
    if (fs_readlink(w->dir, entry->path, target, sizeof target, e) < 0)
        return -1;
    return strcmp(target, entry->target) == 0
               ? 0
               : err_set(e, &err_bad_content, "the link leads elsewhere");
}

static int verify_dir(struct walk *w, const struct bundle_tree_entry *entry, struct err *e) {
    struct stat status;
    int r = fs_stat(w->dir, entry->path, &status, e);
    if (r < 0)
        return -1;
    if (r == FS_ABSENT || !S_ISDIR(status.st_mode))
        return err_set(e, &err_bad_content, "there is no directory");
    return fs_list(w->dir, entry->path, count_entry, w, e);
}

static int verify_entries(struct walk *w, struct bundle_tree_reader *tree, struct err *e) {
    uint64_t entries = 0;
    if (fs_list(w->dir, ".", count_entry, w, e) < 0)
        return -1;
    for (;; entries++) {
        struct bundle_tree_entry entry;
        int r = bundle_tree_next(tree, &entry, e);
        if (r < 0)
            return -1;
        if (r == BUNDLE_TREE_END)
            break;
        r = entry.type == BUNDLE_TREE_FILE   ? verify_file(w, &entry, e)
            : entry.type == BUNDLE_TREE_LINK ? verify_link(w, &entry, e)
                                             : verify_dir(w, &entry, e);
        if (r < 0)
            return err_prefix(e, "%s", entry.path);
    }
    // Each entry is there and paths differ, so equal numbers mean that nothing else is.
    if (w->listed != entries)
        return err_set(e, &err_bad_content,
                       "%" PRIu64 " entries are on the disk, %" PRIu64 " were signed", w->listed,
                       entries);
    return 0;
}

// What an image must have (bundle/seal/hash.h).
struct sum {
    bool by_blocks;
    struct keys_digest digest;
};

static struct sum sum_of(const struct bundle_component *c) {
    return (struct sum){.by_blocks = c->has_blocks,
                        .digest = c->has_blocks ? c->blocks : c->digest};
}

// Whether what the record says of a component is what the kept manifest says. That was verified
// when it was kept; here damage to either is found, to the floor's security version above all (I6).
static bool is_of_manifest(const struct bundle_generation_component *c,
                           const struct bundle_manifest_unverified *kept, struct sum *ret) {
    const struct bundle_manifest_view *view = bundle_manifest_peek_view(kept);
    size_t i = 0;
    while (i < view->n_components && strcmp(view->components[i].name, c->name) != 0)
        i++;
    if (i < view->n_components)
        *ret = sum_of(&view->components[i]);
    return i < view->n_components &&
           keys_digest_equal(bundle_manifest_peek_id(kept), &c->manifest) &&
           keys_digest_equal(&view->components[i].digest, &c->digest) &&
           view->components[i].type == c->type &&
           (c->type == BUNDLE_COMPONENT_FILES || view->components[i].size == c->size) &&
           view->components[i].security_version == c->security_version &&
           strcmp(view->name, c->bundle_name) == 0 && strcmp(view->release, c->release) == 0;
}

static int verify_manifest(int edge, const struct bundle_generation_component *c, struct sum *ret,
                           struct err *e) {
    char name[SEAL_VERIFY_NAME_BYTES];
    struct bundle_manifest_unverified *kept = NULL;
    OWN(buf) struct buf raw;
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    (void)seal_verify_name(c->name, TRUST_SUFFIX, name);
    if (fs_read_file(edge, name, BUNDLE_MANIFEST_MAX_BYTES, &raw, e) < 0)
        return -1;
    struct err damage = ERR_NONE;
    if (bundle_manifest_peek((struct slice){raw.data, raw.len}, &kept, &damage) < 0)
        return err_set(e, &err_bad_generation, ".edge/%s: %s", name, damage.text);
    bool same = is_of_manifest(c, kept, ret);
    bundle_manifest_peek_free(kept);
    return same ? 0
                : err_set(e, &err_bad_generation,
                          ".edge/%s does not say what the record says of the component", name);
}

int seal_verify_place(const struct bundle_image_places *images, const char *component,
                      const struct bundle_image_place **ret, struct err *e) {
    const struct bundle_image_place *place = bundle_image_find(images, component);
    if (!place)
        return err_set(e, &err_unsupported_component, "it is an image, and it has no slot here");
    *ret = place;
    return 0;
}

// The one thing in the component's directory.
static int verify_slot_link(const struct walk *w, const char *path, struct err *e) {
    char target[FS_PATH_BYTES];
    struct stat status;
    int r = fs_stat(w->dir, BUNDLE_IMAGE_LINK, &status, e);
    if (r < 0)
        return -1;
    if (r == FS_ABSENT || !S_ISLNK(status.st_mode))
        return err_set(e, &err_bad_content, "there is no link to its slot");
    if (w->listed != 1)
        return err_set(e, &err_bad_content, "something lies beside the link to its slot");
    if (!path)
        return 0;
    if (fs_readlink(w->dir, BUNDLE_IMAGE_LINK, target, sizeof target, e) < 0)
        return -1;
    return strcmp(target, path) == 0
               ? 0
               : err_set(e, &err_bad_generation,
                         "its link leads to %s, and its slot is %s: were the slots changed in the "
                         "configuration?",
                         target, path);
}

// What was read back of an image while it was written; NULL when it was not.
static const struct keys_digest *find_read(const struct bundle_seal_reads *reads,
                                           const struct bundle_generation_component *c,
                                           bool by_blocks) {
    for (size_t i = 0; reads && i < reads->n; i++)
        if (strcmp(reads->all[i].component, c->name) == 0 && reads->all[i].bytes == c->size &&
            reads->all[i].by_blocks == by_blocks)
            return &reads->all[i].digest;
    return NULL;
}

static int hash_image(struct walk *w, int fd, const struct bundle_generation_component *c,
                      bool by_blocks, struct keys_digest *ret, struct err *e) {
    const struct keys_digest *read = find_read(w->v->reads, c, by_blocks);
    if (!read) {
        fs_drop_cache(fd);
        return hash_file(w, fd, c->size, by_blocks, ret, e);
    }
    w->v->bytes_hashed += c->size;
    *ret = *read;
    return 0;
}

static int verify_image(struct walk *w, const struct bundle_generation_component *c,
                        const struct sum *wanted, struct err *e) {
    const struct bundle_image_place *place = NULL;
    struct keys_digest found;
    uint64_t size = 0;
    OWN(fd) int dir = -1;
    if (seal_verify_place(w->v->images, c->name, &place, e) < 0)
        return -1;
    if (fs_open_dir(w->v->dir, c->name, &dir, e) < 0) {
        if (err_is(e, &err_not_found))
            e->kind = &err_bad_content;
        return -1;
    }
    w->dir = dir;
    if (fs_list(dir, ".", count_entry, w, e) < 0 || verify_slot_link(w, place->path, e) < 0 ||
        fs_size(place->fd, &size, e) < 0)
        return -1;
    if (size < c->size)
        return err_set(e, &err_bad_content, "its slot has %" PRIu64 " bytes, the image %" PRIu64,
                       size, c->size);
    if (hash_image(w, place->fd, c, wanted->by_blocks, &found, e) < 0)
        return -1;
    return keys_digest_equal(&found, &wanted->digest)
               ? 0
               : err_set(e, &err_bad_content,
                         "what its slot has, read back, is not the image that was signed");
}

static int verify_component(struct seal_verify *v, int edge,
                            const struct bundle_generation_component *c, uint8_t *buffer,
                            struct err *e) {
    struct walk w = {.v = v, .dir = -1, .buffer = buffer};
    struct bundle_tree_reader *tree = NULL;
    OWN(fd) int dir = -1;
    OWN(fd) int fd = -1;
    struct sum wanted;
    if (verify_manifest(edge, c, &wanted, e) < 0)
        return -1;
    if (c->type == BUNDLE_COMPONENT_IMAGE)
        return verify_image(&w, c, &wanted, e);
    if (seal_verify_tree(edge, c, &fd, &tree, e) < 0)
        return -1;
    int r = fs_open_dir(v->dir, c->name, &dir, e);
    w.dir = dir;
    if (r == 0)
        r = verify_entries(&w, tree, e);
    else if (err_is(e, &err_not_found))
        e->kind = &err_bad_content;
    bundle_tree_close(tree);
    return r;
}

struct names {
    const struct bundle_generation *record;
    bool recorded;
    size_t found;
};

static int check_top(void *context, const char *name, mode_t type, struct err *e) {
    struct names *n = context;
    (void)type;
    n->found++;
    if (strcmp(name, EDGE_DIR) == 0 || bundle_generation_component(n->record, name))
        return 0;
    return err_set(e, &err_bad_content, "%s is in the generation and nobody signed it", name);
}

static int check_edge(void *context, const char *name, mode_t type, struct err *e) {
    struct names *n = context;
    (void)type;
    n->found++;
    if (seal_verify_known(n->record, n->recorded, name))
        return 0;
    return err_set(e, &err_bad_content, ".edge/%s does not belong there", name);
}

static int check_names(const struct seal_verify *v, int edge,
                       const struct bundle_generation *record, struct err *e) {
    struct names top = {.record = record}, inner = {.record = record, .recorded = v->recorded};
    size_t wanted = v->recorded ? 1 : 0;
    for (size_t i = 0; i < record->n_components; i++)
        wanted += record->components[i].type == BUNDLE_COMPONENT_FILES ? 2 : 1;
    if (fs_list(v->dir, ".", check_top, &top, e) < 0 ||
        fs_list(edge, ".", check_edge, &inner, e) < 0)
        return -1;
    if (top.found != record->n_components + 1 || inner.found != wanted)
        return err_set(e, &err_bad_content, "a component, a tree or a manifest is missing");
    return 0;
}

int seal_verify_all(struct seal_verify *v, const struct bundle_generation *record, struct err *e) {
    OWN(fd) int edge = -1;
    if (fs_open_dir(v->dir, EDGE_DIR, &edge, e) < 0) {
        if (err_is(e, &err_not_found))
            e->kind = &err_bad_generation;
        return -1;
    }
    uint8_t *buffer = malloc(SEAL_VERIFY_BUFFER_BYTES);
    if (!buffer)
        return err_set(e, &err_memory, "verifying a generation");
    int r = check_names(v, edge, record, e);
    for (size_t i = 0; r == 0 && i < record->n_components; i++) {
        r = verify_component(v, edge, &record->components[i], buffer, e);
        if (r < 0)
            (void)err_prefix(e, "component %s", record->components[i].name);
    }
    free(buffer);
    return r;
}
