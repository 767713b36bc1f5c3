// SPDX-License-Identifier: Apache-2.0
//
// Where images lie. On a device an image component has two slots (block devices or ordinary files,
// each as large as the image or larger), and a generation occupies one of them. The resident agent
// opens them; whoever writes, reads or verifies an image is handed descriptors, found by the name of
// the component, and never opens a path for it. Only the first bytes of a slot are the image, as many
// as it has: what lies behind is nobody's.
#pragma once

#include <stddef.h>

#include "bundle/limits.h"

#define BUNDLE_IMAGE_LINK  "image" // generations/<n>/<component>/image, a link to the slot
#define BUNDLE_IMAGE_SLOTS 2

struct bundle_image_place {
    char component[BUNDLE_NAME_MAX + 1];
    int fd;           // the caller's
    const char *path; // where the generation's link must lead; NULL: wherever it does
};

struct bundle_image_places {
    size_t n;
    struct bundle_image_place all[BUNDLE_COMPONENTS_MAX];
};

// The place of a component; NULL when it has none, or `places` is NULL.
const struct bundle_image_place *bundle_image_find(const struct bundle_image_places *places,
                                                   const char *component)
    __attribute__((nonnull(2)));
// Adds one. There are never more than BUNDLE_COMPONENTS_MAX, and a name is at most BUNDLE_NAME_MAX.
void bundle_image_add(struct bundle_image_places *places, const char *component, int fd,
                      const char *path) __attribute__((nonnull(1, 2)));
// Closes all of them.
void bundle_image_close(struct bundle_image_places *places) __attribute__((nonnull));
static inline void own_drop_images(struct bundle_image_places *places) {
    bundle_image_close(places);
}
