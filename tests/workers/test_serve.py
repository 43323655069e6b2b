"""The entrypoint of the workers' images, up to the moment when it becomes Triton."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers import serve
from workers.serve import Installation, NotInstalled, copy_backend, installation


def test_the_backend_is_copied_with_the_stub_that_fits_and_may_be_run(tmp_path: Path) -> None:
    backend, stub = tmp_path / "python", tmp_path / "fitting"
    backend.mkdir()
    (backend / "libtriton_python.so").write_text("library")
    (backend / "triton_python_backend_stub").write_text("another")
    stub.write_text("fitting")
    found = Installation(tmp_path / "tritonserver", backend, stub, ())
    for _ in range(2):  # the container starts again
        copied = copy_backend(found, tmp_path / "writable") / "python"
        assert (copied / "libtriton_python.so").read_text() == "library"
        assert (copied / "triton_python_backend_stub").read_text() == "fitting"
        assert (copied / "triton_python_backend_stub").stat().st_mode & 0o777 == 0o755
        (copied / "libtriton_python.so").write_text("of an earlier start")


def test_nvidias_own_triton_goes_before_the_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tritonserver").touch()
    monkeypatch.setattr(serve, "NVIDIA", tmp_path)
    assert installation().server == tmp_path / "bin" / "tritonserver"


def test_without_a_triton_it_says_what_it_has_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # This environment is the gateway's, which has none.
    with pytest.raises(NotInstalled, match="nvidia-pytriton"):
        installation()
    assert serve.main() == 1
    assert "neither" in capsys.readouterr().err
