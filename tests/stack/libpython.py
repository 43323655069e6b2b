"""Whether the shared library of this Python is there: Triton's stub is linked against it.

Exits with 0 or 1; with --package prints the Debian package that has it.
"""

from __future__ import annotations

import ctypes
import sys

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBRARY = f"libpython{VERSION}.so.1.0"


def is_there() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if "--package" in sys.argv[1:]:
        print(f"libpython{VERSION}")
    else:
        sys.exit(0 if is_there() else 1)
