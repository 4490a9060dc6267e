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
"""

POLICY |= _read(OPERATIONS)

OPENAI = """
signed_in    GET     /v1/models
signed_in    GET     /v1/models/{model_id:path}
viewer       POST    /v1/completions
viewer       POST    /v1/chat/completions
viewer       POST    /api/generate
viewer       POST    /api/generate/stream
viewer       POST    /api/tokenize
viewer       GET     /api/deployments/{deployment_id}/snippets
"""

POLICY |= _read(OPENAI)

PAGES = """
public       GET     /static/{name}
public       GET     /sign-in
public       POST    /sign-in
signed_in    POST    /sign-out
signed_in    GET     /
signed_in    POST    /home/checklist
viewer       GET     /data
editor       POST    /data
viewer       GET     /data/{dataset_id}
editor       POST    /data/{dataset_id}/repair
viewer       GET     /tuning
viewer       GET     /tuning/new
editor       POST    /tuning/new
viewer       GET     /tuning/runs/{run_id}
editor       POST    /tuning/runs/{run_id}/cancel
editor       POST    /tuning/runs/{run_id}/keep
viewer       GET     /deployments
viewer       GET     /deployments/new
editor       POST    /deployments/new
viewer       GET     /deployments/{deployment_id}
viewer       POST    /deployments/{deployment_id}/test
editor       POST    /deployments/{deployment_id}/state
editor       POST    /deployments/{deployment_id}/delete
viewer       GET     /lab
viewer       POST    /lab
viewer       POST    /lab/stream
signed_in    GET     /models
signed_in    GET     /account
signed_in    POST    /account/keys
signed_in    POST    /account/keys/{key_id}/revoke
signed_in    POST    /account/password
"""

POLICY |= _read(PAGES)
