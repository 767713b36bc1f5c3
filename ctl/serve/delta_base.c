// SPDX-License-Identifier: Apache-2.0
//
// What a device can start from.
#include "ctl/serve/delta_base.h"

#include <string.h>

static const char *from(const json_t *components, const char *name) {
    return json_string_value(json_object_get(json_object_get(components, name), "manifest"));
}

static bool holds(const struct serve_engine_bundle *bundle, const json_t *components) {
    const char *name = NULL;
    json_t *ignored = NULL;
    json_object_foreach (bundle->row.components, name, ignored) {
        const char *manifest = from(components, name);
        if (manifest == NULL || strcmp(manifest, bundle->row.id) != 0)
            return false;
    }
    return true;
}

static size_t in_common(const struct serve_engine_bundle *a, const struct serve_engine_bundle *b) {
    const char *name = NULL;
    json_t *ignored = NULL;
    size_t n = 0;
    json_object_foreach (a->row.components, name, ignored)
        n += json_object_get(b->row.components, name) != NULL;
    return n;
}

// More in common; then the same name; then the order of ids, so that it is always the same one.
static bool is_better(const struct serve_engine_bundle *to, const struct serve_engine_bundle *one,
                      const struct serve_engine_bundle *than) {
    size_t a = in_common(one, to), b = in_common(than, to);
    if (a != b)
        return a > b;
    bool same_a = strcmp(one->row.name, to->row.name) == 0,
         same_b = strcmp(than->row.name, to->row.name) == 0;
    if (same_a != same_b)
        return same_a;
    return strcmp(one->row.id, than->row.id) < 0;
}

const struct serve_engine_bundle *serve_delta_base(const struct serve_engine *engine,
                                                   const struct serve_engine_bundle *to,
                                                   const json_t *components) {
    const struct serve_engine_bundle *best = NULL;
    const char *name = NULL;
    json_t *ignored = NULL;
    json_object_foreach ((json_t *)(uintptr_t)components, name, ignored) {
        struct keys_digest id;
        struct err not_ours = ERR_NONE;
        const char *manifest = from(components, name);
        const struct serve_engine_bundle *one = NULL;
        if (manifest == NULL || keys_digest_parse(manifest, "manifest", &id, &not_ours) < 0 ||
            (one = serve_engine_bundle(engine, &id)) == NULL || one == best ||
            in_common(one, to) == 0 || !holds(one, components))
            continue;
        if (one == to)
            return to;
        if (best == NULL || is_better(to, one, best))
            best = one;
    }
    return best;
}
