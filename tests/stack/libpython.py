"""Whether the shared library of this Python is there: Triton's stub is linked against it.

Exits with 0 or 1; with --package prints the Debian package that has it, with --own
its path if this Python brings one itself, as those of pyenv, uv and conda may.

Not asked of dlopen: a Python that is linked against its own library finds it by a
path built in, which the stub has not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBRARY = f"libpython{VERSION}.so.1.0"


def own() -> Path | None:
    """The library beside this interpreter."""
    # Pythons that were moved after they were built have a LIBDIR that is not there.
    for directory in (sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib"):
        if directory and (path := Path(directory) / LIBRARY).exists():
            return path
    return None


def systems() -> bool:
    """Whether the dynamic linker knows one."""
    # Only root has /sbin on its path.
    ldconfig = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if ldconfig is None:
        return False
    known = subprocess.run([ldconfig, "-p"], check=True, capture_output=True, text=True)
    return f"{LIBRARY} " in known.stdout


if __name__ == "__main__":
    if "--package" in sys.argv[1:]:
        print(f"libpython{VERSION}")
    elif "--own" in sys.argv[1:]:
        print(own() or "")
    else:
        sys.exit(0 if own() or systems() else 1)
