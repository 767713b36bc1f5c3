// SPDX-License-Identifier: Apache-2.0
//
// Trees, map and old contents, walked side by side.
#include "bundle/unpack/delta/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/map.h"

#define HASH_BYTES 65536

// How a content lies in the third number of a row: component, way, need, and the rest `other`.
enum { WAY_BIT = 8, NEED_BIT = 12, OTHER_BIT = 16 };

// A walk over all components.
struct walk {
    struct delta_plan *plan;
    struct delta_map map;
    struct delta_plan_content content, other;
    struct delta_base_content old;
    uint64_t frame; // the first of coded contents that is not passed
};

// Gives bytes to one file after another.
struct tree_sink {
    struct delta_plan *plan;
    size_t component;
    uint64_t done;
};

static int write_tree(void *context, const void *data, size_t len, struct err *e) {
    struct tree_sink *t = context;
    const uint8_t *bytes = data;
    while (len > 0) {
        assert(t->component < t->plan->view->n_components); // the frames make what the trees have
        const struct bundle_component *c = &t->plan->view->components[t->component];
        uint64_t left = c->type == BUNDLE_COMPONENT_FILES ? c->size - t->done : 0;
        size_t n = left < len ? (size_t)left : len;
        if (n > 0 && fs_pwrite(t->plan->trees[t->component], bytes, n, t->done, e) < 0)
            return -1;
        bytes += n;
        len -= n;
        t->done += n;
        if (n == left) {
            t->component++;
            t->done = 0;
        }
    }
    return 0;
}

static int check_tree(const struct delta_plan *p, size_t number, struct err *e) {
    const struct bundle_component *c = &p->view->components[number];
    struct keys_digest found;
    uint64_t bytes = 0;
    uint8_t *buffer = malloc(HASH_BYTES);
    if (!buffer)
        return err_set(e, &err_memory, "verifying a tree");
    int r = keys_digest_fd(p->trees[number], buffer, HASH_BYTES, &found, &bytes, e);
    free(buffer);
    if (r == 0 && !keys_digest_equal(&found, &c->digest))
        return err_set(e, &err_bad_delta, "the tree of %s is not the one that was signed", c->name);
    return r;
}

static int take_trees(struct delta_plan *p, struct err *e) {
    struct tree_sink state = {.plan = p};
    const struct delta_sink sink = {.write = write_tree, .context = &state};
    bool all_kept = true;
    for (uint32_t i = 0; i < p->view->n_components; i++) {
        bool kept = false;
        if (p->view->components[i].type != BUNDLE_COMPONENT_FILES)
            continue;
        if (p->ops->tree(p->context, i, &p->trees[i], &kept, e) < 0)
            return err_prefix(e, "the tree of %s", p->view->components[i].name);
        all_kept = all_kept && kept;
    }
    for (uint64_t i = 0; !all_kept && i < p->stream->n_trees; i++)
        if (delta_stream_run(p->stream, i, &sink, e) < 0)
            return -1;
    for (size_t i = 0; i < p->view->n_components; i++)
        if (p->view->components[i].type == BUNDLE_COMPONENT_FILES && check_tree(p, i, e) < 0)
            return -1;
    return 0;
}

struct map_sink {
    int fd;
    uint64_t done;
};

static int write_map(void *context, const void *data, size_t len, struct err *e) {
    struct map_sink *m = context;
    if (fs_pwrite(m->fd, data, len, m->done, e) < 0)
        return err_prefix(e, "keeping the map");
    m->done += len;
    return 0;
}

static int take_map(struct delta_plan *p, uint64_t *ret_bytes, struct err *e) {
    const struct delta_stream *s = p->stream;
    struct map_sink state = {.fd = p->map_fd};
    const struct delta_sink sink = {.write = write_map, .context = &state};
    uint64_t bytes = s->frames[s->n_trees + s->n_map].position - s->frames[s->n_trees].position;
    if (bytes > BUNDLE_DELTA_MAP_MAX_BYTES)
        return err_set(e, &err_bad_delta, "the map has %" PRIu64 " bytes, at most %llu are allowed",
                       bytes, BUNDLE_DELTA_MAP_MAX_BYTES);
    for (uint64_t i = s->n_trees; i < s->n_trees + s->n_map; i++)
        if (delta_stream_run(p->stream, i, &sink, e) < 0)
            return -1;
    *ret_bytes = bytes;
    return 0;
}

