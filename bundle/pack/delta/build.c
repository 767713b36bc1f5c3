// SPDX-License-Identifier: Apache-2.0
//
// The steps of making a delta.
#include "bundle/pack/delta.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/crew.h"
#include "bundle/pack/delta/cut.h"
#include "bundle/pack/delta/match.h"
#include "bundle/pack/delta/pair.h"
#include "bundle/pack/delta/weights.h"
#include "bundle/pack/delta/write.h"
#include "bundle/pack/model/find.h"

// The files of one component of one side: what a model file may have beside it.
struct beside {
    const struct pack_delta_side *side;
    uint32_t component;
    struct model_siblings siblings;
};

struct build {
    const struct pack_delta_build *how;
    struct pack_delta_side old_side, new_side;
    struct pack_delta_pair *pairs;
    struct pack_delta_cut cut;
    size_t n_items;
    struct pack_delta_item *items;            // trees or coded contents
    struct pack_delta_match_records *records; // of each item
    struct pack_delta_frames trees, map, contents;
    struct beside old_beside[BUNDLE_COMPONENTS_MAX], new_beside[BUNDLE_COMPONENTS_MAX];
    struct pack_delta_result result;
};

static void say(const struct build *b, const char *step) {
    if (b->how->progress)
        b->how->progress(b->how->context, step);
}

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "making a delta: no memory");
}

// What can be known from the manifests.
static int check(const struct build *b, struct err *e) {
    const struct bundle_manifest *old = unpack_bundle_manifest(b->how->old_bundle.bundle);
    const struct bundle_manifest *new = unpack_bundle_manifest(b->how->new_bundle.bundle);
    const struct bundle_manifest_view *view = bundle_manifest_view(new);
    if (b->cut.frame_bytes < PACK_DELTA_FRAME_MIN_BYTES ||
        b->cut.decode_bytes < PACK_DELTA_DECODE_MIN_BYTES)
        return err_set(e, &err_usage, "frames have at least %d bytes, decoding one at least %d",
                       PACK_DELTA_FRAME_MIN_BYTES, PACK_DELTA_DECODE_MIN_BYTES);
    if (keys_digest_equal(bundle_manifest_id(old), bundle_manifest_id(new)))
        return err_set(e, &err_usage,
                       "both are the same bundle: there is nothing to get from one to the other");
    for (size_t i = 0; i < view->n_components; i++)
        if (bundle_manifest_component(old, view->components[i].name))
            return 0;
    return err_set(
        e, &err_usage,
        "the bundles have no component in common: %s %s and %s %s are for different things",
        bundle_manifest_view(old)->name, bundle_manifest_view(old)->release, view->name,
        view->release);
}

static int open_side(const struct build *b, const struct pack_delta_from *from,
                     struct pack_delta_side *ret, struct err *e) {
    return pack_delta_side_open(from->bundle, from->source, b->how->dir, ret, e);
}

static int find_beside(void *context, const char *path, struct slice *ret, struct err *e) {
    const struct beside *beside = context;
    const struct pack_delta_content *c =
        pack_delta_side_find(beside->side, beside->component, path);
    (void)e;
    if (!c)
        return 1;
    *ret = (struct slice){beside->side->bytes + c->address, c->size};
    return 0;
}

static void set_beside(const struct pack_delta_side *side, struct beside *list) {
    for (uint32_t i = 0; i < side->view->n_components; i++)
        list[i] = (struct beside){
            .side = side, .component = i, .siblings = {.find = find_beside, .context = &list[i]}};
}

static int open_sides(struct build *b, struct err *e) {
    say(b, "reading");
    if (open_side(b, &b->how->old_bundle, &b->old_side, e) < 0)
        return err_prefix(e, "the old bundle");
    if (open_side(b, &b->how->new_bundle, &b->new_side, e) < 0)
        return err_prefix(e, "the new bundle");
    b->cut.old = (struct slice){b->old_side.bytes, b->old_side.len};
    set_beside(&b->old_side, b->old_beside);
    set_beside(&b->new_side, b->new_beside);
    b->pairs = calloc(b->new_side.n + 1, sizeof *b->pairs);
    if (!b->pairs)
        return no_memory(e);
    return pack_delta_pair_all(&b->old_side, &b->new_side, b->pairs, e);
}

