#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`rollout apply -f` with the keys at hand signs what the controller planned only when it goes nowhere beyond the policy: a controller that was
taken over answers with plans that do, one lie each, and nothing is signed."""

import contextlib
import http.client
import http.server
import json
import threading

import fleet
from fleet import check
from mandate import OUTSIDE, People

LATER, GATES = 'label.site == "a" or label.site == "b"', [{"name": "install", "kind": "install", "baseline_pct": 2, "intolerable_pct": 50}]


class Liar(contextlib.AbstractContextManager):
    """In front of the controller: changes the mandate of a plan, and notes what was sent to be applied."""

    def __init__(self, f):
        self.lie, self.applied = lambda signed: None, []
        liar = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                to = http.client.HTTPConnection("127.0.0.1", f.port, timeout=fleet.PATIENCE_S)
                to.request(self.command, self.path, body=body or None,
                           headers={k: v for k, v in self.headers.items() if k.lower() in ("authorization", "content-type", "accept")})
                answer = to.getresponse()
                data = answer.read()
                to.close()
                if self.path.endswith("/rollouts/plan"):
                    document = json.loads(data)
                    liar.lie(document["mandate"]["signed"])
                    data = json.dumps(document).encode()
                elif self.path.endswith("/rollouts") and b"signatures" in body:
                    liar.applied.append(json.loads(body))
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = forward

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def change(**members):
    return lambda signed: signed.update(members)


def of_stage(number, **members):
    def lie(signed):
        stage = signed["stages"][number]
        stage.update(members)
        for name in [name for name, value in stage.items() if value is None]:
            del stage[name]
    return lie


def what_goes_beyond_the_policy_is_not_signed():
    with People() as f, Liar(f) as liar:
        f.start_server()
        f.publish(f.pair("1.0"))
        f.add_fleet(1)
        stages = [{"name": "canary", "percent": 1, "soak_s": "1h"}, {"name": "most", "percent": 50, "approve": True, "soak_s": "1h"},
                  {"name": "all", "percent": 100, "approve": True}]
        held = [{"name": "canary", "percent": 1, "soak_s": "1h"}, {"name": "all", "percent": 100, "soak_s": "1h"}]
        behind = {"release": "pair 1.0", "stages": stages, "selector": LATER}
        back = {"release": "pair 1.0", "stages": held, "selector": LATER, "gates": GATES, "evidence": {"holdback_pct": 10}}
        lies = [
            ("selector", behind, change(selector="true")),
            ("selector", behind, change(selector=f"({LATER}) and (arch != \"x\") or (arch != \"y\")")),
            ("selector", behind, change(selector=f"({LATER}) or (true)")),
            ("share", behind, change(newcomer_bounds="f" * 48)),
            ("approval", behind, of_stage(2, approve=None)),
            ("approval", behind, of_stage(1, approve=None)),
            ("approval", behind, change(signed_stages=2)),
            ("soak", behind, of_stage(1, not_before="2020-01-01T00:00:00Z")),
            ("soak", back, of_stage(2, not_before=None, steps=None)),
            ("stages", back, of_stage(2, name="another")),
        ]
        for i, (what, policy, lie) in enumerate(lies):
            liar.lie = lie
            path = f.policy(f"lie-{i}", **policy)
            told = f.run("rollout", "apply", "-f", path, "--workspace", f.ws, "--controller", f"http://127.0.0.1:{liar.server.server_address[1]}",
                         status=OUTSIDE)
            check("goes beyond the policy" in told.stderr and what in told.stderr, f"{i}: {told.stderr}")
            check(not liar.applied, f"{i}: it was signed")
        # What a token's scope narrows, and what is true, is signed: the lies are what is refused.
        for name, policy, lie in (("narrow", behind, change(selector=f"({LATER}) and (arch != \"x\")")), ("held", back, lambda signed: None)):
            liar.lie, before = lie, len(liar.applied)
            f.run("rollout", "apply", "-f", f.policy(name, **policy), "--workspace", f.ws, "--controller",
                  f"http://127.0.0.1:{liar.server.server_address[1]}", status=None)
            check(len(liar.applied) == before + 1, f"{name} was not signed")


if __name__ == "__main__":
    fleet.alone(what_goes_beyond_the_policy_is_not_signed)