static int compare(const struct bundle_tree_entry *a, const struct bundle_tree_entry *b,
                   const char *what, uint64_t number, struct err *e) {
    if (a->size == b->size && keys_digest_equal(&a->digest, &b->digest))
        return 0;
    return err_set(e, &err_bad_delta,
                   "the map calls it the same as %s number %" PRIu64 ", and it is not", what,
                   number);
}

static int resolve(struct walk *w, struct err *e) {
    static const enum delta_plan_way ways[] = {[DELTA_MAP_CODED] = DELTA_PLAN_CODED,
                                               [DELTA_MAP_BASE] = DELTA_PLAN_BASE,
                                               [DELTA_MAP_REPEAT] = DELTA_PLAN_REPEAT};
    struct delta_plan_content *c = &w->content;
    enum delta_map_way way;
    if (delta_map_next(&w->map, c->number, &way, &c->other, e) < 0)
        return -1;
    c->way = ways[way];
    if (c->way == DELTA_PLAN_BASE)
        return delta_base_content(w->plan->base, c->other, &w->old, e) < 0
                   ? -1
                   : compare(&c->entry, &w->old.entry, "old content", c->other, e);
    if (c->way == DELTA_PLAN_REPEAT)
        return delta_plan_content(w->plan, c->other, &w->other, e) < 0
                   ? -1
                   : compare(&c->entry, &w->other.entry, "content", c->other, e);
    return 0;
}

uint64_t delta_plan_border(const struct delta_plan *plan) {
    return plan->stream->frames[plan->stream->n_trees + plan->stream->n_map].position;
}

bool delta_plan_needs(const struct delta_plan *plan, uint64_t frame) {
    return plan->needed[frame / 8] >> frame % 8 & 1;
}

// Which frames a coded content needs. One that is gone on with keeps its bytes up to the last
// border of a frame.
static void mark(struct walk *w, uint64_t have) {
    const struct delta_stream *s = w->plan->stream;
    const uint64_t border = delta_plan_border(w->plan);
    uint64_t from = border + w->content.position, end = from + w->content.entry.size;
    if (w->content.need == DELTA_PLAN_GO_ON)
        from += have;
    while (w->frame < s->n && s->frames[w->frame + 1].position <= from)
        w->frame++;
    bool needed = w->content.need == DELTA_PLAN_MAKE || w->content.need == DELTA_PLAN_GO_ON;
    for (uint64_t i = w->frame; needed && from < end && i < s->n && s->frames[i].position < end;
         i++)
        w->plan->needed[i / 8] |= (uint8_t)(1U << i % 8);
}

static int plan_content(struct walk *w, uint64_t tree_offset, struct err *e) {
    struct delta_plan *p = w->plan;
    struct delta_plan_content *c = &w->content;
    const uint64_t all = p->stream->frames[p->stream->n].position - delta_plan_border(p);
    uint64_t have = 0;
    c->number = p->rows.n;
    c->position = p->coded_bytes;
    c->need = DELTA_PLAN_MAKE;
    if (resolve(w, e) < 0)
        return -1;
    if (c->way == DELTA_PLAN_CODED && c->entry.size > all - p->coded_bytes)
        return err_set(e, &err_bad_delta, "the frames make fewer bytes than the map needs");
    if (p->ops->content(p->context, c, &c->need, &have, e) < 0)
        return -1;
    if (c->way == DELTA_PLAN_CODED) {
        mark(w, have);
        p->coded_bytes += c->entry.size;
    }
    const struct unpack_scratch_row row = {.key = c->position,
                                           .a = tree_offset,
                                           .b = c->component | (uint64_t)c->way << WAY_BIT |
                                                (uint64_t)c->need << NEED_BIT |
                                                c->other << OTHER_BIT};
    return unpack_scratch_add(&p->rows, &row, e);
}

