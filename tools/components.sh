#!/usr/bin/env bash
# Builds handlers to components: tools/components.sh OUT FOLDER…
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1; shift
mkdir -p "$out"
for folder in "$@"; do
  name=$(basename "$folder")
  tools/say.sh "component $name"
  target/debug/qx-host build "$folder" --out "$out"
  if [ -f "$folder/$name.toml" ]; then cp "$folder/$name.toml" "$out/"; fi
done
