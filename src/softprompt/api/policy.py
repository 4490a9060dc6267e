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
"""Rule by "METHOD /path/{parameter}", filled below from the tables."""


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
"""

POLICY |= _read(OPERATIONS)

STUDIO = """
public       POST              /api/sign-in
public       POST              /api/sign-in/link
signed_in    POST              /api/sign-out
signed_in    GET,PATCH         /api/me
signed_in    GET,DELETE        /api/me/sessions
signed_in    PUT               /api/me/password
signed_in    GET               /api/status
signed_in    GET               /api/search
viewer       GET               /api/projects
editor       POST              /api/projects
viewer       GET               /api/projects/{project_id}
admin        PATCH,DELETE      /api/projects/{project_id}
viewer       GET               /api/projects/{project_id}/members
admin        PUT,DELETE        /api/projects/{project_id}/members/{user}
viewer       GET               /api/spaces
editor       POST              /api/spaces
viewer       GET               /api/spaces/{space_id}
viewer       GET               /api/spaces/{space_id}/readiness
admin        PATCH,DELETE      /api/spaces/{space_id}
viewer       GET               /api/spaces/{space_id}/members
admin        PUT,DELETE        /api/spaces/{space_id}/members/{user}
viewer       GET               /api/datasets
editor       POST              /api/datasets
viewer       GET               /api/datasets/{dataset_id}
editor       PATCH,DELETE      /api/datasets/{dataset_id}
viewer       GET               /api/datasets/{dataset_id}/versions
viewer       GET               /api/datasets/{dataset_id}/report
viewer       GET               /api/datasets/{dataset_id}/rows
viewer       GET               /api/datasets/{dataset_id}/file
viewer       GET               /api/datasets/{dataset_id}/lengths
viewer       GET               /api/datasets/{dataset_id}/leaks
viewer       GET               /api/datasets/{dataset_id}/diff
editor       GET,POST          /api/datasets/{dataset_id}/repair
editor       POST              /api/datasets/{dataset_id}/edit
editor       POST              /api/datasets/{dataset_id}/split
editor       POST              /api/datasets/{dataset_id}/restore
viewer       GET               /api/experiments
editor       POST              /api/experiments
viewer       GET               /api/experiments/{experiment_id}
editor       PATCH,DELETE      /api/experiments/{experiment_id}
viewer       GET               /api/runs
editor       POST              /api/runs
viewer       POST              /api/runs/check
editor       POST              /api/runs/measure
viewer       GET               /api/runs/{run_id}
viewer       GET               /api/runs/{run_id}/curve
viewer       GET               /api/runs/{run_id}/recipe
viewer       GET               /api/runs/{run_id}/outcome
viewer       GET               /api/runs/{run_id}/ledger
viewer       GET               /api/comparisons
viewer       GET               /api/comparisons/answers
editor       PATCH,DELETE      /api/runs/{run_id}
viewer       GET               /api/runs/{run_id}/events
editor       POST              /api/runs/{run_id}/cancel
editor       POST              /api/runs/{run_id}/keep
editor       POST              /api/runs/{run_id}/again
editor       POST              /api/runs/{run_id}/prompt
viewer       GET               /api/prompts
editor       POST              /api/prompts/import
viewer       GET               /api/prompts/{prompt_id}
editor       PATCH,DELETE      /api/prompts/{prompt_id}
viewer       GET               /api/prompts/{prompt_id}/file
editor       POST              /api/prompts/{prompt_id}/promote
viewer       GET               /api/deployments
editor       POST              /api/deployments
viewer       GET               /api/deployments/{deployment_id}
editor       PATCH,DELETE      /api/deployments/{deployment_id}
editor       POST              /api/deployments/{deployment_id}/promote
editor       POST              /api/deployments/{deployment_id}/swap
viewer       GET               /api/deployments/{deployment_id}/usage
viewer       GET               /api/deployments/{deployment_id}/history
viewer       GET               /api/serving-names
viewer       GET               /api/sessions
editor       POST              /api/sessions
viewer       GET               /api/sessions/{session_id}
editor       PATCH,DELETE      /api/sessions/{session_id}
editor       POST              /api/sessions/{session_id}/lock
editor       POST              /api/sessions/{session_id}/unlock
viewer       GET               /api/sessions/{session_id}/snippets
viewer       POST              /api/lab/generate
viewer       POST              /api/lab/code
viewer       GET               /api/lab/history
viewer       GET               /api/lab/history/{generation_id}
viewer       GET               /api/evaluations
editor       POST              /api/evaluations
viewer       GET               /api/evaluations/{evaluation_id}
editor       DELETE            /api/evaluations/{evaluation_id}
viewer       GET               /api/evaluations/{evaluation_id}/report
viewer       GET               /api/evaluations/{evaluation_id}/answers
viewer       GET               /api/evaluations/{evaluation_id}/events
editor       POST              /api/evaluations/{evaluation_id}/cancel
signed_in    GET               /api/models
studio_admin POST              /api/models
signed_in    GET               /api/models/{model_id:path}
studio_admin DELETE            /api/models/{model_id:path}
signed_in    GET               /api/pulls
studio_admin POST              /api/pulls
signed_in    GET               /api/pulls/{model_id:path}
studio_admin DELETE            /api/pulls/{model_id:path}
signed_in    GET               /api/model-files
studio_admin DELETE            /api/model-files/{model_id:path}
studio_admin GET,POST          /api/users
studio_admin GET,PATCH         /api/users/{user_id}
studio_admin DELETE            /api/users/{user_id}/sessions
studio_admin POST              /api/users/{user_id}/disable
studio_admin POST              /api/users/{user_id}/enable
studio_admin POST              /api/users/{user_id}/reset
studio_admin PUT               /api/users/{user_id}/password
studio_admin POST              /api/users/{user_id}/link
signed_in    GET,POST          /api/keys
signed_in    DELETE            /api/keys/{key_id}
studio_admin GET               /api/jobs
studio_admin PATCH             /api/jobs/{job_id}
studio_admin POST              /api/jobs/{job_id}/retry
studio_admin POST              /api/jobs/{job_id}/cancel
studio_admin GET,DELETE        /api/trash
studio_admin DELETE            /api/trash/{deleted_id}
editor       POST              /api/trash/{deleted_id}/restore
studio_admin GET,POST          /api/backups
studio_admin GET               /api/backups/{name}/file
studio_admin DELETE            /api/backups/{name}
studio_admin GET               /api/settings
studio_admin GET               /api/health
studio_admin GET               /api/audit
"""

POLICY |= _read(STUDIO)

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
public       GET,POST /sign-in
signed_in    POST    /sign-out
signed_in    GET     /
signed_in    POST    /home/checklist
viewer       GET     /data
editor       POST    /data
editor       GET,POST  /data/new
editor       POST    /data/uploads
editor       GET,PUT,POST,DELETE  /data/uploads/{token}
viewer       GET     /data/{dataset_id}
viewer       POST    /data/{dataset_id}/lengths
viewer       POST    /data/{dataset_id}/leaks
viewer       GET     /data/{dataset_id}/download
editor       POST    /data/{dataset_id}/about
editor       GET,POST  /data/{dataset_id}/edit
editor       GET     /data/{dataset_id}/fix
editor       POST    /data/{dataset_id}/repair
viewer       GET     /data/{dataset_id}/versions
editor       POST    /data/{dataset_id}/restore
editor       GET,POST  /data/{dataset_id}/split
editor       POST    /data/{dataset_id}/delete
editor       POST    /data/{dataset_id}/undelete
viewer       GET     /tuning
viewer       GET     /tuning/new
editor       POST    /tuning/new
viewer       POST    /tuning/check
editor       POST    /tuning/measure
viewer       GET     /tuning/experiments/{experiment_id}
editor       POST    /tuning/experiments/{experiment_id}
editor       POST    /tuning/experiments/{experiment_id}/delete
editor       POST    /tuning/experiments/{experiment_id}/undelete
viewer       GET     /deployments
viewer       GET     /deployments/new
editor       POST    /deployments/new
viewer       GET     /deployments/check
viewer       GET     /deployments/{deployment_id}
viewer       GET     /deployments/{deployment_id}/code
viewer       POST    /deployments/{deployment_id}/key
viewer       GET,POST /deployments/{deployment_id}/test
viewer       GET     /deployments/{deployment_id}/usage
viewer       GET     /deployments/{deployment_id}/history
editor       GET,POST /deployments/{deployment_id}/edit
editor       GET,POST /deployments/{deployment_id}/promote
editor       POST    /deployments/{deployment_id}/swap
editor       POST    /deployments/{deployment_id}/state
editor       POST    /deployments/{deployment_id}/delete
editor       POST    /deployments/{deployment_id}/restore
viewer       GET     /spaces
viewer       GET     /spaces/new
editor       POST    /spaces/new
viewer       GET     /spaces/{space_id}
viewer       GET     /spaces/{space_id}/state
admin        GET,POST /spaces/{space_id}/edit
admin        POST    /spaces/{space_id}/members
admin        POST    /spaces/{space_id}/members/{user}/remove
admin        POST    /spaces/{space_id}/delete
admin        POST    /spaces/{space_id}/restore
viewer       GET,POST /lab
viewer       POST    /lab/stream
viewer       POST    /lab/count
viewer       POST    /lab/code
viewer       POST    /lab/export
viewer       GET,POST /lab/import
viewer       GET     /lab/history
viewer       GET     /lab/sessions
editor       POST    /lab/sessions
viewer       GET     /lab/sessions/{session_id}
editor       POST    /lab/sessions/{session_id}
editor       POST    /lab/sessions/{session_id}/rename
editor       POST    /lab/sessions/{session_id}/delete
editor       POST    /lab/sessions/{session_id}/restore
signed_in    GET     /models
signed_in    GET     /models/pulls
studio_admin POST    /models/add
studio_admin POST    /models/forget
studio_admin POST    /models/pull
studio_admin POST    /models/stop
studio_admin POST    /models/remove
signed_in    GET     /models/{model_id:path}
signed_in    GET     /search
signed_in    GET     /search/lines
signed_in    POST    /home/sandbox
"""

