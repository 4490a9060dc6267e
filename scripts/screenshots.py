"""Take the pictures of docs/images: every page and state of a studio that tunes for real, light, dark and on a phone.

    python scripts/screenshots.py                 all of it; the model is tuned twice, which takes its time
    python scripts/screenshots.py --quick         with a tiny model, into out/screenshots alone: how pages look
    python scripts/screenshots.py --only run,lab  some of them

The studio is `softprompt up` with the complaints of examples/. What fits one window goes to docs/images, with 256
colours and at most 150 KB each; the whole pages, however long, go to out/screenshots.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

import browser as finder
from softprompt.testing.tiny import tiny_model

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from studio import Studio, add_tiny_model, command, finished, studio, told, wait  # noqa: E402

OUT, DOCS = ROOT / "out" / "screenshots", ROOT / "docs" / "images"
COMPLAINTS = ROOT / "examples" / "complaints"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
QUESTION = "Where are the 2 extra sets of sheets that are supposed to come with my order?!"
DESK, PHONE = (1280, 860), (390, 844)
MOST_BYTES = 150_000
ADMIN, VIEWER, NOBODY = "admin", "Ines", ""
BROKEN = (
    '{"input": "The lid is cracked"}\n{"input": "No answer", "output": ["Service"}\n{"in": "x", "output": "Service"}\n'
)


@dataclass(frozen=True)
class Picture:
    """One page in one state.

    Attributes:
        name: of the file.
        path: with ids in braces.
        do: what is clicked before.
        docs: which of its versions the documentation shows: light, dark, phone.
        who: whose page it is: the admin's, that of Ines who may only look, or nobody's.
    """

    name: str
    path: str
    do: Callable[[Page], None] | None = None
    docs: tuple[str, ...] = ("light",)
    who: str = ADMIN

    @property
    def when(self) -> str:
        """In the studio as it was born, while a run is at work, or when all is there."""
        if self.name.endswith("-empty"):
            return "empty"
        return "live" if re.search(r"\{(live|queued)\}", self.path) else "full"


def _ask(page: Page) -> None:
    page.get_by_role("button", name="Generate", exact=True).last.click()
    page.get_by_role("button", name="Stop", exact=True).wait_for(state="hidden", timeout=120_000)
    page.get_by_text(re.compile(r"\d generated")).last.wait_for(timeout=60_000)
    page.get_by_role("heading", name="Test", exact=True).evaluate("heading => heading.scrollIntoView()")
    page.wait_for_timeout(400)


def _compare(page: Page) -> None:
    page.get_by_role("button", name="Compare +").click()
    page.wait_for_timeout(800)
    _ask(page)


def _ask_tuned(page: Page) -> None:
    page.get_by_label("Input", exact=True).last.fill(QUESTION)
    _ask(page)


def _palette(page: Page) -> None:
    page.keyboard.press("Control+K")
    page.keyboard.type("compl")
    page.wait_for_timeout(700)


def _try(page: Page) -> None:
    page.get_by_label("Input").first.fill(QUESTION)
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(3000)


PICTURES = (
    Picture("sign-in", "/sign-in", who=NOBODY),
    Picture("home-empty", "/"),
    Picture("data-empty", "/data"),
    Picture("tuning-empty", "/tuning"),
    Picture("deployments-empty", "/deployments"),
    Picture("home", "/"),
    Picture("palette", "/", _palette),
    Picture("models", "/models"),
    Picture("model", "/models/{model}"),
    Picture("data", "/data"),
    Picture("dataset", "/data/{v1}"),
    Picture("dataset-broken", "/data/{broken}"),
    Picture("dataset-new", "/data/new"),
    Picture("lab-empty", "/lab"),
    Picture("lab-compare", "/lab?start=example", _compare),
    Picture("lab", "/lab?start=example", _ask, docs=("light", "phone")),
    Picture("lab-tuned", "/lab?subject=prompt:{prompt}", _ask_tuned),
    Picture("lab-history", "/lab/history"),
    Picture("tuning", "/tuning"),
    Picture("tuning-new", "/tuning/new?dataset={v1}"),
    Picture("run-live", "/tuning/runs/{live}", docs=("light", "dark")),
    Picture("run-queued", "/tuning/runs/{queued}"),
    Picture("run", "/tuning/runs/{run}", docs=("light", "dark", "phone")),
    Picture("run-second", "/tuning/runs/{second}"),
    Picture("run-failed", "/tuning/runs/{failed}"),
    Picture("compare", "/tuning/compare?runs={run},{second}"),
    Picture("evaluation", "/tuning/evaluations/{evaluation}"),
    Picture("deploy", "/deployments/new?prompt={prompt}"),
    Picture("deployments", "/deployments"),
    Picture("deployment", "/deployments/{deployment}"),
    Picture("deployment-test", "/deployments/{deployment}/test", _try),
    Picture("deployment-usage", "/deployments/{deployment}/usage"),
    Picture("spaces", "/spaces"),
    Picture("space", "/spaces/{space}"),
    Picture("account", "/account"),
    Picture("people", "/admin/people"),
    Picture("jobs", "/admin/jobs"),
    Picture("health", "/admin/health"),
    Picture("settings", "/admin/settings"),
    Picture("audit", "/admin/audit"),
    Picture("missing", "/data/nope"),
    Picture("not-allowed", "/admin/people", who=VIEWER),
)


def main() -> int:
    options = _options()
    chosen = [p for p in PICTURES if not options.only or p.name in options.only.split(",")]
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=finder.install())
        with studio(Path(folder) / "data") as running, running.client() as client:
            seeds = Seeds(running, client, Path(folder), quick=options.quick, epochs=options.epochs)
            camera = Camera(chromium, running, keep=not options.quick)
            for when, fill in (("empty", None), ("live", seeds.begin), ("full", seeds.finish)):
                if fill is not None:
                    fill()
                camera.take([picture for picture in chosen if picture.when == when], seeds.ids)
        chromium.close()
    return 0


def _options() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("--quick", action="store_true", help="a tiny model; nothing goes to docs/images")
    made.add_argument("--only", default="", help="names of pictures, with commas")
    made.add_argument("--epochs", type=int, default=6, help="of the two runs that are shown")
    return made.parse_args()


# --- what there is to see --------------------------------------------------------------------------------------------
@dataclass
class Seeds:
    """Fills a studio the way a person would in an afternoon."""

    running: Studio
    client: httpx.Client
    folder: Path
    quick: bool
    epochs: int
    ids: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Data and runs; one run is at work, one waits."""
        ids = self.ids
        ids["model"] = add_tiny_model(self.client, self.folder / "tiny") if self.quick else MODEL
        for key, name, file in (("v1", "Complaints", "v1"), ("v2", "Complaints v2", "v2"), ("test", "Test", "test")):
            ids[key] = self._load(name, (COMPLAINTS / f"{file}.jsonl").read_text(encoding="utf-8"))
        ids["broken"] = self._load(
            "Call centre", "".join(self._lines("v1", 30)) + BROKEN + "".join(self._lines("v1", 4))
        )
        ids["run"] = self._tune("Complaints", ids["v1"])
        self._fail()
        ids["second"] = self._tune("Complaints", ids["v2"])
        for key in ("run", "second"):
            made = finished(self.client, ids[key], 3600)
            if made["state"] != "completed":
                raise SystemExit(f"{made['name']}: {made['state']}, {made['problem']}")
            ids[f"prompt of {key}"] = made["tuned_prompt_id"]
        ids["prompt"] = ids["prompt of run"]
        ids["live"] = self._tune("Complaints, longer", ids["v1"], epochs=50, readout="off")
        ids["queued"] = self._tune("Complaints, longer", ids["v2"])
        self._until_drawn(ids["live"])

    def finish(self) -> None:
        """What comes after tuning: proof, deployments, questions."""
        ids, post = self.ids, self._post
        for key in ("queued", "live"):
            told(self.client.post(f"/api/runs/{ids[key]}/cancel"))
            finished(self.client, ids[key], 600)
        proof = {"name": "Does tuning pay?", "model": ids["model"], "dataset": ids["test"]}
        methods = ["zero-shot", "3-shot", "baseline", ids["prompt"], ids["prompt of second"]]
        limits = {"examples_dataset": ids["v1"], "limit": 40}
        ids["evaluation"] = post("/api/evaluations", **proof, methods=methods, settings=limits)["id"]
        ids["space"] = post("/api/spaces", name="Complaints, live", stage="production")["id"]
        made = post("/api/deployments", name="Routing", serving_name="routing", prompt=ids["prompt"])
        ids["deployment"] = made["id"]
        post(
            "/api/deployments",
            name="Routing, live",
            serving_name="routing-live",
            prompt=ids["prompt"],
            space=ids["space"],
        )
        for line in self._lines("test", 40):
            text = re.search(r'"input": ?"((?:[^"\\]|\\.)*)"', line)
            assert text is not None
            post("/api/generate", deployment="routing", input=text[1])
        post("/api/keys", name="Mail robot", role="editor")
        post("/api/users", name="Ines")
        self._wait_for_proof()

    def _load(self, name: str, text: str) -> str:
        return str(told(self.client.post("/api/datasets", params={"name": name}, content=text.encode()))["id"])

    def _lines(self, name: str, count: int) -> list[str]:
        return (COMPLAINTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:count]

    def _tune(self, name: str, data: str, **config: Any) -> str:
        # Begun from a text, as in IBM's lab.
        lab = {"init": "text", "virtual_tokens": 30, "epochs": 3 if self.quick else self.epochs}
        settings = {**lab, **config}
        body = {"experiment": name, "model": self.ids["model"], "dataset": data, "config": settings}
        return str(self._post("/api/runs", **body, validation={"share": 0.1}, test_dataset=self.ids["test"])["id"])

    def _fail(self) -> None:
        """A run that fails for a reason that happens: while it waited, the folder of its model went."""
        gone = self.folder / "gone"
        tiny_model("llama", gone)
        self._post("/api/models", id="old/model", path=str(gone))
        body = {"experiment": "Old model", "model": "old/model", "dataset": self.ids["v1"], "config": {"epochs": 1}}
        self.ids["failed"] = str(self._post("/api/runs", **body)["id"])
        shutil.rmtree(gone)

    def _until_drawn(self, run: str) -> None:
        """Wait until the run at work has something to show."""

        def look() -> bool:
            found = told(self.client.get(f"/api/runs/{run}"))
            return found["state"] not in ("queued", "running") or found["progress"].get("update", 0) >= 30

        wait(look, "the run does not begin", 1800)

    def _wait_for_proof(self) -> None:
        def look() -> bool:
            return told(self.client.get(f"/api/evaluations/{self.ids['evaluation']}"))["state"] == "completed"

        wait(look, "the evaluation does not end", 1800)

    def _post(self, path: str, /, **body: Any) -> dict[str, Any]:
        return told(self.client.post(path, json=body))


