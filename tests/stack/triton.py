"""A real Triton server with the worker's model, and the simulator as its engine."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.stack.process import OnStart, Process, StartError

_ROOT = Path(__file__).resolve().parents[2]
_MODEL = "gpt-oss-120b"


@dataclass(frozen=True, slots=True)
class TritonPorts:
    """Ports of the loopback interface."""

    grpc: int
    http: int  # health only
    metrics: int


@dataclass(frozen=True, slots=True)
class _Installation:
    """What nvidia-pytriton brings, inside the worker's environment."""

    bin: Path  # of the environment
    triton: Path
    library_path: str
    python_version: str  # "3.11"


class _Triton(Process):
    """Triton, its stub, and their shared memory: all of it ends with stop()."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str],
        on_start: OnStart | None,
    ) -> None:
        # Names of shared memory are the whole machine's: each Triton has its own.
        self._region_prefix = f"gw_{uuid.uuid4().hex[:12]}_"
        config = f"--backend-config=python,shm-region-prefix-name={self._region_prefix}"
        super().__init__("Triton", [*command, config], log=log, env=env, on_start=on_start)

    def stop(self, *, timeout_s: float = 20) -> int:
        exit_code = super().stop(timeout_s=timeout_s)
        self.kill()  # a Triton that gave up on its stub leaves it behind
        return exit_code

    def kill(self) -> int:
        exit_code = super().kill()
        for region in Path("/dev/shm").glob(f"{self._region_prefix}*"):
            region.unlink(missing_ok=True)
        return exit_code


def start_triton(
    ports: TritonPorts,
    directory: Path,
    *,
    worker_python: Path = _ROOT / ".venv-worker" / "bin" / "python",
    env: Mapping[str, str] | None = None,
    server_flags: Sequence[str] | None = None,
    on_start: OnStart | None = None,
) -> Process:
    """Start Triton and wait until the model is ready.

    Args:
        directory: for its files and its log; made if it is not there.
        worker_python: of the environment that holds nvidia-pytriton and our `workers`.
        env: settings of the worker, WORKER_*.
        server_flags: how it serves, if not as here: *ports* only tell where it is asked then.
        on_start: called when it has been started, before it is ready.

    Raises:
        StartError: something is not installed, or the model does not come up.
    """
    found = _find_triton(worker_python, directory)
    directory.mkdir(parents=True, exist_ok=True)
    process = _Triton(
        [
            found.triton / "bin" / "tritonserver",
            f"--model-repository={_ROOT / 'workers' / 'model_repository'}",
            f"--backend-directory={_backends(found, directory)}",
            *(default_server_flags(ports) if server_flags is None else server_flags),
        ],
        log=directory / "triton.log",
        env={
            "LD_LIBRARY_PATH": found.library_path,
            # The stub ignores PYTHONPATH: it belongs to the environment whose
            # bin is first on PATH, and so finds `workers` there.
            "PATH": f"{found.bin}{os.pathsep}{os.environ['PATH']}",
            **(env or {}),
        },
        on_start=on_start,
    )
    try:
        process.wait_until(lambda: _model_ready(ports.http), timeout_s=30)
    except BaseException:
        process.kill()
        raise
    return process


def _find_triton(worker_python: Path, directory: Path) -> _Installation:
    """Raises StartError, saying what to install."""
    if not worker_python.exists():
        raise StartError(f"there is no {worker_python}: run `make setup`")
    # Asked of that interpreter: only it knows its version and its packages.
    script = (
        "import importlib.util as u, sys, sysconfig;"
        "print('%d.%d' % sys.version_info[:2], sysconfig.get_path('purelib'),"
        " u.find_spec('workers') is not None, sep='\\n')"
    )
    answer = subprocess.run(
        [worker_python, "-c", script], check=True, capture_output=True, text=True, cwd="/"
    )
    version, packages, has_workers = answer.stdout.split("\n")[:3]
    triton = Path(packages) / "pytriton" / "tritonserver"
    install = f"{worker_python} -m pip install --no-deps"
    if not (triton / "bin" / "tritonserver").exists():
        raise StartError(f"nvidia-pytriton is missing: {install} -r requirements/triton.txt")
    if has_workers != "True":
        raise StartError(f"our own packages are missing: {install} --no-build-isolation -e .")
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise StartError(f"nvidia-pytriton has no stub for Python {version}; use 3.9 to 3.13")
    libpython = _link_libpython(worker_python, directory / "lib")
    library_path = f"{Path(packages) / 'nvidia_pytriton.libs'}{os.pathsep}{libpython}"
    _check_libraries(stub, library_path, version)
    return _Installation(worker_python.parent, triton, library_path, version)


def _link_libpython(worker_python: Path, directory: Path) -> Path:
    """A directory with the library that interpreter brings itself; empty if it is the system's.

    Not the one it is in: conda's holds a libstdc++ and more, which Triton would then take.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    answer = subprocess.run(
        [worker_python, "-I", _ROOT / "tests" / "stack" / "libpython.py", "--own"],
        check=True,
        capture_output=True,
        text=True,
    )
    if own := answer.stdout.strip():
        (directory / Path(own).name).symlink_to(own)
    return directory


def _check_libraries(stub: Path, library_path: str, version: str) -> None:
    ldd = subprocess.run(
        ["ldd", stub],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LD_LIBRARY_PATH": library_path},
    )
    missing = [line.split()[0] for line in ldd.stdout.splitlines() if "not found" in line]
    if missing:
        raise StartError(
            f"Triton's stub misses {', '.join(missing)}."
            f" On Debian or Ubuntu: apt-get install libpython{version}"
        )


def _backends(found: _Installation, directory: Path) -> Path:
    """A copy of the python backend: Triton makes its stub executable, where it may write."""
    backends = directory / "backends"
    # A stub that is left of an earlier run can be unlinked, not written to (Text file busy).
    shutil.rmtree(backends, ignore_errors=True)
    shutil.copytree(found.triton / "backends" / "python", backends / "python")
    stub = "triton_python_backend_stub"
    shutil.copy(
        found.triton / "python_backend_stubs" / found.python_version / stub,
        backends / "python" / stub,
    )
    return backends


def default_server_flags(ports: TritonPorts) -> list[str]:
    """How it serves: on loopback, in the clear."""
    return [
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        # Running streams may finish; then our Process.stop() loses patience.
        "--exit-timeout-secs=10",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={ports.grpc}",
        "--http-address=127.0.0.1",
        f"--http-port={ports.http}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={ports.metrics}",
        "--allow-gpu-metrics=false",
        # By default, pings more often than every 5 minutes are answered with
        # GOAWAY; gateways ping every 20 s.
        "--grpc-keepalive-time=20000",
        "--grpc-keepalive-timeout=5000",
        "--grpc-http2-min-recv-ping-interval-without-data=5000",
        "--grpc-http2-max-ping-strikes=0",
    ]


def _model_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", f"/v2/models/{_MODEL}/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
