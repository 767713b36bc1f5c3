// SPDX-License-Identifier: Apache-2.0
//
// Staging: first the trees, each verified before a path is taken from it; then what they name is
// planned, and made entry by entry, in one pass or in two. Everything is made below directories of this staging, links are never followed,
// and a name is made once. Images go to the descriptors that were given.
#include "bundle/unpack/stage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/tree.h"
#include "bundle/unpack/content.h"
#include "bundle/unpack/place.h"
#include "bundle/unpack/previous.h"

#define NAME_BYTES (BUNDLE_NAME_MAX + 8)
#define HASH_BYTES 65536

static const char *const scratch_names[] = {
    UNPACK_PLACE_SCRATCH "index",  UNPACK_PLACE_SCRATCH "places", UNPACK_PLACE_SCRATCH "held",
    UNPACK_PLACE_SCRATCH "chunks", UNPACK_PLACE_SCRATCH "known",  UNPACK_PLACE_SCRATCH "fresh"};
enum { SCRATCH_INDEX, SCRATCH_PLACES, SCRATCH_PLAN, SCRATCHES = SCRATCH_PLAN + UNPACK_PLAN_FILES };

struct stage {
    const struct unpack_stage *how;
    const struct bundle_manifest_view *view;
    int edge; // .edge of the target
    int scratch[SCRATCHES];
    int trees[BUNDLE_COMPONENTS_MAX];
    uint64_t tree_had[BUNDLE_COMPONENTS_MAX]; // bytes of an earlier try
    const struct unpack_bundle *bundle;
    const struct unpack_source *source;
    struct unpack_stream *stream;
    uint64_t tree_bytes; // of frames with trees that were read
    struct unpack_plan plan;
    struct unpack_content content;
    struct unpack_stage_result result;
};

// A component while it is walked.
struct walk {
    uint32_t number;
    const struct bundle_component *component;
    int dir;
    struct bundle_tree_reader *tree;
    struct unpack_previous previous;
    struct bundle_tree_entry entry;
    uint64_t entries, bytes;
    bool executable;
};

static int report(void *context, struct err *e) {
    struct stage *s = context;
    if (!s->how->progress)
        return 0;
    return s->how->progress(s->how->context, unpack_stream_read_bytes(s->stream),
                            s->content.done_bytes, e);
}

// The second pass goes on with what the first one counted.
static void count(struct stage *s, uint64_t size, uint64_t have, bool kept) {
    if (s->content.pass == UNPACK_CONTENT_SECOND)
        return;
    if (kept && have > 0)
        s->result.files_kept++;
    else
        s->result.files_written++;
    if (!kept)
        s->result.stream_bytes += size;
}

// Whether what is there already is gone on with.
static bool goes_on(const struct stage *s) {
    return s->how->resume || s->content.pass == UNPACK_CONTENT_SECOND;
}

static int stage_file(struct stage *s, struct walk *w, struct err *e) {
    const struct bundle_tree_entry *entry = &w->entry;
    const struct unpack_content_place place = {.component = w->number,
                                               .tree_offset = bundle_tree_offset(w->tree)};
    OWN(fd) int fd = -1;
    uint64_t have = 0;
    if (unpack_place_file(w->dir, entry->path, goes_on(s), &fd, &have, e) < 0)
        return -1;
    int r = unpack_content_write(&s->content, &place, fd, entry->size, have, e);
    if (r < 0)
        return -1;
    count(s, entry->size, have, r == UNPACK_CONTENT_KEPT);
    return 0;
}

static int stage_entry(struct stage *s, struct walk *w, struct err *e) {
    const struct bundle_tree_entry *entry = &w->entry;
    const struct unpack_content_place place = {.component = w->number,
                                               .tree_offset = bundle_tree_offset(w->tree)};
    bool there = false;
    if (entry->type == BUNDLE_TREE_DIR)
        return unpack_place_dir(w->dir, entry->path, goes_on(s), e);
    if (entry->type == BUNDLE_TREE_LINK)
        return unpack_place_link(w->dir, entry, goes_on(s), e);
    w->executable = w->executable || entry->exec;
    if (__builtin_add_overflow(w->bytes, entry->size, &w->bytes) ||
        w->bytes > w->component->stream_bytes)
        return err_set(e, &err_bad_tree, "its files are larger than the manifest says");
    if (unpack_previous_has(&w->previous, entry, &there, e) < 0)
        return -1;
    if (!there)
        return stage_file(s, w, e);
    if (s->content.pass == UNPACK_CONTENT_SECOND)
        return unpack_content_skip(&s->content, &place, entry->size, e);
    s->result.files_left_out++;
    // With resume an earlier try, made against another generation, may have put one there.
    if (s->how->resume && fs_remove(w->dir, entry->path, e) < 0)
        return -1;
    return unpack_content_skip(&s->content, &place, entry->size, e);
}

