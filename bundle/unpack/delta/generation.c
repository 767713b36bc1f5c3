// SPDX-License-Identifier: Apache-2.0
//
// Old contents that are a generation of this device.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/generation.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/base.h"

#define HASH_BYTES      65536
#define SHORT_HEX       12
#define TREE_PATH_BYTES (BUNDLE_NAME_MAX + 16)

// What a person needs to know: what is here, and what to install instead.
static int wrong_base(const struct unpack_delta *delta, const struct bundle_delta_component *c,
                      const struct bundle_generation_component *has, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(unpack_delta_manifest(delta));
    char hex[KEYS_DIGEST_HEX];
    (void)keys_digest_hex(&unpack_delta_head(delta)->base, hex);
    if (!has || has->type != c->type)
        return err_set(e, &err_wrong_base,
                       "this delta starts from bundle %.*s…, which has the component %s, and this "
                       "device does not have it; install %s-%s.edge instead",
                       SHORT_HEX, hex, c->name, view->name, view->release);
    return err_set(e, &err_wrong_base,
                   "this delta starts from %s of bundle %.*s…, this device has that of %s %s; "
                   "install %s-%s.edge instead",
                   c->name, SHORT_HEX, hex, has->bundle_name, has->release, view->name,
                   view->release);
}

// Its tree, as the generation has it, is the one that the digest names: it may have been damaged
// since it was sealed.
static int check_tree(int fd, const struct bundle_delta_component *c, struct err *e) {
    struct keys_digest found;
    uint64_t bytes = 0;
    uint8_t *buffer = malloc(HASH_BYTES);
    if (!buffer)
        return err_set(e, &err_memory, "reading an old tree");
    int r = keys_digest_fd(fd, buffer, HASH_BYTES, &found, &bytes, e);
    free(buffer);
    if (r == 0 && !keys_digest_equal(&found, &c->digest))
        return err_set(e, &err_bad_generation, "its tree is not the one that its record names");
    if (r == 0 && bytes != c->size)
        return err_set(e, &err_bad_delta, "its tree has another size than the head says");
    return r;
}

static int open_image(struct unpack_delta_base *base, const struct bundle_image_places *images,
                      size_t number, struct err *e) {
    const struct bundle_delta_component *c = &base->head->components[number];
    const struct bundle_image_place *place = bundle_image_find(images, c->name);
    uint64_t size = 0;
    if (!place)
        return err_set(e, &err_bad_generation, "its slot is not at hand");
    if (fs_size(place->fd, &size, e) < 0)
        return -1;
    if (size < c->size)
        return err_set(e, &err_bad_generation, "its slot is smaller than the image");
    base->components[number].image = place->fd;
    return delta_base_add(base, number, e);
}

static int open_component(struct unpack_delta_base *base, int generation_dir, size_t number,
                          struct err *e) {
    const struct bundle_delta_component *c = &base->head->components[number];
    struct delta_base_component *place = &base->components[number];
    char path[TREE_PATH_BYTES];
    (void)snprintf(path, sizeof path, ".edge/%s.tree", c->name);
    if (fs_open_dir(generation_dir, c->name, &place->dir, e) < 0 ||
        fs_open_read(generation_dir, path, &place->tree, e) < 0) {
        if (err_is(e, &err_not_found))
            e->kind = &err_bad_generation;
        return -1;
    }
    return check_tree(place->tree, c, e) < 0 ? -1 : delta_base_add(base, number, e);
}

int unpack_delta_base_match(const struct unpack_delta *delta, int generation_dir, struct err *e) {
    const struct bundle_delta_head *head = unpack_delta_head(delta);
    OWN(mem) struct bundle_generation *record = calloc(1, sizeof *record);
    if (!record)
        return err_set(e, &err_memory, "looking at the old contents");
    if (bundle_generation_read(generation_dir, record, e) < 0)
        return -1;
    for (size_t i = 0; i < head->n_components; i++) {
        const struct bundle_delta_component *c = &head->components[i];
        const struct bundle_generation_component *has =
            bundle_generation_component(record, c->name);
        if (!has || has->type != c->type || !keys_digest_equal(&has->digest, &c->digest))
            return wrong_base(delta, c, has, e);
        if (c->type == BUNDLE_COMPONENT_IMAGE && has->size != c->size)
            return err_set(e, &err_bad_delta, "its old image has another size than the head says");
    }
    return 0;
}

static int open_base(const struct unpack_delta *delta, int generation_dir,
                     const struct bundle_image_places *images, struct unpack_delta_base *base,
                     struct err *e) {
    if (unpack_delta_base_match(delta, generation_dir, e) < 0)
        return -1;
    for (size_t i = 0; i < base->head->n_components; i++) {
        int r = base->head->components[i].type == BUNDLE_COMPONENT_IMAGE
                    ? open_image(base, images, i, e)
                    : open_component(base, generation_dir, i, e);
        if (r < 0)
            return err_prefix(e, "old component %s", base->head->components[i].name);
    }
    return 0;
}

int unpack_delta_base_open(const struct unpack_delta *delta, int generation_dir,
                           const struct bundle_image_places *images, int table_fd,
                           struct unpack_delta_base **ret, struct err *e) {
    OWN(delta_base) struct unpack_delta_base *base = NULL;
    if (delta_base_new(unpack_delta_head(delta), table_fd, &base, e) < 0 ||
        open_base(delta, generation_dir, images, base, e) < 0)
        return -1;
    *ret = own_take(&base);
    return 0;
}
