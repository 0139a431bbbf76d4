#!/usr/bin/env bash
# Makes sure that this machine can compile handlers: Rust with the target wasm32-unknown-unknown.
#
# Looks for what is there, in the order in which `qx-host build` looks too, and stops at the first that compiles a probe:
#   a. the active toolchain has the target                      nothing to do
#   b. the rustup toolchain `wasm-guest` has it                 nothing to do
#   c. `rustup target add`                                      the usual way; needs rustup's download server
#   d. Debian, as root: a toolchain linked as `wasm-guest`      needs Debian's archive and cargo's registry; about a minute
#   e. none of these                                            says which commands would help, exit 1
#
# Progress goes to stderr; stdout is one line, the toolchain: cargo "+$(tools/guest-toolchain.sh)" build --target …
# Never: changes the default toolchain, or touches a toolchain that it did not make.
#
#   QX_TOOLCHAIN_DIR      where (d) puts it        default ~/.cache/qx-host/wasm-guest
#   QX_RUSTUP_TIMEOUT_S   patience with (c)        default 90
set -euo pipefail

readonly TARGET=wasm32-unknown-unknown
readonly NAME=wasm-guest
readonly DEST=${QX_TOOLCHAIN_DIR:-$HOME/.cache/qx-host/wasm-guest}
# Debian's Rust for browsers: the only one in Debian 12 that is new enough, and the sources of its std.
readonly PACKAGES=(rustc-web cargo-web rust-web-src lld-22)
# Raise it when the recipe below changes: toolchains made by the old one are made again.
readonly RECIPE=1
readonly RUSTUP_TIMEOUT_S=${QX_RUSTUP_TIMEOUT_S:-90}
readonly PROBE_TIMEOUT_S=5

# What an outer cargo left in the environment would steer the inner ones.
unset RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS CARGO CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR
unset CARGO_BUILD_RUSTFLAGS CARGO_BUILD_RUSTC RUSTDOC RUSTC_BOOTSTRAP

say() { printf 'guest-toolchain: %s\n' "$*" >&2; }

SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

# Compiles and links a library that uses std: a missing target, a std of another rustc and a missing linker all fail here.
# usage: compiles COMMAND…   the command that stands for rustc
compiles() {
  printf '#[unsafe(no_mangle)] pub extern "C" fn probe(n: u32) -> usize { n.to_string().len() }\n' >"$SCRATCH/probe.rs"
  "$@" --edition 2024 --crate-type cdylib --crate-name probe --target "$TARGET" -o "$SCRATCH/probe.wasm" "$SCRATCH/probe.rs" \
    >"$SCRATCH/probe.log" 2>&1
}

finish() { # usage: finish TOOLCHAIN REMARK
  say "ready: $2"
  printf '%s\n' "$1"
  exit 0
}

active_toolchain() { rustup show active-toolchain 2>/dev/null | cut -d' ' -f1; }

debian_rustc() { { /usr/bin/rustc -vV && echo "recipe $RECIPE"; } 2>/dev/null; }

# Ours, made from a rustc that has been upgraded since: its std no longer fits.
outdated() { [ -f "$DEST/made-from" ] && [ "$(cat "$DEST/made-from")" != "$(debian_rustc)" ]; }

linked_works() {
  rustup toolchain list 2>/dev/null | grep -Eq "^$NAME( |$)" && ! outdated && compiles rustup run "$NAME" rustc
}

