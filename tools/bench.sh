#!/usr/bin/env bash
# Prepares what the bench needs and runs it: the host in release, the two handlers of the bench as components, the servers of
# the tests, and the predecessor from PyPI in a temporary place where there is a Python that takes it.
#
#   ONLY=relay,consumer   these sections only           QUICK=1   coarse figures
#   HUGE=1                the backlog of 10^7 rows too   SMOKE=1   only whether the harness works; the host as it was built for tests
#   SEED=0                without the predecessor        RUNS=5    runs of each figure
#
# Writes target/bench/report.json and, when nothing was left out, docs/benchmark.md with its plots and the table of the README.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly PEERS=target/bench/peers
readonly PIP_TIMEOUT_S=60

say() { printf 'bench: %s\n' "$*" >&2; }

find_python() { # prints a Python that is new enough: 3.14 is asked for, 3.13 lacks nothing that is used
  local candidate
  for candidate in python3.14 python3.13 python3 "$HOME"/.pyenv/versions/3.1[3-9]*/bin/python; do
    "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 13))' 2>/dev/null && { printf '%s\n' "$candidate"; return 0; }
  done
  return 1
}

install_seed() { # prints the Python that has the predecessor
  local python
  if [ ! -x "$PEERS/seed/bin/python" ]; then
    python=$(find_python) || { say "no Python 3.13 or later: the predecessor is left out"; return 1; }
    say "installing qx-events and qx-worker from PyPI for $("$python" -V)"
    rm -rf "$PEERS/half"
    if ! { "$python" -m venv "$PEERS/half" && "$PEERS/half/bin/python" -m pip install -q --disable-pip-version-check --timeout "$PIP_TIMEOUT_S" \
      --ignore-requires-python qx-events==1.1.0 qx-worker==1.1.0; } >"$PEERS/pip.log" 2>&1; then
      say "pip could not install it: $(tail -n 1 "$PEERS/pip.log")"
      return 1
    fi
    mv "$PEERS/half" "$PEERS/seed"
  fi
  printf '%s\n' "$PEERS/seed/bin/python"
}

mkdir -p "$PEERS"
profile=release
[ "${SMOKE:-0}" = 1 ] && profile=debug
# The smoke uses what the tests have built: alone the two have dependencies with fewer features.
flags=(--workspace --all-targets)
[ "$profile" = release ] && flags=(--release -p qx-host -p qx-bench)
cargo build --quiet "${flags[@]}"
for name in noop effect; do
  "target/$profile/qx-host" build "bench/guests/$name" --out target/bench/components >&2
done

arguments=(--host "target/$profile/qx-host")
[ -n "${ONLY:-}" ] && arguments+=(--only "$ONLY")
[ "${QUICK:-0}" = 1 ] && arguments+=(--quick)
[ "${SMOKE:-0}" = 1 ] && arguments+=(--smoke --out target/bench/smoke)
[ "${HUGE:-0}" = 1 ] && arguments+=(--huge)
[ -n "${RUNS:-}" ] && arguments+=(--runs "$RUNS")
if [ "${SEED:-1}" = 1 ] && [ "${SMOKE:-0}" = 0 ] && python=$(install_seed); then arguments+=(--seed-python "$python"); fi
if [ -z "${ONLY:-}" ] && [ "${QUICK:-0}${SMOKE:-0}" = 00 ]; then arguments+=(--docs docs); fi
exec "target/$profile/qx-bench" "${arguments[@]}"
