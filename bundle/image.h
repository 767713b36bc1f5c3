// SPDX-License-Identifier: Apache-2.0
//
// Where images lie. On a device an image component has two slots (block devices or ordinary files,
// each as large as the image or larger), and a generation occupies one of them. The resident agent
// opens them; whoever writes, reads or verifies an image is handed descriptors, found by the name of
// the component, and never opens a path for it. Only the first bytes of a slot are the image, as many
// as it has: what lies behind is nobody's.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bundle/limits.h"

#define BUNDLE_IMAGE_LINK  "image" // generations/<n>/<component>/image, a link to the slot
#define BUNDLE_IMAGE_SLOTS 2

// Who writes to a slot in the place of the one who makes the image, and has a descriptor to read it by, alone.
struct bundle_image_writer {
    int (*write)(void *context, uint32_t image, const void *data, size_t len, uint64_t offset,
                 struct err *e);
    // Nothing below this place will be written again. It is a hint, and the more often said the better.
    int (*settle)(void *context, uint32_t image, uint64_t offset, struct err *e);
    // Returns when what was written of these bytes can be read.
    int (*await)(void *context, uint32_t image, uint64_t offset, uint64_t len, struct err *e);
    void *context;
};

struct bundle_image_place {
    char component[BUNDLE_NAME_MAX + 1];
    int fd;           // the caller's
    const char *path; // where the generation's link must lead; NULL: wherever it does
    const struct bundle_image_writer *writer; // NULL: the descriptor is written to
    uint32_t number;                          // by which the writer knows it
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
// Writing, by the writer of the place or to its descriptor.
int bundle_image_write(const struct bundle_image_place *place, const void *data, size_t len,
                       uint64_t offset, struct err *e) __attribute__((nonnull));
int bundle_image_settle(const struct bundle_image_place *place, uint64_t offset, struct err *e)
    __attribute__((nonnull));
// Before reading what may have been written a moment ago.
int bundle_image_await(const struct bundle_image_place *place, uint64_t offset, uint64_t len,
                       struct err *e) __attribute__((nonnull));
// Closes all of them.
void bundle_image_close(struct bundle_image_places *places) __attribute__((nonnull));
static inline void own_drop_images(struct bundle_image_places *places) {
    bundle_image_close(places);
}
