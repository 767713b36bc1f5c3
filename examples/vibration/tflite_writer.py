# SPDX-License-Identifier: Apache-2.0
"""Writes a dense network as a TensorFlow Lite file (schema version 3, identifier TFL3).

A .tflite file is a flatbuffer. No TensorFlow is needed to write one: each table is a handful of
numbered slots, and the numbers below are those of the public schema. What is written here is what
any TensorFlow Lite runtime loads: one subgraph, one float32 input and one float32 output of shape
[1, n], FullyConnected layers with a fused ReLU, and a Softmax.

    Model ─ operator_codes, subgraphs[0] ─ tensors, operators, inputs, outputs
          ─ buffers      [0] is the empty buffer that tensors without constant data point to
          ─ metadata     min_runtime_version: ASCII, padded with NUL to 16 bytes
"""

import flatbuffers
import numpy as np

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"
# What TensorFlow's own table of operator versions says for FullyConnected 1 and Softmax 1. A tool
# that gates on the runtime of a device reads it from the file, so a wrong one would strand the
# model or let it meet a runtime that cannot run it.
MIN_RUNTIME_VERSION = "1.5.0"

BUILTIN_FULLY_CONNECTED = 9
BUILTIN_SOFTMAX = 25
OPTIONS_FULLY_CONNECTED = 8
OPTIONS_SOFTMAX = 9
ACTIVATION_NONE = 0
ACTIVATION_RELU = 1
TENSOR_FLOAT32 = 0
# The schema says force_align: 16 for buffer data, so that a runtime can use the file as mapped.
BUFFER_ALIGNMENT = 16


def _table(fb, slots):
    """One table of [(number, kind, value)]; kinds are the builder's scalar slots and "offset"."""
    fb.StartObject(max((number for number, _, _ in slots), default=-1) + 1)
    for number, kind, value in slots:
        if kind == "offset":
            fb.PrependUOffsetTRelativeSlot(number, value, 0)
        else:
            getattr(fb, f"Prepend{kind}Slot")(number, value, 0)
    return fb.EndObject()


def _offsets(fb, offsets):
    fb.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        fb.PrependUOffsetTRelative(offset)
    return fb.EndVector()


def _int32s(fb, values):
    return fb.CreateNumpyVector(np.asarray(values, np.int32))


def _buffer(fb, data):
    if not data:
        return _table(fb, [])
    fb.StartVector(1, len(data), BUFFER_ALIGNMENT)
    fb.head -= len(data)
    fb.Bytes[fb.Head() : fb.Head() + len(data)] = data
    return _table(fb, [(0, "offset", fb.EndVector())])


class _Graph:
    """Tensors, operators and buffers as lists: their indices are the references in the file."""

    def __init__(self):
        self.tensors = []  # (name, shape, buffer index)
        self.buffers = [b""]
        self.operators = (
            []
        )  # (index into the operator codes, inputs, outputs, options type, option slots)

    def tensor(self, name, shape, data=None):
        buffer = 0
        if data is not None:
            buffer = len(self.buffers)
            self.buffers.append(np.ascontiguousarray(data, "<f4").tobytes())
        self.tensors.append((name, shape, buffer))
        return len(self.tensors) - 1

    def dense(self, layers):
        """layers: [(weights[out, in], bias[out])]; ReLU between them, softmax after the last.

        An array that occurs in several layers is stored once (tied weights). Returns the indices
        of the input and the output tensor.
        """
        first = at = self.tensor("features", [1, layers[0][0].shape[1]])
        stored = {}
        for i, (weights, bias) in enumerate(layers):
            if id(weights) not in stored:
                stored[id(weights)] = self.tensor(f"dense{i}/weights", list(weights.shape), weights)
            if id(bias) not in stored:
                stored[id(bias)] = self.tensor(f"dense{i}/bias", list(bias.shape), bias)
            w, b = stored[id(weights)], stored[id(bias)]
            last = i == len(layers) - 1
            out = self.tensor("logits" if last else f"dense{i}/relu", [1, weights.shape[0]])
            activation = ACTIVATION_NONE if last else ACTIVATION_RELU
            self.operators.append(
                (0, [at, w, b], [out], OPTIONS_FULLY_CONNECTED, [(0, "Int8", activation)])
            )
            at = out
        out = self.tensor("probabilities", [1, layers[-1][0].shape[0]])
        self.operators.append((1, [at], [out], OPTIONS_SOFTMAX, [(0, "Float32", 1.0)]))
        return first, out


def _subgraph(fb, graph, inputs, outputs):
    tensors = []
    for name, shape, buffer in graph.tensors:
        name_at, shape_at = fb.CreateString(name), _int32s(fb, shape)
        tensors.append(
            _table(
                fb,
                [
                    (0, "offset", shape_at),
                    (1, "Int8", TENSOR_FLOAT32),
                    (2, "Uint32", buffer),
                    (3, "offset", name_at),
                ],
            )
        )
    operators = []
    for code, ins, outs, options_type, option_slots in graph.operators:
        ins_at, outs_at, options_at = _int32s(fb, ins), _int32s(fb, outs), _table(fb, option_slots)
        operators.append(
            _table(
                fb,
                [
                    (0, "Uint32", code),
                    (1, "offset", ins_at),
                    (2, "offset", outs_at),
                    (3, "Uint8", options_type),
                    (4, "offset", options_at),
                ],
            )
        )
    slots = [
        (0, "offset", _offsets(fb, tensors)),
        (1, "offset", _int32s(fb, inputs)),
        (2, "offset", _int32s(fb, outputs)),
        (3, "offset", _offsets(fb, operators)),
        (4, "offset", fb.CreateString("main")),
    ]
    return _table(fb, slots)


def _operator_code(fb, builtin):
    # Both the old 8-bit field and the new one: readers take the larger of the two.
    return _table(fb, [(0, "Int8", builtin), (2, "Int32", 1), (3, "Int32", builtin)])


def tflite_bytes(layers, description):
    """The file for a dense network; for `layers` see _Graph.dense. Same arguments, same bytes."""
    graph = _Graph()
    first, last = graph.dense(layers)
    graph.buffers.append(MIN_RUNTIME_VERSION.encode().ljust(16, b"\0"))

    fb = flatbuffers.Builder(1024)
    buffers = _offsets(fb, [_buffer(fb, data) for data in graph.buffers])
    subgraphs = _offsets(fb, [_subgraph(fb, graph, [first], [last])])
    codes = _offsets(
        fb, [_operator_code(fb, c) for c in (BUILTIN_FULLY_CONNECTED, BUILTIN_SOFTMAX)]
    )
    entry = _table(
        fb,
        [
            (0, "offset", fb.CreateString("min_runtime_version")),
            (1, "Uint32", len(graph.buffers) - 1),
        ],
    )
    metadata = _offsets(fb, [entry])
    text = fb.CreateString(description)
    model = _table(
        fb,
        [
            (0, "Uint32", SCHEMA_VERSION),
            (1, "offset", codes),
            (2, "offset", subgraphs),
            (3, "offset", text),
            (4, "offset", buffers),
            (6, "offset", metadata),
        ],
    )
    fb.Finish(model, file_identifier=FILE_IDENTIFIER)
    return bytes(fb.Output())
