// SPDX-License-Identifier: Apache-2.0
//
// Two trees, side by side.
#include "bundle/unpack/plan/walk.h"

#include <stdlib.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/plan/chunks.h"
#include "bundle/unpack/plan/pages.h"

// One side: its files in order.
struct side {
    uint32_t number;                 // of its component
    struct bundle_tree_reader *tree; // NULL: at its end
    struct bundle_tree_entry entry;
};

struct walk {
    struct unpack_plan *plan;
    enum plan_walk what;
    uint32_t number;
    const struct bundle_component *component;
    uint64_t position, end; // in the stream: of the next content, of the last one's end
    int staged;             // directory with what an earlier try left, or -1
    struct side side[3];
};
enum { NEW, OLD, OLDER };

static int step(struct side *s, struct err *e) {
    int r = bundle_tree_next_file(s->tree, &s->entry, e);
    if (r == BUNDLE_TREE_END)
        bundle_tree_close(own_take(&s->tree));
    return r < 0 ? -1 : 0;
}

// An old tree that is damaged, or cannot be read, ends there: what is behind is not held.
static int step_old(struct side *s, struct err *e) {
    if (step(s, e) == 0)
        return 0;
    if (err_is(e, &err_memory))
        return -1;
    err_clear(e);
    bundle_tree_close(own_take(&s->tree));
    return 0;
}

static bool is_same(const struct bundle_tree_entry *a, const struct bundle_tree_entry *b) {
    return a->size == b->size && a->exec == b->exec && keys_digest_equal(&a->digest, &b->digest);
}

// What cannot be opened is not there: whoever writes will say what is wrong.
static int open_staged(const struct walk *w, const char *path) {
    struct err none = ERR_NONE;
    int fd = -1;
    if (w->staged < 0 || fs_open_read(w->staged, path, &fd, &none) < 0)
        return -1;
    return fd;
}

static int visit_new(struct walk *w, bool same, struct err *e) {
    struct unpack_plan *p = w->plan;
    const struct bundle_tree_entry *entry = &w->side[NEW].entry;
    uint64_t at = w->position;
    if (entry->size > w->end - at)
        return err_set(e, &err_bad_tree, "its files are larger than the manifest says");
    w->position += entry->size;
    if (w->what == PLAN_WALK_CUT || (same && w->what == PLAN_WALK_MARK))
        return 0;
    if (w->what == PLAN_WALK_MARK)
        return plan_pages_mark_content(p, at, entry->size, e);
    if (same) {
        p->reused_bytes += entry->size;
        return unpack_stream_pass(p->stream, entry->size, e);
    }
    OWN(fd) int fd = open_staged(w, entry->path);
    return plan_chunks_take(p, entry->size, fd, e);
}

// A file of an old tree that is to be cut.
static int visit_old(struct walk *w, const struct side *side, struct err *e) {
    struct unpack_plan *p = w->plan;
    const struct bundle_tree_entry *entry = &side->entry;
    struct err why = ERR_NONE;
    OWN(fd) int fd = -1;
    if (w->what == PLAN_WALK_MARK) {
        p->old_bytes += entry->size;
        p->old_contents++;
    }
    if (w->what != PLAN_WALK_CUT ||
        unpack_old_file(&p->old, side->number, entry->path, &fd, &why) < 0)
        return 0; // one that is gone is not held
    const struct unpack_held_place place = {side->number, bundle_tree_offset(side->tree), 0};
    return unpack_held_cut(&p->held, fd, entry->size, &place, e);
}

static int walk_sides(struct walk *w, struct err *e) {
    struct side *new = &w->side[NEW], *old = &w->side[OLD];
    if (step(new, e) < 0 || (old->tree && step_old(old, e) < 0))
        return -1;
    while (new->tree || old->tree) {
        int order = !new->tree   ? 1
                    : !old->tree ? -1
                                 : bundle_tree_compare(new->entry.path, old->entry.path);
        bool same = order == 0 && is_same(&new->entry, &old->entry);
        if (order <= 0 && visit_new(w, same, e) < 0)
            return err_prefix(e, "%s", new->entry.path);
        if (order >= 0 && !same && visit_old(w, old, e) < 0)
            return err_prefix(e, "%s", old->entry.path);
        if ((order <= 0 && step(new, e) < 0) || (order >= 0 && step_old(old, e) < 0))
            return -1;
    }
    if (w->position != w->end)
        return err_set(e, &err_bad_tree, "it is not what the manifest says of it");
    return 0;
}

