// SPDX-License-Identifier: Apache-2.0
//
// Model files of all formats: arrays that are found lie inside, ascend and do not overlap. What
// begins with '<' is the .xml of a pair whose .bin has 64 KiB.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/pack/model/find.h"

#define BIN_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct order {
    size_t content_bytes;
    uint64_t end;
};

static int check_region(void *context, const struct model_region *r, struct err *e) {
    struct order *o = context;
    unsigned element = tensor_shape_bytes(r->shape.type);
    (void)e;
    if (element == 0 || r->bytes % element || r->bytes < MODEL_FIND_REGION_MIN_BYTES ||
        r->offset < o->end || r->bytes > o->content_bytes ||
        r->offset > o->content_bytes - r->bytes || !memchr(r->name, '\0', sizeof r->name))
        abort();
    o->end = r->offset + r->bytes;
    return 0;
}

static int find_xml(void *context, const char *path, struct slice *ret, struct err *e) {
    (void)e;
    if (strcmp(path, "m.xml") != 0)
        abort();
    *ret = *(const struct slice *)context;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t bin[BIN_BYTES];
    struct slice content = {data, size};
    const struct model_siblings siblings = {find_xml, &content};
    struct err e = ERR_NONE;
    bool xml = size > 0 && data[0] == '<';
    struct order o = {.content_bytes = xml ? sizeof bin : size};
    int r = model_find(xml ? (struct slice){bin, sizeof bin} : content, xml ? "m.bin" : "m",
                       xml ? &siblings : NULL, check_region, &o, &e);
    if (r < 0)
        abort();
    return 0;
}
