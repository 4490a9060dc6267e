"""Run a notebook that was written for IBM watsonx.ai against your own studio, cell by cell, in a Jupyter kernel.

    pip install ibm-watsonx-ai nbclient ipykernel
    python examples/ibm_notebook.py NOTEBOOK.ipynb --key KEY [--url https://localhost:8443] [--model ID] [--data FOLDER]

Three things are changed in its text, and nothing else: `Credentials(…)` gets the studio's address and key, model ids
after `base_model=` and `model_id=` become yours, and lines for the shell (`!pip …`) are left out. Files that it would
download are taken from FOLDER. It works in a folder of its own, shows what each cell gives, and ends with 1 at the
first cell that fails.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WGET = """
def download(url, *_, **__):
    raise FileNotFoundError(f"{url.rsplit('/', 1)[-1]} is not in the folder of --data; it comes from {url}")
"""
MOST_SHOWN = 600


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
        notebook = read(options)
    except (OSError, ValueError) as error:
        made.error(f"{options.notebook} cannot be read as a notebook: {error}")
    os.environ.setdefault("PROJECT_ID", sandbox(options))
    with tempfile.TemporaryDirectory() as folder:
        for file in options.data.iterdir() if options.data else ():
            if file.is_file():
                shutil.copy(file, folder)
        Path(folder, "wget.py").write_text(WGET, encoding="utf-8")
        sys.exit(run(notebook, folder))


def read(options: argparse.Namespace) -> Any:
    """The notebook with its code cells adapted."""
    import nbformat

    notebook = nbformat.read(options.notebook, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        lines = [line for line in cell.source.splitlines() if not line.lstrip().startswith(("!", "%"))]
        cell.source = ast.unparse(Adapted(options).visit(ast.parse("\n".join(lines))))
        cell.outputs = []
    return notebook


class Adapted(ast.NodeTransformer):
    """Calls with the studio's address, key and model."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.func).split(".")[-1] == "Credentials":
            given = {"url": self.options.url, "token": self.options.key}
            node.args, node.keywords = [], [ast.keyword(name, ast.Constant(value)) for name, value in given.items()]
        for keyword in node.keywords:
            names_a_model = isinstance(keyword.value, ast.Constant) or "ModelTypes" in ast.unparse(keyword.value)
            if keyword.arg in ("base_model", "model_id") and names_a_model:
                keyword.value = ast.Constant(self.options.model)
        return ast.fix_missing_locations(node)


def sandbox(options: argparse.Namespace) -> str:
    """Id of the project that the notebook works in."""
    from ibm_watsonx_ai import APIClient, Credentials

    return str(APIClient(Credentials(url=options.url, token=options.key)).projects.get_id_by_name("Sandbox"))


def run(notebook: Any, folder: str) -> int:
    """0, or 1 if a cell failed."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": folder}})
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            first = next((line for line in cell.source.splitlines() if line.strip()), "(for the shell only)")
            print(f"\n[{number + 1}/{len(notebook.cells)}] {first}", flush=True)
            began = time.perf_counter()
            try:
                client.execute_cell(cell, number)
            except CellExecutionError as error:
                print(f"{cell.source}\n\nfailed:\n{error}", file=sys.stderr)
                return 1
            print(shown(cell) + f"    {time.perf_counter() - began:.2f} s", flush=True)
    print(f"\nall {len(notebook.cells)} cells ran")
    return 0


def shown(cell: Any) -> str:
    """What a cell printed and gave."""
    text = ""
    for output in cell.outputs:
        data = output.get("data", {})
        text += output.get("text", "") or data.get("text/plain", "") + "\n"
        text += "(a picture)\n" if "image/png" in data else ""
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} …\n"


if __name__ == "__main__":
    main()
