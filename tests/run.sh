#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Everything that CI runs, on a fresh Debian 12 or later: installs the packages, builds, tests.
#
#   tests/run.sh [PART…]      without a part: all
#
#   lint      layers, shape, names, banned calls, man pages, headers, linkage
#   unit      Criterion tests, with ASan and UBSan
#   fuzz      the corpora of tests/fuzz, replayed
#   fault     every system call and allocation failing, every power cut
#   sim       the fleet in virtual time
#   e2e       the real programs on loopback
#   coverage  every line and branch of the verification core, keys/tuf, by its unit tests
#   release   a reduced pass over the hardened build: unit, fuzz, linkage and some of e2e
#   package   the .deb packages
#   all       the above
#   bench     tests/bench/main, not part of all
#   attack    each defence of tests/attack/table taken out of a copy: its test must fail (half an hour), not part of all
#
# Environment: JOBS (default: processors), EDGE_SKIP_DEPS=1 leaves the packages alone.
# Builds in build/. The last line is `N passed, N failed`, over all tests, and behind it how much was skipped, wholly or
# in part (each is listed above it, with its reason), and how many attacks of SECURITY.md were tried; the exit status
# is 0 when at least one passed and none failed. A test that is skipped without a reason has failed.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
jobs=${JOBS:-$(nproc)}
beside=$((jobs + (jobs + 1) / 2)) # tests at once: those of whole fleets wait half of their time
passed=0 failed=0 skipped=0 attacks=
silence='it did not say why'
summary=()
output_max=$((1 << 24)) # of a test: ctest reports the first 1024 bytes otherwise
cd "$top"

usage() {
    sed -n '/^# Everything/,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
}

# note RESULT WHAT: a row of the summary.
note() {
    summary+=("$(printf '%-8s %6ss  %s' "$1" "$((SECONDS - started))" "$2")")
}

finish() {
    local status=0
    printf '\n'
    [[ ${#summary[@]} -eq 0 ]] || printf '%s\n' "${summary[@]}"
    printf 'took %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
    [[ $failed -eq 0 && $passed -gt 0 ]] || status=1
    printf '%d passed, %d failed' "$passed" "$failed"
    [[ $skipped -eq 0 ]] || printf ', %d skipped' "$skipped"
    [[ -z $attacks ]] || printf '; %s' "$attacks"
    printf '\n'
    exit "$status"
}

# A step outside ctest that the rest stands on: when it fails, it counts as one failure and all ends.
step() {
    local what=$1 started=$SECONDS
    shift
    printf '\n== %s\n' "$what"
    if ! "$@"; then
        failed=$((failed + 1))
        note FAILED "$what"
        finish
    fi
    note ok "$what"
}

build() {
    local log=build/$1.log
    mkdir -p build
    if ! { cmake --preset "$1" && cmake --build --preset "$1" -j "$jobs"; } >"$log" 2>&1; then
        tail -n 60 "$log"
        printf 'the whole log is in %s\n' "$log"
        return 1
    fi
    tail -n 1 "$log"
}

attribute() {
    sed -n "/<testsuite/,/>/s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1
}

# What could not be tried here, wholly or in part, and why: "TEST: why", from a report of ctest. A test says it in a
# line "skipped: why" (tests/support/skip.h, tests/e2e/fleet.py); one that is skipped and says nothing is listed as such.
untried() {
    awk -F'"' '/<testcase /{name = $2; whole = said = 0}
        /<skipped /{whole = 1}
        /^(.*<system-out>)?skipped: /{
            sub(/.*<system-out>/, ""); sub(/^skipped: /, ""); said = 1
            gsub(/&lt;/, "<"); gsub(/&gt;/, ">"); gsub(/&quot;/, "\""); gsub(/&apos;/, "\047"); gsub(/&amp;/, "\\&")
            print name ": " $0
        }
        /<\/testcase>/{if (whole && !said) print name ": " silence}' silence="$silence" "$1"
}

# tests PRESET LABELS: runs ctest over the labels (a regular expression) and adds up its results.
tests() {
    local preset=$1 labels=$2 started=$SECONDS result=ok all bad off line
    local report=$top/build/$preset-${labels//[^a-z0-9]/-}.xml
    printf '\n== %s: %s\n' "$preset" "$labels"
    rm -f "$report"
    ctest --test-dir "build/$preset" -j "$beside" -L "^($labels)\$" --output-on-failure \
        --no-tests=ignore --timeout 1800 --output-junit "$report" --test-output-size-passed "$output_max" || result=FAILED
    all=$(attribute tests "$report") bad=$(attribute failures "$report")
    off=$(($(attribute skipped "$report") + $(attribute disabled "$report")))
    passed=$((passed + all - bad - off)) failed=$((failed + bad))
    if [[ $result == FAILED && $bad -eq 0 ]]; then
        failed=$((failed + 1))
    fi
    note "$result" "$preset: $labels ($((all - bad - off)) of $all)"
    while read -r line; do
        skipped=$((skipped + 1))
        summary+=("         skipped  $line")
        [[ $line != *": $silence" ]] || failed=$((failed + 1))
    done < <(untried "$report")
}

# One test: its output is the table of the core's files, and it fails when a branch was missed.
coverage() {
    local started=$SECONDS result=ok
    printf '\n== coverage of keys/tuf\n'
    mkdir -p build
    if cmake --preset coverage >build/coverage.log &&
        cmake --build --preset coverage -j "$jobs" --target unit_keys_tuf >>build/coverage.log &&
        cmake --build --preset coverage --target coverage-tuf; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) result=FAILED
    fi
    note "$result" "coverage of keys/tuf"
}

bench() {
    [[ -x tests/bench/main ]] || { printf 'tests/bench/main is missing\n' && return 1; }
    EDGE_BUILD=$top/build/release tests/bench/main
}

# Counts each defence. Its last line says how many mutants and rows there were.
attack() {
    local log=$top/build/attack.log result=0
    mkdir -p build
    tests/attack/mutants.py 2>&1 | tee "$log" || result=1
    passed=$((passed + $(grep -c '^killed' "$log" || true)))
    attacks=$(tail -n 1 "$log")
    return "$result"
}

main() {
    local part attack=0 dev=() release=() core=
    [[ $# -gt 0 ]] || set -- all
    for part in "$@"; do
        case $part in
        -h | --help) usage && exit 0 ;;
        lint | unit | fuzz | fault | sim | e2e) dev+=("$part") ;;
        coverage) core=1 ;;
        release | package | bench) release+=("$part") ;;
        attack) attack=1 ;;
        all) dev=(lint unit fuzz fault sim e2e) && core=1 && release=(release package) ;;
        *) usage >&2 && exit 2 ;;
        esac
    done
    [[ -n ${EDGE_SKIP_DEPS:-} ]] || step packages tests/deps.sh
    if [[ ${#dev[@]} -gt 0 ]]; then
        step "build dev" build dev
        tests dev "$(IFS='|' && printf '%s' "${dev[*]}")"
    fi
    [[ -z $core ]] || coverage
    if [[ ${#release[@]} -gt 0 ]]; then
        step "build release" build release
    fi
    for part in ${release[@]+"${release[@]}"}; do
        case $part in
        release) tests release 'unit|fuzz|release' ;;
        package) tests release package ;;
        bench) step bench bench && passed=$((passed + 1)) ;;
        esac
    done
    [[ $attack -eq 0 ]] || step "attack" attack
    finish
}

main "$@"
