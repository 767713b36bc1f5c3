# SPDX-License-Identifier: Apache-2.0
"""A vibration sensor on a machine with one shaft, and the features that are taken from its signal.

The signal is what an accelerometer on the bearing housing gives, in m/s². The four conditions
differ as they do on real machines:

    healthy     a little residual unbalance, its first harmonics, broadband noise
    imbalance   the line at shaft speed grows, with little at its multiples
    bearing     a defect in the outer race is struck 3.585 times per turn, with some slip; each
                blow rings a resonance near 2.2 kHz, so that the energy is high in frequency and
                comes in bursts
    looseness   many harmonics of the shaft and of half its speed, with strengths that wander

Faults begin small: the severity reaches down to where a fault is hard to tell from health, so no
classifier gets all.

One window gives FEATURES values: the energy in BANDS frequency bands and four statistics of the
waveform. The decibels are relative to 1 m/s²; a sensor that measures in g would read 19.8 dB lower
everywhere.
"""

import numpy as np

CONDITIONS = ("healthy", "imbalance", "bearing", "looseness")
SAMPLE_RATE_HZ = 6400
WINDOW_SAMPLES = 2048
BANDS = 60
FEATURES = BANDS + 4
# Features that are decibels, and so move when the unit of the signal changes; crest factor and
# kurtosis do not.
DECIBEL_FEATURES = BANDS + 2
STANDARD_GRAVITY_MS2 = 9.80665

_OUTER_RACE_PER_TURN = 3.585
_RESONANCE_HZ = 2200.0
_RING_DECAY_PER_S = 700.0


def _harmonics(rng, t, shaft_hz, orders, amplitudes):
    """Sines at multiples of the shaft speed, summed. `amplitudes` is [window, order]."""
    out = np.zeros((len(shaft_hz), len(t)))
    for i, order in enumerate(orders):
        phase = rng.uniform(0, 2 * np.pi, (len(shaft_hz), 1))
        out += amplitudes[:, i : i + 1] * np.sin(2 * np.pi * order * shaft_hz[:, None] * t + phase)
    return out


def _blows(rng, t, shaft_hz, severity):
    """Rings struck at the outer-race frequency with 2 % slip and unequal force."""
    train = np.zeros((len(shaft_hz), len(t)))
    for row, (speed, strength) in enumerate(zip(shaft_hz, severity)):
        period = SAMPLE_RATE_HZ / (speed * _OUTER_RACE_PER_TURN)
        count = int(len(t) / period)
        at = (rng.uniform(0, 1) + np.arange(count)) * period + rng.normal(0, 0.02 * period, count)
        at = at[(at >= 0) & (at < len(t))].astype(int)
        train[row, at] = strength * rng.uniform(0.6, 1.4, len(at))
    ring = np.exp(-_RING_DECAY_PER_S * t) * np.sin(2 * np.pi * _RESONANCE_HZ * t)
    n = 2 * len(t)
    return np.fft.irfft(np.fft.rfft(train, n) * np.fft.rfft(ring, n), n)[:, : len(t)]


def windows(rng, conditions):
    """A window for each index into CONDITIONS: float64[conditions, WINDOW_SAMPLES], in m/s²."""
    conditions = np.asarray(conditions)
    count = len(conditions)
    t = np.arange(WINDOW_SAMPLES) / SAMPLE_RATE_HZ
    shaft_hz = rng.uniform(24.0, 30.0, count)
    severity = rng.beta(1.5, 2.0, count)

    residual = np.abs(rng.normal([0.35, 0.10, 0.06], [0.12, 0.04, 0.02], (count, 3)))
    out = _harmonics(rng, t, shaft_hz, (1, 2, 3), residual)

    rows = np.flatnonzero(conditions == CONDITIONS.index("imbalance"))
    amplitudes = np.stack([0.4 + 3.0 * severity[rows], 0.1 + 0.2 * severity[rows]], axis=1)
    out[rows] += _harmonics(rng, t, shaft_hz[rows], (1, 2), amplitudes)

    rows = np.flatnonzero(conditions == CONDITIONS.index("bearing"))
    out[rows] += _blows(rng, t, shaft_hz[rows], 0.5 + 5.0 * severity[rows])

    rows = np.flatnonzero(conditions == CONDITIONS.index("looseness"))
    orders = np.arange(0.5, 10.5, 0.5)
    amplitudes = (
        (0.1 + 1.2 * severity[rows, None])
        * rng.uniform(0.1, 1.0, (len(rows), len(orders)))
        / np.sqrt(orders)
    )
    out[rows] += _harmonics(rng, t, shaft_hz[rows], orders, amplitudes)

    out += rng.normal(0, 1, out.shape) * rng.uniform(0.2, 0.6, (count, 1))
    return out * rng.uniform(0.9, 1.1, (count, 1))  # gains of sensors differ


def _band_edges():
    """Bounds of the bands in FFT bins: geometric, but never less than one bin apart."""
    top = WINDOW_SAMPLES // 2 + 1
    edges = [2]
    for i in range(1, BANDS + 1):
        edges.append(max(edges[-1] + 1, round(2 * (top / 2) ** (i / BANDS))))
    edges[-1] = top
    return np.array(edges)


_EDGES = _band_edges()
_HANN = np.hanning(WINDOW_SAMPLES)


def features(signal):
    """float32[rows, FEATURES] of float64[rows, WINDOW_SAMPLES]."""
    centred = signal - signal.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * _HANN)) ** 2 / (_HANN**2).sum() / WINDOW_SAMPLES
    bands = 10 * np.log10(np.add.reduceat(power, _EDGES[:-1], axis=1) + 1e-12)
    rms = np.sqrt((centred**2).mean(axis=1)) + 1e-9
    peak = np.abs(centred).max(axis=1) + 1e-9
    kurtosis = (centred**4).mean(axis=1) / rms**4
    statistics = np.stack([20 * np.log10(rms), 20 * np.log10(peak), peak / rms, kurtosis], axis=1)
    return np.concatenate([bands, statistics], axis=1).astype(np.float32)


def labelled(rng, count):
    """(features, condition indices) of `count` windows, all conditions equally often."""
    conditions = rng.permutation(np.arange(count) % len(CONDITIONS))
    return features(windows(rng, conditions)), conditions