# A look at the door before rustup tries it: behind a firewall that drops packets rustup would wait for minutes.
dist_server_answers() {
  [ -n "${https_proxy:-}${HTTPS_PROXY:-}${all_proxy:-}${ALL_PROXY:-}" ] && return 0 # The proxy decides, and answers soon.
  local rest=${RUSTUP_DIST_SERVER:-https://static.rust-lang.org} port=443
  case $rest in http://*) port=80 ;; esac
  rest=${rest#*://}
  rest=${rest%%/*}
  case $rest in *:*) port=${rest##*:} ;; esac
  timeout "$PROBE_TIMEOUT_S" bash -c "exec 3<>/dev/tcp/${rest%%:*}/$port" 2>/dev/null
}

target_added() {
  dist_server_answers || { say "the download server of rustup does not answer from here"; return 1; }
  RUSTUP_MAX_RETRIES=0 timeout "$RUSTUP_TIMEOUT_S" rustup target add "$TARGET" >"$SCRATCH/add.log" 2>&1 && return 0
  say "rustup target add did not work: $(grep -m1 -i error "$SCRATCH/add.log" || echo "no answer within $RUSTUP_TIMEOUT_S s")"
  return 1
}

packages_present() {
  local package
  for package in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || return 1
  done
}

install_packages() {
  packages_present && return 0
  say "[1/3] installing ${PACKAGES[*]} (about 150 MB)"
  export DEBIAN_FRONTEND=noninteractive
  # Progress on one line per package; all of it is kept for the case that it fails.
  if { apt-get update -q && apt-get install -q -y --no-install-recommends "${PACKAGES[@]}"; } 2>&1 |
    tee "$SCRATCH/apt.log" | sed -un 's/^Get:[0-9]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .*\(\[.*\]\)$/    downloading \1 \2/p; s/^Setting up \([^ ]*\).*/    installed \1/p' >&2; then
    return 0
  fi
  say "apt-get failed, its last lines:"
  tail -n 5 "$SCRATCH/apt.log" >&2
  return 1
}

# The crate whose build leaves behind a compiled std.
write_stub() { # usage: write_stub DIR
  mkdir -p "$1/src"
  printf '#![no_std]\n' >"$1/src/lib.rs"
  cat >"$1/Cargo.toml" <<'TOML'
[package]
name = "stub"
version = "0.0.0"
edition = "2021"

[profile.release]
panic = "abort"
opt-level = 3
codegen-units = 1

[workspace]
TOML
}

# Everything beside the compiled std is a link to Debian's files, under the name where rustc looks for it.
lay_out() { # usage: lay_out DIR HOST
  local dir=$1 host=$2
  mkdir -p "$dir/bin" "$dir/lib/rustlib/$host/bin" "$dir/lib/rustlib/$TARGET/lib"
  ln -s "/usr/lib/rustlib/$host/lib" "$dir/lib/rustlib/$host/lib"
  ln -s /usr/lib/llvm-22/bin/lld "$dir/lib/rustlib/$host/bin/rust-lld"
  ln -s /usr/bin/cargo "$dir/bin/cargo"
  printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot "%s" "$@"\n' "$DEST" >"$dir/bin/rustc"
  chmod +x "$dir/bin/rustc"
}

make_toolchain() {
  local host dir=$SCRATCH/toolchain stub=$SCRATCH/stub
  host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
  say "[2/3] compiling std for $TARGET (half a minute to a minute, once for $(/usr/bin/rustc -V | cut -d' ' -f1,2))"
  lay_out "$dir" "$host"
  write_stub "$stub"
  (
    cd "$stub"
    RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=$HOME=~" \
      /usr/bin/cargo build --release --target "$TARGET" -Zbuild-std=std,panic_abort,proc_macro --target-dir "$stub/target" >&2
  ) || { say "std did not compile; cargo's registry must be reachable for its few dependencies"; return 1; }
  cp "$stub/target/$TARGET/release/deps/"*.rlib "$dir/lib/rustlib/$TARGET/lib/"
  rm -f "$dir/lib/rustlib/$TARGET/lib/"libstub-*
  debian_rustc >"$dir/made-from"

  say "[3/3] linking it as the rustup toolchain $NAME"
  mkdir -p "$(dirname "$DEST")"
  rm -rf "$DEST"
  cp -a "$dir" "$DEST"
  rustup toolchain link "$NAME" "$DEST" >&2
}

# A toolchain of this name that somebody else made is not ours to replace.
name_is_free() {
  local there=${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$NAME
  [ ! -e "$there" ] && [ ! -L "$there" ] && return 0
  [ "$(readlink "$there" || true)" = "$DEST" ] && return 0
  say "a toolchain $NAME is there, does not compile for $TARGET and is not from this script: rustup toolchain uninstall $NAME"
  return 1
}

from_debian() {
  [ -f /etc/debian_version ] && command -v apt-get >/dev/null || { say "not a Debian: no packages to build the target from"; return 1; }
  [ "$(id -u)" = 0 ] || packages_present || { say "not root: cannot install ${PACKAGES[*]}"; return 1; }
  name_is_free && install_packages || return 1
  mkdir -p "$(dirname "$DEST")"
  exec 9>"$DEST.lock"
  flock -n 9 || { say "another run is at it, waiting"; flock 9; }
  linked_works && return 0 # The other run made it.
  make_toolchain || return 1
  linked_works || { say "the new toolchain does not compile a probe:"; tail -n 5 "$SCRATCH/probe.log" >&2; return 1; }
}

if ! command -v rustup >/dev/null; then
  command -v rustc >/dev/null && compiles rustc && finish "" "$(rustc -V) has $TARGET"
  say "failed: there is no rustup. Install it (https://rustup.rs), then run this again"
  exit 1
fi

compiles rustc && finish "$(active_toolchain)" "the active toolchain has $TARGET"
linked_works && finish "$NAME" "the toolchain $NAME has $TARGET"
say "no toolchain here compiles for $TARGET yet; trying rustup target add"
target_added && compiles rustc && finish "$(active_toolchain)" "added $TARGET to the active toolchain"
say "trying Debian's packages"
from_debian && finish "$NAME" "the toolchain $NAME in $DEST has $TARGET"

cat >&2 <<TEXT
guest-toolchain: failed: this machine cannot compile handlers yet. One of these helps:

  with access to rustup's download server:
      rustup target add $TARGET

  on Debian 12 with access to its archive and to cargo's registry:
      sudo apt-get update
      sudo apt-get install -y --no-install-recommends ${PACKAGES[*]}
      $0
TEXT
exit 1
