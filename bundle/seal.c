// SPDX-License-Identifier: Apache-2.0
//
// Sealing: completing (bundle/seal/fill), one barrier, reading back (bundle/seal/verify), the
// record.
#include "bundle/seal.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/seal/fill.h"
#include "bundle/seal/sync.h"
#include "bundle/seal/verify.h"

#define EDGE_DIR    ".edge"
#define RECORD_NAME "generation.json"

struct seal {
    const struct bundle_seal *how;
    struct bundle_generation record;
    struct seal_fill fill;
};

static bool is_new(const struct seal *s, const char *component) {
    return bundle_manifest_component(s->how->manifest, component) != NULL;
}

// What an earlier try or the stage left in .edge and nobody will miss.
static int tidy_entry(void *context, const char *name, mode_t type, struct err *e) {
    const struct seal *s = context;
    (void)type;
    if (seal_verify_known(&s->record, false, name))
        return 0;
    return fs_remove(s->fill.edge, name, e);
}

static int open_dirs(struct seal *s, struct err *e) {
    s->fill.dir = s->how->partial_dir;
    s->fill.previous = s->how->previous_dir;
    s->fill.set_owner = s->how->set_owner;
    if (fs_make_dir(s->fill.dir, EDGE_DIR, 0700, e) < 0 ||
        fs_open_dir(s->fill.dir, EDGE_DIR, &s->fill.edge, e) < 0)
        return -1;
    if (s->fill.previous >= 0 &&
        fs_open_dir(s->fill.previous, EDGE_DIR, &s->fill.previous_edge, e) < 0) {
        if (!err_is(e, &err_not_found))
            return -1;
        if (s->how->previous && s->how->previous->n_components > 0) {
            e->kind = &err_bad_generation;
            return -1;
        }
        err_clear(e); // generation 0 may be empty
    }
    return fs_list(s->fill.edge, ".", tidy_entry, s, e);
}

// The envelope that a component came from, beside it, so that a device can show it and re-verify
// it.
static int keep_manifest(const struct seal *s, const char *name, struct err *e) {
    struct slice raw = bundle_manifest_raw(s->how->manifest);
    OWN(fd) int fd = -1;
    if (fs_remove(s->fill.edge, name, e) < 0 || fs_create(s->fill.edge, name, 0600, &fd, e) < 0 ||
        fs_write(fd, raw.data, raw.len, e) < 0)
        return -1;
    return seal_fill_dress(&s->fill, fd, 0444, e);
}

static int prepare_edge(struct seal *s, const struct bundle_generation_component *c,
                        struct err *e) {
    char tree[SEAL_VERIFY_NAME_BYTES], manifest[SEAL_VERIFY_NAME_BYTES];
    OWN(fd) int fd = -1;
    bool has_tree = c->type == BUNDLE_COMPONENT_FILES;
    (void)seal_verify_name(c->name, ".tree", tree);
    (void)seal_verify_name(c->name, ".manifest", manifest);
    if (!is_new(s, c->name))
        return has_tree && seal_fill_edge(&s->fill, tree, e) < 0
                   ? -1
                   : seal_fill_edge(&s->fill, manifest, e);
    if (keep_manifest(s, manifest, e) < 0)
        return -1;
    if (!has_tree)
        return 0;
    if (fs_open_read(s->fill.edge, tree, &fd, e) < 0)
        return -1;
    return seal_fill_dress(&s->fill, fd, 0444, e);
}

static int check_size(const struct seal *s, const char *component, int tree, struct err *e) {
    const struct bundle_component *c = bundle_manifest_component(s->how->manifest, component);
    uint64_t size = 0;
    if (fs_size(tree, &size, e) < 0)
        return -1;
    return !c || c->size == size
               ? 0
               : err_set(e, &err_bad_tree, "the tree's size is not the one that was signed");
}

// One that was written is durable before it is read back; one that was not is so already.
static int fill_image(struct seal *s, const struct bundle_generation_component *c, struct err *e) {
    const struct bundle_image_place *place = NULL;
    if (seal_verify_place(s->how->images, c->name, &place, e) < 0 || fs_sync_data(place->fd, e) < 0)
        return -1;
    if (is_new(s, c->name))
        s->fill.written++;
    return seal_fill_image(&s->fill, c->name, place->path, e);
}

