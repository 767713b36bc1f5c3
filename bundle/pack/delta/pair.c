// SPDX-License-Identifier: Apache-2.0
//
// Lists of the old contents, sorted by what they are looked up by.
#include "bundle/pack/delta/pair.h"

#include <stdlib.h>
#include <string.h>

#include "bundle/delta.h"

// What one list is sorted by, then by the content's number.
struct entry {
    const struct pack_delta_content *content;
    const char *component; // name
    const char *key;       // path, or what is left of it without version numbers
};

struct list {
    size_t n;
    struct entry *entries;
    int (*compare)(const void *, const void *);
    char *keys; // owned; NULL when keys are the paths
};

struct pairing {
    const struct pack_delta_side *old_side, *new_side;
    struct list digests, repeats, paths, versions, names; // repeats: of the new contents
};

static int by_number(const struct entry *a, const struct entry *b) {
    return a->content < b->content ? -1 : a->content > b->content;
}

static int compare_digest(const void *va, const void *vb) {
    const struct entry *a = va, *b = vb;
    int r = memcmp(&a->content->digest, &b->content->digest, sizeof a->content->digest);
    return r != 0 ? r : by_number(a, b);
}

static int compare_key(const void *va, const void *vb) {
    const struct entry *a = va, *b = vb;
    int r = strcmp(a->component, b->component);
    if (r == 0)
        r = strcmp(a->key, b->key);
    return r != 0 ? r : by_number(a, b);
}

static bool is_version(char c) {
    return (c >= '0' && c <= '9') || strchr(".-_+~", c) != NULL;
}

// Leaves out what versions are written with; begins behind the last slash when only the name
// counts.
static char *strip(const char *path, bool only_name, char *to) {
    const char *slash = only_name ? strrchr(path, '/') : NULL;
    for (const char *p = slash ? slash + 1 : path; *p; p++)
        if (!is_version(*p))
            *to++ = *p;
    *to++ = '\0';
    return to;
}

enum keys { KEYS_PATH, KEYS_STRIPPED, KEYS_NAME };

static int make_list(const struct pack_delta_side *side, enum keys keys,
                     int (*compare)(const void *, const void *), struct list *ret, struct err *e) {
    size_t bytes = 1;
    for (size_t i = 0; i < side->n; i++)
        bytes += strlen(side->contents[i].path) + 1;
    *ret = (struct list){.n = side->n,
                         .entries = calloc(side->n + 1, sizeof *ret->entries),
                         .compare = compare,
                         .keys = keys == KEYS_PATH ? NULL : malloc(bytes)};
    if (!ret->entries || (keys != KEYS_PATH && !ret->keys))
        return err_set(e, &err_memory, "pairing %zu contents: no memory", side->n);
    char *to = ret->keys;
    for (size_t i = 0; i < side->n; i++) {
        const struct pack_delta_content *c = &side->contents[i];
        ret->entries[i] = (struct entry){
            .content = c, .component = side->view->components[c->component].name, .key = c->path};
        if (keys == KEYS_PATH)
            continue;
        ret->entries[i].key = to;
        to = strip(c->path, keys == KEYS_NAME, to);
    }
    qsort(ret->entries, ret->n, sizeof *ret->entries, compare);
    return 0;
}