# --- taking them -----------------------------------------------------------------------------------------------------
@dataclass
class Camera:
    """Takes each picture in light, dark and on a phone."""

    chromium: Browser
    running: Studio
    keep: bool
    cookies: dict[str, Any] = field(default_factory=dict)

    def take(self, pictures: list[Picture], ids: dict[str, str]) -> None:
        for picture in pictures:
            for version in ("light", "dark", "phone"):
                with self._page(version, picture.who) as page:
                    self._one(page, picture, version, ids)

    def _one(self, page: Page, picture: Picture, version: str, ids: dict[str, str]) -> None:
        page.goto(picture.path.format(**ids), wait_until="load")
        page.wait_for_timeout(600)
        if picture.do:
            picture.do(page)
        name = picture.name if version == "light" else f"{picture.name}-{version}"
        if self.keep and version in picture.docs:
            shot = page.screenshot(animations="disabled")
            (DOCS / f"{name}.png").write_bytes(_checked(name, _small(shot)))
        # In a window as high as the page: what sticks to its edge would stand in the middle of the picture.
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": (PHONE if version == "phone" else DESK)[0], "height": height})
        page.wait_for_timeout(200)
        (OUT / f"{name}.png").write_bytes(_small(page.screenshot(full_page=True, animations="disabled")))
        sys.stdout.write(f"{name}\n")

    @contextmanager
    def _page(self, version: str, who: str) -> Iterator[Page]:
        width, height = PHONE if version == "phone" else DESK
        context = self.chromium.new_context(
            base_url=self.running.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if version == "dark" else "light",
            locale="en-GB",
            reduced_motion="reduce",
        )
        page = context.new_page()
        if who:
            if who not in self.cookies:
                user = [] if who == ADMIN else ["--user", who]
                page.goto(str(command(self.running.data_dir, "keys", "link", "--json", *user)["link"]))
                self.cookies[who] = context.cookies()
            context.add_cookies(self.cookies[who])
        yield page
        context.close()


def _small(png: bytes) -> bytes:
    """The picture with 256 colours."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _checked(name: str, png: bytes) -> bytes:
    if len(png) > MOST_BYTES:
        sys.stderr.write(f"{name}: {len(png) // 1000} KB is more than {MOST_BYTES // 1000} KB\n")
    return png


if __name__ == "__main__":
    sys.exit(main())
