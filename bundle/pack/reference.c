// SPDX-License-Identifier: Apache-2.0
//
// What the holders of bundles find.
#include "bundle/pack/reference.h"

#include <stdlib.h>
#include <string.h>

#include "bundle/chunker.h"
#include "bundle/kind.h"
#include "bundle/pack/delta/side.h"
#include "bundle/tree.h"
#include "keys/lanes.h"

#define SLOTS_MIN 4096
#define JOBS      64 // chunks hashed together

// A chunk, and the references whose holders find it, as bits.
struct found {
    uint8_t digest[PACK_PIECE_DIGEST_BYTES];
    uint32_t bytes; // 0: an empty slot
    uint32_t by;
};

struct pack_reference {
    uint32_t all; // a bit for each reference
    size_t n, n_slots;
    struct found *slots; // a power of two, at most half of them taken
};

// One reference while it is read.
struct reading {
    struct pack_reference *reference;
    const struct pack_reference_new *with;
    uint32_t bit;
    struct pack_delta_side side;
    struct bundle_chunker chunker;
    struct keys_lanes_job jobs[JOBS];
};

static struct found *find_slot(struct found *slots, size_t n_slots, const uint8_t *digest,
                               uint32_t bytes) {
    uint64_t hash;
    memcpy(&hash, digest, sizeof hash);
    size_t at = (size_t)hash & (n_slots - 1);
    while (slots[at].bytes != 0 && (slots[at].bytes != bytes ||
                                    memcmp(slots[at].digest, digest, PACK_PIECE_DIGEST_BYTES) != 0))
        at = (at + 1) & (n_slots - 1);
    return &slots[at];
}

static int make_slots(struct pack_reference *r, struct err *e) {
    if (r->n_slots >= 2 * (r->n + 1))
        return 0;
    size_t n = r->n_slots ? 2 * r->n_slots : SLOTS_MIN;
    struct found *slots = calloc(n, sizeof *slots);
    if (!slots)
        return err_set(e, &err_memory, "a table of %zu chunks", r->n);
    for (size_t i = 0; i < r->n_slots; i++)
        if (r->slots[i].bytes != 0)
            *find_slot(slots, n, r->slots[i].digest, r->slots[i].bytes) = r->slots[i];
    free(r->slots);
    r->slots = slots;
    r->n_slots = n;
    return 0;
}

static int add_jobs(struct reading *g, size_t n, struct err *e) {
    struct pack_reference *r = g->reference;
    keys_lanes_digest(g->jobs, n);
    for (size_t i = 0; i < n; i++) {
        if (make_slots(r, e) < 0)
            return -1;
        uint32_t bytes = (uint32_t)g->jobs[i].len;
        struct found *slot = find_slot(r->slots, r->n_slots, g->jobs[i].digest.bytes, bytes);
        if (slot->bytes == 0) {
            memcpy(slot->digest, g->jobs[i].digest.bytes, sizeof slot->digest);
            slot->bytes = bytes;
            r->n++;
        }
        slot->by |= g->bit;
    }
    return 0;
}

// Cuts a content of the reference that its holder looks into.
static int cut(struct reading *g, uint64_t address, uint64_t size, struct err *e) {
    const uint8_t *at = g->side.bytes + address, *end = at + size;
    size_t n = 0;
    while (at < end) {
        size_t len = bundle_chunker_cut(&g->chunker, at, (size_t)(end - at));
        g->jobs[n++] = (struct keys_lanes_job){.data = at, .len = len};
        at += len;
        if ((n == JOBS || at == end) && add_jobs(g, n, e) < 0)
            return -1;
        if (n == JOBS)
            n = 0;
    }
    return 0;
}

static bool same(const struct pack_item *item, const struct bundle_tree_entry *entry) {
    return item->type == BUNDLE_TREE_FILE && item->exec == entry->exec &&
           item->content.size == entry->size &&
           keys_digest_equal(&item->content.digest, &entry->digest);
}

