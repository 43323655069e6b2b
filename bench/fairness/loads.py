"""What projects ask for, in parts of what the workers can do."""

from __future__ import annotations

LIGHT_PROJECTS = 9
LIGHT_SHARE = 0.06  # each of them; together they leave nearly half
FLOOD = 3.0  # one project
OVERLOAD_PROJECTS = 10  # each asks for all there is
