"""The documentation keeps up with the code: generated pages, links, Python and commands in it, and nothing private."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")], key=lambda page: page.as_posix()
)
PRIVATE = {
    "a path of one machine": re.compile(r"(?<![\w.~-])/(?:work|root|home|Users|mnt|tmp)\b"),
    "unfinished": re.compile(r"\b(?:TODO|FIXME|XXX|TBD)\b"),
    "an address of a package index": re.compile(r"(?:index-url|find-links)[ =]https?:"),
}
WANTED = {
    *("api", "lab", "pages"),
    *("index", "install", "data", "tuning", "generation", "evaluation", "models", "library", "artefact"),
    *("cli", "parameters", "errors", "architecture", "quality", "performance", "openai", "operate", "watsonx"),
}
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["cli.md", "parameters.md", "errors.md"])
def test_generated_pages_are_those_that_the_script_makes(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == _script().pages()[name], f"docs/{name} is out of date: run make docs"


def test_all_pages_are_there_and_the_index_names_them() -> None:
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} == WANTED
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert {link.removesuffix(".md") for link in _LINK.findall(index) if "/" not in link} >= WANTED - {"index"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    broken = []
    for link in _LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_nothing_private_or_unfinished_stands_in_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {what: found.group() for what, words in PRIVATE.items() if (found := words.search(text))} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_its_python_can_be_read_and_imports_what_exists(page: Path) -> None:
    for code in _blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("softprompt"):
                assert [alias.name for alias in node.names if alias.name not in _names(node.module or "")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_its_commands_and_files_exist(page: Path) -> None:
    for line in (line for code in _blocks(page, "sh") for line in code.replace("\\\n", " ").splitlines()):
        words = shlex.split(line, comments=True)
        if words[:1] == ["softprompt"]:
            if words[1:2] == ["--url"]:  # of the root: where a studio is, in front of any command
                words = [words[0], *words[3:]]
            path, known = _command(words)
            assert [word for word in words if word.startswith("--") and word.split("=")[0] not in known] == [], path
        elif words[:1] == ["python"]:
            assert (ROOT / words[1]).is_file(), line


@cache
def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_cli", ROOT / "scripts" / "docs_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _helps() -> dict[tuple[str, ...], str]:
    return dict(_script().commands())


def _command(words: list[str]) -> tuple[tuple[str, ...], set[str]]:
    """The longest command that the words begin with, and its options."""
    path = next(tuple(words[:n]) for n in (3, 2, 1) if tuple(words[:n]) in _helps())
    if path == ("softprompt",):
        assert words[1].startswith("-"), f"no command {words[1]!r}"
    return path, set(re.findall(r"--[a-z][a-z0-9-]*", _helps()[path]))


@cache
def _anchors(page: Path) -> set[str]:
    """Headings as GitHub makes links of them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _blocks(page: Path, language: str) -> Iterator[str]:
    for name, code in _FENCE.findall(page.read_text(encoding="utf-8")):
        if name == language:
            yield code


@cache
def _names(module: str) -> set[str]:
    """What can be imported from a module, read from its source: nothing is run, torch stays out."""
    file = ROOT / "src" / Path(*module.split("."))
    if file.is_dir():
        found = {path.stem for path in file.iterdir()}
        file = file / "__init__.py"
    else:
        found, file = set(), file.with_suffix(".py")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        inner = node.body if isinstance(node, ast.If) else [node]  # `if TYPE_CHECKING:` names what loads on first use
        for item in inner:
            if isinstance(item, ast.ImportFrom | ast.Import):
                found |= {alias.asname or alias.name for alias in item.names}
            elif isinstance(item, ast.ClassDef | ast.FunctionDef):
                found.add(item.name)
            elif isinstance(item, ast.Assign | ast.AnnAssign):
                targets = item.targets if isinstance(item, ast.Assign) else [item.target]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found
