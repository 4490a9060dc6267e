"""Write the generated pages of the documentation: docs/cli.md, docs/parameters.md, docs/errors.md.

    python scripts/docs_cli.py            write them
    python scripts/docs_cli.py --check    write nothing; exit 1 if a page is not what would be written

What stands in them comes from the code: the help of every command, the fields of the parameter classes, the tree of
errors. The same code and pinned versions give the same bytes on every machine; tests/test_docs.py compares. Loads no
torch.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from softprompt import errors
from softprompt.params import GenerateConfig, TuneConfig

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTH = 100
"""Columns of the help texts; fixed, as a terminal's width differs from machine to machine."""

NOTICE = "<!-- Made by scripts/docs_cli.py (`make docs`). Change the code, not this page. -->"


def main() -> int:
    made = pages()
    stale = [name for name, text in made.items() if _read(DOCS / name) != text]
    if "--check" not in sys.argv[1:]:
        for name in stale:
            (DOCS / name).write_text(made[name], encoding="utf-8")
        sys.stdout.write(f"written: {', '.join(stale) or 'nothing, all pages are up to date'}\n")
        return 0
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run make docs\n")
    return int(bool(stale))


def pages() -> dict[str, str]:
    """Every generated page by its name."""
    return {"cli.md": _cli(), "parameters.md": _parameters(), "errors.md": _errors()}


# --- commands ---------------------------------------------------------------------------------------------------------
def _cli() -> str:
    blocks = [
        "# The command line",
        NOTICE,
        "Every command with its own help. Conventions that hold for all of them:",
        "- `--json` prints one JSON document on standard output and nothing else there. An error is a document too: "
        '`{"error": {"code": "…", "message": "…"}}`; the codes stand in [errors.md](errors.md).\n'
        "- Exit codes: 0 done, 1 the data, the model or the result says no, 2 wrong use, 130 interrupted.\n"
        "- Results go to standard output, words about progress and errors to standard error.\n"
        "- `SOFTPROMPT_DEBUG=1` shows the trace of an internal error. Other variables: "
        "[install.md](install.md#environment-variables).",
    ]
    for path, text in commands():
        blocks += [f"{'#' * min(len(path) + 1, 4)} {' '.join(path)}", f"```\n{text}\n```"]
    return "\n\n".join(blocks) + "\n"


def commands() -> Iterator[tuple[tuple[str, ...], str]]:
    """The words of each command and its help."""
    import typer

    from softprompt.cli import app

    yield from _walk(typer.main.get_command(app), ("softprompt",), None)


def _walk(command: Any, path: tuple[str, ...], parent: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    context = command.context_class(
        command,
        info_name=path[-1],
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    text = command.get_help(context)
    yield path, "\n".join(line.rstrip() for line in text.strip().splitlines())
    for name in getattr(command, "list_commands", lambda _context: [])(context):
        yield from _walk(command.get_command(context, name), (*path, name), context)


# --- parameters -------------------------------------------------------------------------------------------------------
def _parameters() -> str:
    return "\n\n".join(
        [
            "# Parameters",
            NOTICE,
            "Both classes are frozen dataclasses in `softprompt.params`. On the command line a field is an option of "
            "the same name with hyphens (`learning_rate`: `--learning-rate`). Ranges include both ends. Values that do "
            "not fit are refused when the object is made, all of them in one message. Default *open*: follows the "
            "model and the data, and the run says what it took; how is told in [tuning.md](tuning.md#what-is-chosen).",
            "## TuneConfig",
            "One tuning run; see [tuning.md](tuning.md).",
            _fields(TuneConfig, "*open*"),
            "## GenerateConfig",
            "How answers are decoded; see [generation.md](generation.md). `truncate_input_tokens` is `--truncate` on "
            "the command line.",
            _fields(GenerateConfig, "drawn anew"),
        ]
    ) + "\n"  # fmt: skip


def _fields(config: type, unset: str) -> str:
    lines = ["| field | values | default | meaning |", "|---|---|---|---|"]
    hints = get_type_hints(config)
    for item in dataclasses.fields(config):
        default = unset if item.default is None else _default(item.default)
        cells = (f"`{item.name}`", _values(item, hints[item.name]), default, item.metadata["help"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _values(item: dataclasses.Field[Any], hint: Any) -> str:
    """The words it may be, or its type and range."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    if len(parts) == 1 and NoneType in get_args(hint):
        return _values(item, parts[0])
    if get_origin(hint) is tuple:
        return "texts"
    if parts and all(isinstance(part, str) for part in parts):
        return ", ".join(f"`{part}`" for part in parts)
    kind = {int: "integer", float: "number", bool: "yes or no", str: "text"}[hint]
    low, high = item.metadata.get("low"), item.metadata.get("high")
    if low is None and high is None:
        return kind
    return f"{kind}, {_number(low)} to {_number(high)}" if high is not None else f"{kind}, {_number(low)} or more"


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in ("", ()):
        return "none"
    return f"`{value}`" if isinstance(value, str) else _number(value)


def _number(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


# --- errors -----------------------------------------------------------------------------------------------------------
def _errors() -> str:
    tree = (errors.__doc__ or "").split("\n\n")[1]
    return "\n\n".join(
        [
            "# Errors",
            NOTICE,
            "Everything that Softprompt raises on purpose is a `softprompt.errors.SoftpromptError`. A message says "
            "what happened, with the values, and what to do. All problems of an input are named together, not one at "
            "a time.",
            f"```\n{tree.strip()}\n```",
            "## In Python",
            "```python\n"
            "from softprompt import load_model\n"
            "from softprompt.errors import ModelError, SoftpromptError\n\n"
            "try:\n"
            '    model = load_model("SmolLM2-135M-Instruct")\n'
            "except ModelError as error:\n"
            "    print(error.code, error)  # such as: model_unavailable …\n"
            "except SoftpromptError as error:\n"
            "    raise SystemExit(error.exit_code) from error\n"
            "```",
            "## On the command line",
            "The message goes to standard error behind `error:`, and the exit code is that of the table. With `--json` "
            'standard output gets `{"error": {"code": "…", "message": "…"}}` instead. `invalid_request` also stands '
            "for options that do not exist. Two codes have no class: `interrupted` for Ctrl-C (exit 130) and "
            "`internal` for a bug (exit 1; `SOFTPROMPT_DEBUG=1` shows the trace; please report it).",
            "## All of them",
            "`status` is the HTTP status that fits, for services that are built on the library.",
            _error_table(),
        ]
    ) + "\n"  # fmt: skip


def _error_table() -> str:
    lines = ["| class | code | exit | status | message, unless a better one is known |", "|---|---|--:|--:|---|"]
    for kind in _classes(errors.SoftpromptError):
        words = " ".join((kind.__doc__ or "").split())
        lines.append(f"| `{kind.__name__}` | `{kind.code}` | {kind.exit_code} | {kind.status} | {words} |")
    return "\n".join(lines)


def _classes(root: type[errors.SoftpromptError]) -> Iterator[type[errors.SoftpromptError]]:
    """The class and all below it that `errors` defines, in the order of the file."""
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from _classes(kind)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
