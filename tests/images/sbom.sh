#!/bin/bash
# Write down what an image is made of: CycloneDX JSON of pinned requirements, with their hashes, and of us.
#   sbom.sh OUTPUT REQUIREMENTS...
# The same requirements make the same bytes; with SOURCE_DATE_EPOCH the file bears that time.
set -euo pipefail
output=$(realpath "$1")
shift
cd "$(dirname "$0")/../.."
cyclonedx=.venv-images/bin/cyclonedx-py
[ -x "$cyclonedx" ] || { echo "$cyclonedx is not there: make .venv-images/installed" >&2; exit 1; }
# It warns that nobody says which packages need which: requirements do not tell.
cat "$@" | PYTHONWARNINGS=ignore "$cyclonedx" requirements - --output-reproducible --pyproject pyproject.toml --output-file "$output"
chmod 644 "$output"