// What the older generation has and the one before has not, at the same path. What both have is cut already, or is no news.
static int walk_older(struct walk *w, struct err *e) {
    struct side *old = &w->side[OLD], *older = &w->side[OLDER];
    if ((old->tree && step_old(old, e) < 0) || (older->tree && step_old(older, e) < 0))
        return -1;
    while (older->tree) {
        int order = !old->tree ? 1 : bundle_tree_compare(old->entry.path, older->entry.path);
        bool same = order == 0 && is_same(&old->entry, &older->entry);
        if (order >= 0 && !same && visit_old(w, older, e) < 0)
            return err_prefix(e, "%s", older->entry.path);
        if ((order <= 0 && step_old(old, e) < 0) || (order >= 0 && step_old(older, e) < 0))
            return -1;
    }
    return 0;
}

// A tree that cannot be opened is at its end.
static int open_old(struct walk *w, struct side *side, uint32_t number, struct err *e) {
    const struct unpack_old_component *old = &w->plan->old.components[number];
    side->number = number;
    if (old->tree < 0 || bundle_tree_open(old->tree, 0, old->bytes, &side->tree, e) == 0)
        return 0;
    if (err_is(e, &err_memory))
        return -1;
    err_clear(e);
    return 0;
}

static void close_sides(struct walk *w) {
    for (size_t i = NEW; i <= OLDER; i++)
        bundle_tree_close(own_take(&w->side[i].tree));
}

static int walk_files(struct walk *w, int tree, struct err *e) {
    struct err none = ERR_NONE;
    OWN(fd) int staged = -1;
    if (w->plan->how->resume)
        (void)fs_open_dir(w->plan->how->target_dir, w->component->name, &staged, &none);
    w->staged = staged;
    int r = bundle_tree_open(tree, 0, w->component->size, &w->side[NEW].tree, e);
    if (r == 0)
        r = open_old(w, &w->side[OLD], w->number, e);
    if (r == 0)
        r = walk_sides(w, e);
    close_sides(w);
    if (r == 0 && w->what != PLAN_WALK_PLAN) {
        r = open_old(w, &w->side[OLD], w->number, e);
        if (r == 0)
            r = open_old(w, &w->side[OLDER], UNPACK_OLD_OLDER + w->number, e);
        if (r == 0)
            r = walk_older(w, e);
        close_sides(w);
    }
    return r;
}

static int walk_image(struct walk *w, struct err *e) {
    struct unpack_plan *p = w->plan;
    const struct unpack_old_component *old = &p->old.components[w->number];
    const struct unpack_held_place place = {w->number, UNPACK_HELD_WHOLE, 0};
    const struct bundle_image_place *to = bundle_image_find(p->how->images, w->component->name);
    uint64_t size = w->component->size, at = w->position;
    w->position += size;
    if (w->what == PLAN_WALK_PLAN) {
        p->missed = 0;
        p->samples = p->how->untouched;
        int r = to ? plan_chunks_take(p, size, p->how->resume ? to->fd : -1, e) : 0;
        p->samples = false;
        if (to)
            return r;
        p->reused_bytes += size;
        return unpack_stream_pass(p->stream, size, e);
    }
    if (!to)
        return 0;
    if (w->what == PLAN_WALK_CUT)
        return old->image < 0 ? 0 : unpack_held_cut(&p->held, old->image, old->bytes, &place, e);
    p->old_bytes += old->image < 0 ? 0 : old->bytes;
    p->old_contents++;
    return plan_pages_mark_content(p, at, size, e);
}

int plan_walk(struct unpack_plan *p, enum plan_walk what, const int *trees, struct err *e) {
    struct walk *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, &err_memory, "planning an installation");
    w->plan = p;
    w->what = what;
    w->end = unpack_stream_position(p->stream);
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < p->view->n_components; i++) {
        w->number = i;
        w->component = &p->view->components[i];
        w->position = w->end;
        w->end += w->component->stream_bytes;
        r = w->component->type == BUNDLE_COMPONENT_FILES ? walk_files(w, trees[i], e)
                                                         : walk_image(w, e);
        if (r < 0)
            (void)err_prefix(e, "component %s", w->component->name);
    }
    free(w);
    return r;
}