static int walk_entries(struct stage *s, struct walk *w, struct err *e) {
    for (;;) {
        int r = bundle_tree_next(w->tree, &w->entry, e);
        if (r < 0)
            return -1;
        if (r == BUNDLE_TREE_END)
            break;
        w->entries++;
        if (stage_entry(s, w, e) < 0)
            return err_prefix(e, "%s", w->entry.path);
    }
    if (w->entries != w->component->entries || w->bytes != w->component->stream_bytes ||
        w->executable != w->component->executable)
        return err_set(e, &err_bad_tree, "it is not what the manifest says of it");
    return 0;
}

static int stage_image(struct stage *s, uint32_t number, struct err *e) {
    const struct bundle_component *component = &s->view->components[number];
    const struct unpack_content_place place = {.component = number,
                                               .tree_offset = UNPACK_CONTENT_IMAGE};
    const struct bundle_image_place *to = bundle_image_find(s->how->images, component->name);
    if (!to) {
        s->result.files_left_out += s->content.pass != UNPACK_CONTENT_SECOND;
        return unpack_content_skip(&s->content, &place, component->size, e);
    }
    uint64_t have = s->how->resume ? component->size : 0;
    s->content.slot = to;
    int r = bundle_image_await(to, 0, component->size, e);
    if (r == 0)
        r = unpack_content_write(&s->content, &place, to->fd, component->size, have, e);
    s->content.slot = NULL;
    if (r >= 0)
        count(s, component->size, have, r == UNPACK_CONTENT_KEPT);
    return r < 0 ? -1 : 0;
}

static int stage_component(struct stage *s, uint32_t number, struct err *e) {
    const struct bundle_component *component = &s->view->components[number];
    OWN(fd) int dir = -1;
    if (component->type == BUNDLE_COMPONENT_IMAGE)
        return stage_image(s, number, e);
    if (unpack_place_dir(s->how->target_dir, component->name, goes_on(s), e) < 0 ||
        fs_open_dir(s->how->target_dir, component->name, &dir, e) < 0)
        return -1;
    struct walk *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, &err_memory, "walking a tree");
    w->number = number;
    w->component = component;
    w->dir = dir;
    int r = unpack_previous_open(&w->previous, s->how->previous_dir, component->name, e);
    if (r == 0)
        r = bundle_tree_open(s->trees[number], 0, component->size, &w->tree, e);
    if (r == 0)
        r = walk_entries(s, w, e);
    bundle_tree_close(w->tree);
    unpack_previous_clear(&w->previous);
    free(w);
    return r;
}

static int check_tree(const struct stage *s, uint32_t number, struct err *e) {
    struct keys_digest found;
    uint64_t bytes = 0;
    uint8_t *buffer = malloc(HASH_BYTES);
    if (!buffer)
        return err_set(e, &err_memory, "verifying a tree");
    int r = keys_digest_fd(s->trees[number], buffer, HASH_BYTES, &found, &bytes, e);
    free(buffer);
    if (r == 0 && !keys_digest_equal(&found, &s->view->components[number].digest))
        return err_set(e, &err_bad_tree, "it is not the one that was signed");
    return r;
}

static bool is_files(const struct stage *s, uint32_t number) {
    return s->view->components[number].type == BUNDLE_COMPONENT_FILES;
}

static int open_tree(struct stage *s, uint32_t number, struct err *e) {
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.tree", s->view->components[number].name);
    return unpack_place_file(s->edge, name, s->how->resume, &s->trees[number], &s->tree_had[number],
                             e);
}

static int stage_tree(struct stage *s, uint32_t number, struct err *e) {
    const struct bundle_component *component = &s->view->components[number];
    const struct unpack_content_place place = {.component = number,
                                               .tree_offset = UNPACK_CONTENT_TREE};
    if (unpack_content_write(&s->content, &place, s->trees[number], component->size,
                             s->tree_had[number], e) < 0)
        return -1;
    return check_tree(s, number, e);
}

static int stage_trees(struct stage *s, struct err *e) {
    for (uint32_t i = 0; i < s->view->n_components; i++)
        if (is_files(s, i) && open_tree(s, i, e) < 0)
            return err_prefix(e, "the tree of %s", s->view->components[i].name);
    if (unpack_plan_trees(&s->plan, s->trees, e) < 0)
        return -1;
    uint64_t before = unpack_stream_read_bytes(s->stream);
    for (uint32_t i = 0; i < s->view->n_components; i++)
        if (is_files(s, i) && stage_tree(s, i, e) < 0)
            return err_prefix(e, "the tree of %s", s->view->components[i].name);
    s->tree_bytes = unpack_stream_read_bytes(s->stream) - before;
    return unpack_stream_border(s->stream, e);
}

static uint64_t source_bytes(const struct stage *s) {
    return unpack_stream_read_bytes(s->stream) +
           unpack_bundle_skeleton(s->bundle)
               ->offset[BUNDLE_SKELETON_INDEX]; // two headers and the manifest
}

static int tell_cost(struct stage *s, struct err *e) {
    struct unpack_plan_cost cost = {.fetched_bytes = source_bytes(s),
                                    .index_bytes =
                                        unpack_stream_read_bytes(s->stream) - s->tree_bytes,
                                    .fetch_bytes = s->plan.fetch_bytes,
                                    .reused_bytes = s->plan.reused_bytes,
                                    .kept_bytes = s->plan.kept_bytes};
    // Whatever is needed, all that lies before it comes too.
    if (unpack_source_is_forward_only(s->source))
        cost.fetch_bytes = unpack_bundle_skeleton(s->bundle)->total - cost.fetched_bytes;
    return s->how->planned ? s->how->planned(s->how->context, &cost, e) : 0;
}

