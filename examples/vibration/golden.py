#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A golden runner: runs inputs through the model of a component directory, on the runtime that the
application uses.

    EDGE_SCRATCH=DIR golden.py MODEL_DIR

It speaks the protocol of golden runners, one line each way for one input:

    agent    INPUT-PATH \\n                   a file of float32 little-endian values
    runner   OUTPUT-PATH \\t LATENCY-US \\n   such a file below EDGE_SCRATCH (else TMPDIR)
    agent    closes stdin                    the runner exits with 0

The agent does the judging: it compares the outputs with the expected ones, and latency and memory
with their budgets. What cannot be run is a sentence on stderr and exit status 1; a line once
answered is an inference that really took place.
"""

import os
import sys

sys.dont_write_bytecode = True
# stdout belongs to the protocol. Whatever a library prints goes to stderr, also when that is C++.
answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
os.dup2(2, 1)

import engine  # noqa: E402

np = engine.np


def answer(model, input_path, output_path):
    """Runs one input, writes its outputs, returns the latency in µs."""
    outputs, latency_us = model.run(np.fromfile(input_path, "<f4"))
    outputs.astype("<f4").tofile(output_path)
    return latency_us


def main():
    if len(sys.argv) != 2:
        sys.exit("golden.py: usage: golden.py MODEL_DIR, input paths on stdin")
    scratch = os.environ.get("EDGE_SCRATCH") or os.environ.get("TMPDIR")
    if not scratch:
        sys.exit("golden.py: no directory for outputs: set EDGE_SCRATCH")
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    try:
        model = engine.Model(sys.argv[1])
        # The first inference of a process pays for pages and caches once; the service does not pay
        # it again either.
        model.run(np.zeros(model.facts["features"], np.float32))
        for number, line in enumerate(sys.stdin):
            output_path = os.path.join(scratch, f"{number:04}.output.bin")
            latency_us = answer(model, line.rstrip("\n"), output_path)
            print(f"{output_path}\t{latency_us}", file=answers, flush=True)
    except (engine.ModelError, OSError, ValueError) as e:
        sys.exit(f"golden.py: {e}")


if __name__ == "__main__":
    main()
