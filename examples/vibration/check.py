#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of the example itself: are the four models what train.py says, and do serve.py and
golden.py keep their word?

    check.py [-v] [TestName…]

Trains into a temporary folder, talks to the programs by their interfaces only, and ends what it
started. The network is computed a second time here, from the bytes of the file, by a reader that
shares no code with the writer.
"""

import contextlib
import filecmp
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
import engine  # noqa: E402
import sensor  # noqa: E402

np = engine.np

HERE = os.path.dirname(os.path.abspath(__file__))
VARIANTS = ("v1", "v2", "bad", "slow")
GOLDEN_TOLERANCE = 1e-4
FORWARD_TOLERANCE = 1e-4
DEADLINE_S = 300  # only a net
# What a policy would bound the metric with: well above a good model on a busy machine, well below
# the slow one.
LATENCY_BOUND_MS = 2.0


class Table:
    """A table of a flatbuffer: fields by number, as the format's specification has it."""

    def __init__(self, data, at):
        self.data, self.at = data, at
        self.vtable = at - struct.unpack_from("<i", data, at)[0]
        self.vtable_size = struct.unpack_from("<H", data, self.vtable)[0]

    def _field(self, number):
        slot = 4 + 2 * number
        offset = (
            struct.unpack_from("<H", self.data, self.vtable + slot)[0]
            if slot < self.vtable_size
            else 0
        )
        return self.at + offset if offset else None

    def number(self, number, form, default=0):
        at = self._field(number)
        return default if at is None else struct.unpack_from(form, self.data, at)[0]

    def table(self, number):
        at = self._field(number)
        return Table(self.data, at + struct.unpack_from("<I", self.data, at)[0])

    def vector(self, number, dtype):
        at = self._field(number)
        if at is None:
            return np.zeros(0, dtype)
        at += struct.unpack_from("<I", self.data, at)[0]
        return np.frombuffer(self.data, dtype, struct.unpack_from("<I", self.data, at)[0], at + 4)

    def tables(self, number):
        offsets = self.vector(number, "<u4")
        first = self._field(number)
        first += struct.unpack_from("<I", self.data, first)[0] + 4
        return [Table(self.data, first + 4 * i + int(offset)) for i, offset in enumerate(offsets)]

    def string(self, number):
        return self.vector(number, "u1").tobytes().decode()


def root(data):
    return Table(data, struct.unpack_from("<I", data, 0)[0])


def forward(data, x):
    """Runs the network that the bytes of a .tflite file describe, in double precision."""
    model = root(data)
    buffers = [b.vector(0, "u1") for b in model.tables(4)]
    codes = [max(c.number(0, "<b"), c.number(3, "<i")) for c in model.tables(1)]
    (subgraph,) = model.tables(2)
    tensors = subgraph.tables(0)

    def constant(index):
        shape = tensors[index].vector(0, "<i4")
        return (
            np.frombuffer(buffers[tensors[index].number(2, "<I")].tobytes(), "<f4")
            .reshape(shape)
            .astype(np.float64)
        )

    values = {int(subgraph.vector(1, "<i4")[0]): np.asarray(x, np.float64)}
    for operator in subgraph.tables(3):
        inputs, (output,) = operator.vector(1, "<i4"), operator.vector(2, "<i4")
        given = values[inputs[0]]
        code = codes[operator.number(0, "<I")]
        if code == 9:
            result = given @ constant(inputs[1]).T + constant(inputs[2])
            if operator.table(4).number(0, "<b") == 1:
                result = np.maximum(result, 0)
        elif code == 25:
            scaled = operator.table(4).number(0, "<f") * given
            result = np.exp(scaled - scaled.max(axis=1, keepdims=True))
            result /= result.sum(axis=1, keepdims=True)
        else:
            raise AssertionError(f"operator {code} was not expected")
        values[output] = result
    return values[subgraph.vector(2, "<i4")[0]]


def train(out, variant, *options):
    command = [os.path.join(HERE, "train.py"), "--out", out, "--variant", variant, *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE_S)


