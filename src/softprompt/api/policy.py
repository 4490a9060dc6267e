"""The one table of what each route needs. A route that is not in it does not answer, and fails a test.

| word         | meaning                                                                                        |
|--------------|------------------------------------------------------------------------------------------------|
| public       | anybody                                                                                        |
| signed_link  | whoever has the address with its secret                                                        |
| signed_in    | any user or key                                                                                |
| viewer …     | that role in the project or space of whatever is touched; lists show what may be seen          |
| studio_admin | an admin of the whole studio                                                                   |
"""

from __future__ import annotations

from typing import Literal

Rule = Literal["public", "signed_link", "signed_in", "viewer", "editor", "admin", "studio_admin"]

POLICY: dict[str, Rule] = {}
"""Rule by "METHOD /path/{parameter}", filled below from the three tables."""


def rule(method: str, path: str) -> Rule | None:
    """What a route needs; HEAD and OPTIONS need what GET needs."""
    return POLICY.get(f"{'GET' if method in ('HEAD', 'OPTIONS') else method} {path}")


def _read(table: str) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for line in table.strip().splitlines():
        word, methods, path = line.split()
        for method in methods.split(","):
            found[f"{method} {path}"] = word  # type: ignore[assignment]
    return found


OPERATIONS = """
public       GET     /healthz
public       GET     /readyz
public       GET     /metrics
public       GET     /api/openapi.json
public       GET     /api/docs
public       GET     /
"""

POLICY |= _read(OPERATIONS)