// Both trees are sorted, so one step forward at a time is enough. *at: the content of the side that
// the next regular file is.
static int walk_tree(struct reading *g, size_t number, struct pack_tree *tree, size_t at,
                     struct err *e) {
    const struct bundle_component *component = &g->side.view->components[number];
    struct bundle_tree_reader *reader = NULL;
    struct bundle_tree_entry entry;
    size_t i = 0;
    int r = bundle_tree_open(g->side.fd, g->side.trees[number], component->size, &reader, e);
    while (r == 0 && (r = bundle_tree_next(reader, &entry, e)) == 0) {
        if (entry.type != BUNDLE_TREE_FILE)
            continue;
        const struct pack_delta_content *old = &g->side.contents[at++];
        while (i < tree->n && bundle_tree_compare(tree->items[i].path, entry.path) < 0)
            i++;
        if (i < tree->n && strcmp(tree->items[i].path, entry.path) == 0 &&
            same(&tree->items[i], &entry))
            tree->items[i].content.held |= g->bit;
        else
            r = cut(g, old->address, old->size, e);
    }
    bundle_tree_close(reader);
    return r < 0 ? -1 : 0;
}

static int read_component(struct reading *g, size_t number, size_t at, struct err *e) {
    const struct bundle_component *old = &g->side.view->components[number];
    for (size_t i = 0; i < g->with->n; i++) {
        const struct bundle_component *c = &g->with->components[i];
        struct pack_tree *tree = &g->with->trees[i];
        if (strcmp(c->name, old->name) != 0 || c->type != old->type)
            continue;
        if (c->type == BUNDLE_COMPONENT_FILES)
            return cut(g, g->side.trees[number], old->size, e) < 0
                       ? -1
                       : walk_tree(g, number, tree, at, e);
        struct pack_content *image = &tree->items[0].content;
        if (keys_digest_equal(&image->digest, &old->digest))
            image->held |= g->bit;
        return cut(g, g->side.contents[at].address, old->size, e);
    }
    return 0; // what the new bundle does not bring is not looked into
}

static int read_side(struct reading *g, struct err *e) {
    size_t at = 0;
    for (size_t i = 0; i < g->side.view->n_components; i++) {
        if (read_component(g, i, at, e) < 0)
            return err_prefix(e, "component %s", g->side.view->components[i].name);
        while (at < g->side.n && g->side.contents[at].component == i)
            at++;
    }
    return 0;
}

static int read_one(struct reading *g, const struct pack_reference_from *from, const char *dir,
                    struct err *e) {
    if (pack_delta_side_open(from->bundle, from->source, dir, &g->side, e) < 0)
        return -1;
    int r = read_side(g, e);
    pack_delta_side_close(&g->side);
    return r;
}

int pack_reference_open(const struct pack_reference_from *from, size_t n, const char *dir,
                        const struct pack_reference_new *with, struct pack_reference **ret,
                        struct err *e) {
    if (n > PACK_REFERENCES_MAX)
        return err_set(e, &err_limit, "more than %d references", PACK_REFERENCES_MAX);
    struct pack_reference *reference = calloc(1, sizeof *reference);
    struct reading *g = calloc(1, sizeof *g);
    int r = reference && g ? 0 : err_set(e, &err_memory, "reading a reference");
    if (r == 0) {
        g->reference = reference;
        g->with = with;
        bundle_chunker_init(&g->chunker);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        g->bit = 1U << i;
        reference->all |= g->bit;
        const struct bundle_manifest_view *view =
            bundle_manifest_view(unpack_bundle_manifest(from[i].bundle));
        if (read_one(g, &from[i], dir, e) < 0)
            r = err_prefix(e, "reference %s %s", view->name, view->release);
    }
    free(g);
    if (r < 0) {
        pack_reference_close(reference);
        return -1;
    }
    *ret = reference;
    return 0;
}

void pack_reference_close(struct pack_reference *reference) {
    if (!reference)
        return;
    free(reference->slots);
    free(reference);
}

bool pack_reference_has(const struct pack_reference *reference, const struct pack_content *content,
                        const struct pack_piece *piece) {
    uint32_t by = content->held;
    if (reference->n_slots > 0)
        by |= find_slot(reference->slots, reference->n_slots, piece->digest, piece->bytes)->by;
    return by == reference->all;
}
