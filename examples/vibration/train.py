#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the vibration classifier and writes a component directory for it.

    train.py --variant v2 --version-tag 1.1 --out DIR

    DIR/model.tflite            the network, normalisation of the features in its first layer
    DIR/model.json              version, labels, number of features
    DIR/golden/NN.input.bin     features of one window each, float32 little-endian
    DIR/golden/NN.expected.bin  what the model must answer to it, float32, from the reference

The reference is the network as it was trained, evaluated here in double precision: normalise, then
multiply. The file is what the exporter made of it. The two can disagree, and then every check that
looks at the file alone is still content: it is what golden inputs are for.

Variants, to be released one after another:
    v1      little data, few epochs
    v2      v1 trained on, with ten times the data
    bad     v2, exported with the normalisation of another sensor: one that measures in g, where
            the devices give m/s². Valid file, right shapes, sure of itself, and wrong.
    slow    v2, grown (wider and deeper, as in Net2Net) and shipped before it was pruned: the
            same answers for over three thousand times the arithmetic
The same arguments give the same bytes on the same machine.
"""

import argparse
import json
import os
import sys

sys.dont_write_bytecode = True
# With more threads the order of summation, and so the last bits, would depend on their number.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402
import sensor  # noqa: E402
import tflite_writer  # noqa: E402

HIDDEN = (32, 16)
VALIDATION_SEED = 0x76616C
VALIDATION_WINDOWS = 1000
GOLDEN_SEED = 0x676F6C
GOLDEN_PER_CONDITION = 2

# (windows, epochs) of each round of training; a round goes on from the network of the one before
ROUNDS = {
    "v1": [(300, 25)],
    "v2": [(300, 25), (3000, 30)],
    "bad": [(300, 25), (3000, 30)],
    "slow": [(300, 25), (3000, 30)],
}
GROWN_COPIES = 16
GROWN_LAYERS = 144


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Network:
    """A dense classifier with its normalisation: what training yields, before any export."""

    def __init__(self, rng, x):
        # From the first data; later rounds keep it, as the network learnt to read features so.
        self.mean, self.std = (
            x.mean(axis=0, dtype=np.float64),
            x.std(axis=0, dtype=np.float64) + 1e-6,
        )
        sizes = (x.shape[1], *HIDDEN, len(sensor.CONDITIONS))
        self.layers = [
            [rng.normal(0, np.sqrt(2 / n_in), (n_out, n_in)), np.zeros(n_out)]
            for n_in, n_out in zip(sizes, sizes[1:])
        ]

    def activations(self, x):
        h = [(x - self.mean) / self.std]
        for weights, bias in self.layers[:-1]:
            h.append(np.maximum(h[-1] @ weights.T + bias, 0))
        weights, bias = self.layers[-1]
        h.append(softmax(h[-1] @ weights.T + bias))
        return h

    def predict(self, x):
        return self.activations(np.asarray(x, np.float64))[-1]

    def gradients(self, x, y):
        h = self.activations(x)
        delta = h[-1].copy()
        delta[np.arange(len(y)), y] -= 1
        delta /= len(y)
        grads = []
        for (weights, _), below in zip(reversed(self.layers), reversed(h[:-1])):
            grads.append([delta.T @ below, delta.sum(axis=0)])
            delta = (delta @ weights) * (below > 0)
        return grads[::-1]

    def fit(self, rng, x, y, epochs, batch=64, rate=2e-3, decay=1e-3):
        """Adam with decoupled weight decay."""
        x = np.asarray(x, np.float64)
        first = [[np.zeros_like(p) for p in layer] for layer in self.layers]
        second = [[np.zeros_like(p) for p in layer] for layer in self.layers]
        step = 0
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch):
                rows = order[start : start + batch]
                step += 1
                scale = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                for layer, m, v, grad in zip(
                    self.layers, first, second, self.gradients(x[rows], y[rows])
                ):
                    for i in range(2):
                        m[i] = 0.9 * m[i] + 0.1 * grad[i]
                        v[i] = 0.999 * v[i] + 0.001 * grad[i] ** 2
                        layer[i] -= scale * m[i] / (np.sqrt(v[i]) + 1e-8) + rate * decay * layer[i]


def trained(seed, rounds):
    network = None
    for number, (count, epochs) in enumerate(rounds):
        rng = np.random.default_rng([seed, number])
        x, y = sensor.labelled(rng, count)
        if network is None:
            network = Network(rng, x)
        network.fit(rng, x, y, epochs)
    return network


def fold_normalisation(layers, mean, std):
    """W·(x − mean)/std + b as one layer that takes x as the sensor gives it."""
    (weights, bias), *rest = layers
    weights = weights / std
    return [(weights, bias - weights @ mean), *rest]


def grown(layers):
    """The same function by a far larger network: each unit of the last hidden layer GROWN_COPIES
    times, then GROWN_LAYERS layers that average over the copies. What is averaged is equal and not
    negative, so ReLU and average change nothing.
    """
    *below, (weights, bias), (out_weights, out_bias) = layers
    average = np.kron(
        np.eye(len(bias)), np.full((GROWN_COPIES, GROWN_COPIES), 1 / GROWN_COPIES)
    ).astype(np.float32)
    none = np.zeros(len(average), np.float32)
    return [
        *below,
        (np.repeat(weights, GROWN_COPIES, axis=0), np.repeat(bias, GROWN_COPIES)),
        *[(average, none)] * GROWN_LAYERS,
        (np.repeat(out_weights, GROWN_COPIES, axis=1) / GROWN_COPIES, out_bias),
    ]


def exported(network, variant):
    """The layers as they go into the file."""
    mean = network.mean.copy()
    if variant == "bad":
        mean[: sensor.DECIBEL_FEATURES] -= 20 * np.log10(sensor.STANDARD_GRAVITY_MS2)
    layers = fold_normalisation(network.layers, mean, network.std)
    if variant == "slow":
        layers = grown(layers)
    return layers


def golden_inputs():
    """The same windows for every release, so that these files do not change between bundles."""
    conditions = np.repeat(np.arange(len(sensor.CONDITIONS)), GOLDEN_PER_CONDITION)
    return sensor.features(sensor.windows(np.random.default_rng(GOLDEN_SEED), conditions))


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def write_component(out, network, variant, version):
    golden = os.path.join(out, "golden")
    os.makedirs(golden, exist_ok=True)
    write(
        os.path.join(out, "model.tflite"),
        tflite_writer.tflite_bytes(exported(network, variant), f"vibration classifier {version}"),
    )
    facts = {"features": sensor.FEATURES, "labels": list(sensor.CONDITIONS), "version": version}
    write(
        os.path.join(out, "model.json"),
        (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode(),
    )
    inputs = golden_inputs()
    for number, (given, expected) in enumerate(zip(inputs, network.predict(inputs))):
        write(os.path.join(golden, f"{number:02}.input.bin"), given.astype("<f4").tobytes())
        write(os.path.join(golden, f"{number:02}.expected.bin"), expected.astype("<f4").tobytes())


def main():
    parser = argparse.ArgumentParser(
        description="Train the vibration classifier and write a component directory."
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="directory to write, made if it is not there"
    )
    parser.add_argument("--variant", choices=ROUNDS, default="v1")
    parser.add_argument(
        "--version-tag", metavar="VERSION", help="what model.json calls it (default: the variant)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of data and training (default 1)")
    args = parser.parse_args()

    network = trained(args.seed, ROUNDS[args.variant])
    write_component(args.out, network, args.variant, args.version_tag or args.variant)

    x, y = sensor.labelled(np.random.default_rng(VALIDATION_SEED), VALIDATION_WINDOWS)
    accuracy = (network.predict(x).argmax(axis=1) == y).mean()
    size_kib = os.path.getsize(os.path.join(args.out, "model.tflite")) / 1024
    print(
        f"{args.out}: {args.variant}, validation accuracy {accuracy:.3f},"
        f" model.tflite {size_kib:.0f} KiB"
    )


if __name__ == "__main__":
    main()
