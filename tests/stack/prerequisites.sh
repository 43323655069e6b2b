#!/bin/sh
# What the installation needs: a fitting Python, and Debian packages. As root the missing
# ones are installed, all at once; otherwise one line says how to.
#   prerequisites.sh PYTHON        only what a virtual environment needs
#   prerequisites.sh PYTHON run    also what `make run` does
set -eu
python=$1
command -v "$python" >/dev/null ||
  { echo "Python 3.11 to 3.13 is needed: there is no '$python' here (make PYTHON=... names another)." >&2; exit 1; }
ask() { "$(dirname "$0")/quietly.sh" "$python" "$@"; }
# Triton's wheel has no stub for later ones.
ask -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
  { echo "Python 3.11 to 3.13 is needed, '$python' is $(ask -V 2>&1). Name another one: make PYTHON=python3.12" >&2; exit 1; }

what= packages=
miss() { what="$what${what:+, }$1"; packages="$packages${packages:+ }$2"; }
# Debian ships the module venv in a package of its own.
ask -c 'import ensurepip, venv' 2>/dev/null ||
  miss "Python's venv module" "$(ask -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
if [ "${2:-}" = run ]; then
  command -v redis-server >/dev/null || miss redis-server redis-server
  libpython=$(dirname "$0")/libpython.py
  ask -I "$libpython" || miss "Python's shared library" "$(ask -I "$libpython" --package)"
fi
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Missing: $what. Install as root, for example: apt-get install $packages" >&2
  exit 1
fi
echo "Installing $packages"
# Debian starts the servers it installs, unless this says no: ours are ours to start.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM HUP
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
# Unquoted: one word a package.
apt-get install -y -qq $packages >/dev/null 2>&1 ||
  { apt-get update -qq && apt-get install -y -qq $packages >/dev/null; } ||
  { echo "Missing: $what; apt-get could not install $packages." >&2; exit 1; }
