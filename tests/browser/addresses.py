"""Every page of the studio and the states it can be in; a page that is missing here fails a test."""

from __future__ import annotations

from softprompt.api.policy import POLICY

OTHERS = ("/api", "/v1", "/v2", "/ml", "/wx", "/uploads", "/healthz", "/readyz", "/metrics", "/static")
"""Addresses for programs."""

STATES: dict[str, tuple[str, ...]] = {
    "/": ("/",),
    "/sign-in": ("/sign-in", "/sign-in?link=wrong"),
    "/search": ("/search", "/search?q=rout"),
    "/models": ("/models", "/models?search=nowhere", "/models?for=lab", "/models?for=tuning"),
    "/models/{model_id:path}": ("/models/{model}", "/models/google/flan-t5-xl"),
    "/data": ("/data",),
    "/data/new": ("/data/new",),
    "/data/{dataset_id}": (
        "/data/{data}",
        "/data/{bad}",
        "/data/{second}",
        "/data/{data}?start=25",
        "/data/{data}?search=nowhere",
    ),
    "/data/{dataset_id}/edit": ("/data/{data}/edit",),
    "/data/{dataset_id}/fix": ("/data/{bad}/fix",),
    "/data/{dataset_id}/versions": ("/data/{second}/versions",),
    "/data/{dataset_id}/split": ("/data/{data}/split",),
    "/tuning": ("/tuning", "/tuning?state=failed"),
    "/tuning/experiments/{experiment_id}": ("/tuning/experiments/{experiment}",),
    "/tuning/new": ("/tuning/new", "/tuning/new?dataset={data}", "/tuning/new?again={run}"),
    "/tuning/runs/{run_id}": (
        "/tuning/runs/{run}",
        "/tuning/runs/{readout}",
        "/tuning/runs/{live}",
        "/tuning/runs/{queued}",
        "/tuning/runs/{failed}",
        "/tuning/runs/{canceled}",
    ),
    "/tuning/compare": ("/tuning/compare", "/tuning/compare?runs={run},{again}"),
    "/tuning/evaluations": ("/tuning/evaluations",),
    "/tuning/evaluations/new": ("/tuning/evaluations/new", "/tuning/evaluations/new?prompt={prompt}"),
    "/tuning/evaluations/{evaluation_id}": ("/tuning/evaluations/{evaluation}",),
    "/deployments": ("/deployments",),
    "/deployments/new": ("/deployments/new", "/deployments/new?prompt={prompt}"),
    "/deployments/{deployment_id}": (
        "/deployments/{deployment}",
        "/deployments/{plain deployment}",
        "/deployments/{offline}",
    ),
    "/deployments/{deployment_id}/code": ("/deployments/{deployment}/code",),
    "/deployments/{deployment_id}/test": ("/deployments/{deployment}/test", "/deployments/{offline}/test"),
    "/deployments/{deployment_id}/usage": ("/deployments/{deployment}/usage",),
    "/deployments/{deployment_id}/history": ("/deployments/{deployment}/history",),
    "/deployments/{deployment_id}/edit": ("/deployments/{deployment}/edit",),
    "/deployments/{deployment_id}/promote": ("/deployments/{deployment}/promote",),
    "/spaces": ("/spaces",),
    "/spaces/new": ("/spaces/new",),
    "/spaces/{space_id}": ("/spaces/{space}",),
    "/spaces/{space_id}/edit": ("/spaces/{space}/edit",),
    "/lab": (
        "/lab",
        "/lab?start=example",
        "/lab?subject=prompt:{prompt}",
        "/lab?subject=model:{model}",
        "/lab?subject=deployment:{deployment}",
        "/lab?generation={generation}",
    ),
    "/lab/history": ("/lab/history",),
    "/lab/import": ("/lab/import",),
    "/lab/sessions": ("/lab/sessions",),
    "/lab/sessions/{session_id}": ("/lab/sessions/{session}",),
    "/account": ("/account",),
    "/members": ("/members",),
    "/members/{container_id}": ("/members/{project}", "/members/{space}"),
    "/admin/people": ("/admin/people",),
    "/admin/people/{user_id}": ("/admin/people/{user}",),
    "/admin/jobs": ("/admin/jobs",),
    "/admin/health": ("/admin/health",),
    "/admin/settings": ("/admin/settings",),
    "/admin/audit": ("/admin/audit",),
}
"""Route: addresses, with the ids of `Seeded.ids`."""

NOT_PAGES = {
    "/search/lines",
    "/models/pulls",
    "/data/uploads/{token}",
    "/data/{dataset_id}/download",
    "/tuning/runs/{run_id}/curve",
    "/tuning/runs/{run_id}/{name}.csv",
    "/tuning/runs/{run_id}/recipe.json",
    "/tuning/runs/{run_id}/peft.zip",
    "/tuning/evaluations/{evaluation_id}/answers.csv",
    "/deployments/check",
    "/spaces/{space_id}/state",
    "/admin/jobs/live",
    "/admin/health/live",
    "/admin/health/checks",
    "/admin/settings/backups/{name}",
    "/admin/audit/log.csv",
}
"""Routes that give something else than a page: files, and pieces that scripts ask for."""

MISSING = ("/data/nope", "/tuning/runs/nope", "/deployments/nope", "/nothing")


def routes() -> set[str]:
    """Addresses of the policy that a browser opens."""
    found = {path for method, path in (key.split(" ", 1) for key in POLICY) if method == "GET"}
    return {path for path in found if not path.startswith(OTHERS)}


ALL = tuple(address for route, addresses in STATES.items() if route in routes() for address in addresses)