POLICY |= _read(PAGES)

RUN_PAGES = """
viewer       GET     /tuning/runs/{run_id}
viewer       GET     /tuning/runs/{run_id}/curve
viewer       GET     /tuning/runs/{run_id}/{name}.csv
viewer       GET     /tuning/runs/{run_id}/recipe.json
viewer       GET     /tuning/runs/{run_id}/peft.zip
viewer       POST    /tuning/runs/{run_id}/rates
editor       POST    /tuning/runs/{run_id}/cancel
editor       POST    /tuning/runs/{run_id}/keep
viewer       GET,POST /tuning/compare
viewer       GET     /tuning/evaluations
viewer       GET     /tuning/evaluations/new
editor       POST    /tuning/evaluations/new
viewer       GET     /tuning/evaluations/{evaluation_id}
viewer       GET     /tuning/evaluations/{evaluation_id}/answers.csv
editor       POST    /tuning/evaluations/{evaluation_id}/cancel
editor       POST    /tuning/evaluations/{evaluation_id}/delete
"""

POLICY |= _read(RUN_PAGES)

ADMIN_PAGES = """
signed_in    GET     /account
signed_in    POST    /account/keys
signed_in    POST    /account/keys/{key_id}/revoke
signed_in    POST    /account/password
signed_in    POST    /account/profile
signed_in    POST    /account/sessions/end
viewer       GET     /members
viewer       GET     /members/{container_id}
admin        POST    /members/{container_id}
signed_in    GET     /admin/people
studio_admin POST    /admin/people
signed_in    GET     /admin/people/{user_id}
studio_admin POST    /admin/people/{user_id}/roles
studio_admin POST    /admin/people/{user_id}/admin
studio_admin POST    /admin/people/{user_id}/link
studio_admin POST    /admin/people/{user_id}/sessions/end
studio_admin POST    /admin/people/{user_id}/disable
studio_admin POST    /admin/people/{user_id}/enable
studio_admin POST    /admin/people/{user_id}/keys/{key_id}/revoke
signed_in    GET     /admin/jobs
studio_admin GET     /admin/jobs/live
studio_admin POST    /admin/jobs/{job_id}/priority
studio_admin POST    /admin/jobs/{job_id}/retry
studio_admin POST    /admin/jobs/{job_id}/cancel
signed_in    GET     /admin/health
studio_admin GET     /admin/health/live
studio_admin GET     /admin/health/checks
signed_in    GET     /admin/settings
studio_admin POST    /admin/settings/project
studio_admin POST    /admin/settings/backups
studio_admin GET     /admin/settings/backups/{name}
studio_admin POST    /admin/settings/backups/delete
studio_admin POST    /admin/settings/deleted/back
studio_admin POST    /admin/settings/deleted/purge
signed_in    GET     /admin/audit
studio_admin GET     /admin/audit/log.csv
"""

