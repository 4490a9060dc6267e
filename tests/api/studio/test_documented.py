"""The commands of docs/api.md, run in order against a studio."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from softprompt.testing.live import LiveStudio

from .conftest import rows

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"


def test_every_command_of_the_page_does_what_it_says(studio: LiveStudio, tmp_path: Path) -> None:
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    (tmp_path / "complaints.jsonl").write_bytes(rows())
    script = "set -euo pipefail\nshopt -s expand_aliases\n" + "\necho\n".join(blocks)
    environment = {**os.environ, "STUDIO": studio.url, "SOFTPROMPT_API_KEY": studio.key}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    for word in ('"state":"queued"', "event: end", '"serving_name":"plain"', "Complaints of spring."):
        assert word in done.stdout, word
