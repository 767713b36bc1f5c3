// SPDX-License-Identifier: Apache-2.0
//
// The parsers of model files, one file each. Each returns 0 when the content is whole and of its
// format, with its arrays in the list; MODEL_FORMAT_OTHER when it is not, and then what is in the
// list means nothing; < 0 (kind memory) when it could not go on.
#pragma once

#include "bundle/pack/model/list.h"

enum { MODEL_FORMAT_OTHER = 1 };

int model_safetensors_list(struct model_list *l, struct err *e) __attribute__((nonnull));
int model_gguf_list(struct model_list *l, struct err *e) __attribute__((nonnull));
int model_tflite_list(struct model_list *l, struct err *e) __attribute__((nonnull));
int model_onnx_list(struct model_list *l, struct err *e) __attribute__((nonnull));
// The weights of an OpenVINO model; xml: the content that describes them.
int model_openvino_list(struct slice xml, struct model_list *l, struct err *e)
    __attribute__((nonnull));
// By measuring: all of the content as one array, or nothing.
int model_guess_list(struct model_list *l, struct err *e) __attribute__((nonnull));
