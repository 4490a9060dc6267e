"""What the tests of the watsonx wire share: the running studio as they see it, and IBM's client for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.config import StudioSettings
from softprompt.storage.tables import TunedPrompt
from softprompt.studio.access import Office
from studio_fixtures import complaints

MODES = ("token", "user", "cloud")
LLAMA, T5 = "tiny/llama", "tiny/t5"


@dataclass
class Behind:
    """A running studio.

    Attributes:
        key: an API key of the admin.
        project_id: of the sandbox.
    """

    url: str
    key: str
    key_id: str
    project_id: str
    office: Office
    settings: StudioSettings
    certificate: Path
    folder: Path

    def credentials(self, mode: str, key: str | None = None) -> Any:
        from ibm_watsonx_ai import Credentials

        secret = key or self.key
        if mode == "token":
            return Credentials(url=self.url, token=secret)
        if mode == "user":
            return Credentials(url=self.url, username="admin", api_key=secret)
        return Credentials(url=self.url, api_key=secret, platform_url=self.url, auth_url=f"{self.url}/identity/token")

    def client(self, mode: str, key: str | None = None) -> Any:
        from ibm_watsonx_ai import APIClient

        return APIClient(self.credentials(mode, key))

    def prompt(self, name: str, model_id: str) -> str:
        """A row of a tuned prompt in the sandbox, whose files nobody asks for; its id."""
        files = self.folder / "no-prompt"
        files.mkdir(exist_ok=True)
        (files / "empty").touch()
        with self.office.unit() as unit:
            unit.store.put_folder("prompts/none", files)
            row = TunedPrompt(
                project_id=self.project_id, name=name, model_id=model_id, key="prompts/none", task="generation"
            )
            return unit.rows.add(row).id

    def rows(self, name: str = "train.json", pairs: list[tuple[str, str]] | None = None) -> Path:
        """A file with training rows, as IBM's notebooks write it: one JSON array."""
        path = self.folder / name
        rows = [{"input": text, "output": answer} for text, answer in pairs or complaints(24)]
        path.write_text(json.dumps(rows), encoding="utf-8")
        return path


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for something true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")
