#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a network and fine-tunes it, for the transport workloads: train-weights.py DIR

Writes NAME.TYPE.safetensors into DIR; NAME: v1 (trained), v2 (all layers fine-tuned on shifted data), v2h (the last layer
only); TYPE: f32, f16, bf16, i8. A classifier of 28x28 patterns with 14 million parameters, trained to near its best with Adam in
plain numpy, because weights that were really trained, and really fine-tuned, have the statistics that random ones lack.

The order of all random draws is part of the recipe: the same numpy, BLAS and number of threads give the same bytes.
Takes half an hour on two cores.
"""

import argparse
import json
import os
import struct

import numpy as np

SEED = 20250101
SIDE = 28
WIDTHS = (SIDE * SIDE, 3072, 3072, 768, 100)
CLASSES = WIDTHS[-1]
BATCH = 128
TRAIN_STEPS, TRAIN_RATE = 500, 1e-3
TUNE_STEPS, TUNE_RATE = 100, 1e-5
HEAD_RATE = 1e-3
HEAD = (6, 7)  # weights and biases of the last layer
WEIGHT_DECAY = 0.01
# Adam's.
MOMENTUM, SPREAD, SMALLEST = 0.9, 0.999, 1e-8
# Data of a safetensors file begin on a page, so that it can be mapped.
ALIGNMENT = 4096


def blurred(images, times):
    """Each pixel becomes the mean of itself and its four neighbours; edges wrap around."""
    for _ in range(times):
        images = (images + np.roll(images, 1, 1) + np.roll(images, -1, 1) + np.roll(images, 1, 2) + np.roll(images, -1, 2)) / 5
    return images


class Patterns:
    """One pattern for each class; a sample is its pattern shifted, scaled and drowned in noise."""

    def __init__(self, rng, images):
        self.rng, self.images = rng, images

    def batch(self, n):
        labels = self.rng.integers(0, CLASSES, n)
        samples = self.images[labels].copy()
        right, down = self.rng.integers(-2, 3, (2, n))
        for i in range(n):
            samples[i] = np.roll(samples[i], (right[i], down[i]), (0, 1))
        samples = samples * self.rng.uniform(0.6, 1.4, (n, 1, 1)) + 0.8 * self.rng.standard_normal(samples.shape)
        return samples.reshape(n, -1).astype(np.float32), labels


def forward(parameters, samples):
    """What each layer gets, and what the last one says."""
    values = [samples]
    last = len(parameters) - 2
    for i in range(0, len(parameters), 2):
        sums = values[-1] @ parameters[i] + parameters[i + 1]
        values.append(sums if i == last else np.maximum(sums, 0))
    return values


def gradients(parameters, samples, labels):
    """Loss, accuracy, and the gradient of each parameter of the mean cross entropy."""
    values = forward(parameters, samples)
    rows = np.arange(len(labels))
    chances = np.exp(values[-1] - values[-1].max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    loss = -np.log(chances[rows, labels] + 1e-9).mean()
    accuracy = (values[-1].argmax(1) == labels).mean()
    back = chances
    back[rows, labels] -= 1
    back /= len(labels)
    found = [None] * len(parameters)
    for i in range(len(parameters) - 2, -1, -2):
        found[i] = values[i // 2].T @ back
        found[i + 1] = back.sum(0)
        if i:
            back = (back @ parameters[i].T) * (values[i // 2] > 0)
    return loss, accuracy, found


def trained(parameters, data, steps, rate, only=None):
    """New parameters; `only` says which may change."""
    parameters = [p.copy() for p in parameters]
    means = [np.zeros_like(p) for p in parameters]
    spreads = [np.zeros_like(p) for p in parameters]
    for step in range(1, steps + 1):
        loss, accuracy, slopes = gradients(parameters, *data.batch(BATCH))
        scale = np.float32(rate * np.sqrt(1 - SPREAD**step) / (1 - MOMENTUM**step))
        for i in range(len(parameters)) if only is None else only:
            means[i] *= np.float32(MOMENTUM)
            means[i] += np.float32(0.1) * slopes[i]
            spreads[i] *= np.float32(SPREAD)
            spreads[i] += np.float32(0.001) * slopes[i] * slopes[i]
            move = scale * means[i] / (np.sqrt(spreads[i]) + np.float32(SMALLEST))
            parameters[i] -= move + np.float32(rate * WEIGHT_DECAY) * parameters[i]
        if step % 50 == 0 or step == steps:
            print(f"  step {step}: loss {loss:.4f}, accuracy {accuracy:.3f}", flush=True)
    return parameters


def as_bf16(values):
    """The upper half of each float32, rounded to even."""
    bits = values.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def as_i8(name, values):
    """Symmetric, with one scale for each output."""
    scale = np.abs(values).max(0) / 127
    return [(f"{name}.scale", "F32", scale.astype(np.float32)), (name, "I8", np.clip(np.rint(values / scale), -127, 127).astype(np.int8))]


def converted(name, values, kind):
    """[(name, type in the file, array)]; biases stay float32 beside int8."""
    if kind == "f16":
        return [(name, "F16", values.astype(np.float16))]
    if kind == "bf16":
        return [(name, "BF16", as_bf16(values))]
    if kind == "i8" and values.ndim == 2:
        return as_i8(name, values)
    return [(name, "F32", values)]


def write(path, tensors):
    header, offset = {}, 0
    for name, kind, values in tensors:
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT)
    with open(f"{path}.part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, values in tensors:
            f.write(values.tobytes())
    os.replace(f"{path}.part", path)


def save(folder, version, parameters):
    for kind in ("f32", "f16", "bf16", "i8"):
        tensors = []
        for i, values in enumerate(parameters):
            tensors += converted(f"t{i}", np.ascontiguousarray(values, np.float32), kind)
        write(os.path.join(folder, f"{version}.{kind}.safetensors"), tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--train-steps", type=int, default=TRAIN_STEPS, help="other numbers make other weights")
    parser.add_argument("--tune-steps", type=int, default=TUNE_STEPS)
    args = parser.parse_args()
    rng = np.random.default_rng(SEED)
    images = blurred(rng.standard_normal((CLASSES, SIDE, SIDE)), 4)
    images /= images.std((1, 2), keepdims=True)
    shifted = images + 0.4 * blurred(rng.standard_normal((CLASSES, SIDE, SIDE)), 3) * 3
    before, after = Patterns(rng, images), Patterns(rng, shifted)
    first = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        first.append((rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)).astype(np.float32))
    first = [p for weights in first for p in (weights, np.zeros(weights.shape[1], np.float32))]
    print("v1: training")
    v1 = trained(first, before, args.train_steps, TRAIN_RATE)
    save(args.folder, "v1", v1)
    print("v2: all layers")
    save(args.folder, "v2", trained(v1, after, args.tune_steps, TUNE_RATE))
    print("v2h: the last layer")
    save(args.folder, "v2h", trained(v1, after, args.tune_steps, HEAD_RATE, only=HEAD))


if __name__ == "__main__":
    main()
