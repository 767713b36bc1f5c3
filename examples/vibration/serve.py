#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The inference application of the example: watches a machine by its vibration, with whatever model
is current.

    serve.py --model-dir STATE_DIR/current/detector --port 0 --port-file PORT --pid-file PID

It knows nothing of the agent but the path. It reads the model once, opens the path again when
SIGHUP says that there may be another, and keeps serving with the model it has if the new one cannot
be used. SIGTERM ends it. Signals are taken between two inferences, so that none is ever cut short.

    GET /metrics    Prometheus text; --metrics-file has the same, replaced whole by each inference
    GET /healthz    200 while inferences take place, else 503 and the reason

Latency and confidence are of the last WINDOW inferences, and of the model in use alone: a reload
starts them anew. They are absent while there are none, as a 0 would look like a very fast model.

Sensor windows are made here (see sensor.py), a fixed stock of them in turn, because what is shown
is the life of a model, not data acquisition.
"""

import signal
import sys

# Before the slow imports: a reload asked for while we start is then pending instead of fatal.
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
sys.dont_write_bytecode = True

import argparse  # noqa: E402
import collections  # noqa: E402
import http.server  # noqa: E402
import os  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

import engine  # noqa: E402
import sensor  # noqa: E402

np = engine.np

WINDOW = 60
STOCK = 64
STALE_PERIODS = 10
CLIENT_TIMEOUT_S = 5


def write_file(path, text):
    """Readers see the old text or the new one. No fsync: these files describe a running process."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".new", path)


def sample(name, value, **labels):
    """One line of Prometheus text. Counts in full, measurements to six digits."""
    escapes = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    inner = ",".join(f'{key}="{text.translate(escapes)}"' for key, text in labels.items())
    number = f"{value:d}" if isinstance(value, int) else f"{value:.6g}"
    return f"vibration_{name}{{{inner}}} {number}\n" if inner else f"vibration_{name} {number}\n"


def row(name, kind, text, value, **labels):
    """A metric that has one sample."""
    yield f"# HELP vibration_{name} {text}\n# TYPE vibration_{name} {kind}\n"
    yield sample(name, value, **labels)


class Metrics:
    """What is measured. The serving thread alone writes; others read `text`, replaced whole."""

    def __init__(self):
        self.inferences = 0
        self.reloads = 0
        self.load_failures = 0
        self.detections = dict.fromkeys(sensor.CONDITIONS, 0)
        self.version = None
        self.text = ""
        self.start_model(None)

    def start_model(self, version):
        self.version = version
        self.latencies_ms = collections.deque(maxlen=WINDOW)
        self.confidences = collections.deque(maxlen=WINDOW)

    def add(self, label, confidence, latency_us):
        self.inferences += 1
        self.detections[label] = self.detections.get(label, 0) + 1
        self.latencies_ms.append(latency_us / 1000)
        self.confidences.append(confidence)

    def publish(self, path):
        self.text = "".join(self._rows())
        if path:
            write_file(path, self.text)

    def _rows(self):
        if self.version is not None:
            yield from row("model_info", "gauge", "The model in use.", 1, version=self.version)
        if self.latencies_ms:
            # "lower": among few samples, one that was preempted is not a percentile.
            p95 = float(np.percentile(self.latencies_ms, 95, method="lower"))
            mean = sum(self.confidences) / len(self.confidences)
            what = f"of the last {WINDOW} inferences."
            yield from row("inference_latency_p95_ms", "gauge", f"95th percentile {what}", p95)
            yield from row("confidence_mean", "gauge", f"Mean top probability {what}", mean)
        for name, text, count in (
            ("inferences_total", "Inferences since the start.", self.inferences),
            ("model_reloads_total", "Models used after the first.", self.reloads),
            ("model_load_failures_total", "Models that could not be used.", self.load_failures),
        ):
            yield from row(name, "counter", text, count)
        yield "# HELP vibration_detections_total Windows judged to be of a condition.\n"
        yield "# TYPE vibration_detections_total counter\n"
        for label, count in self.detections.items():
            yield sample("detections_total", count, condition=label)