static int fill_component(struct seal *s, const struct bundle_generation_component *c,
                          struct err *e) {
    typedef int pass(struct seal_fill *, const char *, struct bundle_tree_reader *, struct err *);
    static pass *const passes[] = {seal_fill_component, seal_fill_directories};
    if (prepare_edge(s, c, e) < 0)
        return -1;
    if (c->type == BUNDLE_COMPONENT_IMAGE)
        return fill_image(s, c, e);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        struct bundle_tree_reader *tree = NULL;
        OWN(fd) int fd = -1;
        if (seal_verify_tree(s->fill.edge, c, &fd, &tree, e) < 0)
            return -1;
        int r = check_size(s, c->name, fd, e);
        if (r == 0)
            r = passes[i](&s->fill, c->name, tree, e);
        bundle_tree_close(tree);
        if (r < 0)
            return -1;
    }
    return 0;
}

static int write_record(const struct seal *s, struct err *e) {
    struct buf text;
    OWN(fd) int fd = -1;
    buf_init(&text, BUNDLE_GENERATION_RECORD_MAX_BYTES);
    int r = bundle_generation_format(&s->record, &text, e);
    if (r == 0)
        r = fs_replace(s->fill.edge, RECORD_NAME, text.data, text.len, 0444, e);
    buf_clear(&text);
    if (r < 0 || fs_open_read(s->fill.edge, RECORD_NAME, &fd, e) < 0)
        return -1;
    // The time is not worth a barrier of its own: nothing depends on it.
    return seal_fill_dress(&s->fill, fd, 0444, e);
}

static int run_seal(struct seal *s, struct bundle_seal_result *ret, struct err *e) {
    const struct bundle_generation none = {.number = 0};
    const struct bundle_seal *how = s->how;
    if (bundle_generation_after(how->previous ? how->previous : &none, how->manifest, how->number,
                                &s->record, e) < 0)
        return -1;
    if (how->leave_slots)
        bundle_generation_leave_slots(&s->record, how->previous ? how->previous : &none,
                                      how->manifest);
    if (open_dirs(s, e) < 0)
        return -1;
    for (size_t i = 0; i < s->record.n_components; i++)
        if (fill_component(s, &s->record.components[i], e) < 0)
            return err_prefix(e, "component %s", s->record.components[i].name);
    if (seal_fill_dress(&s->fill, s->fill.edge, 0755, e) < 0 ||
        seal_fill_dress(&s->fill, s->fill.dir, 0755, e) < 0 || seal_sync(s->fill.dir, e) < 0)
        return -1;
    struct seal_verify verify = {.dir = how->partial_dir,
                                 .images = how->images,
                                 .reads = how->reads,
                                 .progress = how->progress,
                                 .context = how->context};
    if (seal_verify_all(&verify, &s->record, e) < 0 || write_record(s, e) < 0)
        return -1;
    *ret = (struct bundle_seal_result){.record = s->record,
                                       .files_linked = s->fill.linked,
                                       .files_written = s->fill.written,
                                       .bytes_hashed = verify.bytes_hashed};
    return 0;
}

int bundle_seal(const struct bundle_seal *how, struct bundle_seal_result *ret, struct err *e) {
    struct seal *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, &err_memory, "sealing a generation");
    s->how = how;
    s->fill.edge = s->fill.previous_edge = -1;
    int r = run_seal(s, ret, e);
    own_drop_fd(&s->fill.edge);
    own_drop_fd(&s->fill.previous_edge);
    free(s);
    return r < 0 ? err_prefix(e, "sealing generation %llu", (unsigned long long)how->number) : 0;
}

int bundle_seal_verify_images(int generation_dir, const struct bundle_image_places *images,
                              int (*progress)(void *context, uint64_t bytes, struct err *e),
                              void *context, struct bundle_generation *ret, struct err *e) {
    struct seal_verify verify = {.dir = generation_dir,
                                 .recorded = true,
                                 .images = images,
                                 .progress = progress,
                                 .context = context};
    struct bundle_generation record;
    if (bundle_generation_read(generation_dir, &record, e) < 0 ||
        seal_verify_all(&verify, &record, e) < 0)
        return -1;
    *ret = record;
    return 0;
}

int bundle_seal_verify(int generation_dir,
                       int (*progress)(void *context, uint64_t bytes, struct err *e), void *context,
                       struct bundle_generation *ret, struct err *e) {
    return bundle_seal_verify_images(generation_dir, NULL, progress, context, ret, e);
}