POLICY |= _read(ADMIN_PAGES)

WATSONX = """
public       GET        /ml/wml_services/v2/version
public       POST       /icp4d-api/v1/authorize
public       POST       /identity/token
signed_in    GET        /v2/projects
signed_in    POST       /transactional/v2/projects
viewer       GET        /v2/projects/{project_id}
admin        PATCH      /v2/projects/{project_id}
admin        DELETE     /transactional/v2/projects/{project_id}
signed_in    GET,POST /v2/spaces
viewer       GET        /v2/spaces/{space_id}
admin        PATCH,DELETE /v2/spaces/{space_id}
editor       POST       /projects/api/rest/catalogs/assets/{asset_id}/promote
signed_link  PUT,GET    /uploads/{dataset_id}/{attachment_id}
editor       POST       /v2/assets
viewer       GET        /v2/assets/{asset_id}
editor       DELETE     /v2/assets/{asset_id}
editor       POST       /v2/assets/{asset_id}/attachments
viewer       GET        /v2/assets/{asset_id}/attachments/{attachment_id}
editor       POST       /v2/assets/{asset_id}/attachments/{attachment_id}/complete
viewer       POST       /v2/asset_types/{asset_type}/search
viewer       GET        /v2/asset_files/{path:path}
editor       POST       /ml/v4/trainings
viewer       GET        /ml/v4/trainings
viewer       GET        /ml/v4/trainings/{training_id}
editor       DELETE     /ml/v4/trainings/{training_id}
signed_in    GET        /v2/software_specifications
viewer       GET        /ml/v4/models
editor       POST       /ml/v4/models
viewer       GET        /ml/v4/models/{model_id}
editor       PATCH      /ml/v4/models/{model_id}
editor       POST       /ml/v4/deployments
viewer       GET        /ml/v4/deployments
viewer       GET        /ml/v4/deployments/{deployment_id}
editor       PATCH,DELETE /ml/v4/deployments/{deployment_id}
editor       POST       /wx/v1/prompts
viewer       GET        /wx/v1/prompts/{prompt_id}
editor       PATCH,DELETE /wx/v1/prompts/{prompt_id}
viewer       GET        /wx/v1/prompts/{prompt_id}/lock
editor       PUT        /wx/v1/prompts/{prompt_id}/lock
viewer       POST       /wx/v1/prompts/{prompt_id}/input
editor       POST       /wx/v1/prompts/{prompt_id}/chat_items
public       GET        /ml/v1/foundation_model_specs
public       GET        /ml/v1/foundation_model_tasks
viewer       POST       /ml/v1/text/generation
viewer       POST       /ml/v1/text/generation_stream
viewer       POST       /ml/v1/text/tokenization
viewer       POST       /ml/v1/text/chat
viewer       POST       /ml/v1/text/chat_stream
viewer       POST       /ml/v1/deployments/{deployment}/text/generation
viewer       POST       /ml/v1/deployments/{deployment}/text/generation_stream
viewer       POST       /ml/v1/deployments/{deployment}/text/chat
viewer       POST       /ml/v1/deployments/{deployment}/text/chat_stream
"""

POLICY |= _read(WATSONX)