static int walk_tree(struct walk *w, struct bundle_tree_reader *tree, struct err *e) {
    const struct bundle_component *component = &w->plan->view->components[w->content.component];
    struct bundle_tree_entry *entry = &w->content.entry;
    uint64_t entries = 0, bytes = 0;
    bool executable = false;
    for (;; entries++) {
        int r = bundle_tree_next(tree, entry, e);
        if (r < 0)
            return -1;
        if (r == BUNDLE_TREE_END)
            break;
        if (entry->type == BUNDLE_TREE_FILE) {
            executable = executable || entry->exec;
            if (entry->size > component->stream_bytes - bytes)
                return err_set(e, &err_bad_tree, "its files are larger than the manifest says");
            bytes += entry->size;
            r = plan_content(w, bundle_tree_offset(tree), e);
        } else {
            r = w->plan->ops->entry(w->plan->context, entry, e);
        }
        if (r < 0)
            return err_prefix(e, "%s", entry->path);
    }
    if (entries != component->entries || bytes != component->stream_bytes ||
        executable != component->executable)
        return err_set(e, &err_bad_tree, "it is not what the manifest says of it");
    return 0;
}

static int walk_component(struct walk *w, uint32_t number, struct err *e) {
    const struct bundle_component *component = &w->plan->view->components[number];
    struct bundle_tree_reader *tree = NULL;
    w->content.component = number;
    if (w->plan->ops->component(w->plan->context, number, e) < 0)
        return -1;
    if (component->type == BUNDLE_COMPONENT_IMAGE) {
        w->content.entry.type = BUNDLE_TREE_FILE;
        w->content.entry.path[0] = '\0';
        w->content.entry.size = component->size;
        w->content.entry.digest = component->digest;
        return plan_content(w, DELTA_BASE_IMAGE, e);
    }
    if (bundle_tree_open(w->plan->trees[number], 0, component->size, &tree, e) < 0)
        return -1;
    int r = walk_tree(w, tree, e);
    bundle_tree_close(tree);
    return r;
}

int delta_plan_make(struct delta_plan *plan, int table_fd, struct err *e) {
    uint64_t map_bytes = 0;
    unpack_scratch_init(&plan->rows, table_fd);
    memset(plan->trees, 0xff, sizeof plan->trees); // -1 each
    plan->view = bundle_manifest_view(unpack_delta_manifest(plan->stream->delta));
    if (take_trees(plan, e) < 0 || take_map(plan, &map_bytes, e) < 0)
        return -1;
    OWN(mem) struct walk *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, &err_memory, "walking the trees");
    w->plan = plan;
    w->frame = plan->stream->n_trees + plan->stream->n_map;
    delta_map_init(&w->map, plan->map_fd, map_bytes);
    for (uint32_t i = 0; i < plan->view->n_components; i++)
        if (walk_component(w, i, e) < 0)
            return err_prefix(e, "component %s", plan->view->components[i].name);
    if (delta_map_end(&w->map, e) < 0)
        return -1;
    if (delta_plan_border(plan) + plan->coded_bytes !=
        plan->stream->frames[plan->stream->n].position)
        return err_set(e, &err_bad_delta, "the frames make more bytes than the map needs");
    return 0;
}

int delta_plan_content(struct delta_plan *plan, uint64_t number, struct delta_plan_content *ret,
                       struct err *e) {
    struct unpack_scratch_row row;
    uint8_t line[BUNDLE_TREE_LINE_MAX];
    size_t got = 0;
    if (unpack_scratch_get(&plan->rows, number, &row, e) < 0)
        return -1;
    ret->number = number;
    ret->component = row.b & ((1U << WAY_BIT) - 1);
    ret->way = row.b >> WAY_BIT & 0xf;
    ret->need = row.b >> NEED_BIT & 0xf;
    ret->other = row.b >> OTHER_BIT;
    ret->position = row.key;
    if (row.a == DELTA_BASE_IMAGE) {
        const struct bundle_component *c = &plan->view->components[ret->component];
        ret->entry.type = BUNDLE_TREE_FILE;
        ret->entry.path[0] = '\0';
        ret->entry.size = c->size;
        ret->entry.digest = c->digest;
        return 0;
    }
    if (fs_pread(plan->trees[ret->component], line, sizeof line, row.a, &got, e) < 0)
        return err_prefix(e, "reading a tree");
    const uint8_t *newline = memchr(line, '\n', got);
    if (!newline)
        return err_set(e, &err_bad_tree, "a tree changed while it was in use");
    return bundle_tree_parse((struct slice){line, (size_t)(newline - line) + 1}, &ret->entry, e);
}
