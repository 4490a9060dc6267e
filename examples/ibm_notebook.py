"""Run a notebook that was written for IBM watsonx.ai against your own studio, cell by cell.

    python examples/ibm_notebook.py NOTEBOOK.ipynb --key KEY [--url https://localhost:8443] [--model ID] [--data FOLDER]

Three things are changed in its text, and nothing else: `Credentials(…)` gets the studio's address and key, model ids
after `base_model=` and `model_id=` become yours, and lines for the shell (`!pip …`) are left out. Files that it would
download are taken from FOLDER. It works in a folder of its own, shows what each cell prints and what its last line
gives, and ends with 1 at the first cell that fails. Needs `ibm-watsonx-ai`, and what the notebook itself imports.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

CREDENTIALS = re.compile(r"Credentials\((?:[^()]|\([^()]*\))*\)")
MODEL = re.compile(r"""\b(base_model|model_id)\s*=\s*(?:f?'[^']*'|f?"[^"]*"|[\w.]*ModelTypes\.\w+)""")
MOST_SHOWN = 400


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("notebook", type=Path)
    made.add_argument("--url", default="https://localhost:8443", help="the studio's TLS address")
    made.add_argument("--key", default=os.environ.get("SOFTPROMPT_API_KEY"), help="else SOFTPROMPT_API_KEY")
    made.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="id of a model the studio has")
    made.add_argument("--data", type=Path, help="folder with the files that the notebook would download")
    options = made.parse_args()
    if not options.key:
        made.error("name a key by --key or SOFTPROMPT_API_KEY; `softprompt keys create NAME` makes one")
    try:
        cells = code_cells(options.notebook.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        made.error(f"{options.notebook} cannot be read as a notebook: {error}")
    prepare(options)
    with tempfile.TemporaryDirectory() as folder:
        for file in options.data.iterdir() if options.data else ():
            if file.is_file():
                shutil.copy(file, folder)
        os.chdir(folder)
        failed = run([adapted(cell, options) for cell in cells])
        os.chdir("/")
    sys.exit(failed)


def code_cells(text: str) -> list[str]:
    cells = json.loads(text)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def adapted(cell: str, options: argparse.Namespace) -> str:
    lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("!", "%"))]
    text = CREDENTIALS.sub(lambda _: f"Credentials(url={options.url!r}, token={options.key!r})", "\n".join(lines))
    return MODEL.sub(lambda found: f"{found[1]}={options.model!r}", text)


def prepare(options: argparse.Namespace) -> None:
    """What a notebook finds in its surroundings: a project, a way to download, no window for pictures."""
    import matplotlib
    from ibm_watsonx_ai import APIClient, Credentials

    matplotlib.use("agg")
    client = APIClient(Credentials(url=options.url, token=options.key))
    os.environ.setdefault("PROJECT_ID", client.projects.get_id_by_name("Sandbox"))
    wget = ModuleType("wget")

    def download(url: str, *_: Any, **__: Any) -> None:
        raise FileNotFoundError(f"{url.rsplit('/', 1)[-1]} is not in the folder of --data; it comes from {url}")

    wget.download = download  # type: ignore[attr-defined]
    sys.modules["wget"] = wget


def run(cells: list[str]) -> int:
    """0, or 1 if a cell failed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells, 1):
        first = next((line for line in cell.splitlines() if line.strip()), "(for the shell only)")
        print(f"\n[{number}/{len(cells)}] {first}", flush=True)
        began = time.perf_counter()
        try:
            value = evaluated(cell, names)
        except Exception:
            traceback.print_exc()
            print(f"cell {number} failed:\n{cell}", file=sys.stderr)
            return 1
        if value is not None:
            told = repr(value)
            print(told if len(told) <= MOST_SHOWN else f"{told[:MOST_SHOWN]} …")
        print(f"    {time.perf_counter() - began:.2f} s")
    print(f"\nall {len(cells)} cells ran")
    return 0


def evaluated(cell: str, names: dict[str, Any]) -> Any:
    """The value of the last line, if it is an expression."""
    body = ast.parse(cell).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


if __name__ == "__main__":
    main()
