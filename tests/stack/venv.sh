#!/bin/sh
# Make a virtual environment, or say in one sentence why not.
#   venv.sh PYTHON DIRECTORY
set -eu
python=$1
directory=$2
"$(dirname "$0")/prerequisites.sh" "$python"
[ -x "$directory/bin/pip" ] && exit 0
"$(dirname "$0")/quietly.sh" "$python" -m venv "$directory"
