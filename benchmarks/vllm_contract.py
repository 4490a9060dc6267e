"""Whether a real vLLM server answers our backend as it was recorded, and as our own host does; `--write` records anew.

    python benchmarks/vllm_contract.py --vllm PATH [--write]

PATH as in `vllm.py`. The model is a tiny one with random weights, the same bits everywhere. The test suite plays the
recorded exchanges back without a server: what our backend asks, what vLLM answers to it, how that is read. A second
server, started without `--enable-prompt-embeds`, says how it refuses. Without vLLM nothing is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import vllm
from softprompt.serving.host import Host, HostSettings
from softprompt.testing.vllm_tape import CASES, CONTEXT, NAME, World, ask, record

FILE = Path(__file__).parents[1] / "tests" / "serving" / "vllm_recorded.json"
REFUSED = "vectors in front"


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("--vllm", type=Path, default=None, help="the vllm command of an environment with vLLM")
    made.add_argument("--write", action="store_true", help=f"record {FILE.name} anew")
    made.add_argument("--seconds", type=float, default=600.0, help="how long a server may take to start")
    options = made.parse_args()
    found = options.vllm or shutil.which("vllm")
    if found is None or not Path(found).is_file():
        print(f"Not checked: there is no vLLM {f'at {found}' if found else 'here'}. Name its command: --vllm PATH.")
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        world = World.make(home)
        told = {"with embeddings": asked(options, Path(found), home, world, list(CASES))}
        told["without embeddings"] = asked(options, Path(found), home, world, [REFUSED], embeds=False)
        ours = asyncio.run(of_host(world, home))
    compare(told["with embeddings"], ours)
    if options.write:
        FILE.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"Written to {FILE}.")
    else:
        known = json.loads(FILE.read_text(encoding="utf-8"))
        for server, cases in told.items():
            for name, case in cases.items():
                same = case["answer"] == known[server][name]["answer"]
                print(f"{server}, {name}: {'as recorded' if same else 'NOT as recorded'}")


def asked(
    options: argparse.Namespace, command: Path, home: Path, world: World, names: list[str], *, embeds: bool = True
) -> dict[str, Any]:
    options.model, options.vllm_args = str(world.model), ""
    with vllm.vllm(options, command, home, name=NAME, longest=CONTEXT, embeds=embeds) as port:
        return asyncio.run(record(world, f"http://127.0.0.1:{port}", names))


async def of_host(world: World, home: Path) -> dict[str, Any]:
    """What our own host answers."""
    host = Host(HostSettings(fetch=world.prompts.joinpath, data_dir=home, secret="s3cret"))
    try:
        return {name: await ask(world, host, name) for name in CASES}
    finally:
        await host.close(1.0)


def compare(told: dict[str, Any], ours: dict[str, Any]) -> None:
    for name, case in told.items():
        theirs = case["answer"]
        print(f"{name}: vLLM {theirs.get('output', theirs.get('message'))!r}, {theirs.get('stop_reason')}")
        if (theirs.get("output"), theirs["kind"]) != (ours[name].get("output"), ours[name]["kind"]):
            print(f"  our host: {ours[name].get('output', ours[name].get('message'))!r}")


if __name__ == "__main__":
    main()
