"""The pages: from an event in the worker to the point on the curve, server time of every page, bytes of a first page.

    python benchmarks/browser.py [--runs 10000] [--requests 40] [--quick]

The curve: a real Chromium follows a real run (a tiny model, some updates a second); an event's time is the worker's
own, a point's is that of the frame in which it is drawn. Server time: a web process on a database with many runs, asked
by one client over HTTP, page by page. Bytes: what a browser that was never here takes over the wire, without plotly.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from common import begin, parser, record, table
from studio import Studio, add_tiny_model, studio, told, tuned, upload

_FOLLOW = """
() => new Promise((resolve) => {
  const drawn = {};
  const look = () => {
    const xs = document.querySelector(".js-plotly-plot")?.data?.[0]?.x ?? [];
    for (let i = xs.length - 1; i >= 0 && !(xs[i] in drawn); i--) drawn[xs[i]] = Date.now();
    if (xs.length >= %d) resolve(drawn); else requestAnimationFrame(look);
  };
  look();
})
"""


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--runs", type=int, default=10_000)
    made.add_argument("--requests", type=int, default=40)
    options = made.parse_args()
    facts = begin(options)
    if options.quick:
        options.runs, options.requests = 500, 5
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_chromium())
        with studio(Path(folder) / "data") as running, running.client() as client:
            result: dict[str, Any] = curve(options, running, client, chromium, Path(folder) / "tiny")
            result |= first_page(running, chromium)
            result["pages"] = pages(options, running, client)
        chromium.close()
    table(["", ""], [[name, f"{value:,.1f}"] for name, value in result.items() if not isinstance(value, dict)])
    head = [f"page, {options.runs:,} runs", "median ms", "p95 ms", "KB gzip"]
    table(head, [[name, *(f"{value:.1f}" for value in values)] for name, values in result["pages"].items()])
    record(options, "browser", facts, result)


def _chromium() -> str:
    path = Path(__file__).parents[1] / "scripts" / "browser.py"
    spec = importlib.util.spec_from_file_location("softprompt_browser", path)
    assert spec is not None
    assert spec.loader is not None
    finder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(finder)
    return str(finder.install())


@contextmanager
def signed_in(running: Studio, browser: Browser) -> Iterator[Page]:
    """A page of the admin, who came by a link."""
    context = browser.new_context(base_url=running.url)
    page = context.new_page()
    page.goto(sign_in_link(running))
    yield page
    context.close()


def sign_in_link(running: Studio) -> str:
    line = [sys.executable, "-m", "softprompt", "keys", "link", "--data-dir", str(running.data_dir)]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    found = re.search(r"/sign-in\?link=[\w-]+", said)
    assert found is not None, said
    return found[0]


# --- the curve -------------------------------------------------------------------------------------------------------
def curve(
    options: argparse.Namespace, running: Studio, client: httpx.Client, browser: Browser, folder: Path
) -> dict[str, float]:
    """Milliseconds from the worker's event to the frame that draws it."""
    model = add_tiny_model(client, folder)
    rows = [(f"Row {i} of many that all say a little more than nothing", "AB"[i % 2]) for i in range(1000)]
    data = upload(client, "rows", rows)
    warm = tuned(client, model, data, "warm", readout="off", batch_size=16, epochs=1, accumulate=16, virtual_tokens=4)
    _over(client, warm)
    settings = {"readout": "off", "batch_size": 16, "accumulate": 8, "virtual_tokens": 4}
    run = tuned(client, model, data, "curve", epochs=3 if options.quick else 10, **settings)
    with signed_in(running, browser) as page:
        page.goto(f"/tuning/runs/{run}")
        # The page of a finished run is another one: the last updates are left out.
        updates = _updates(client, run) - 8
        drawn = page.evaluate(_FOLLOW % updates)
    told_at = _told_at(running, client, run)
    waits = [drawn[str(u)] - at for u, at in told_at.items() if str(u) in drawn and u > 8]
    if not waits:
        raise SystemExit("No point was drawn while the run was at work.")
    return {
        "event to point on the curve, median ms": statistics.median(waits),
        "p95 ms": _percentile(waits, 95),
        "most ms": max(waits),
        "points": float(len(waits)),
    }


def _updates(client: httpx.Client, run: str) -> int:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = told(client.get(f"/api/runs/{run}"))
        if found["progress"].get("updates"):
            return int(found["progress"]["updates"])
        time.sleep(0.05)
    raise SystemExit("The run does not begin.")


def _over(client: httpx.Client, run: str) -> None:
    end = time.monotonic() + 300
    while told(client.get(f"/api/runs/{run}"))["state"] in ("queued", "running"):
        if time.monotonic() > end:
            raise SystemExit("The run does not end.")
        time.sleep(0.1)


def _told_at(running: Studio, client: httpx.Client, run: str) -> dict[int, float]:
    """When the worker said each update, in milliseconds since 1970."""
    _over(client, run)
    found: dict[int, float] = {}
    with client.stream("GET", f"/api/runs/{run}/events", headers={"accept": "text/event-stream"}) as answer:
        kind = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: ") and kind == "StepDone":
                data = json.loads(line[6:])
                found[data["update"]] = datetime.fromisoformat(data["at"]).timestamp() * 1000
            elif kind == "end":
                break
    return found


