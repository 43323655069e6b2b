#!/bin/sh
# Make a virtual environment, or say in one sentence why not.
#   venv.sh PYTHON DIRECTORY
set -eu
python=$1
directory=$2
"$(dirname "$0")/prerequisites.sh" "$python"
[ -x "$directory/bin/pip" ] && exit 0
"$python" -m venv "$directory"
