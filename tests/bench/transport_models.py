# SPDX-License-Identifier: Apache-2.0
"""Wraps the tensors of a safetensors file as a TFLite or an ONNX model of the same network: y = relu(x·W + b), layer by layer.

The tensors keep their bytes and their order; only what is around them differs, as the same weights look in another
format. Both are written by their public schemas, without their frameworks: a TFLite file is a flatbuffer (the Debian package
python3-flatbuffers writes those), an ONNX file is a handful of nested protocol buffer messages.
"""

import importlib.util
import json
import struct

# TFLite: schema.fbs.
TFLITE_FLOAT32 = 0
TFLITE_OPERATORS = {"Add": 0, "Relu": 19, "MatMul": 126}  # MatMul: BATCH_MATMUL, weights as [in, out]
TFLITE_BUFFER_ALIGNMENT = 16
# ONNX: onnx.proto.
ONNX_FLOAT = 1
ONNX_IR_VERSION = 8
ONNX_OPSET = 17


def tensors_of(path):
    """[(name, shape, bytes)] of a safetensors file of float32, in the order of their bytes."""
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        entries = [(name, entry) for name, entry in json.loads(f.read(length)).items() if name != "__metadata__"]
        found = []
        for name, entry in sorted(entries, key=lambda item: item[1]["data_offsets"]):
            begin, end = entry["data_offsets"]
            if entry["dtype"] != "F32":
                raise ValueError(f"{path}: {name} is {entry['dtype']}, and only F32 is wrapped")
            f.seek(8 + length + begin)
            found.append((name, entry["shape"], f.read(end - begin)))
    return found


class Network:
    """The steps that use the tensors: a matrix multiplies, a vector is added, and a Relu stands between the layers."""

    def __init__(self, tensors):
        self.tensors, self.steps = tensors, []  # (operation, names of the inputs, name of the output)
        self.sizes = {"input": [1, tensors[0][1][0]]}
        value = "input"
        for i, (name, shape, _) in enumerate(tensors):
            if len(shape) == 2 and i > 0:
                value = self._step("Relu", [value], f"{value}.relu", self.sizes[value])
            value = self._step("MatMul" if len(shape) == 2 else "Add", [value, name], f"{name}.out", [1, shape[-1]])
        self.output = value

    def _step(self, operation, inputs, output, sizes):
        self.steps.append((operation, inputs, output))
        self.sizes[output] = sizes
        return output


# ── TFLite ──────────────────────────────────────────────────────────────────────────────────────────


def _table(fb, fields):
    """A table of {field number: (kind of slot, value)}."""
    fb.StartObject(max(fields, default=-1) + 1)
    for number, (kind, value) in sorted(fields.items()):
        getattr(fb, f"Prepend{kind}Slot")(number, value, 0)
    return fb.EndObject()


def _offset(value):
    return ("UOffsetTRelative", value)


def _tables(fb, tables):
    fb.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        fb.PrependUOffsetTRelative(table)
    return _offset(fb.EndVector())


def _numbers(fb, values):
    fb.StartVector(4, len(values), 4)
    for value in reversed(values):
        fb.PrependInt32(value)
    return _offset(fb.EndVector())


def _buffer(fb, data):
    fb.StartVector(1, len(data), TFLITE_BUFFER_ALIGNMENT)
    fb.head -= len(data)
    fb.Bytes[fb.Head():fb.Head() + len(data)] = data
    return _table(fb, {0: _offset(fb.EndVector())})


def _tflite_graph(fb, network):
    sizes = {name: shape for name, shape, _ in network.tensors} | network.sizes
    buffers = {name: i + 1 for i, (name, _, _) in enumerate(network.tensors)}  # 0 is that of all without data
    numbers = {name: i for i, name in enumerate(sizes)}
    tensors, operators = [], []
    for name, dimensions in sizes.items():
        dimensions, text = _numbers(fb, dimensions), _offset(fb.CreateString(name))
        tensors.append(_table(fb, {0: dimensions, 1: ("Int8", TFLITE_FLOAT32), 2: ("Uint32", buffers.get(name, 0)), 3: text}))
    for operation, inputs, output in network.steps:
        code = list(TFLITE_OPERATORS).index(operation)
        inputs, outputs = _numbers(fb, [numbers[name] for name in inputs]), _numbers(fb, [numbers[output]])
        operators.append(_table(fb, {0: ("Uint32", code), 1: inputs, 2: outputs}))
    tensors, operators = _tables(fb, tensors), _tables(fb, operators)
    inputs, outputs = _numbers(fb, [numbers["input"]]), _numbers(fb, [numbers[network.output]])
    return _table(fb, {0: tensors, 1: inputs, 2: outputs, 3: operators})


def tflite(network):
    import flatbuffers  # pylint: disable=import-outside-toplevel  # only this row needs it

    fb = flatbuffers.Builder(sum(len(data) for _, _, data in network.tensors) + 65536)
    buffers = [_table(fb, {})] + [_buffer(fb, data) for _, _, data in network.tensors]
    graphs = _tables(fb, [_tflite_graph(fb, network)])
    codes = _tables(fb, [_table(fb, {0: ("Int8", code), 2: ("Int32", 1), 3: ("Int32", code)}) for code in TFLITE_OPERATORS.values()])
    fb.Finish(_table(fb, {0: ("Uint32", 3), 1: codes, 2: graphs, 4: _tables(fb, buffers)}), b"TFL3")
    return [fb.Output()]


# ── ONNX ────────────────────────────────────────────────────────────────────────────────────────────


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field, value):
    return _varint(field << 3) + _varint(value)


def _bytes(field, *parts):
    parts = [part.encode() if isinstance(part, str) else part for part in parts]
    return _varint(field << 3 | 2) + _varint(sum(map(len, parts))) + b"".join(parts)


def _value(field, name, sizes):
    shape = b"".join(_bytes(1, _number(1, n)) for n in sizes)
    return _bytes(field, _bytes(1, name), _bytes(2, _bytes(1, _number(1, ONNX_FLOAT), _bytes(2, shape))))


def onnx(network):
    graph = [_bytes(1, *(_bytes(1, name) for name in inputs), _bytes(2, output), _bytes(4, operation))
             for operation, inputs, output in network.steps]
    graph.append(_bytes(2, "network"))
    for name, shape, data in network.tensors:
        sizes = b"".join(_number(1, n) for n in shape)
        graph.append(_bytes(5, sizes, _number(2, ONNX_FLOAT), _bytes(8, name), _bytes(9, data)))
    graph += [_value(field, name, network.sizes[name]) for field, name in ((11, "input"), (12, network.output))]
    return [_number(1, ONNX_IR_VERSION), _bytes(7, *graph), _bytes(8, _bytes(1, ""), _number(2, ONNX_OPSET))]


WRAPPERS = {"tflite": tflite, "onnx": onnx}


def why_not(form):
    """What is absent for this form; "" when nothing is."""
    return "python3-flatbuffers is not installed" if form == "tflite" and not importlib.util.find_spec("flatbuffers") else ""


def wrap(source, target, form):
    """Writes the model; form: a key of WRAPPERS."""
    with open(target, "wb") as f:
        for part in WRAPPERS[form](Network(tensors_of(source))):
            f.write(part)