// An item and the part of the old stream that it is made from.
static void set_item(struct build *b, size_t number, struct slice new_bytes, uint64_t old,
                     uint64_t old_len, const char *path) {
    struct pack_delta_item *item = &b->items[number];
    *item = (struct pack_delta_item){
        .new_bytes = new_bytes, .old_address = old, .path = path, .old_path = path};
    if (old_len == 0)
        return;
    item->old = (struct slice){b->old_side.bytes + old, old_len};
    item->machine = pack_delta_program_machine(item->old);
    if (item->machine != pack_delta_program_machine(new_bytes))
        item->machine = PACK_DELTA_PROGRAM_NONE;
    uint64_t table = pack_delta_program_unwind_table(item->old);
    item->unwind_table = table > 0 ? old + table : 0;
}

static int begin_items(struct build *b, size_t max, struct err *e) {
    b->n_items = 0;
    b->items = calloc(max + 1, sizeof *b->items);
    b->records = calloc(max + 1, sizeof *b->records);
    return b->items && b->records ? 0 : no_memory(e);
}

static void end_items(struct build *b) {
    for (size_t i = 0; b->records && i < b->n_items; i++)
        pack_delta_match_clear(&b->records[i]);
    free(b->records);
    free(b->items);
    b->records = NULL;
    b->items = NULL;
    b->n_items = 0;
}

static int enter(void *context, void **ret_own, struct err *e) {
    (void)context;
    (void)e;
    *ret_own = NULL; // threads need nothing of their own
    return 0;
}

static void leave(void *context, void *own) {
    (void)context;
    (void)own;
}

static int match_item(void *context, void *own, uint64_t task, struct err *e) {
    (void)own;
    struct build *b = context;
    const struct pack_delta_item *item = &b->items[task];
    int r = pack_delta_weights(item, &b->records[task], e);
    if (r == PACK_DELTA_WEIGHTS_NONE)
        r = pack_delta_match(item->old, item->old_address, item->new_bytes, &b->records[task], e);
    return r < 0 ? err_prefix(e, "%s", item->path) : 0;
}

static void lay_spans(const struct build *b, struct pack_delta_span *to) {
    for (size_t i = 0; i < b->n_items; i++) {
        const uint8_t *at = b->items[i].new_bytes.data;
        for (size_t k = 0; k < b->records[i].n; k++) {
            const struct pack_delta_match_record *r = &b->records[i].list[k];
            *to++ = (struct pack_delta_span){.new_bytes = at,
                                             .old = r->old,
                                             .copy = r->copy,
                                             .literal = r->literal,
                                             .item = &b->items[i],
                                             .weights = r->weights,
                                             .shape = r->shape};
            at += r->copy + r->literal;
        }
    }
}

// Matches all items and makes their frames.
static int code_items(struct build *b, struct pack_delta_frames *ret, struct err *e) {
    const struct pack_crew crew = {.threads = b->how->threads,
                                   .n_tasks = b->n_items,
                                   .enter = enter,
                                   .leave = leave,
                                   .work = match_item,
                                   .context = b};
    size_t n = 0;
    if (b->n_items == 0)
        return 0;
    say(b, "matching");
    if (pack_crew_run(&crew, e) < 0)
        return -1;
    for (size_t i = 0; i < b->n_items; i++)
        n += b->records[i].n;
    struct pack_delta_span *spans = calloc(n + 1, sizeof *spans);
    if (!spans)
        return no_memory(e);
    lay_spans(b, spans);
    say(b, "coding");
    int r = pack_delta_cut_spans(&b->cut, spans, n, ret, e);
    free(spans);
    return r;
}

// Trees are made from the old tree of the component of that name, else of the first that has one.
static size_t old_tree(const struct build *b, const char *name) {
    const struct bundle_manifest_view *old = b->old_side.view;
    size_t found = old->n_components;
    for (size_t i = old->n_components; i-- > 0;)
        if (old->components[i].type == BUNDLE_COMPONENT_FILES) {
            found = i;
            if (strcmp(old->components[i].name, name) == 0)
                break;
        }
    return found;
}

