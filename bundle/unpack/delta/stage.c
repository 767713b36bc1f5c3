// SPDX-License-Identifier: Apache-2.0
//
// Staging from a delta: the plan asks what is there already, the rest is taken or made. As with
// bundles, everything is made below directories of this staging, links are never followed, images go
// to the descriptors that were given, and nobody believes the result before it is sealed.
#include "bundle/unpack/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/apply.h"
#include "bundle/unpack/delta/note.h"
#include "bundle/unpack/place.h"
#include "bundle/unpack/previous.h"

#define NAME_BYTES (BUNDLE_NAME_MAX + 8)
#define COPY_BYTES 65536

static const char *const scratch_names[] = {UNPACK_PLACE_SCRATCH "base", UNPACK_PLACE_SCRATCH "map",
                                            UNPACK_PLACE_SCRATCH "contents"};
enum { SCRATCH_BASE, SCRATCH_MAP, SCRATCH_CONTENTS, SCRATCHES };

struct stage {
    const struct unpack_delta_stage *how;
    struct delta_stream stream;
    struct delta_plan plan;
    int edge; // .edge of the target
    int scratch[SCRATCHES];
    int trees[BUNDLE_COMPONENTS_MAX];
    uint32_t component; // whose directory `dir` is
    int dir;
    struct unpack_previous previous;
    int fd;                                // the content that is being made
    const struct bundle_image_place *slot; // NULL: that is a file
    uint32_t writing;                      // its component, when it is coded
    uint64_t made, noted;                  // bytes of it, when it is an image
    bool no_clone;
    uint8_t *copy; // COPY_BYTES
    struct delta_plan_content other;
    struct delta_base_content old;
    struct unpack_stage_result result;
};

static const struct bundle_component *component_of(const struct stage *s, uint32_t number) {
    return &s->plan.view->components[number];
}

static bool is_image(const struct stage *s, uint32_t number) {
    return component_of(s, number)->type == BUNDLE_COMPONENT_IMAGE;
}

static struct delta_note note_of(const struct stage *s, uint32_t number) {
    const struct bundle_component *c = component_of(s, number);
    return (struct delta_note){.edge = s->edge, .component = c->name, .digest = &c->digest};
}

static int hash_file(struct stage *s, int fd, uint64_t bytes, struct keys_digest_state *hash,
                     struct err *e) {
    for (uint64_t done = 0; done < bytes;) {
        size_t n = bytes - done < COPY_BYTES ? (size_t)(bytes - done) : COPY_BYTES, got = 0;
        if (fs_pread(fd, s->copy, n, done, &got, e) < 0)
            return -1;
        if (got < n)
            return err_set(e, &err_io, "a staged file was cut short while it was read");
        keys_digest_add(hash, s->copy, n);
        done += n;
    }
    return 0;
}

static int is_right(struct stage *s, int fd, const struct bundle_tree_entry *entry, bool *ret,
                    struct err *e) {
    struct keys_digest_state hash;
    struct keys_digest found;
    keys_digest_init(&hash);
    if (hash_file(s, fd, entry->size, &hash, e) < 0)
        return -1;
    keys_digest_final(&hash, &found);
    *ret = keys_digest_equal(&found, &entry->digest);
    return 0;
}

static int plan_tree(void *context, uint32_t number, int *ret_fd, bool *ret_kept, struct err *e) {
    struct stage *s = context;
    const struct bundle_component *c = component_of(s, number);
    const struct bundle_tree_entry as_file = {.size = c->size, .digest = c->digest};
    char name[NAME_BYTES];
    uint64_t have = 0;
    (void)snprintf(name, sizeof name, "%s.tree", c->name);
    if (unpack_place_file(s->edge, name, s->how->resume, &s->trees[number], &have, e) < 0)
        return -1;
    *ret_kept = false;
    if (have == c->size && is_right(s, s->trees[number], &as_file, ret_kept, e) < 0)
        return -1;
    if (have > 0 && !*ret_kept && fs_truncate(s->trees[number], 0, e) < 0)
        return -1;
    *ret_fd = s->trees[number];
    return 0;
}

static int enter(struct stage *s, uint32_t number, struct err *e) {
    own_drop_fd(&s->dir);
    s->dir = -1;
    s->component = number;
    if (is_image(s, number))
        return 0;
    return fs_open_dir(s->how->target_dir, component_of(s, number)->name, &s->dir, e);
}

static int plan_component(void *context, uint32_t number, struct err *e) {
    struct stage *s = context;
    const char *name = component_of(s, number)->name;
    if (is_image(s, number))
        return enter(s, number, e);
    if (unpack_place_dir(s->how->target_dir, name, s->how->resume, e) < 0 ||
        enter(s, number, e) < 0)
        return -1;
    unpack_previous_clear(&s->previous);
    return unpack_previous_open(&s->previous, s->how->previous_dir, name, e);
}

