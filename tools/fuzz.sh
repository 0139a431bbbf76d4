#!/usr/bin/env bash
# Looks for what makes a door of the host panic, led by the branches that an input takes. By hand; a short run without
# that leading is part of `make test`.
# usage: fuzz.sh TARGET SECONDS      targets: the folders of fuzz/corpus
#
# Needs a nightly toolchain and cargo-fuzz, and says how to get them. The first run compiles the host and the engine anew,
# which takes ten minutes on two cores; one that follows begins at once. What it finds lies in target/fuzz/found and ends it with 1;
# what it learns is kept in target/fuzz/corpus. Never: writes into the corpus of the repository.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET=${1:-} TIME_S=${2:-60}
# One input may take so long, and use so much memory: compiling a component is the longest.
readonly INPUT_TIME_MAX_S=30 MEMORY_MAX_MB=4096

if [ -z "$TARGET" ] || [ ! -d "fuzz/corpus/$TARGET" ]; then
  echo "fuzz: TARGET is one of $(ls fuzz/corpus | xargs)" >&2
  exit 2
fi
if ! cargo +nightly --version >/dev/null 2>&1 || ! cargo fuzz --version >/dev/null 2>&1; then
  echo "fuzz: run  rustup toolchain install nightly  and  cargo install cargo-fuzz" >&2
  exit 2
fi
learned=target/fuzz/corpus/$TARGET found=target/fuzz/found/$TARGET/
mkdir -p "$learned" "$found"
# No sanitizer: the code is safe Rust, and the engine is fuzzed by its makers.
QX_FUZZ_TARGET=$TARGET cargo +nightly fuzz run --fuzz-dir fuzz/targets --target-dir target/fuzz/build --sanitizer none any \
  "$learned" "fuzz/corpus/$TARGET" -- -max_total_time="$TIME_S" -timeout="$INPUT_TIME_MAX_S" \
  -rss_limit_mb="$MEMORY_MAX_MB" -artifact_prefix="$found" -print_final_stats=1
