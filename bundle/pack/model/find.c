// SPDX-License-Identifier: Apache-2.0
//
// Which parser a content is for.
#include "bundle/pack/model/find.h"

#include <string.h>

#include "base/own.h"
#include "bundle/limits.h"
#include "bundle/pack/model/format.h"

// The .xml beside a .bin; MODEL_FORMAT_OTHER when there is none.
static int find_xml(const char *path, const struct model_siblings *siblings, struct slice *ret,
                    struct err *e) {
    char xml[BUNDLE_PATH_MAX + 1];
    size_t len = strlen(path);
    if (!siblings || len < 5 || len >= sizeof xml || strcmp(path + len - 4, ".bin") != 0)
        return MODEL_FORMAT_OTHER;
    memcpy(xml, path, len + 1);
    memcpy(xml + len - 3, "xml", 3);
    return siblings->find(siblings->context, xml, ret, e);
}

static int list(struct model_list *l, const char *path, const struct model_siblings *siblings,
                struct err *e) {
    static int (*const formats[])(struct model_list *, struct err *) = {
        model_safetensors_list, model_gguf_list, model_tflite_list, model_onnx_list};
    struct slice xml;
    int r = find_xml(path, siblings, &xml, e);
    if (r == 0)
        r = model_openvino_list(xml, l, e);
    for (size_t i = 0; r > 0 && i < sizeof formats / sizeof *formats; i++) {
        model_list_clear(l);
        r = formats[i](l, e);
    }
    if (r > 0) {
        model_list_clear(l);
        r = model_guess_list(l, e);
    }
    return r;
}

int model_find(struct slice content, const char *path, const struct model_siblings *siblings,
               model_find_fn *each, void *context, struct err *e) {
    OWN(model_list) struct model_list l;
    model_list_init(&l, content);
    return list(&l, path, siblings, e) < 0 ? -1 : model_list_give(&l, each, context, e);
}