static int plan_entry(void *context, const struct bundle_tree_entry *entry, struct err *e) {
    struct stage *s = context;
    return entry->type == BUNDLE_TREE_DIR ? unpack_place_dir(s->dir, entry->path, s->how->resume, e)
                                          : unpack_place_link(s->dir, entry, s->how->resume, e);
}

// What an earlier try left in its place.
static int look(struct stage *s, const struct delta_plan_content *content,
                enum delta_plan_need *ret, uint64_t *ret_have, struct err *e) {
    const struct bundle_tree_entry *entry = &content->entry;
    struct stat status;
    OWN(fd) int fd = -1;
    uint64_t have = 0;
    bool right = false;
    int r = fs_stat(s->dir, entry->path, &status, e);
    if (r < 0)
        return -1;
    if (r == FS_ABSENT || !S_ISREG(status.st_mode))
        return 0; // making it refuses what is no file
    if (fs_open_read(s->dir, entry->path, &fd, e) < 0 || fs_size(fd, &have, e) < 0)
        return -1;
    if (have == entry->size) {
        if (is_right(s, fd, entry, &right, e) < 0)
            return -1;
        if (right)
            *ret = DELTA_PLAN_KEEP;
    } else if (have > 0 && have < entry->size && content->way == DELTA_PLAN_CODED) {
        *ret = DELTA_PLAN_GO_ON;
        *ret_have = have;
    }
    return 0;
}

// A slot is as long as it is from the beginning: the note tells. What it says was made is believed
// when its digest is right at the end.
static int look_at_slot(struct stage *s, const struct delta_plan_content *content, int slot,
                        enum delta_plan_need *ret, uint64_t *ret_have, struct err *e) {
    const struct delta_note note = note_of(s, content->component);
    uint64_t made = 0;
    bool right = false;
    if (delta_note_read(&note, &made, e) < 0)
        return -1;
    if (made == content->entry.size && is_right(s, slot, &content->entry, &right, e) < 0)
        return -1;
    if (right) {
        *ret = DELTA_PLAN_KEEP;
    } else if (made > 0 && made < content->entry.size && content->way == DELTA_PLAN_CODED) {
        *ret = DELTA_PLAN_GO_ON;
        *ret_have = made;
    }
    return 0;
}

static int plan_image(struct stage *s, const struct delta_plan_content *content,
                      enum delta_plan_need *ret, uint64_t *ret_have, struct err *e) {
    const struct bundle_image_place *to =
        bundle_image_find(s->how->images, component_of(s, content->component)->name);
    if (!to) {
        *ret = DELTA_PLAN_LEAVE;
        s->result.files_left_out++;
        return 0;
    }
    if (s->how->resume && look_at_slot(s, content, to->fd, ret, ret_have, e) < 0)
        return -1;
    if (*ret == DELTA_PLAN_KEEP)
        s->result.files_kept++;
    return 0;
}

static int plan_content(void *context, const struct delta_plan_content *content,
                        enum delta_plan_need *ret, uint64_t *ret_have, struct err *e) {
    struct stage *s = context;
    bool there = false;
    if (is_image(s, content->component))
        return plan_image(s, content, ret, ret_have, e);
    if (unpack_previous_has(&s->previous, &content->entry, &there, e) < 0)
        return -1;
    if (there) {
        *ret = DELTA_PLAN_LEAVE;
        s->result.files_left_out++;
        // An earlier try, made against another generation, may have put one there.
        return s->how->resume ? fs_remove(s->dir, content->entry.path, e) : 0;
    }
    if (s->how->resume && look(s, content, ret, ret_have, e) < 0)
        return -1;
    if (*ret == DELTA_PLAN_KEEP)
        s->result.files_kept++;
    return 0;
}

// Another descriptor of an image's slot, where all that was written can be read.
static int open_slot(const struct bundle_image_places *places, const char *component, int *ret,
                     struct err *e) {
    const struct bundle_image_place *place = bundle_image_find(places, component);
    int fd = place ? fcntl(place->fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0)
        return err_errno(e, place ? errno : ENOENT, "the slot of %s", component);
    *ret = fd;
    return bundle_image_await(place, 0, UINT64_MAX, e);
}

// To the content that is being made.
static int put(const struct stage *s, int fd, const void *data, size_t len, uint64_t offset,
               struct err *e) {
    if (!s->slot)
        return fs_pwrite(fd, data, len, offset, e);
    return bundle_image_write(s->slot, data, len, offset, e) < 0
               ? -1
               : bundle_image_settle(s->slot, offset + len, e);
}

