#!/usr/bin/env bash
# Builds example handlers to components: tools/components.sh OUT NAME…
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1; shift
mkdir -p "$out"
for name in "$@"; do
  tools/say.sh "component $name"
  target/debug/qx-host build "examples/$name" --out "$out"
  if [ -f "examples/$name/$name.toml" ]; then cp "examples/$name/$name.toml" "$out/"; fi
done
