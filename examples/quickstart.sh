#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The whole job on one machine: a controller, 20 devices (each a real edge-agent with a real inference application), four releases of
# a model and its firmware. Two of them are bad, each in its own way, and the fleet gets rid of them by itself.
#
#   examples/quickstart.sh                 builds, runs, cleans up; leaves nothing running
#   DEVICES=5 examples/quickstart.sh       with another number of devices
#   KEEP=1 examples/quickstart.sh          keeps the working folder to look at
#   PROGRAMS=DIR examples/quickstart.sh    takes the programs in DIR and builds and installs nothing
set -euo pipefail
cd "$(dirname "$0")/.."

DEVICES=${DEVICES:-20}
BUILD=${BUILD:-build/quickstart}
PIDS=()
WORK=

say()  { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '  %s\n' "$*"; }

# until_true WHAT COMMAND…: waits for it, on a machine of any speed; the limit is only against hanging.
until_true() {
    local what=$1 end=$((SECONDS + 300))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { printf 'quickstart: waited 300 s for %s\n' "$what" >&2; return 1; }
        sleep 0.1
    done
}

finish() {
    local status=$?
    trap - EXIT INT TERM
    [ ${#PIDS[@]} -eq 0 ] || kill "${PIDS[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    if [ -n "$WORK" ] && [ -z "${KEEP:-}" ]; then
        chmod -R u+w "$WORK" && rm -rf "$WORK"
    elif [ -n "$WORK" ]; then
        note "kept: $WORK"
    fi
    [ "$status" -eq 0 ] || printf '\nquickstart: failed (exit status %s)\n' "$status" >&2
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

build() {
    if [ -n "${PROGRAMS:-}" ]; then
        PATH="$(cd "$PROGRAMS" && pwd):$PATH"
        return
    fi
    say "Packages and programs"
    tests/deps.sh build example
    local log
    log=$(mktemp)
    if ! { cmake --preset release -DEDGE_TESTS=OFF -B "$BUILD" &&
        cmake --build "$BUILD" --target edgectl edge-agent edge-agent-worker; } >"$log" 2>&1; then
        tail -40 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    PATH="$(cd "$BUILD/bin" && pwd):$PATH"
}

# The four releases as they came about: two good models, one exported wrongly, one that was never pruned.
train() {
    say "Four releases of a vibration model, trained here"
    local variant release
    for variant in v1:1.0 v2:1.1 bad:1.2 slow:1.3; do
        release=${variant#*:}
        examples/vibration/train.py --variant "${variant%:*}" --version-tag "$release" --out "$WORK/detector-$release" |
            sed 's/^/  /'
    done
    examples/firmware/build.sh "$WORK/firmware-1.0" 1.0 >/dev/null
    examples/firmware/build.sh "$WORK/firmware-1.1" 1.1 >/dev/null
    note "and two releases of a firmware tree (busybox, $(find "$WORK/firmware-1.1" | wc -l) entries)"
}

pack() {
    say "Keys, and four signed bundles"
    EDGECTL_PASSPHRASE=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    export EDGECTL_PASSPHRASE
    edgectl init "$WORK/ws" | sed 's/^/  /'
    local release firmware
    for release in 1.0 1.1 1.2 1.3; do
        firmware=1.1
        [ "$release" != 1.0 ] || firmware=1.0
        edgectl bundle create --workspace "$WORK/ws" --name vibration --version "$release" \
            --component "detector=$WORK/detector-$release" --component "firmware=$WORK/firmware-$firmware" \
            --probes examples/vibration/probes.json --probation 6s \
            -o "$WORK/vibration-$release.edge" >/dev/null
        edgectl bundle verify --root "$WORK/ws/root.json" "$WORK/vibration-$release.edge" | sed 's/^/  /'
    done
}

serve() {
    say "The controller"
    edgectl serve --workspace "$WORK/ws/server" --listen 127.0.0.1:0 --port-file "$WORK/port" \
        --allow-offline-keys >"$WORK/serve.log" 2>&1 &
    PIDS+=($!)
    until_true "the controller to listen" test -s "$WORK/port" || { cat "$WORK/serve.log" >&2; return 1; }
    EDGECTL_CONTROLLER="http://127.0.0.1:$(cat "$WORK/port")"
    EDGECTL_TOKEN=$(cat "$WORK/ws/server/admin.token")
    export EDGECTL_CONTROLLER EDGECTL_TOKEN
    note "$EDGECTL_CONTROLLER   (here it may see the offline keys because this is a demonstration; see SECURITY.md)"
    edgectl token create --enroll --uses "$DEVICES" --expires 1h >"$WORK/token"
}

publish() {
    say "Four releases, named in the targets: the signed list of all that devices may take over the network"
    edgectl release publish --workspace "$WORK/ws" "$WORK"/vibration-*.edge | sed 's/^/  /'
}

# One device: its folder, its application, its agent. The folder is all it has: nothing here needs root.
start_device() {
    local name=$1 line=$2 dir="$WORK/devices/$1"
    mkdir -p "$dir/state"
    cp "$WORK/ws/root.json" "$WORK/token" "$dir/"
    sed -e "s|CONTROLLER|$EDGECTL_CONTROLLER|; s|DEVICE|$name|; s|LINE|$line|; s|RUNNER|$WORK/app/golden.py|" \
        -e "s|METRICS|$dir/metrics.prom|" examples/devices/vibration.json >"$dir/agent.json"
    "$WORK/app/serve.py" --model-dir "$dir/state/current/detector" --metrics-file "$dir/metrics.prom" \
        --pid-file "$dir/app.pid" --port 0 --port-file "$dir/port" --machine mixed --seed "$3" >"$dir/app.log" 2>&1 &
    PIDS+=($!)
    edge-agent run --config "$dir/agent.json" >"$dir/agent.log" 2>&1 &
    PIDS+=($!)
}

all_accepted() {
    [ "$(edgectl device list --json | grep -c '"accepted"')" -ge "$DEVICES" ]
}

start_fleet() {
    say "$DEVICES devices, each an edge-agent and an inference application"
    local i
    for i in $(seq "$DEVICES"); do
        start_device "$(printf 'press-%02d' "$i")" "line-$((i % 3 + 1))" "$i"
    done
    until_true "all devices to be accepted" all_accepted
    edgectl fleet summary | sed 's/^/  /'
}

# Applies the policy for a release and waits. The second argument is how it should end.
roll_out() {
    local release=$1 expected=$2 state
    sed "s/RELEASE/$release/" examples/policies/staged.yaml >"$WORK/policy-$release.yaml"
    edgectl rollout apply -f "$WORK/policy-$release.yaml" --wait --timeout 10m 2>&1 | sed 's/^/  /' || true
    state=$(edgectl rollout status "vibration-$release" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])')
    if [ "$state" != "$expected" ]; then
        printf 'quickstart: the rollout of %s ended as %s, not as %s\n' "$release" "$state" "$expected" >&2
        edgectl rollout status "vibration-$release" >&2
        examples/fleet.py reasons "$release" >&2
        return 1
    fi
}

versions() {
    examples/fleet.py versions "$WORK"/devices/*/agent.json
}

all_run() {
    [ "$(versions)" = "$DEVICES devices run $1" ]
}

wait_for_version() {
    until_true "the fleet to run $1" all_run "$1" || { versions >&2; return 1; }
}

main() {
    build
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/edgectl-quickstart.XXXXXX")
    chmod 755 "$WORK"
    # As root, runners and applications are other users, who may not see into this checkout.
    cp -r examples/vibration "$WORK/app"
    local begin=$SECONDS
    train
    pack
    serve
    publish
    start_fleet

    say "1.0 goes out in stages"
    roll_out 1.0 finished
    wait_for_version 1.0
    note "$(versions)"

    say "1.1, a retrained model and newer firmware, follows"
    roll_out 1.1 finished
    wait_for_version 1.1
    note "$(versions)"

    say "1.2 was exported wrongly: a valid file, sure of itself, and wrong. Golden inputs on the device tell, before the swap"
    roll_out 1.2 reverted
    wait_for_version 1.1
    note "$(versions); the application never saw 1.2"
    examples/fleet.py reasons 1.2 | sed 's/^/  /'

    say "1.3 answers rightly but hundreds of times slower. That shows in service only: in probation, by its latency"
    roll_out 1.3 reverted
    wait_for_version 1.1
    note "$(versions), back without a download"
    examples/fleet.py reasons 1.3 | sed 's/^/  /'

    say "Done in $((SECONDS - begin)) seconds"
    note "Where to look next: README.md, examples/README.md (your own model), man/edgectl.1, ARCHITECTURE.md"
}
main "$@"
