#!/bin/bash
# A base image of Debian's own Python 3.11, for where no registry can be reached: as root, with debootstrap.
#   base.sh TAG
set -euo pipefail
tag=$1
docker=${DOCKER:-docker}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,libpython3.11,libnuma1,ca-certificates bookworm "$root" >&2
# What only installing needs, and what has no place in an image.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/{doc,man,locale}
tar -C "$root" -c . | "$docker" import - "$tag" >/dev/null