class Service:
    def __init__(self, args):
        self.args = args
        self.metrics = Metrics()
        self.model = None
        self.why_no_model = "starting"
        self.last_inference_s = None
        self.stock = self._make_stock()
        self.turn = 0

    def _make_stock(self):
        rng = np.random.default_rng(self.args.seed)
        if self.args.machine == "mixed":
            conditions = rng.integers(0, len(sensor.CONDITIONS), STOCK)
        else:
            conditions = np.full(STOCK, sensor.CONDITIONS.index(self.args.machine))
        return sensor.features(sensor.windows(rng, conditions))

    def load(self):
        """Puts the model that is current now into use; keeps the one in use if that fails."""
        try:
            model = engine.Model(self.args.model_dir)
            # Fails here rather than in service, and pays for pages and caches outside of the
            # latencies.
            model.run(self.stock[0])
        except engine.ModelError as e:
            self.why_no_model = str(e)
            if self.model is None and not os.path.isdir(self.args.model_dir):
                print(
                    f"serve.py: no model at {self.args.model_dir}, SIGHUP when there is one",
                    file=sys.stderr,
                )
                return
            self.metrics.load_failures += 1
            print(f"serve.py: {e}", file=sys.stderr)
            return
        if self.model is not None:
            self.model.close()
            self.metrics.reloads += 1
        self.model = model
        self.metrics.start_model(model.facts["version"])

    def infer(self):
        if self.model is None:
            return
        features = self.stock[self.turn % STOCK]
        self.turn += 1
        outputs, latency_us = self.model.run(features)
        top = int(outputs.argmax())
        self.metrics.add(self.model.facts["labels"][top], float(outputs[top]), latency_us)
        self.last_inference_s = time.monotonic()

    def health(self):
        """(status, sentence), for other threads."""
        if self.model is None:
            return 503, f"no model: {self.why_no_model}"
        last_s = self.last_inference_s
        if last_s is None or time.monotonic() - last_s > STALE_PERIODS / self.args.rate:
            return 503, "no inference lately"
        return 200, "ok"

    def run(self):
        period_s = 1 / self.args.rate
        self.load()
        next_s = time.monotonic()
        while True:
            self.infer()
            self.metrics.publish(self.args.metrics_file)
            # Windows that are due while an inference is late are lost, as they would be to a sensor
            # with no queue.
            next_s = max(next_s + period_s, time.monotonic())
            taken = signal.sigtimedwait(SIGNALS, max(0.0, next_s - time.monotonic()))
            if taken is None:
                continue
            if taken.si_signo != signal.SIGHUP:
                return
            self.load()
            next_s = time.monotonic()


def make_handler(service):
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = CLIENT_TIMEOUT_S

        def do_GET(self):
            if self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", service.metrics.text)
            elif self.path == "/healthz":
                status, sentence = service.health()
                self._answer(status, "text/plain; charset=utf-8", sentence + "\n")
            else:
                self._answer(404, "text/plain; charset=utf-8", "there are /metrics and /healthz\n")

        def _answer(self, status, kind, text):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def listen(service, args):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", args.port), make_handler(service))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    print(f"serve.py: metrics at http://127.0.0.1:{port}/metrics", file=sys.stderr)
    if args.port_file:
        write_file(args.port_file, f"{port}\n")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Serve the current vibration model on a stream of sensor windows."
    )
    parser.add_argument(
        "--model-dir",
        required=True,
        metavar="DIR",
        help="the component, e.g. STATE_DIR/current/detector",
    )
    parser.add_argument(
        "--port", type=int, help="serve HTTP on this port of 127.0.0.1; 0 picks one"
    )
    parser.add_argument("--port-file", metavar="FILE", help="write the port into FILE")
    parser.add_argument(
        "--metrics-file", metavar="FILE", help="write the metrics into FILE after each inference"
    )
    parser.add_argument(
        "--pid-file", metavar="FILE", help="write the process id into FILE when signals are safe"
    )
    parser.add_argument(
        "--rate", type=float, default=3.0, metavar="N", help="sensor windows per second (default 3)"
    )
    parser.add_argument(
        "--machine",
        choices=(*sensor.CONDITIONS, "mixed"),
        default="mixed",
        help="what the sensor is on",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sensor windows")
    args = parser.parse_args()
    if args.port is None and not args.metrics_file:
        parser.error("nobody could see the metrics: give --port, --metrics-file or both")
    if not 0.01 <= args.rate <= 1000:
        parser.error("--rate is between 0.01 and 1000")
    return args


def main():
    args = parse_arguments()
    try:
        service = Service(args)
        if args.port is not None:
            listen(service, args)
        if args.pid_file:
            write_file(args.pid_file, f"{os.getpid()}\n")
        service.run()
    except (OSError, engine.ModelError) as e:
        sys.exit(f"serve.py: {e}")
    finally:
        # Figures and a process id that outlive the process would be believed.
        for path in (args.metrics_file, args.port_file, args.pid_file):
            if path and os.path.exists(path):
                os.unlink(path)


if __name__ == "__main__":
    main()
