#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`rollout apply -f` with the keys at hand signs what the controller planned only when it goes nowhere beyond the policy: a controller that was
taken over answers with plans that do, one lie each, and nothing is signed."""

import json

import fleet
from fleet import check
from mandate import OUTSIDE, People
from relay import Relay, body_of, give

LATER, GATES = 'label.site == "a" or label.site == "b"', [{"name": "install", "kind": "install", "baseline_pct": 2, "intolerable_pct": 50}]


class Liar(Relay):
    """In front of the controller: changes the mandate of a plan, and notes what was sent to be applied."""

    def __init__(self, f):
        self.lie, self.applied = honest, []
        super().__init__(f.port)

    def forward(self, request):
        body = body_of(request)
        with self.ask(request, body) as answer:
            data = answer.read()
        if request.path.endswith("/rollouts/plan"):
            document = json.loads(data)
            self.lie(document["mandate"]["signed"], document["plan"])
            data = json.dumps(document).encode()
        elif request.path.endswith("/rollouts") and b"signatures" in body:
            self.applied.append(json.loads(body))
        give(request, answer.status, data, answer.getheaders())


def honest(*_):
    pass


def change(**members):
    return lambda signed, plan: signed.update(members)


def of_stage(number, **members):
    def lie(signed, _):
        stage = signed["stages"][number]
        stage.update(members)
        for name in [name for name, value in stage.items() if value is None]:
            del stage[name]
    return lie


def of_kinds(devices, *bounds, key="{}", **members):
    """Bounds for devices of one kind, said to be so many."""
    def lie(signed, plan):
        width = 16 * len(signed["stages"])
        signed["strata"] = [{"bounds": "".join(bounds).ljust(width, "f"), "key": key}]
        signed.update(members)
        plan["strata"] = [{"bounds": "f" * 16 * len(plan["stages"]), "devices": devices, "key": "{}"}]
        plan["devices"] = devices
    return lie


def said_of(devices):
    return lambda signed, plan: plan.update(devices=devices)


def placed(f, *places):
    """A fleet of which each device says where it is."""
    token = f.edgectl("token", "create", "--enroll", "--uses", str(len(places)), "--expires", "1h").strip()
    for i, place in enumerate(places):
        f.add_device(f"dev-{i:02d}", controller=f.controller(), enroll_token=token, facts={"place": place}).start()
    fleet.wait_for("all devices to be accepted", lambda: f.accepted() == len(places))


def whole_sites_are_signed_for_and_each_device_finds_its_own():
    """What draws sites cannot be signed as something else; signed, it reaches the devices of one site and of no other, which judge by what
    they say of themselves."""
    gates = [{"name": "install", "kind": "install", "baseline_pct": 2, "intolerable_pct": 50}]
    evidence = {"unit": "site", "site": "place", "newcomer_s": 0, "settle_s": 0, "rhythm_s": 1, "max_soak_s": 1, "on_max_soak": "advance"}
    stages = [{"name": "one", "count": 1}, {"name": "all", "percent": 100, "approve": True}]
    policy = {"release": "pair 1.0", "stages": stages, "timeout_s": 120, "gates": gates, "evidence": evidence, "baseline": False}
    places = ("a", "b", "a", "b", "c")
    with People() as f, Liar(f) as liar:
        f.start_server()
        f.publish(f.pair("1.0"))
        placed(f, *places)
        for i, lie in enumerate((change(site="shop"), lambda signed, _: (signed.pop("site"), signed.update(spec_version="1.0")))):
            liar.lie = lie
            told = f.run("rollout", "apply", "-f", f.policy(f"lie-{i}", **policy), "--workspace", f.ws, "--controller", liar.url, status=OUTSIDE)
            check("goes beyond the policy (what it draws)" in told.stderr and not liar.applied, f"{i}: {told.stderr}")
        liar.lie = honest
        path = f.policy("sites", **policy)
        f.run("rollout", "apply", "-f", path, "--workspace", f.ws, "--controller", liar.url)
        fleet.wait_for("the next stage to wait for people", lambda: f.rollout("sites")["stages"][1]["why"]["code"] == "approval")
        got = {place for device, place in zip(f.devices, places) if device.version() == "1.0"}
        missed = {place for device, place in zip(f.devices, places) if device.version() != "1.0"}
        check(len(got) == 1 and not got & missed, f"one site, and all of it: {got}, {missed}")
        f.approve("sites", "--workspace", f.ws)
        fleet.wait_for("all to run it", lambda: all(device.version() == "1.0" for device in f.devices))


def what_goes_beyond_the_policy_is_not_signed():
    with People() as f, Liar(f) as liar:
        f.start_server()
        f.publish(f.pair("1.0"))
        f.add_fleet(1)
        stages = [{"name": "canary", "percent": 1, "soak_s": "1h"}, {"name": "most", "percent": 50, "approve": True, "soak_s": "1h"},
                  {"name": "all", "percent": 100, "approve": True}]
        held = [{"name": "canary", "percent": 1, "soak_s": "1h"}, {"name": "all", "percent": 100, "soak_s": "1h"}]
        counted = {"release": "pair 1.0", "stages": [{"name": "few", "count": 10, "soak_s": "1h"}, held[1]]}
        listed = {"release": "pair 1.0", "stages": [{"name": "named", "devices": ["d1"], "soak_s": "1h"}, *held]}
        behind = {"release": "pair 1.0", "stages": stages, "selector": LATER}
        back = {"release": "pair 1.0", "stages": held, "selector": LATER, "gates": GATES, "evidence": {"holdback_pct": 10}}
        lies = [
            ("selector", behind, change(selector="true")),
            ("selector", behind, change(selector=f"({LATER}) and (arch != \"x\") or (arch != \"y\")")),
            ("selector", behind, change(selector=f"({LATER}) or (true)")),
            ("share", behind, change(newcomer_bounds="f" * 48)),
            # Of a thousand devices the highest rank of ten is not 6 % of the way up, nor the five hundredth 60 %.
            ("share", behind, of_kinds(1000, "10" + "0" * 14)),
            ("share", behind, of_kinds(1000, "03" + "0" * 14, "9a" + "0" * 14)),
            ("share", counted, of_kinds(1000, "10" + "0" * 14)),
            ("share", listed, of_kinds(1000, "00" * 8, "10" + "0" * 14)),
            ("hold-back", back, of_kinds(1000, "03" + "0" * 14, "f" * 16)),
            ("stratum", behind, of_kinds(1000, "0" * 16, key='{"arch":"of another world"}')),
            ("strata", behind, of_kinds(1000, "0" * 16, stratify=["arch"])),
            ("stratum", behind, of_kinds(0, "0" * 16)),
            ("devices", behind, said_of(1000000)),
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
            told = f.run("rollout", "apply", "-f", path, "--workspace", f.ws, "--controller", liar.url, status=OUTSIDE)
            check("goes beyond the policy" in told.stderr and what in told.stderr, f"{i}: {told.stderr}")
            check(not liar.applied, f"{i}: it was signed")
        # What a token's scope narrows, and what is true, is signed: the lies are what is refused.
        for name, policy, lie in (("narrow", behind, change(selector=f"({LATER}) and (arch != \"x\")")), ("held", back, honest),
                                   ("many", behind, of_kinds(1000, "03" + "0" * 14, "82" + "0" * 14))):
            liar.lie, before = lie, len(liar.applied)
            f.run("rollout", "apply", "-f", f.policy(name, **policy), "--workspace", f.ws, "--controller", liar.url, status=None)
            check(len(liar.applied) == before + 1, f"{name} was not signed")


if __name__ == "__main__":
    fleet.alone(what_goes_beyond_the_policy_is_not_signed, whole_sites_are_signed_for_and_each_device_finds_its_own)