def run_golden(component, scratch, lines):
    """The runner as the agent starts it. Returns the finished process."""
    return subprocess.run(
        [os.path.join(HERE, "golden.py"), component],
        input="".join(line + "\n" for line in lines),
        env={"PATH": "/usr/bin:/bin", "EDGE_SCRATCH": scratch},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


models = tempfile.TemporaryDirectory()


def setUpModule():
    unittest.addModuleCleanup(models.cleanup)
    for variant in VARIANTS:
        train(os.path.join(models.name, variant), variant)


class Example(unittest.TestCase):
    def component(self, variant):
        return os.path.join(models.name, variant)

    def scratch(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        return tmp.name

    def model_bytes(self, variant):
        with open(os.path.join(self.component(variant), "model.tflite"), "rb") as f:
            return f.read()


class Files(Example):
    def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(self):
        again, other = self.scratch(), self.scratch()
        train(again, "v2")
        train(other, "v2", "--seed", "2")
        names = ["model.tflite", "model.json", "golden/00.input.bin", "golden/00.expected.bin"]
        same, _, _ = filecmp.cmpfiles(self.component("v2"), again, names, shallow=False)
        self.assertEqual(same, names)
        same, _, _ = filecmp.cmpfiles(self.component("v2"), other, names, shallow=False)
        self.assertNotIn("model.tflite", same)

    def test_the_file_says_what_it_is(self):
        for variant in VARIANTS:
            data = self.model_bytes(variant)
            model = root(data)
            self.assertEqual(data[4:8], b"TFL3")
            self.assertEqual(model.number(0, "<I"), 3)
            (entry,) = model.tables(6)
            self.assertEqual(entry.string(0), "min_runtime_version")
            text = model.tables(4)[entry.number(1, "<I")].vector(0, "u1").tobytes()
            self.assertEqual(text, b"1.5.0".ljust(16, b"\0"))
            self.assertLess(len(data), 400 * 1024)

    def test_golden_inputs_do_not_change_between_releases(self):
        names = sorted(
            n for n in os.listdir(self.component("v1") + "/golden") if n.endswith(".input.bin")
        )
        self.assertEqual(len(names), 8)
        for variant in VARIANTS[1:]:
            same, _, _ = filecmp.cmpfiles(
                self.component("v1") + "/golden",
                self.component(variant) + "/golden",
                names,
                shallow=False,
            )
            self.assertEqual(same, names)


class Models(Example):
    def test_arm_nn_agrees_with_numpy(self):
        x, _ = sensor.labelled(np.random.default_rng(7), 100)
        for variant in VARIANTS:
            model = engine.Model(self.component(variant))
            got = np.stack([model.run(row)[0] for row in x])
            self.assertLess(
                np.abs(got - forward(self.model_bytes(variant), x)).max(),
                FORWARD_TOLERANCE,
                variant,
            )

    def test_the_retrained_model_is_better(self):
        x, y = sensor.labelled(np.random.default_rng(8), 1000)
        right = {v: (forward(self.model_bytes(v), x).argmax(axis=1) == y).mean() for v in VARIANTS}
        self.assertGreater(right["v1"], 0.85)
        self.assertGreater(right["v2"], right["v1"] + 0.01)
        self.assertEqual(right["slow"], right["v2"])
        self.assertLess(right["bad"], right["v1"])


class Golden(Example):
    def judge(self, variant):
        """What the agent does: (largest difference, latencies in µs)."""
        golden = os.path.join(self.component(variant), "golden")
        inputs = sorted(
            os.path.join(golden, n) for n in os.listdir(golden) if n.endswith(".input.bin")
        )
        done = run_golden(self.component(variant), self.scratch(), inputs)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        answers = [line.split("\t") for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), len(inputs))
        worst = 0.0
        for input_path, (output_path, _) in zip(inputs, answers):
            expected = np.fromfile(input_path.replace(".input.", ".expected."), "<f4")
            got = np.fromfile(output_path, "<f4")
            self.assertEqual(got.shape, expected.shape)
            worst = max(worst, float(np.abs(got - expected).max()))
        return worst, [int(latency_us) for _, latency_us in answers]

    def test_good_models_pass(self):
        for variant in ("v1", "v2", "slow"):
            self.assertLess(self.judge(variant)[0], GOLDEN_TOLERANCE, variant)

    def test_the_bad_export_disagrees_by_far(self):
        self.assertGreater(self.judge("bad")[0], 0.5)

    def test_the_slow_model_is_slow_by_far(self):
        fast, slow = (statistics.median(self.judge(v)[1]) for v in ("v2", "slow"))
        self.assertGreater(slow, 20 * fast)

    def test_an_input_that_cannot_be_run_gets_no_answer(self):
        good = os.path.join(self.component("v1"), "golden", "00.input.bin")
        short = os.path.join(self.scratch(), "short.bin")
        with open(short, "wb") as f:
            f.write(b"\0" * 12)
        for bad, reason in (
            (short, "3 input values"),
            ("/nonexistent", "No such file"),
            ("", "No such file"),
        ):
            done = run_golden(self.component("v1"), self.scratch(), [good, bad, good])
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stdout.splitlines()), 1)
            self.assertIn(reason, done.stderr)

    def test_a_file_that_is_no_model_is_refused(self):
        with open(os.path.join(self.component("v1"), "model.json"), "rb") as f:
            facts = f.read()
        broken = self.scratch()
        with open(os.path.join(broken, "model.json"), "wb") as f:
            f.write(facts)
        with open(os.path.join(broken, "model.tflite"), "wb") as f:
            f.write(self.model_bytes("v1")[:5000])
        done = run_golden(broken, self.scratch(), [])
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("golden.py: loading", done.stderr)


