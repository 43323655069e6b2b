"""The entrypoint of the workers' images: Triton, on our model, with the flags that follow.

    python -m workers.serve --grpc-port=8001 ...

Triton's python backend makes its stub executable, where it lies: it has to be a file of the
user's own. So the backend is copied to a directory that may be written to, and the process
becomes Triton.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

# Where NVIDIA's own images have Triton; wheels of nvidia-pytriton bring one without GPUs.
NVIDIA = Path("/opt/tritonserver")
MODELS = Path("/opt/llm-gateway/model_repository")
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True)
class Installation:
    """A Triton, its python backend, and the stub that fits this interpreter."""

    server: Path
    backend: Path
    stub: Path
    libraries: tuple[Path, ...]  # for the dynamic linker, before its own


class NotInstalled(Exception):
    """There is no Triton here; the text says what was looked for."""


def main() -> int:
    try:
        found = installation()
    except NotInstalled as exc:
        print(f"workers.serve: {exc}", file=sys.stderr)
        return 1
    backends = copy_backend(found, Path(os.environ.get("TMPDIR", "/tmp")))
    libraries = [str(each) for each in found.libraries]
    if existing := os.environ.get("LD_LIBRARY_PATH"):
        libraries.append(existing)
    if libraries:
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    os.execv(
        found.server,
        [
            found.server.name,
            f"--model-repository={os.environ.get('WORKER_MODEL_REPOSITORY', MODELS)}",
            f"--backend-directory={backends}",
            *sys.argv[1:],
        ],
    )


def installation() -> Installation:
    """Raises NotInstalled."""
    if (NVIDIA / "bin" / "tritonserver").exists():
        backend = NVIDIA / "backends" / "python"
        return Installation(NVIDIA / "bin" / "tritonserver", backend, backend / _STUB, ())
    if (spec := importlib.util.find_spec("pytriton")) is None or spec.origin is None:
        raise NotInstalled(f"there is no Triton: neither {NVIDIA} nor the package nvidia-pytriton")
    triton = Path(spec.origin).parent / "tritonserver"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stub = triton / "python_backend_stubs" / version / _STUB
    if not stub.exists():
        raise NotInstalled(f"nvidia-pytriton has no stub for Python {version}")
    packages = Path(sysconfig.get_path("purelib"))
    return Installation(
        triton / "bin" / "tritonserver",
        triton / "backends" / "python",
        stub,
        (packages / "nvidia_pytriton.libs",),
    )


def copy_backend(found: Installation, directory: Path) -> Path:
    """A directory of backends with the python backend in it, below *directory*."""
    backends = directory / "backends"
    # Of an earlier start of the same container.
    shutil.rmtree(backends, ignore_errors=True)
    shutil.copytree(found.backend, backends / "python")
    stub = backends / "python" / _STUB
    stub.unlink(missing_ok=True)
    shutil.copy(found.stub, stub)
    stub.chmod(0o755)
    return backends


if __name__ == "__main__":
    sys.exit(main())