static int code_trees(struct build *b, struct err *e) {
    const struct bundle_manifest_view *old = b->old_side.view, *new = b->new_side.view;
    if (begin_items(b, BUNDLE_COMPONENTS_MAX, e) < 0)
        return -1;
    for (size_t i = 0; i < new->n_components; i++) {
        const struct bundle_component *c = &new->components[i];
        if (c->type != BUNDLE_COMPONENT_FILES || c->size == 0)
            continue;
        size_t from = old_tree(b, c->name);
        bool has = from < old->n_components;
        set_item(b, b->n_items++, (struct slice){b->new_side.bytes + b->new_side.trees[i], c->size},
                 has ? b->old_side.trees[from] : 0, has ? old->components[from].size : 0, c->name);
    }
    int r = code_items(b, &b->trees, e);
    end_items(b);
    return r;
}

static int code_map(struct build *b, struct err *e) {
    struct buf map;
    int r = 0;
    buf_init(&map, BUNDLE_DELTA_MAP_MAX_BYTES);
    for (size_t i = 0; r == 0 && i < b->new_side.n; i++) {
        uint8_t bytes[BUNDLE_DELTA_VARINT_BYTES];
        r = buf_add(&map, bytes, bundle_delta_put_varint(b->pairs[i].record, bytes), e);
        b->result.coded += b->pairs[i].coded;
        b->result.same += !b->pairs[i].coded;
    }
    if (r == 0)
        r = pack_delta_cut_plain(&b->cut, buf_slice(&map), &b->map, e);
    buf_clear(&map);
    return r;
}

static int code_contents(struct build *b, struct err *e) {
    if (begin_items(b, b->new_side.n, e) < 0)
        return -1;
    for (size_t i = 0; i < b->new_side.n; i++) {
        const struct pack_delta_content *c = &b->new_side.contents[i], *base = b->pairs[i].base;
        if (!b->pairs[i].coded || c->size == 0)
            continue;
        struct pack_delta_item *item = &b->items[b->n_items];
        set_item(b, b->n_items++, (struct slice){b->new_side.bytes + c->address, c->size},
                 base ? base->address : 0, base ? base->size : 0, c->path);
        item->siblings = &b->new_beside[c->component].siblings;
        if (base) {
            item->old_path = base->path;
            item->old_siblings = &b->old_beside[base->component].siblings;
        }
        b->result.coded_bytes += c->size;
    }
    int r = code_items(b, &b->contents, e);
    end_items(b);
    return r;
}

static int write_all(struct build *b, const char *path, struct err *e) {
    const struct pack_delta_write write = {.how = b->how,
                                           .old_side = &b->old_side,
                                           .frame_bytes = b->cut.frame_bytes,
                                           .frames = {&b->trees, &b->map, &b->contents}};
    say(b, "checking");
    b->result.full_bytes = unpack_bundle_skeleton(b->how->new_bundle.bundle)->total;
    return pack_delta_write(&write, path, &b->result, e);
}

int pack_delta_build(const struct pack_delta_build *how, const char *path,
                     struct pack_delta_result *ret, struct err *e) {
    struct build b = {
        .how = how,
        .old_side = {.fd = -1},
        .new_side = {.fd = -1},
        .cut = {.frame_bytes = how->frame_bytes ? how->frame_bytes : PACK_DELTA_FRAME_BYTES,
                .decode_bytes = how->decode_bytes ? how->decode_bytes : PACK_DELTA_DECODE_BYTES,
                .threads = how->threads}};
    int r = check(&b, e);
    if (r == 0)
        r = open_sides(&b, e);
    if (r == 0)
        r = code_trees(&b, e);
    if (r == 0)
        r = code_map(&b, e);
    if (r == 0)
        r = code_contents(&b, e);
    if (r == 0)
        r = write_all(&b, path, e);
    if (r >= 0)
        *ret = b.result;
    pack_delta_cut_clear(&b.trees);
    pack_delta_cut_clear(&b.map);
    pack_delta_cut_clear(&b.contents);
    free(b.pairs);
    pack_delta_side_close(&b.old_side);
    pack_delta_side_close(&b.new_side);
    return r;
}
