#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the quickstart shows of the fleet, read from the programs' --json as your own scripts would.

    fleet.py versions CONFIG…    what each device runs, as its own agent says
    fleet.py reasons RELEASE     why each device runs what it runs, as the controller says
"""

import collections
import json
import subprocess
import sys


def ask(*argv):
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def versions(configs):
    count = collections.Counter()
    for config in configs:
        status = ask("edge-agent", "status", "--config", config, "--json")
        count[status["components"].get("detector", {}).get("version", "nothing")] += 1
    print(", ".join(f"{n} devices run {version}" for version, n in sorted(count.items())))


def reason(why, release):
    update, failure = why["update"] or {}, why["last_failure"] or {}
    controller = why["controller"]["text"]
    if update.get("release", {}).get("version") != release:
        return f"was not offered {release}; {controller}"
    if failure.get("rollout") == update["rollout"]:
        return f"{failure['event']} {release} {failure['text']}"
    return f"{update['state']} {release}; {controller}"


def reasons(release):
    for device in ask("edgectl", "device", "list", "--json")["devices"]:
        why = ask("edgectl", "device", "why", device["id"], "--json")
        running = device["components"].get("detector", {}).get("version", "nothing")
        print(f"{device['id']}  runs {running}: {reason(why, release)}")


if sys.argv[1:2] == ["versions"]:
    versions(sys.argv[2:])
elif sys.argv[1:2] == ["reasons"] and len(sys.argv) == 3:
    reasons(sys.argv[2])
else:
    sys.exit(__doc__)