class Serving(Example):
    """One application, started on a link as the agent would move it."""

    def setUp(self):
        self.dir = self.scratch()
        self.current = os.path.join(self.dir, "current")

    def point(self, target):
        os.symlink(target, self.current + ".new")
        os.rename(self.current + ".new", self.current)

    @contextlib.contextmanager
    def serving(self):
        files = {name: os.path.join(self.dir, name) for name in ("port", "pid", "metrics")}
        command = [
            os.path.join(HERE, "serve.py"),
            "--model-dir",
            self.current,
            "--port",
            "0",
            "--rate",
            "20",
        ]
        command += [f"--{name}-file={path}" for name, path in files.items()]
        self.log = os.path.join(self.dir, "log")
        with open(self.log, "wb") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            self.eventually(lambda: os.path.exists(files["pid"]), "the pid file")
            with open(files["pid"], encoding="ascii") as f:
                self.assertEqual(int(f.read()), process.pid)
            with open(files["port"], encoding="ascii") as f:
                self.url = f"http://127.0.0.1:{int(f.read())}"
            yield process
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(DEADLINE_S), 0)
            self.assertEqual([path for path in files.values() if os.path.exists(path)], [])
        finally:
            process.kill()
            process.wait()

    def eventually(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"waited for {what}")
            time.sleep(0.02)

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read().decode()

    def metrics(self):
        rows = (
            line.rsplit(" ", 1)
            for line in self.get("/metrics")[1].splitlines()
            if not line.startswith("#")
        )
        return {name.removeprefix("vibration_"): float(value) for name, value in rows}

    def await_version(self, version):
        self.eventually(
            lambda: f'model_info{{version="{version}"}}' in self.metrics(), f"model {version}"
        )

    def test_the_metrics_are_of_the_new_model_alone_after_a_reload(self):
        self.point(self.component("slow"))
        with self.serving() as process:
            self.await_version("slow")
            # Enough of them that they would still be the 95th percentile if the reload did not
            # forget them.
            self.eventually(lambda: self.metrics()["inferences_total"] >= 10, "ten inferences")
            self.assertGreater(self.metrics()["inference_latency_p95_ms"], LATENCY_BOUND_MS)
            self.point(self.component("v2"))
            process.send_signal(signal.SIGHUP)
            self.await_version("v2")
            # The first inference may have been preempted; a window that still has the slow model's
            # in it stays above the bound until nothing else is left of it.
            begin = self.metrics()["inferences_total"]
            while (seen := self.metrics())["inference_latency_p95_ms"] >= LATENCY_BOUND_MS:
                self.assertLess(seen["inferences_total"], begin + 40)
                time.sleep(0.02)
            self.assertEqual(
                (seen["model_reloads_total"], seen["model_load_failures_total"]), (1, 0)
            )
            self.assertEqual(self.get("/healthz"), (200, "ok\n"))
            with open(os.path.join(self.dir, "metrics"), encoding="utf-8") as f:
                self.assertIn('vibration_model_info{version="v2"} 1\n', f.read())

    def test_a_model_that_does_not_load_leaves_the_old_one_serving(self):
        self.point(self.component("v1"))
        with self.serving() as process:
            self.await_version("v1")
            broken = self.scratch()
            self.point(broken)
            process.send_signal(signal.SIGHUP)
            self.eventually(lambda: self.metrics()["model_load_failures_total"] == 1, "the failure")
            before = self.metrics()["inferences_total"]
            self.eventually(
                lambda: self.metrics()["inferences_total"] > before, "further inferences"
            )
            self.await_version("v1")
            self.assertEqual(self.get("/healthz")[0], 200)
            with open(self.log, encoding="utf-8") as f:
                self.assertIn("model.json", f.read())

    def test_it_waits_for_a_first_model(self):
        with self.serving() as process:
            status, reason = self.get("/healthz")
            self.assertEqual(status, 503)
            self.assertIn("no model", reason)
            self.eventually(lambda: "inferences_total" in self.metrics(), "metrics")
            self.assertNotIn("inference_latency_p95_ms", self.metrics())
            self.point(self.component("v1"))
            process.send_signal(signal.SIGHUP)
            self.await_version("v1")
            self.assertEqual(self.metrics()["model_load_failures_total"], 0)


if __name__ == "__main__":
    unittest.main()