// Number of the first entry that does not stand before what is looked for. A content of NULL stands
// before all others with the same key.
static size_t lower(const struct list *list, const struct entry *wanted) {
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->compare(&list->entries[middle], wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Number of the first entry with this digest or one above it.
static size_t lower_digest(const struct list *list, const struct keys_digest *digest) {
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(&list->entries[middle].content->digest, digest, sizeof *digest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Of the old contents with this digest the first at or behind number `next`, where the one for an
// unchanged neighbour stands; else the first of all.
static const struct pack_delta_content *
find_same(const struct pairing *p, const struct pack_delta_content *wanted, size_t next) {
    const struct list *list = &p->digests;
    const struct pack_delta_content *found = NULL;
    for (size_t low = lower_digest(list, &wanted->digest);
         low < list->n && keys_digest_equal(&list->entries[low].content->digest, &wanted->digest);
         low++) {
        if (!found)
            found = list->entries[low].content;
        if ((size_t)(list->entries[low].content - p->old_side->contents) >= next)
            return list->entries[low].content;
    }
    return found;
}

static uint64_t distance(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

// The old content with this key that is nearest in size.
static const struct pack_delta_content *find_key(const struct list *list, const char *component,
                                                 const char *key, uint64_t size) {
    const struct entry wanted = {.content = NULL, .component = component, .key = key};
    const struct pack_delta_content *best = NULL;
    for (size_t i = lower(list, &wanted); i < list->n; i++) {
        const struct entry *entry = &list->entries[i];
        if (strcmp(entry->component, component) != 0 || strcmp(entry->key, key) != 0)
            break;
        if (entry->content->size > 0 &&
            (!best || distance(entry->content->size, size) < distance(best->size, size)))
            best = entry->content;
    }
    return best;
}

static const struct pack_delta_content *find_base(const struct pairing *p,
                                                  const struct pack_delta_content *c) {
    const char *component = p->new_side->view->components[c->component].name;
    char key[BUNDLE_PATH_MAX + 1];
    const struct pack_delta_content *found = find_key(&p->paths, component, c->path, c->size);
    if (found)
        return found;
    (void)strip(c->path, false, key);
    found = find_key(&p->versions, component, key, c->size);
    if (found)
        return found;
    (void)strip(c->path, true, key);
    return *key ? find_key(&p->names, component, key, c->size) : NULL;
}

// The first of the new contents with these bytes.
static size_t find_repeat(const struct pairing *p, size_t number) {
    const struct list *list = &p->repeats;
    size_t low = lower_digest(list, &p->new_side->contents[number].digest);
    return (size_t)(list->entries[low].content - p->new_side->contents);
}

static void pair_all(const struct pairing *p, struct pack_delta_pair *ret) {
    size_t next = 0; // number behind the old content that was named last
    for (size_t i = 0; i < p->new_side->n; i++) {
        const struct pack_delta_content *same = find_same(p, &p->new_side->contents[i], next);
        size_t repeat = same ? i : find_repeat(p, i);
        ret[i] = (struct pack_delta_pair){.coded = !same && repeat == i};
        if (same) {
            size_t number = (size_t)(same - p->old_side->contents);
            ret[i].record = 2 * bundle_delta_zigzag((int64_t)number - (int64_t)next) + 1;
            next = number + 1;
        } else if (repeat < i) {
            ret[i].record = 2 * (uint64_t)(i - 1 - repeat) + 2;
        } else {
            ret[i].base = find_base(p, &p->new_side->contents[i]);
        }
    }
}

static void clear(struct list *list) {
    free(list->entries);
    free(list->keys);
}

int pack_delta_pair_all(const struct pack_delta_side *old_side,
                        const struct pack_delta_side *new_side, struct pack_delta_pair *ret,
                        struct err *e) {
    struct pairing p = {.old_side = old_side, .new_side = new_side};
    int r = make_list(old_side, KEYS_PATH, compare_digest, &p.digests, e);
    if (r == 0)
        r = make_list(new_side, KEYS_PATH, compare_digest, &p.repeats, e);
    if (r == 0)
        r = make_list(old_side, KEYS_PATH, compare_key, &p.paths, e);
    if (r == 0)
        r = make_list(old_side, KEYS_STRIPPED, compare_key, &p.versions, e);
    if (r == 0)
        r = make_list(old_side, KEYS_NAME, compare_key, &p.names, e);
    if (r == 0)
        pair_all(&p, ret);
    clear(&p.digests);
    clear(&p.repeats);
    clear(&p.paths);
    clear(&p.versions);
    clear(&p.names);
    return r;
}