// Of an image; durable with it, so what was written of it has to have come to its slot.
static int note(const struct stage *s, uint32_t component, int fd, uint64_t bytes, struct err *e) {
    const struct delta_note note = note_of(s, component);
    if (bundle_image_await(s->slot, 0, UINT64_MAX, e) < 0)
        return -1;
    return delta_note_write(&note, fd, bytes, e);
}

// Opens the file of a content, cut to `keep` bytes; a slot is not cut.
static int open_content(struct stage *s, const struct delta_plan_content *content, uint64_t keep,
                        int *ret, struct err *e) {
    OWN(fd) int fd = -1;
    uint64_t have = 0;
    const char *component = component_of(s, content->component)->name;
    s->slot = is_image(s, content->component) ? bundle_image_find(s->how->images, component) : NULL;
    if (s->slot) {
        s->made = s->noted = keep;
        return open_slot(s->how->images, component, ret, e);
    }
    if (s->component != content->component && enter(s, content->component, e) < 0)
        return -1;
    if (unpack_place_file(s->dir, content->entry.path, s->how->resume, &fd, &have, e) < 0 ||
        (have > keep && fs_truncate(fd, keep, e) < 0))
        return -1;
    *ret = own_take_fd(&fd);
    return 0;
}

static int open_below(int dir, const char *component, const char *path, int *ret, struct err *e) {
    OWN(fd) int parent = -1;
    if (fs_open_dir(dir, component, &parent, e) < 0)
        return -1;
    return fs_open_read(parent, path, ret, e);
}

// Opens what a content is the same as: the base's, one staged before, or, where that was left out,
// the previous generation's.
static int open_other(struct stage *s, const struct delta_plan_content *content, int *ret,
                      struct err *e) {
    if (content->way == DELTA_PLAN_BASE)
        return delta_base_content(s->plan.base, content->other, &s->old, e) < 0
                   ? -1
                   : delta_base_file(s->plan.base, &s->old, ret, e);
    if (delta_plan_content(&s->plan, content->other, &s->other, e) < 0)
        return -1;
    const char *component = component_of(s, s->other.component)->name;
    bool left = s->other.need == DELTA_PLAN_LEAVE;
    if (is_image(s, s->other.component))
        return open_slot(left ? s->how->base_images : s->how->images, component, ret, e);
    return open_below(left ? s->how->previous_dir : s->how->target_dir, component,
                      s->other.entry.path, ret, e);
}

// What an image is the same as, or the other way round, differs in length: it is not cloned.
static bool has_slot(const struct stage *s, const struct delta_plan_content *content) {
    const struct bundle_component *c = component_of(s, content->component);
    if (c->type == BUNDLE_COMPONENT_IMAGE)
        return true;
    return content->way == DELTA_PLAN_BASE ? s->old.entry.path[0] == '\0'
                                           : s->other.entry.path[0] == '\0';
}

static int copy_file(struct stage *s, int to, int from, uint64_t size, bool may_clone,
                     struct err *e) {
    if (may_clone && !s->no_clone) {
        int r = fs_clone(to, from, e);
        if (r <= 0)
            return r;
        s->no_clone = true;
    }
    for (uint64_t done = 0; done < size;) {
        size_t n = size - done < COPY_BYTES ? (size_t)(size - done) : COPY_BYTES, got = 0;
        if (fs_pread(from, s->copy, n, done, &got, e) < 0)
            return -1;
        if (got < n)
            return err_set(e, &err_bad_generation, "the file it is the same as was cut short");
        if (put(s, to, s->copy, n, done, e) < 0)
            return -1;
        done += n;
    }
    return 0;
}

static void count(struct stage *s, const struct delta_plan_content *content) {
    s->result.files_written++;
    s->result.stream_bytes += content->entry.size;
}

static int apply_take(void *context, const struct delta_plan_content *content, struct err *e) {
    struct stage *s = context;
    OWN(fd) int from = -1;
    OWN(fd) int to = -1;
    if (open_content(s, content, 0, &to, e) < 0 || open_other(s, content, &from, e) < 0 ||
        copy_file(s, to, from, content->entry.size, !has_slot(s, content), e) < 0)
        return -1;
    if (s->slot && note(s, content->component, to, content->entry.size, e) < 0)
        return -1;
    count(s, content);
    return 0;
}

static int apply_begin(void *context, const struct delta_plan_content *content, uint64_t keep,
                       struct keys_digest_state *hash, struct err *e) {
    struct stage *s = context;
    s->writing = content->component;
    if (open_content(s, content, keep, &s->fd, e) < 0)
        return -1;
    return hash_file(s, s->fd, keep, hash, e);
}