# --- bytes -----------------------------------------------------------------------------------------------------------
def first_page(running: Studio, browser: Browser) -> dict[str, float]:
    """KB over the wire of the first page somebody sees, packed, plotly apart."""
    result = {}
    with signed_in(running, browser) as page:
        cookies = page.context.cookies()
    for name, path in (("home", "/"), ("Prompt Lab", "/lab")):
        context = browser.new_context(base_url=running.url)
        context.add_cookies(cookies)  # type: ignore[arg-type]
        page = context.new_page()
        seen: list[Any] = []
        page.on("requestfinished", lambda request, seen=seen: seen.append(request))
        page.goto(path, wait_until="networkidle")
        sizes = [r.sizes()["responseBodySize"] for r in seen if "plotly" not in r.url]
        result[f"first page {name}, KB"] = sum(sizes) / 1000
        context.close()
    return result


# --- server time -----------------------------------------------------------------------------------------------------
def pages(options: argparse.Namespace, running: Studio, client: httpx.Client) -> dict[str, Sequence[float]]:
    """Median, 95th percentile (milliseconds) and packed size of each page address."""
    ids = _fill(options, running, client)
    found: dict[str, Sequence[float]] = {}
    with httpx.Client(base_url=running.url, headers={"accept": "text/html"}, timeout=60) as browser:
        browser.get(sign_in_link(running))
        for route in _routes():
            names = re.findall(r"\{(\w+)", route)
            if any(name not in ids for name in names):
                print(f"not measured: {route}")
                continue
            path = re.sub(r"\{(\w+)(:path)?\}", lambda match: ids[match[1]], route)
            if route == "/tuning/compare":
                path += f"?runs={ids['run_id']}&runs={ids['other_run']}"
            answer = browser.get(path)
            if answer.status_code != 200 or not answer.headers["content-type"].startswith("text/html"):
                print(f"not a page: {route} {answer.status_code}")
                continue
            found[route] = _timed(browser, path, options.requests)
    return found


def _timed(browser: httpx.Client, path: str, requests: int) -> tuple[float, float, float]:
    waits, size = [], 0
    for turn in range(-2, requests):
        began = time.perf_counter()
        with browser.stream("GET", path) as answer:
            size = sum(map(len, answer.iter_raw()))
        if turn >= 0:
            waits.append((time.perf_counter() - began) * 1000)
    return statistics.median(waits), _percentile(waits, 95), size / 1000


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _routes() -> list[str]:
    from softprompt.api.policy import ADMIN_PAGES, PAGES, RUN_PAGES

    lines = [line.split() for table in (PAGES, RUN_PAGES, ADMIN_PAGES) for line in table.strip().splitlines()]
    return [path for _, methods, path in lines if "GET" in methods.split(",") and not path.startswith("/static")]


def _fill(options: argparse.Namespace, running: Studio, client: httpx.Client) -> dict[str, str]:
    """Many runs beside the finished one, a deployment, a space; the ids that stand in addresses."""
    run, other = told(client.get("/api/runs", params={"state": "completed"}))["items"][:2]
    prompt = run["tuned_prompt_id"]
    deployment = told(client.post("/api/deployments", json={"name": "R", "serving_name": "r", "prompt": prompt}))
    space = told(client.post("/api/spaces", json={"name": "Space", "stage": "testing"}))
    session = told(client.post("/api/sessions", json={"name": "S", "model": "tiny", "content": {"text": "Hello"}}))
    evaluation = told(
        client.post(
            "/api/evaluations",
            json={"name": "E", "model": "tiny", "dataset": run["dataset_id"], "methods": ["zero-shot"]},
        )
    )
    _add_runs(running.data_dir, run["id"], options.runs)
    user = told(client.get("/api/users"))["items"][0]
    return {
        "run_id": run["id"],
        "other_run": other["id"],
        "dataset_id": run["dataset_id"],
        "experiment_id": run["experiment_id"],
        "prompt_id": prompt,
        "model_id": "tiny",
        "container_id": run["project_id"],
        "user_id": user["id"],
        **{f"{name}_id": made["id"] for name, made in _named(deployment, space, session, evaluation)},
    }


def _named(*made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from zip(("deployment", "space", "session", "evaluation"), made, strict=True)


def _add_runs(data_dir: Path, like: str, count: int) -> None:
    """So many runs that are over, straight into the database."""
    from softprompt.config import StudioSettings
    from softprompt.storage.database import Database
    from softprompt.storage.rows import Rows
    from softprompt.storage.tables import TuningRun

    database = Database(StudioSettings.of(data_dir).database_url)
    with database.write() as session:
        one = Rows(session).get(TuningRun, like)
        assert one is not None
        kept = ("project_id", "experiment_id", "model_id", "dataset_id", "config", "results", "progress")
        common = {name: getattr(one, name) for name in kept} | {"state": "completed", "started_at": one.started_at}
        session.add_all(
            TuningRun(name=f"curve ({n})", number=n, finished_at=one.finished_at, **common)
            for n in range(1000, 1000 + count)
        )
    database.close()


if __name__ == "__main__":
    main()
