"""Data pages: bringing data in, looking at it, changing it, and never a trace."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

import httpx
import pytest

from softprompt.jobs import queue
from softprompt.storage.tables import Dataset, TuningRun
from softprompt.studio.access import SYSTEM
from softprompt.studio.datasets_fix import line_of
from softprompt.testing.live import LiveStudio

from .conftest import ROWS

Post = Callable[..., httpx.Response]
MESSY = (
    ROWS
    + '\n{"input": "no output"}\n{oops <b>\n{"Input": "Capitals", "output": 3}\n'
    + "\n".join(line_of(f"clash {n // 2}", ("Service", "Warehouse")[n % 2]).decode().strip() for n in range(4))
    + "\n"
    + (line_of("twice", "service").decode() * 2)
)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("rows.jsonl", ROWS)
    return file.getvalue()


@pytest.fixture
def messy(post: Post) -> str:
    """The page of a dataset with something of everything."""
    return post("/data", {"pasted": MESSY, "name": "Messy"}, page="/data").url.path


@pytest.fixture
def token(browser: httpx.Client) -> dict[str, str]:
    found = re.search(r'name="csrf" content="([^"]+)"', browser.get("/data").text)
    assert found
    return {"x-csrf-token": found[1], "accept": "*/*"}


def plain(text: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", text.split("<main", 1)[-1]).split())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.jsonl", b"", "The file holds no rows"),
        ("blank.csv", b"\n\n", "The file holds no rows"),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "a picture (PNG)"),
        ("rows.zip", _zip(), "a ZIP archive"),
        ("nul.jsonl", b"\x00" * 3000, "neither JSON lines"),
        ("letter.txt", b"Dear Sir or Madam", "neither JSON lines"),
        ("other.csv", b"text,label\na,b\n", "ename the column &#34;text&#34; to &#34;input&#34;"),
    ],
)
def test_what_is_no_dataset_is_refused_in_words(
    post: Post, studio: LiveStudio, name: str, content: bytes, told: str
) -> None:
    answer = post("/data", {"name": ""}, page="/data", files={"file": (name, content)})
    assert answer.status_code == 422
    assert told in answer.text
    assert "Traceback" not in answer.text
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert unit.rows.all(Dataset) == [], "nothing is stored"


def test_a_row_of_ten_megabytes_and_utf16_are_read_as_far_as_they_go(browser: httpx.Client, post: Post) -> None:
    long = ROWS.encode() + b'\n{"input": "' + b"x" * 10_000_000 + b'", "output": "a"}\n'
    page = post("/data", {"name": ""}, page="/data", files={"file": ("long.jsonl", long)})
    assert page.status_code == 200, "bigger than a request that is no upload may be"
    assert "longer than 1,048,576 characters" in browser.get(f"{page.url.path}?finding=problems").text
    page = post("/data", {"name": ""}, page="/data", files={"file": ("wide.jsonl", ROWS.encode("utf-16"))})
    assert "40 row" in plain(page.text)
    assert "Tune with it" in page.text


def test_pasted_rows_stay_when_they_cannot_be_loaded(post: Post) -> None:
    answer = post("/data", {"pasted": "neither <this> nor that", "name": "Mine"}, page="/data")
    assert answer.status_code == 422
    assert "neither &lt;this&gt; nor that</textarea>" in answer.text
    assert 'value="Mine"' in answer.text


def test_a_file_comes_in_pieces_and_goes_on_where_it_broke_off(
    browser: httpx.Client, token: dict[str, str], studio: LiveStudio
) -> None:
    body = ROWS.encode()
    begun = browser.post(f"/data/uploads?size={len(body)}", headers=token)
    assert begun.status_code == 201
    where = f"/data/uploads/{begun.json()['token']}"
    assert browser.put(f"{where}?at=0", content=body[:500], headers=token).json()["at"] == 500
    gap = browser.put(f"{where}?at=700", content=body[700:], headers=token)
    assert gap.status_code == 409
    assert "500 have arrived" in gap.json()["error"]["message"]
    early = browser.post(f"{where}?size={len(body)}&name=Pieces", headers=token)
    assert early.status_code == 409
    at = browser.get(where, headers=token).json()["at"]
    assert browser.put(f"{where}?at={at}", content=body[at:], headers=token).json()["at"] == len(body)
    done = browser.post(f"{where}?size={len(body)}&name=Pieces&file_name=rows.jsonl", headers=token)
    assert done.status_code == 201
    assert "Row 7 says" in browser.get(done.json()["href"]).text
    assert browser.get(where, headers=token).status_code == 404
    assert list((studio.data_dir / "uploads").iterdir()) == []


def test_a_cancelled_upload_leaves_nothing(browser: httpx.Client, token: dict[str, str], studio: LiveStudio) -> None:
    where = f"/data/uploads/{browser.post('/data/uploads?size=9', headers=token).json()['token']}"
    browser.put(f"{where}?at=0", content=b"abc", headers=token)
    assert browser.delete(where, headers=token).status_code == 204
    assert list((studio.data_dir / "uploads").iterdir()) == []


def test_uploads_are_guarded(browser: httpx.Client, token: dict[str, str], studio: LiveStudio) -> None:
    where = f"/data/uploads/{browser.post('/data/uploads?size=9', headers=token).json()['token']}"
    bare = {"accept": "*/*"}
    assert browser.put(f"{where}?at=0", content=b"abc", headers=bare).status_code == 403, "the page's token is needed"
    assert browser.delete(where, headers=bare).status_code == 403
    key = {"authorization": f"Bearer {studio.new_key('other', member='editor')}", "accept": "*/*"}
    assert httpx.put(f"{studio.url}{where}?at=0", content=b"abc", headers=key).status_code == 404, "another person's"
    reader = {"authorization": f"Bearer {studio.new_key('reader', member='viewer')}", "accept": "*/*"}
    assert httpx.post(f"{studio.url}/data/uploads?size=9", headers=reader).status_code == 403
    assert browser.put("/data/uploads/..%2f..%2fx?at=0", content=b"abc", headers=token).status_code in (404, 405)
    assert browser.post("/data/uploads?size=99999999999", headers=token).status_code == 413


def test_a_refused_file_does_not_stay(browser: httpx.Client, token: dict[str, str], studio: LiveStudio) -> None:
    where = f"/data/uploads/{browser.post('/data/uploads?size=0', headers=token).json()['token']}"
    refused = browser.post(f"{where}?size=0&file_name=a.jsonl", headers=token)
    assert (refused.status_code, refused.json()["error"]["message"][:18]) == (422, "The file is empty.")
    assert list((studio.data_dir / "uploads").iterdir()) == []


def test_every_finding_leads_to_its_rows(browser: httpx.Client, messy: str) -> None:
    page = browser.get(messy)
    for finding, told in (
        ("problems", "<mark>o</mark>ops &lt;b&gt;"),
        ("repaired", "The key is written"),
        ("contradictions", "clash 1"),
        ("duplicates", "twice"),
        ("spellings", "twice"),
        ("rare", "Capitals"),
    ):
        assert f"finding={finding}" in page.text, finding
        assert told in browser.get(f"{messy}?finding={finding}").text, finding
    assert "Row 7 says" not in browser.get(f"{messy}?finding=contradictions").text
    assert browser.get(f"{messy}?finding=nonsense&start=-5&label=%3Cb%3E").status_code == 200


def test_rows_are_filtered_by_label_and_paged(browser: httpx.Client, messy: str) -> None:
    first = browser.get(messy).text
    assert "1–25 of 47" in first
    assert "26–47 of 47" in browser.get(f"{messy}?start=25").text
    found = browser.get(f"{messy}?label=Warehouse").text
    assert "22 rows" in found
    assert "Row 1 says" in found
    assert "Row 2 says" not in found


def test_lengths_are_counted_in_words_where_no_tokenizer_is(browser: httpx.Client, messy: str) -> None:
    page = browser.get(f"{messy}?limit=1").text
    assert "Lengths in " in page
    assert '<svg class="histogram"' in page


def test_a_fix_is_shown_before_it_is_made(browser: httpx.Client, post: Post, messy: str) -> None:
    shown = browser.get(f"{messy}/fix").text
    assert "Fix these 3" in shown
    assert "left out" in shown
    before = len(browser.get("/api/datasets").json()["items"])
    made = post(f"{messy}/repair", {"step": ["duplicates", "spellings"]}, page=f"{messy}/fix")
    assert "version 2" in made.text
    assert len(browser.get("/api/datasets").json()["items"]) == before + 1
    rows = browser.get(f"{made.url.path}/download").text.splitlines()
    assert len(rows) == 46
    assert '{"input": "Capitals", "output": "3"}' in rows
    assert '{"input": "twice", "output": "Service"}' in rows


def test_rows_are_edited_without_scripts(browser: httpx.Client, post: Post, messy: str) -> None:
    page = f"{messy}/edit?start=0"
    assert "Input of row 25" in browser.get(page).text
    sent = {
        "input.0": "Row 0, edited", "output.0": "Billing", "input.1": "gone", "output.1": "gone", "delete.1": "1",
        "new_after": ["24", "24"], "new_input": ["A new <row>", ""], "new_output": ["Service", ""],
    }  # fmt: skip
    made = post(page, sent, page=page)
    assert "version 2" in made.text
    rows = browser.get(f"{made.url.path}/download").text.splitlines()
    assert rows[0] == '{"input": "Row 0, edited", "output": "Billing"}'
    assert rows[24] == '{"input": "A new <row>", "output": "Service"}'
    assert not any("Row 1 says" in row for row in rows)


def test_an_edit_that_cannot_be_saved_keeps_what_was_typed(browser: httpx.Client, post: Post, messy: str) -> None:
    page = f"{messy}/edit"
    refused = post(page, {"input.0": "still <here>", "output.0": " "}, page=page)
    assert refused.status_code == 422
    assert "row 1 has no output" in refused.text
    assert "still &lt;here&gt;</textarea>" in refused.text
    broken = post(page, {"draft": "{"}, page=page)
    assert broken.status_code == 400
    assert "Load the page again" in broken.text
    unchanged = post(page, {"input.0": "Row 0 says <b>hello</b>", "output.0": "Service"}, page=page)
    assert unchanged.url.path == page, "nothing changed, so no version is made"


def test_a_dataset_is_typed_by_hand(browser: httpx.Client, post: Post) -> None:
    sent = {"name": "Typed", "new_input": ["one", "", "two"], "new_output": ["1", "", "2"]}
    made = post("/data/new", sent, page="/data/new")
    assert browser.get(f"{made.url.path}/download").text.count("\n") == 2
    half = post("/data/new", {**sent, "new_output": ["1", "", ""]}, page="/data/new")
    assert half.status_code == 400
    assert "Row 2 has no input or no output" in half.text
    assert ">\none</textarea>" in half.text


def test_versions_are_compared_and_restored(browser: httpx.Client, post: Post, messy: str) -> None:
    edited = post(f"{messy}/edit", {"input.0": "Row 0 says <b>hello</b>", "output.0": "Billing"}, page=f"{messy}/edit")
    told = browser.get(f"{edited.url.path}/versions")
    assert "From version 1 to version 2" in told.text
    assert "1 with another output" in plain(told.text)
    restored = post(f"{messy}/restore", page=f"{messy}/versions")
    assert "Version 3" in restored.text
    assert restored.url.path != f"{messy}/versions"
    again = post(f"{messy}/restore", page=f"{messy}/versions")
    assert again.url.path == restored.url.path, "it is the newest already"


def test_a_split_makes_three_datasets(browser: httpx.Client, post: Post) -> None:
    path = post("/data", {"pasted": ROWS, "name": "Whole"}, page="/data").url.path
    made = post(f"{path}/split", {"validation": "10", "test": "20", "seed": "7"}, page=f"{path}/split")
    assert made.status_code == 200
    assert "Whole train 28" in plain(made.text).replace("train train", "train")
    assert "Tune with these" in made.text
    again = post(f"{path}/split", {"validation": "10", "test": "20", "seed": "8"}, page=f"{path}/split")
    assert "Whole train 28" in plain(again.text).replace("train train", "train"), "another version of the same parts"
    post("/data", {"pasted": ROWS, "name": "Mine test"}, page="/data")
    mine = post("/data", {"pasted": ROWS + "\n" + ROWS.replace("Row", "Line"), "name": "Mine"}, page="/data").url.path
    other = post(f"{mine}/split", {"validation": "0", "test": "20"}, page=f"{mine}/split")
    assert "Mine test 2" in other.text, "what another person calls by that name is left alone"
    refused = post(f"{path}/split", {"validation": "80", "test": "80"}, page=f"{path}/split")
    assert refused.status_code == 400
    assert "leave -60 for training" in refused.text


def test_leaks_are_looked_for_in_a_chosen_test_set(browser: httpx.Client, post: Post) -> None:
    path = post("/data", {"pasted": ROWS, "name": "Training"}, page="/data").url.path
    test = post("/data", {"pasted": "\n".join(ROWS.splitlines()[:6]), "name": "Test"}, page="/data").url.path
    found = post(f"{path}/leaks", {"test": test.rsplit("/", 1)[-1]}, page=path)
    assert "6 rows" in plain(found.text)
    assert "the same text" in browser.get(f"{path}?test={test.rsplit('/', 1)[-1]}&finding=leaks").text
    assert browser.get(f"{path}?test=gone&finding=leaks").status_code == 200


def test_downloads_are_what_can_be_used_or_the_file_itself(browser: httpx.Client, messy: str) -> None:
    assert (
        browser.get(f"{messy}/download?form=file").text == MESSY.strip()
        or "{oops" in browser.get(f"{messy}/download?form=file").text
    )
    table = browser.get(f"{messy}/download?form=csv")
    assert table.text.startswith("input,output\r\n")
    assert "attachment" in table.headers["content-disposition"]
    assert "Messy.csv" in table.headers["content-disposition"]
    assert browser.get(f"{messy}/download?form=exe").status_code == 400


def test_a_deleted_dataset_comes_back(browser: httpx.Client, post: Post, messy: str) -> None:
    gone = post(f"{messy}/delete", page=messy)
    assert "Messy, version 1, was deleted." in plain(gone.text)
    assert browser.get(messy).status_code == 404
    back = post(f"{messy}/undelete", page="/data")
    assert (back.status_code, back.url.path) == (200, messy)


def test_what_is_in_use_is_not_deleted_and_says_where(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    path = post("/data", {"pasted": ROWS, "name": "Used"}, page="/data").url.path
    with studio.office.unit(SYSTEM) as unit:
        run = TuningRun(
            project_id=studio.project.id, experiment_id="e", number=1, name="Routing (1)", model_id="m",
            dataset_id=path.rsplit("/", 1)[-1],
        )  # fmt: skip
        unit.rows.add(run)
        queue.enqueue(unit.rows, kind="tune", subject_id=run.id, project_id=run.project_id)
    refused = post(f"{path}/delete", page=path)
    assert refused.status_code == 409
    assert "Routing (1)" in refused.text
    assert f'href="/tuning/runs/{run.id}"' in browser.get(path).text


def test_readers_see_no_controls_that_they_may_not_use(post: Post, studio: LiveStudio, messy: str) -> None:
    key = {"authorization": f"Bearer {studio.new_key('reader', member='viewer')}", "accept": "text/html"}
    with httpx.Client(base_url=studio.url, headers=key) as reader:
        page = reader.get(messy)
        assert page.status_code == 200
        for words in ("Edit rows", "Fix these", "Delete this version", "Tune with it"):
            assert words not in page.text, words
        assert reader.get(f"{messy}/edit").status_code == 403
        assert 'data-upload=""' not in reader.get("/data").text


def test_the_list_shows_the_newest_version_of_each_name(browser: httpx.Client, post: Post, messy: str) -> None:
    post(f"{messy}/repair", page=messy)
    post("/data", {"pasted": ROWS, "name": "Other"}, page="/data")
    page = plain(browser.get("/data").text)
    assert "2 datasets" in page
    assert page.count("Messy") == 1
    assert "Other" not in plain(browser.get("/data?search=mess").text).split("datasets")[-1]
    assert "No dataset has" in browser.get("/data?search=zebra").text


def test_description_and_tags_can_change(browser: httpx.Client, post: Post, messy: str) -> None:
    page = post(f"{messy}/about", {"description": "<i>April</i>", "tags": "new, old"}, page=messy)
    assert "&lt;i&gt;April&lt;/i&gt;" in page.text
    assert '<span class="tag">new</span>' in page.text