static int apply_write(void *context, const void *data, size_t len, uint64_t offset,
                       struct err *e) {
    struct stage *s = context;
    if (put(s, s->fd, data, len, offset, e) < 0)
        return -1;
    s->made = offset + len;
    if (!s->slot || s->made - s->noted < DELTA_NOTE_STEP_BYTES)
        return 0;
    s->noted = s->made;
    return note(s, s->writing, s->fd, s->made, e);
}

static int apply_end(void *context, const struct delta_plan_content *content, bool right,
                     struct err *e) {
    struct stage *s = context;
    OWN(fd) int fd = own_take_fd(&s->fd);
    const struct delta_note wrong = note_of(s, content->component);
    // No later try goes on from what is wrong.
    if (!right)
        return s->slot ? delta_note_remove(&wrong, e) : fs_truncate(fd, 0, e);
    if (s->slot && note(s, content->component, fd, content->entry.size, e) < 0)
        return -1;
    count(s, content);
    return 0;
}

static int apply_progress(void *context, uint64_t position, struct err *e) {
    struct stage *s = context;
    (void)position;
    if (!s->how->progress)
        return 0;
    return s->how->progress(s->how->context, s->stream.read_bytes, s->result.stream_bytes, e);
}

static const struct delta_plan_ops plan_ops = {
    .tree = plan_tree, .component = plan_component, .entry = plan_entry, .content = plan_content};
static const struct delta_apply_ops apply_ops = {.take = apply_take,
                                                 .begin = apply_begin,
                                                 .write = apply_write,
                                                 .end = apply_end,
                                                 .progress = apply_progress};

static int run_stage(struct stage *s, const struct unpack_delta *delta,
                     const struct unpack_source *source, struct err *e) {
    OWN(delta_base) struct unpack_delta_base *base = NULL;
    struct delta_base reader;
    if (unpack_place_begin(s->how->target_dir, scratch_names, SCRATCHES, &s->edge, s->scratch, e) <
            0 ||
        unpack_delta_base_open(delta, s->how->base_dir, s->how->base_images,
                               s->scratch[SCRATCH_BASE], &base, e) < 0)
        return -1;
    delta_base_reader(base, &reader);
    s->plan = (struct delta_plan){.stream = &s->stream,
                                  .base = base,
                                  .ops = &plan_ops,
                                  .context = s,
                                  .map_fd = s->scratch[SCRATCH_MAP]};
    if (delta_stream_open(&s->stream, delta, source, &reader, s->how->decode_max_bytes, e) < 0 ||
        delta_plan_make(&s->plan, s->scratch[SCRATCH_CONTENTS], e) < 0 ||
        delta_apply(&s->plan, &apply_ops, s, e) < 0)
        return -1;
    s->result.source_bytes = s->stream.read_bytes;
    return apply_progress(s, 0, e);
}

// An image that broke off is gone on with from where it is, if that can still be said.
static void note_rest(struct stage *s) {
    struct err ignored = ERR_NONE;
    if (s->fd < 0 || !s->slot || s->made == s->noted)
        return;
    (void)note(s, s->writing, s->fd, s->made, &ignored);
}

static void close_stage(struct stage *s) {
    delta_stream_close(&s->stream);
    unpack_previous_clear(&s->previous);
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
        own_drop_fd(&s->trees[i]);
    for (int i = 0; i < SCRATCHES; i++)
        own_drop_fd(&s->scratch[i]);
    own_drop_fd(&s->fd);
    own_drop_fd(&s->dir);
    own_drop_fd(&s->edge);
    free(s->copy);
    free(s);
}

int unpack_delta_stage(const struct unpack_delta *delta, const struct unpack_source *source,
                       const struct unpack_delta_stage *how, struct unpack_stage_result *ret,
                       struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(unpack_delta_manifest(delta));
    if (unpack_place_admits(view, how->images, how->base_images, e) < 0)
        return -1;
    struct stage *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, &err_memory, "staging");
    s->how = how;
    s->edge = s->dir = s->fd = s->previous.fd = -1;
    memset(s->scratch, 0xff, sizeof s->scratch); // -1 each
    memset(s->trees, 0xff, sizeof s->trees);
    s->copy = malloc(COPY_BYTES);
    int r = s->copy ? run_stage(s, delta, source, e) : err_set(e, &err_memory, "staging");
    note_rest(s);
    struct err late = ERR_NONE;
    if (unpack_place_end(s->edge, scratch_names, SCRATCHES, r < 0 ? &late : e) < 0)
        r = -1;
    if (r == 0)
        *ret = s->result;
    close_stage(s);
    return r < 0 ? err_prefix(e, "staging %s %s from a delta", view->name, view->release) : 0;
}
