# SPDX-License-Identifier: Apache-2.0
"""Loads the model of a component directory into Arm NN and runs it.

A component directory holds

    model.tflite     the network
    model.json       {"version", "labels", "features"}: what an application must know to use it

The directory is opened once and both files are read below that descriptor. `current/detector` is a
path whose meaning changes in one instant; two separate opens by path could see the network of one
generation and the labels of another.
"""

import contextlib
import json
import logging
import os
import time

# One inference is far too small to be split over threads, and every BLAS thread would cost memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np  # noqa: E402

# The module says with three warnings that Debian builds no Caffe, ONNX and TensorFlow parsers; we
# need none of them; and newer ones print that they prefer another interface.
logging.getLogger("pyarmnn").setLevel(logging.ERROR)
with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
    import pyarmnn  # noqa: E402

MODEL_FILE = "model.tflite"
FACTS_FILE = "model.json"
FACTS_MAX_BYTES = 64 * 1024
# "CpuAcc" (NEON) and "GpuAcc" (Mali) come first on a board that has them; the reference backend
# runs everywhere.
BACKENDS = ("CpuAcc", "GpuAcc", "CpuRef")

_runtime = None


def _get_runtime():
    # One runtime per process: loading its backends costs more than loading a model.
    global _runtime
    if _runtime is None:
        _runtime = pyarmnn.IRuntime(pyarmnn.CreationOptions())
    return _runtime


class ModelError(Exception):
    """The component directory holds no model that can be used here; the text says why."""


def _read_facts(dir_fd):
    fd = os.open(FACTS_FILE, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    with open(fd, "rb") as f:
        raw = f.read(FACTS_MAX_BYTES + 1)
    if len(raw) > FACTS_MAX_BYTES:
        raise ModelError(f"{FACTS_FILE} is longer than {FACTS_MAX_BYTES} bytes")
    facts = json.loads(raw)
    if not isinstance(facts, dict) or not isinstance(facts.get("version"), str):
        raise ModelError(f'{FACTS_FILE} has no "version"')
    labels = facts.get("labels")
    if (
        not isinstance(labels, list)
        or not labels
        or not all(isinstance(label, str) for label in labels)
    ):
        raise ModelError(f'{FACTS_FILE}: "labels" is not a list of names')
    if not isinstance(facts.get("features"), int) or facts["features"] < 1:
        raise ModelError(f'{FACTS_FILE}: "features" is not a positive number')
    return facts


class Model:
    """A loaded network, for one thread. `run` takes and gives flat float32 arrays."""

    def __init__(self, directory):
        try:
            dir_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._load(dir_fd)
            finally:
                os.close(dir_fd)
        except (OSError, ValueError, RuntimeError) as e:
            raise ModelError(f"loading {directory}: {str(e).strip()}") from e
        except ModelError as e:
            raise ModelError(f"loading {directory}: {e}") from e

    def _load(self, dir_fd):
        self.facts = _read_facts(dir_fd)
        fd = os.open(MODEL_FILE, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            parser = pyarmnn.ITfLiteParser()
            # The parser wants a path; this one names the file that is open, whatever the directory
            # is called by now.
            network = parser.CreateNetworkFromBinaryFile(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        input_names = parser.GetSubgraphInputTensorNames(0)
        output_names = parser.GetSubgraphOutputTensorNames(0)
        if len(input_names) != 1 or len(output_names) != 1:
            raise ModelError(
                f"{MODEL_FILE} has {len(input_names)} inputs and {len(output_names)} outputs,"
                " not one each"
            )
        in_info = parser.GetNetworkInputBindingInfo(0, input_names[0])
        out_info = parser.GetNetworkOutputBindingInfo(0, output_names[0])
        for what, info, want in (
            ("input", in_info, self.facts["features"]),
            ("output", out_info, len(self.facts["labels"])),
        ):
            if (
                info[1].GetDataType() != pyarmnn.DataType_Float32
                or info[1].GetNumElements() != want
            ):
                raise ModelError(
                    f"the {what} of {MODEL_FILE} is not the {want} float32 values"
                    f" that {FACTS_FILE} tells of"
                )
        runtime = _get_runtime()
        preferred = [pyarmnn.BackendId(name) for name in BACKENDS]
        optimised, _ = pyarmnn.Optimize(
            network, preferred, runtime.GetDeviceSpec(), pyarmnn.OptimizerOptions()
        )
        self._network, _ = runtime.LoadNetwork(optimised)
        self._in_info = in_info
        self._out_tensors = pyarmnn.make_output_tensors([out_info])

    def run(self, features):
        """(outputs, latency in µs of the inference alone). The outputs are the caller's."""
        features = np.ascontiguousarray(features, np.float32)
        if features.size != self.facts["features"]:
            raise ModelError(
                f"{features.size} input values, the model takes {self.facts['features']}"
            )
        inputs = pyarmnn.make_input_tensors([self._in_info], [features])
        began = time.perf_counter_ns()
        try:
            _get_runtime().EnqueueWorkload(self._network, inputs, self._out_tensors)
        except RuntimeError as e:
            raise ModelError(f"inference failed: {str(e).strip()}") from e
        took_us = (time.perf_counter_ns() - began) // 1000
        return pyarmnn.workload_tensors_to_ndarray(self._out_tensors)[0].reshape(-1).copy(), took_us

    def close(self):
        if self._network is not None:
            _get_runtime().UnloadNetwork(self._network)
            self._network = None
