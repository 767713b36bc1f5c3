// SPDX-License-Identifier: Apache-2.0
//
// Places of images.
#include "bundle/image.h"

#include <assert.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"

const struct bundle_image_place *bundle_image_find(const struct bundle_image_places *places,
                                                   const char *component) {
    for (size_t i = 0; places && i < places->n; i++)
        if (strcmp(places->all[i].component, component) == 0)
            return &places->all[i];
    return NULL;
}

void bundle_image_add(struct bundle_image_places *places, const char *component, int fd,
                      const char *path) {
    size_t len = strlen(component);
    assert(places->n < BUNDLE_COMPONENTS_MAX && len <= BUNDLE_NAME_MAX);
    struct bundle_image_place *place = &places->all[places->n++];
    *place = (struct bundle_image_place){.fd = -1};
    memcpy(place->component, component, len + 1);
    place->fd = fd;
    place->path = path;
}

int bundle_image_write(const struct bundle_image_place *place, const void *data, size_t len,
                       uint64_t offset, struct err *e) {
    const struct bundle_image_writer *w = place->writer;
    return w ? w->write(w->context, place->number, data, len, offset, e)
             : fs_pwrite(place->fd, data, len, offset, e);
}

int bundle_image_settle(const struct bundle_image_place *place, uint64_t offset, struct err *e) {
    const struct bundle_image_writer *w = place->writer;
    return w ? w->settle(w->context, place->number, offset, e) : 0;
}

int bundle_image_await(const struct bundle_image_place *place, uint64_t offset, uint64_t len,
                       struct err *e) {
    const struct bundle_image_writer *w = place->writer;
    return w ? w->await(w->context, place->number, offset, len, e) : 0;
}

void bundle_image_close(struct bundle_image_places *places) {
    for (size_t i = 0; i < places->n; i++)
        own_drop_fd(&places->all[i].fd);
    places->n = 0;
}
