#!/bin/bash
# Build the images with Docker: wheels are gathered here, with pip's own configuration, and installed
# there from files by their hashes.
#   build.sh PYTHON [TAG]
# DOCKER (docker) and BASE (python:X.Y-slim-bookworm, of PYTHON's version) may be set. Where no registry can
# be reached, a base is made of Debian's packages, which root may do.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
version=$("$python" -c 'import importlib.metadata as m; print(m.version("llm-gateway"))')
tag=${2:-$version}
docker=${DOCKER:-docker}
base=${BASE:-python:$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-slim-bookworm}
if ! "$docker" image inspect "$base" >/dev/null 2>&1 && ! "$docker" pull --quiet "$base" 2>/dev/null; then
  [ -z "${BASE:-}" ] || { echo "There is no image $base" >&2; exit 1; }
  base=local/python:bookworm
  "$docker" image inspect "$base" >/dev/null 2>&1 || {
    echo "No registry can be reached: making $base of Debian's packages"
    DOCKER=$docker tests/images/base.sh "$base"
  }
fi
revision=$(git rev-parse HEAD)
# Files of wheels and layers bear the time of the commit, so that the same commit makes the same.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
context=build/images
rm -rf "$context" build/lib build/bdist*
mkdir -p "$context"/{gateway,worker-sim}/wheels

fetch() { "$python" -m pip download --quiet --disable-pip-version-check --only-binary :all: --require-hashes "$@"; }
echo "Gathering wheels"
# The base may have another 3.11 than this machine: what only some patch releases need is there for all.
for name in gateway worker; do sed "s/ ; python_full_version < '3[0-9.]*'//" requirements/$name.txt >"$context/$name.txt"; done
fetch -d "$context/gateway/wheels" -r "$context/gateway.txt"
fetch -d "$context/worker-sim/wheels" -r "$context/worker.txt"
fetch --no-deps -d "$context/worker-sim/wheels" -r requirements/triton.txt
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w "$context" .
cp "$context"/llm_gateway-*.whl "$context/gateway/wheels/"
cp "$context"/llm_gateway-*.whl "$context/worker-sim/wheels/"
cp requirements/gateway.txt "$context/gateway/requirements.txt"
cp requirements/worker.txt "$context/worker-sim/requirements.txt"
cp requirements/triton.txt "$context/worker-sim/"
cp -r workers/model_repository "$context/worker-sim/"
# What is in the images, beside them and in them.
tests/images/sbom.sh "$context/gateway.cdx.json" requirements/gateway.txt
tests/images/sbom.sh "$context/worker-sim.cdx.json" requirements/worker.txt requirements/triton.txt
for name in gateway worker-sim; do cp "$context/$name.cdx.json" "$context/$name/sbom.cdx.json"; done
find "$context" -name __pycache__ -prune -exec rm -r {} +
find "$context" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

build() { # NAME DOCKERFILE
  echo "Building llm-gateway/$1:$tag on $base"
  DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} "$docker" build --quiet --network none --file "$2" --tag "llm-gateway/$1:$tag" \
    --build-arg BASE="$base" \
    --label org.opencontainers.image.title="llm-gateway/$1" \
    --label org.opencontainers.image.version="$version" \
    --label org.opencontainers.image.revision="$revision" \
    --label org.opencontainers.image.base.name="$base" \
    "$context/$1" >/dev/null
}
build gateway gateway/Dockerfile
build worker-sim workers/Dockerfile
"$docker" image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep "^llm-gateway/.*:$tag "
