"""What some of these tests need of the machine."""

from __future__ import annotations

import os
import shutil

import pytest

# Both come with the package; promtool is needed for rules, the server to watch the product.
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None and "REQUIRE_PROMETHEUS" not in os.environ,
    reason="Prometheus is not installed (apt-get install prometheus); CI has it",
)
