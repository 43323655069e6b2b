#!/bin/sh
# Make a virtual environment, or say in one sentence why not.
#   venv.sh PYTHON DIRECTORY
set -eu
python=$1
directory=$2
command -v "$python" >/dev/null ||
  { echo "Python 3.11 or newer is needed: there is no '$python' here (make PYTHON=... names another)." >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "Python 3.11 or newer is needed, '$python' is $("$python" -V). Name another one: make PYTHON=python3.12" >&2; exit 1; }
[ -x "$directory/bin/pip" ] && exit 0
# Debian ships the module venv in a package of its own.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$(dirname "$0")/install.sh" "Python's venv module" "python$version-venv"
fi
"$python" -m venv "$directory"
