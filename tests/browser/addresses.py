"""Every page of the studio and the states it can be in; a page that is missing here fails a test."""

from __future__ import annotations

from softprompt.api.policy import PAGES

STATES: dict[str, tuple[str, ...]] = {
    "/": ("/",),
    "/sign-in": ("/sign-in", "/sign-in?link=wrong"),
    "/data": ("/data",),
    "/data/{dataset_id}": (
        "/data/{data}",
        "/data/{bad}",
        "/data/{second}",
        "/data/{data}?start=25",
        "/data/{data}?search=nowhere",
    ),
    "/tuning": ("/tuning", "/tuning?state=failed"),
    "/tuning/new": ("/tuning/new", "/tuning/new?dataset={data}", "/tuning/new?again={run}"),
    "/tuning/runs/{run_id}": (
        "/tuning/runs/{run}",
        "/tuning/runs/{readout}",
        "/tuning/runs/{live}",
        "/tuning/runs/{queued}",
        "/tuning/runs/{failed}",
        "/tuning/runs/{canceled}",
    ),
    "/deployments": ("/deployments",),
    "/deployments/new": ("/deployments/new", "/deployments/new?prompt={prompt}"),
    "/deployments/{deployment_id}": (
        "/deployments/{deployment}",
        "/deployments/{plain deployment}",
        "/deployments/{offline}",
    ),
    "/lab": ("/lab", "/lab?subject=prompt:{prompt}", "/lab?subject=model:{model}"),
    "/models": ("/models", "/models?search=nowhere"),
    "/account": ("/account",),
}
"""Route: addresses, with the ids of `Seeded.ids`."""

NOT_PAGES = ("/static/{name}",)
"""Routes that a browser gets something else from than a page."""

MISSING = ("/data/nope", "/tuning/runs/nope", "/deployments/nope", "/nothing")


def routes() -> set[str]:
    """Addresses of the policy that a browser opens."""
    found = set()
    for line in PAGES.strip().splitlines():
        _, methods, path = line.split()
        if "GET" in methods.split(",") and path not in NOT_PAGES:
            found.add(path)
    return found


ALL = tuple(address for addresses in STATES.values() for address in addresses)
