// SPDX-License-Identifier: Apache-2.0
//
// Finding the weights in a model file, so that they can be coded as the numbers they are: the parts
// of a content that are arrays of elements of one type. Formats: safetensors, GGUF, TFLite, ONNX,
// and OpenVINO's .bin by the .xml beside it. A content of another kind, or one that breaks the
// rules of its format, is no error: there the width of elements is guessed by measuring samples.
//
// Nothing here needs to be right for a delta to be right: a wrong answer costs bytes. So the
// parsers may be strict, and give up at the first thing that does not fit; they read hostile files
// without stepping outside them, in time proportional to what was read, within these ceilings.
#pragma once

#include "base/buf.h"
#include "bundle/tensor/shape.h"

#define MODEL_FIND_REGIONS_MAX      65536 // arrays of one content
#define MODEL_FIND_REGION_MIN_BYTES 256   // smaller arrays are left out
#define MODEL_FIND_NAME_BYTES       128   // longer names are cut, NUL included
#define MODEL_FIND_HEADER_MAX_BYTES                                                                \
    (64 * 1024 * 1024) // of what describes arrays (JSON, XML, infos)

// One array: content[offset, offset + bytes). bytes is a multiple of an element's size.
struct model_region {
    uint64_t offset;
    uint64_t bytes;
    struct tensor_shape shape;        // columns: the last dimension; 0 when not known
    char name[MODEL_FIND_NAME_BYTES]; // the array's in the file, its first bytes; "" when guessed
};

// Is given each region, ascending, none overlapping another. Returns 0, or < 0 with *e set to stop.
typedef int model_find_fn(void *context, const struct model_region *region, struct err *e);

// The content beside this one that has another path ("dir/model.xml" for "dir/model.bin"): 0 and
// *ret (borrowed until model_find returns), > 0 when there is none, < 0 with *e set.
struct model_siblings {
    int (*find)(void *context, const char *path, struct slice *ret, struct err *e);
    void *context;
};

// Gives the regions of a content to `each`. path: of the content in its component, for OpenVINO's
// pairs only; siblings may be NULL. Kinds: memory, those of each and siblings.
int model_find(struct slice content, const char *path, const struct model_siblings *siblings,
               model_find_fn *each, void *context, struct err *e)
    __attribute__((nonnull(2, 4, 6), warn_unused_result));
