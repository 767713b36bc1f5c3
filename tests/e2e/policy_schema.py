#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What edgectl takes as a policy, the published schema takes, and its normal form too; mistakes of shape are found by both. The
policies of examples/ and of the man page are right for both.
"""

import glob
import json
import os
import re
import subprocess
import tempfile

import jsonschema

EDGECTL = os.environ["EDGECTL"]
SOURCE = os.environ["EDGE_SOURCE"]
LEAST = {"name": "r", "release": "app 1.0"}
GATE = {"name": "i", "kind": "install"}

# Members beside LEAST, and whether they are right.
CASES = [
    ({}, True),
    ({"release": {"name": "app", "version": "1.0"}, "selector": "", "stratify": ["arch"]}, True),
    ({"stages": [{"name": "a", "devices": ["d-1"]}, {"name": "b", "percent": 12.5, "soak": "1h"}, {"name": "c", "percent": "100"}]}, True),
    ({"gates": [GATE, {"name": "l", "kind": "lost", "weight": 3, "intolerable_ratio": "2.5"},
                {"name": "m", "kind": "metric", "metric": "t", "worse": "both", "intolerable": 0.5}],
      "evidence": {"alpha": "0.01", "horizon": "2h", "window_s": 60, "unit": "device", "site": "label.site", "holdback_pct": 5}}, True),
    ({"windows": {"download": ["22:00-06:00"]}, "retries": {"max": 2, "codes": ["unreachable"]}, "priority": -3,
      "stepping_stones": ["app 0.9"], "batch": {"on": "notified"}, "timeouts": {"staged": "1h"}, "revert_scope": "activated",
      "byte_budget": {"bytes": 5}, "not_before": "2026-01-01T00:00:00Z", "max_unresolved": 3, "baseline": True}, True),
    ({"gates": None, "evidence": None, "windows": None, "gate": None, "byte_budget": None}, True),
    ({"name": "r s"}, False),
    ({"release": "app"}, False),
    ({"colour": "red"}, False),
    ({"stages": []}, False),
    ({"stages": [{"name": "a"}]}, False),
    ({"stages": [{"name": "a", "percent": 1, "count": 1}]}, False),
    ({"stages": [{"name": "a", "percent": 101}]}, False),
    ({"stages": [{"name": "a", "devices": []}]}, False),
    ({"gates": [{"name": "x", "kind": "revert"}]}, False),
    ({"gates": [{"name": "x", "kind": "revert"}], "evidence": {"sham": False}}, False),
    ({"gates": [{"name": "x", "kind": "revert", "intolerable_ratio": 4}], "evidence": {"sham": True}}, True),
    ({"gates": [{"name": "x", "kind": "lost"}], "evidence": {"sham": True}}, False),
    ({"gates": [{"name": "x", "kind": "metric", "metric": "t"}]}, False),
    ({"gates": [{"name": "x", "kind": "counter"}]}, False),
    ({"gates": [dict(GATE, colour="red")]}, False),
    ({"gates": [GATE], "evidence": {"compared": 3}}, False),
    ({"gates": [GATE], "evidence": {"unit": "site", "site": "place"}}, True),
    ({"gates": [GATE], "evidence": {"unit": "room"}}, False),
    ({"gates": [GATE], "evidence": {"on_max_soak": "hope"}}, False),
    ({"windows": {"install": ["24:00-06:00"]}}, False),
    ({"windows": {"install": [{"start": "00:00", "end": "00:00", "days": ["sat", "sun"]}, "22:00-06:00"]}, "offer_rate": 60}, True),
    ({"windows": {"install": [{"start": "00:00"}]}}, False),
    ({"windows": {"install": [{"start": "00:00", "end": "01:00", "days": []}]}}, False),
    ({"windows": {"install": [{"start": "00:00", "end": "01:00", "days": ["Sat"]}]}}, False),
    ({"offer_rate": -1}, False),
    ({"retries": {"delay_s": 5}}, False),
    ({"priority": 1001}, False),
    ({"revert_rate": -1}, False),
    ({"timeouts": {"offered_s": "soon"}}, False),
    ({"byte_budget": {}}, False),
    ({"until": "tomorrow"}, False),
]


def check(condition, text):
    if not condition:
        raise SystemExit(f"policy_schema.py: {text}")


def run(*argv, text=None):
    return subprocess.run([EDGECTL, *argv], input=text, capture_output=True, text=True, timeout=60, check=False)


def normal_form(path, text=None):
    """None when edgectl refuses it."""
    done = run("rollout", "apply", "--check", "--json", "-f", path, text=text)
    check(done.returncode in (0, 3), f"{path}: exit status {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if done.returncode == 0 else None


def written():
    """(what, document) of the policies in examples/ and of those in the man page, with a release in place of RELEASE."""
    for path in sorted(glob.glob(os.path.join(SOURCE, "examples/policies/*.yaml"))):
        with open(path, encoding="utf-8") as f:
            yield path, f.read().replace("RELEASE", "1.1")
    with open(os.path.join(SOURCE, "man/edgectl-policy.5"), encoding="utf-8") as f:
        page = f.read().replace("\\-", "-")
    for block in re.findall(r"^\.nf\n(name: .*?)^\.fi$", page, re.M | re.S):
        yield "man/edgectl-policy.5", block


def main():
    schema_text = run("rollout", "schema").stdout
    with open(os.path.join(SOURCE, "ctl/policy.schema.json"), encoding="utf-8") as f:
        check(schema_text == f.read(), "edgectl rollout schema prints another schema than the published file")
    validator = jsonschema.Draft202012Validator(json.loads(schema_text))
    validator.check_schema(validator.schema)
    for members, right in CASES:
        document = dict(LEAST, **members)
        form = normal_form("-", json.dumps(document))
        problem = next(validator.iter_errors(document), None)
        check((form is not None) == right, f"edgectl {'refuses' if right else 'takes'} {document}")
        check((problem is None) == right, f"the schema {'refuses' if right else 'takes'} {document}: {problem}")
        if form:
            problem = next(validator.iter_errors(form), None)
            check(problem is None, f"the schema refuses the normal form of {document}: {problem}")
    seen = 0
    with tempfile.TemporaryDirectory() as work:
        for what, text in written():
            path = os.path.join(work, "policy.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            form = normal_form(path)
            check(form is not None, f"edgectl refuses the policy in {what}")
            problem = next(validator.iter_errors(form), None)
            check(problem is None, f"the schema refuses the policy in {what}: {problem}")
            seen += 1
    check(seen >= 2, "no policies in examples/ or in the man page")
    print(f"{len(CASES)} documents, {seen} policies as written: schema and parser agree")


main()
