#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A plan says what a policy would do and changes nothing; applied, it is carried out as it stands: its seed, its bounds, its policy.
Once; not when the fleet became another one; and whoever applied it cannot approve it. The exit status of --wait says how it ended.
"""

import json
import os

import fleet
from fleet import check

USAGE, CONFIG, EXISTS, PERMISSION = 2, 3, 11, 12
DRIFTED, INCONCLUSIVE, PENDING = 38, 39, 122

GATES = [{"name": "install", "kind": "install", "baseline_pct": 2, "weight": 2}, {"name": "lost", "kind": "lost"},
         {"name": "heat", "kind": "metric", "metric": "temperature", "intolerable": 5}]
QUICK = {"newcomer_s": 0, "settle_s": 0, "grace_s": 1, "horizon_s": 2, "window_s": 1, "rhythm_s": 1, "max_soak_s": 2, "reach_pct": 100}
# Nobody is called silent on a busy machine; and without a gate of losses no stage waits for who might fall silent.
UNHURRIED = {**QUICK, "grace_s": 30, "horizon_s": 90, "window_s": 60, "rhythm_s": 60}
STAGES = [{"name": "canary", "count": 2}, {"name": "all", "percent": 100}]


def plan(f, name, status=0, options=(), **more):
    """(path of the plan, the document)"""
    path = f.policy(name, **{"release": "pair 1.0", "stages": STAGES, "timeout_s": 60, **more})
    out = f.path(f"plan-{name}.json")
    f.run("rollout", "plan", "-f", path, "-o", out, *options, status=status)
    if status:
        return out, None
    with open(out, encoding="utf-8") as file:
        return out, json.load(file)


def apply(f, path, *more, status=0, **options):
    return f.run("rollout", "apply", path, *more, status=status, **options)


def names(f):
    return [r["name"] for r in f.json("rollout", "list")["rollouts"]]


def edit(f, path, name, change):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    change(document)
    out = f.path(f"edited-{name}.json")
    with open(out, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return out


def a_plan_says_what_would_happen_and_changes_nothing(f):
    before = f.edgectl("audit", "--json")
    path, made = plan(f, "look", gates=GATES, evidence=QUICK, stratify=["label.kind"], batch={"start": 1})
    p = made["plan"]
    check(p["devices"] == 6 and p["accepted"] == 6, f"all six are selected: {p}")
    check([s["adds"] for s in p["stages"]] == [2, 4], f"two, then the others: {p['stages']}")
    check([s["batches"] for s in p["stages"]] == [2, 1], f"one and one of two, then four: {p['stages']}")
    check(sum(s["devices"] for s in p["strata"]) == 6, f"every device is of a stratum: {p['strata']}")
    check(len(p["pooled"]) == 2, f"two strata of three devices each are pooled, and named: {p['pooled']}")
    check(all(len(s["bounds"]) == 32 for s in p["strata"]), "a bound for each stage")
    check(p["strata"][0]["bounds"][16:] == "f" * 16, "the last stage is everybody")
    check([v["devices"] for v in p["variants"]] == [6] and p["variants"][0]["bytes"] > 0, f"one variant fits all: {p['variants']}")
    check(p["stages"][0]["bytes"] == 2 * p["variants"][0]["bytes"], f"a bundle for each of two: {p['stages'][0]}")
    check([g["name"] for g in p["gates"]] == ["install", "lost", "heat"], f"its gates: {p['gates']}")
    check([g["weight_pct"] for g in p["gates"]] == ["50", "25", "25"], f"and their weights: {p['gates']}")
    canary = {g["name"]: g for g in p["stages"][0]["gates"]}
    check("too small to see anything" in canary["heat"]["text"] and canary["heat"]["sees"] is None, f"two devices show nothing: {canary}")
    check([x["failing_pct"] for x in p["exposure"]] == ["1", "5", "20"], f"exposure: {p['exposure']}")
    check(p["calls"]["devices"] == 6 and p["installs"]["rollouts"] == 0, f"what is known of the past: {p['calls']} {p['installs']}")
    check(made["policy"]["name"] == "look" and made["policy"]["gates"][0]["name"] == "install", "the policy is in it")
    check(made["mandate"] is None and "labels" in made["mandate_why"], f"what stratifies by labels cannot be signed: {made['mandate_why']}")
    _, plain = plan(f, "plain", gates=GATES, evidence=QUICK)
    check(not plain["mandate"]["signatures"] and plain["mandate"]["signed"]["seed"] == plain["plan"]["seed"], "and what may be signed")
    check(names(f) == [], "no rollout was started")
    check(before == f.edgectl("audit", "--json"), "and nothing else happened")
    said = f.edgectl("rollout", "plan", "-f", f.path("policy-look.json"))
    for words in ("look: pair 1.0 to 6 of 6 devices", "stage canary: 2 devices", "too small to see anything", "pooled", "once signed: whoever steals the controller", "a release that fails on 20 %"):
        check(words in said, f"people are told {words!r}: {said}")
    _, early = plan(f, "early", release="pair 9.9", gates=GATES, evidence=QUICK)
    check(early["mandate"] is None and "not published" in early["mandate_why"], f"what is signed names bundles: {early['mandate_why']}")
    check(early["plan"]["nothing"][0]["code"] == "release_missing" and early["plan"]["stages"][1]["gates"][0]["n"] == 6,
          f"a release that is yet to come can be planned: {early['plan']['nothing']}")
    again = f.json("rollout", "plan", "-f", f.path("policy-look.json"))
    check(again["plan"]["seed"] != p["seed"], "each plan draws anew")
    check(path == f.path("plan-look.json"), "where it was asked for")


def whole_sites_are_planned_and_none_is_cut_through(f):
    by_site = lambda fact: {**QUICK, "unit": "site", "site": fact}
    stages = [{"name": "one", "count": 1}, {"name": "all", "percent": 100}]
    _, made = plan(f, "sites", gates=GATES, evidence=by_site("label.kind"), stages=stages)
    p = made["plan"]
    check([(s["units"], s["adds"]) for s in p["stages"]] == [(1, 3), (1, 3)], f"one site, and the devices of it: {p['stages']}")
    check(p["sites"] == {"units": 2, "sites": 2, "alone": 0, "largest": 3, "text": ""}, f"{p['sites']}")
    check(p["stages"][0]["gates"][0]["of"] == "sites" and p["stages"][1]["gates"][0]["n"] == 2, f"sites are what gates see: {p['stages']}")
    check(made["mandate"] is None and "sites by label.kind" in made["mandate_why"], f"devices do not know their labels: {made['mandate_why']}")
    said = f.edgectl("rollout", "plan", "-f", f.path("policy-sites.json"))
    for words in ("whole sites are drawn and counted: 2, of at most 3 devices", "stage one: 3 devices of 1 site,"):
        check(words in said, f"people are told {words!r}: {said}")
    for fact, stratify, words in (("sensor.unit", [], "of one site by sensor.unit"), ("label.none", [], "no device of the selector has it"),
                                  ("label.kind", ["hostname"], None), ("label.kind", ["label.line"], "1 site is of devices of several strata (a)")):
        if stratify == ["label.line"]:
            f.edgectl("device", "label", "dev-00", "line=x")
        path = f.policy("cut", release="pair 1.0", stages=stages, gates=GATES, evidence=by_site(fact), stratify=stratify)
        told = f.run("rollout", "plan", "-f", path, status=CONFIG if words else 0)
        check(not words or words in told.stderr, f"{fact} {stratify}: {told.stderr}")
        told = f.run("rollout", "apply", "-f", path, status=CONFIG) if words else None
        check(not words or words in told.stderr, f"nor is it begun without a plan: {told and told.stderr}")
    check(names(f) == [], "none was")


def who_gets_nothing_is_said(f):
    f.edgectl("device", "hold", "dev-00")
    _, made = plan(f, "nothing", selector='label.kind == "a"')
    reasons = {n["code"]: n["devices"] for n in made["plan"]["nothing"]}
    f.edgectl("device", "hold", "dev-00", "--off")
    check(made["plan"]["devices"] == 3 and made["plan"]["accepted"] == 6, f"three of six are of kind a: {made['plan']['devices']}")
    check(reasons == {"held": 1}, f"one of them is held: {reasons}")
    token = f.edgectl("token", "create", "--name", "half", "--role", "deployer", "--selector", 'label.kind == "b"').split()[-1]
    made = json.loads(f.edgectl("rollout", "plan", "-f", f.path("policy-nothing.json"), "--json", env={"EDGECTL_TOKEN": token}))
    check(made["plan"]["devices"] == 0 and made["plan"]["accepted"] == 3, f"and of a token's devices no other is counted: {made['plan']}")
    signed = made["mandate"]["signed"]
    check(signed["selector"] == '(label.kind == "a") and (label.kind == "b")', f"what is signed has both: {signed['selector']}")


def what_is_wrong_is_refused(f):
    path, _ = plan(f, "wrong")
    def bounds(document):
        document["plan"]["strata"][0]["bounds"] = "0" * 31
    def falling(document):
        document["plan"]["strata"][0]["bounds"] = "f" * 16 + "0" * 16
    def name(document):
        document["plan"]["rollout"] = "other"
    def seed(document):
        document["plan"]["seed"] = "00"
    def twice(document):
        document["plan"]["strata"].append(document["plan"]["strata"][0])
    for change in (bounds, falling, name, seed, twice):
        done = apply(f, edit(f, path, change.__name__, change), status=CONFIG)
        check("plan" in done.stderr, f"{change.__name__}: {done.stderr}")
    done = apply(f, f.path("policy-wrong.json"), status=CONFIG)
    check("-f" in done.stderr, f"a policy is no plan: {done.stderr}")
    apply(f, path, "-f", f.path("policy-wrong.json"), status=USAGE)
    f.run("rollout", "apply", "-f", f.path("policy-wrong.json"), "--drift", "5", status=USAGE)
    f.run("rollout", "apply", status=USAGE)
    check(names(f) == [], f"none of them was started: {names(f)}")


def a_plan_is_carried_out_as_it_stands(f):
    path, made = plan(f, "first", stratify=["label.kind"])
    apply(f, path, "--wait", "--timeout", "120s")
    status = f.rollout("first")
    check(status["state"] == "finished", f"done: {status}")
    check([s["planned"] for s in status["stages"]] == [s["adds"] for s in made["plan"]["stages"]], f"as planned: {status['stages']}")
    apply(f, path)  # again is the same
    other, _ = plan(f, "first", stratify=["label.kind"])
    done = apply(f, other, status=EXISTS)
    check("another plan" in done.stderr, f"another draw of the same policy is another plan: {done.stderr}")
    check(names(f) == ["first"], f"one rollout: {names(f)}")
    _, later = plan(f, "later")
    nothing = {n["code"]: n["devices"] for n in later["plan"]["nothing"]}
    check(nothing == {"up_to_date": 6}, f"they have it now: {nothing}")
    check(later["plan"]["variants"][0]["had"] == 6 and later["plan"]["stages"][0]["bytes"] == 0, f"and nothing is to be fetched: {later['plan']}")
    check(later["plan"]["installs"]["good"] == 6 and later["plan"]["installs"]["bad"] == 0, f"what was learned: {later['plan']['installs']}")


# Two of six would fail: by the name of their directory, which a runner finds in its environment.
RUNNERS = {"look": {"argv": ["/bin/sh", "-c", "case $EDGE_GENERATION in */dev-00/*|*/dev-01/*) echo no lens; exit 1;; esac"]}}


def what_the_fleet_says_of_a_releases_own_probes(f):
    def exec_probe(name, **more):
        return {"component": "app", "kind": "exec", "name": name, "phase": "after", "runner": "look", "failures": 2, "interval_s": 1, **more}
    with open(f.path("probes.json"), "w", encoding="utf-8") as file:
        json.dump([exec_probe("lens"), exec_probe("new-file", args=["{component}/new"]), exec_probe("file", args=["{component}/version"]),
                   {"component": "model", "kind": "golden", "name": "numbers", "phase": "after", "runner": "look", "element": "text",
                    "cases": [{"input": "version", "expected": "version"}]}], file)
    f.publish(f.pair("2.0", "--probes", f.path("probes.json")))
    before = [(d.version(), os.listdir(os.path.join(d.state, "generations"))) for d in f.devices]
    started = names(f)
    tasks = [d["update"] for d in f.json("device", "list")["devices"]]
    plan(f, "usage", release="pair 2.0", options=["--sample", "3"], status=USAGE)
    _, made = plan(f, "dry", release="pair 2.0", stratify=["label.kind"], options=["--dry-probes", "--wait", "10m"])
    check(made["plan"]["calls"]["known"] == 6, f"how long each is silent is known by now: {made['plan']['calls']}")
    check(made["plan"]["expected"]["silent"] == 0, f"all can be expected: {made['plan']['expected']}")
    dry = made["plan"]["dry_probes"]
    check((dry["sample"], dry["asked"], dry["answered"], dry["judged"]) == (6, 6, 6, 6), f"all answered: {dry}")
    check(dry["would_fail"] == 2 and dry["would_fail_pct"] == "33.3333", f"two would fail: {dry}")
    check((dry["lower_pct"], dry["upper_pct"]) == ("4.3271", "77.7222"), f"the exact interval of 2 of 6: {dry}")
    probes = {p["name"]: (p["passed"], p["failed"], p["not_runnable"]) for p in dry["probes"]}
    check(probes == {"lens": (4, 2, 0), "file": (4, 2, 0), "new-file": (0, 0, 6), "numbers": (0, 0, 6)}, f"by probe: {probes}")
    check({p["name"]: p["codes"] for p in dry["probes"]}["lens"] == {"probe_failed": 2}, f"and code: {dry['probes']}")
    check([(s["key"], s["judged"], s["would_fail"]) for s in dry["strata"]] == [('{"label.kind":"a"}', 3, 1), ('{"label.kind":"b"}', 3, 1)],
          f"by stratum: {dry['strata']}")
    after = [(d.version(), os.listdir(os.path.join(d.state, "generations"))) for d in f.devices]
    check(before == after, f"nothing changed on any device: {before} {after}")
    check(tasks == [d["update"] for d in f.json("device", "list")["devices"]], "nor what it counts as at the controller")
    f.devices[5].kill()
    said = f.edgectl("rollout", "plan", "-f", f.path("policy-dry.json"), "--dry-probes", "--sample", "6", "--wait", "1s")
    check("dry probes: " in said and "that were chosen did not" in said, f"who is away is not waited for: {said}")
    f.devices[5].start()
    path, _ = plan(f, "few", release="pair 2.0", options=["--dry-probes", "--sample", "1"])
    with open(path, encoding="utf-8") as file:
        check(json.load(file)["plan"]["dry_probes"]["sample"] == 1, "of so many as were asked for")
    check(names(f) == started, f"no rollout was started: {names(f)}")


def who_applied_does_not_approve(f):
    stages = [{"name": "one", "count": 1, "approve": True}, {"name": "all", "percent": 100}]
    path = f.policy("asked", release="pair 1.1", stages=stages, timeout_s=60)
    f.edgectl("rollout", "plan", "-f", path, "-o", f.path("asked.json"))
    apply(f, f.path("asked.json"), "--wait", "--timeout", "1s", status=PENDING)
    done = f.run("rollout", "approve", "asked", status=PERMISSION)
    check("another person" in done.stderr, f"and is told why: {done.stderr}")
    f.approve("asked")
    f.edgectl("rollout", "watch", "asked", "--timeout", "120s")


def a_fleet_that_became_another_one_is_planned_anew(f):
    path, _ = plan(f, "drift", stratify=["label.kind"])
    f.edgectl("device", "label", "dev-05", "kind=c")
    done = apply(f, path, status=DRIFTED)
    check("plan anew" in done.stderr and "2 of them" in done.stderr, f"one left a stratum and came to another: {done.stderr}")
    check("drift" not in names(f), "it was not started")
    apply(f, path, "--drift", "33", status=DRIFTED)
    apply(f, path, "--drift", "34", "--wait", "--timeout", "60s")
    f.edgectl("device", "label", "dev-05", "kind=b")


def a_rollout_without_a_verdict_ends_with_a_status_of_its_own(f):
    path, _ = plan(f, "unsure", release="pair 1.2", gates=[gate for gate in GATES if gate["kind"] != "lost"], evidence=UNHURRIED)
    done = apply(f, path, "--wait", "--timeout", "120s", status=INCONCLUSIVE)
    check("inconclusive" in done.stderr, f"and why: {done.stderr}")
    status = f.rollout("unsure")
    check(status["state"] == "paused" and status["stage"] == "canary", f"it was paused at its first stage: {status}")
    check(sum(s["offered"] for s in status["stages"]) <= 2, f"nobody else was reached: {status['stages']}")
    f.edgectl("rollout", "watch", "unsure", "--timeout", "60s", status=INCONCLUSIVE)
    f.edgectl("rollout", "abort", "unsure")


def the_example_holds_back_until_there_is_evidence(f):
    with open(os.path.join(fleet.SOURCE, "examples/policies/evidence.yaml"), encoding="utf-8") as file:
        text = file.read().replace("RELEASE", "3.0")
    policy, path = f.path("evidence.yaml"), f.path("evidence.plan")
    with open(policy, "w", encoding="utf-8") as file:
        file.write(text)
    f.publish(f.bundle("vibration", "3.0", {"app": f.component("vibration", {"version": "3.0"})}))
    said = f.edgectl("rollout", "plan", "-f", policy, "-o", path)
    check("6 of 6 devices" in said and "gate confidence" in said, f"it is planned: {said}")
    apply(f, path)
    def canaries():
        return f.rollout("vibration-3.0")["stages"][0]["committed"] == 2
    fleet.wait_for("the canaries to commit", canaries)
    stages = f.rollout("vibration-3.0")["stages"]
    check([s["offered"] for s in stages[1:]] == [0, 0, 0], f"and nobody else before there is evidence: {stages}")
    f.edgectl("rollout", "abort", "vibration-3.0")


def test(f):
    f.start_server()
    f.add_fleet(6, facts={"sensor.unit": "m/s2", "hw.line": "line-1"}, runners=RUNNERS)
    for i in range(6):
        f.edgectl("device", "label", f"dev-{i:02d}", f"kind={'ab'[i % 2]}")
    for version in ("1.0", "1.1", "1.2"):
        f.publish(f.pair(version))
    fleet.each(f, a_plan_says_what_would_happen_and_changes_nothing, whole_sites_are_planned_and_none_is_cut_through, who_gets_nothing_is_said, what_is_wrong_is_refused,
               a_plan_is_carried_out_as_it_stands, who_applied_does_not_approve, a_rollout_without_a_verdict_ends_with_a_status_of_its_own,
               the_example_holds_back_until_there_is_evidence, a_fleet_that_became_another_one_is_planned_anew,
               what_the_fleet_says_of_a_releases_own_probes)


fleet.main(test)