static int stage_pass(struct stage *s, enum unpack_content_pass pass, struct err *e) {
    s->content.pass = pass;
    s->content.run_frame = UINT64_MAX;
    unpack_plan_rewind(&s->plan);
    for (uint32_t i = 0; i < s->view->n_components; i++)
        if (stage_component(s, i, e) < 0)
            return err_prefix(e, "component %s", s->view->components[i].name);
    return 0;
}

static int stage_contents(struct stage *s, struct err *e) {
    uint64_t start = unpack_stream_position(s->stream);
    s->content.fresh_last = unpack_source_is_forward_only(s->source);
    if (!unpack_plan_has_two_passes(&s->plan))
        return stage_pass(s, UNPACK_CONTENT_ALL, e);
    if (stage_pass(s, UNPACK_CONTENT_FIRST, e) < 0)
        return -1;
    unpack_stream_return(s->stream, start);
    return stage_pass(s, UNPACK_CONTENT_SECOND, e);
}

static int stage_all(struct stage *s, struct err *e) {
    if (stage_trees(s, e) < 0 || unpack_plan_contents(&s->plan, s->trees, e) < 0 ||
        tell_cost(s, e) < 0 || stage_contents(s, e) < 0 || unpack_stream_end(s->stream, e) < 0)
        return -1;
    return report(s, e);
}

static void close_stage(struct stage *s) {
    unpack_content_clear(&s->content);
    unpack_plan_clear(&s->plan);
    unpack_stream_close(s->stream);
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
        own_drop_fd(&s->trees[i]);
    for (int i = 0; i < SCRATCHES; i++)
        own_drop_fd(&s->scratch[i]);
    own_drop_fd(&s->edge);
    free(s);
}

// From far away comes what was chosen; what is near, or comes in one piece whatever was asked for, is
// read forward and checked to its end.
static int open_stream(struct stage *s, struct err *e) {
    bool is_far = s->source->expect && !unpack_source_is_forward_only(s->source);
    s->plan.is_far = is_far;
    return unpack_stream_open(s->bundle, s->source,
                              is_far ? UNPACK_STREAM_BY_CHOICE : UNPACK_STREAM_FORWARD,
                              s->scratch[SCRATCH_INDEX], s->how->decode_max_bytes, &s->stream, e);
}

static int open_plan(struct stage *s, struct err *e) {
    s->plan.how = s->how;
    s->plan.source = s->source;
    s->plan.view = s->view;
    s->plan.stream = s->stream;
    s->plan.data_offset = unpack_bundle_skeleton(s->bundle)->offset[BUNDLE_SKELETON_DATA];
    return unpack_plan_open(&s->plan, &s->scratch[SCRATCH_PLAN], e);
}

static int open_content(struct stage *s, struct err *e) {
    s->content.stream = s->stream;
    s->content.plan = &s->plan;
    s->content.view = s->view;
    s->content.target_dir = s->how->target_dir;
    s->content.previous_dir = s->how->previous_dir;
    s->content.images = s->how->images;
    s->content.old_images = s->how->old_images;
    s->content.trees = s->trees;
    s->content.run_frame = UINT64_MAX;
    s->content.progress = report;
    s->content.context = s;
    return unpack_content_init(&s->content, s->scratch[SCRATCH_PLACES], e);
}

static int run_stage(struct stage *s, struct err *e) {
    if (unpack_place_begin(s->how->target_dir, scratch_names, SCRATCHES, &s->edge, s->scratch, e) <
            0 ||
        open_stream(s, e) < 0 || open_plan(s, e) < 0 || open_content(s, e) < 0)
        return -1;
    int r = stage_all(s, e);
    s->result.source_bytes = source_bytes(s);
    return r;
}

int unpack_stage(const struct unpack_bundle *bundle, const struct unpack_source *source,
                 const struct unpack_stage *how, struct unpack_stage_result *ret, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(unpack_bundle_manifest(bundle));
    if (unpack_place_admits(view, how->images, how->old_images, e) < 0)
        return -1;
    struct stage *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, &err_memory, "staging");
    s->how = how;
    s->view = view;
    s->bundle = bundle;
    s->source = source;
    s->edge = s->content.again_fd = -1;
    memset(s->scratch, 0xff, sizeof s->scratch); // -1 each
    memset(s->trees, 0xff, sizeof s->trees);
    unpack_old_init(&s->plan.old);
    int r = run_stage(s, e);
    struct err late = ERR_NONE;
    if (unpack_place_end(s->edge, scratch_names, SCRATCHES, r < 0 ? &late : e) < 0)
        r = -1;
    if (r == 0)
        *ret = s->result;
    close_stage(s);
    return r < 0 ? err_prefix(e, "staging %s %s", view->name, view->release) : 0;
}
