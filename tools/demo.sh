#!/usr/bin/env bash
# The main job on the embedded default: 129 real GitHub events go from the outbox
# over the stream into the example handlers, the host is killed half-way, and in
# the end every event is accounted for. Everything lies in target/demo.
# usage: demo.sh COMPONENT…    of those in target/components
set -euo pipefail
cd "$(dirname "$0")/.."
repo=$PWD
qx=$repo/target/debug/qx-host
dir=$repo/target/demo
lines=$repo/examples/github/webhooks.jsonl

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n$ %s\n' "$*"; }

rm -rf "$dir"; mkdir -p "$dir/components"; cd "$dir"
for name in "$@"; do
  cp "$repo/target/components/$name.wasm" components/
  if [ -f "$repo/target/components/$name.toml" ]; then cp "$repo/target/components/$name.toml" components/; fi
done
cat > qx-host.toml <<'TOML'
[database]
url = "sqlite://qx.db"

[stream]
kind = "embedded"

[components]
dir = "components"
unsigned = "allow"

[admin]
listen = ""

[telemetry]
level = "warn"
TOML

echo "Qx Host demo: real GitHub webhooks, SQLite and the embedded stream, no server."
say "qx-host migrate"
"$qx" migrate
say "qx-host trigger --lines webhooks.jsonl"
"$qx" trigger --lines "$lines"

say "qx-host run --live          # and kill -9 it half-way"
"$qx" run --live > live.log 2>&1 &
host=$!
trap 'kill -9 $host 2>/dev/null || true' EXIT
for _ in $(seq 1 600); do
  [ "$(grep -c . live.log)" -ge 150 ] && break
  kill -0 $host 2>/dev/null || break
  sleep 0.05
done
kill -9 $host 2>/dev/null || true
wait $host 2>/dev/null || true
trap - EXIT
head -n 12 live.log
echo "  … $(( $(grep -c . live.log) - 12 )) more lines in target/demo/live.log"
echo "  ✗ host killed with -9"

say "qx-host run --live --until-drained"
"$qx" run --live --until-drained 2>&1 | tee -a live.log

say "qx-host outbox status"
"$qx" outbox status
say "qx-host dlq list"
"$qx" dlq list
printf '\nWrite your own handler:  target/debug/qx-host new hello && cd hello && qx-host dev\n'
