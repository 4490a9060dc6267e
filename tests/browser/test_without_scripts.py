"""The whole way with JavaScript switched off: data, tuning, deployment, answer, comparison, by forms and links."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from browser.addresses import ALL
from browser.conftest import link_of
from browser.person import Person
from browser.seed import EXAMPLES, MODEL, Seeded, do_jobs
from softprompt.testing.live import LiveStudio
from softprompt.worker.local import LocalRunner

Arrive = Callable[..., Person]


def test_the_whole_way(
    studio: LiveStudio, person: Arrive, tiny_folder: Callable[..., Path], runner: LocalRunner
) -> None:
    studio.add_model(MODEL, tiny_folder())
    me = person(studio, signed_in=False, scripts=False)
    me.go(link_of(studio))
    main = me.page.locator("main")
    _ask_the_lab(me)
    for name in ("v1", "v2"):
        rows = (EXAMPLES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:40]
        me.go("/data")
        me.bring(f"{name}.jsonl", "".join(rows).encode())
        expect(me.page.locator("h1")).to_contain_text(name)
        me.press("Tune", within=main)
        me.write("Name", "Complaints")
        me.page.locator("input[name=epochs]").first.fill("1")
        me.press("Start tuning")
        expect(main).to_contain_text(re.compile("waiting|next", re.I))
        do_jobs(studio, runner, 1)
        me.page.reload()
        expect(me.page.locator(".badge").first).to_have_text("completed")
        expect(me.page.locator("svg polyline, svg path").first).to_be_visible()
    run = me.page.url
    me.press("Deploy", exact=True, within=main)
    me.press("Deploy", exact=True, within=main)
    expect(main).to_contain_text("Endpoints")
    me.press("Test", exact=True, within=main)
    me.page.locator("textarea[name=input]").fill("where is my parcel")
    me.press("Generate", exact=True, within=main)
    expect(main).to_contain_text("WHERE IS MY PARCEL")
    me.go(run)
    me.press("Compare", exact=True, within=main)
    for words in ("Complaints (1)", "Complaints (2)"):
        expect(main).to_contain_text(words)


def _ask_the_lab(me: Person) -> None:
    me.go(f"/lab?subject=model:{MODEL}")
    me.write("Instruction", "Say it again.")
    me.page.locator("textarea[name=try_input]").first.fill("one two three")
    me.page.get_by_role("button", name="Generate", exact=True).last.click()
    expect(me.page.locator("main")).to_contain_text("Tokens:")


def test_no_page_is_empty_without_them(seeded: Seeded, person: Arrive) -> None:
    me = person(seeded, scripts=False)
    me.expect("status of 4")
    for address in ALL:
        me.go(seeded.path(address))
        assert len(me.page.locator("main").inner_text()) > 60, address
        assert me.page.locator("main .js-only").locator("visible=true").count() == 0, address
        assert not me.wide()
