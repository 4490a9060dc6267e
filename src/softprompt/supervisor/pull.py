"""Fetching a foundation model beside a studio that runs already; a process of its own, since it may take minutes."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

from softprompt import catalogue
from softprompt.config import Settings
from softprompt.engine.sources import available
from softprompt.studio import model_pulls, pull_process
from softprompt.supervisor.lifeline import Heard, Lifeline

SAMPLE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


class Pull:
    """One model on its way; nothing is done if it is here already."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
        self._card = catalogue.get(model_id)
        self._process: subprocess.Popen[str] | None = None
        self.needed = available(self._card) is None

    def start(self) -> None:
        """In the main thread, as every child."""
        heard = Heard()
        line = heard.childs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(line), self.model_id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(line,),
            start_new_session=True,
            env=model_pulls.environment(self._card, Settings.from_environment()),
            text=True,
        )
        heard.childs.close()
        self._heard = heard  # kept open: its end tells the process that we are gone

    def outcome(self) -> str | None:
        """A sentence, once it is over; None while it goes on, and after it was told."""
        if self._process is None or self._process.poll() is None:
            return None
        assert self._process.stdout is not None
        words = self._process.stdout.read().strip()
        self.stop()
        return words or f"{self.model_id} could not be fetched. Try: softprompt models pull {self.model_id}"

    def stop(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._heard.close()
            self._process = None


def main() -> None:
    """Told on the pages too, as a pull that was started there is."""
    Lifeline(int(sys.argv[1]))
    card, settings = catalogue.get(sys.argv[2]), Settings.from_environment()
    with model_pulls.sole(card.id, settings):
        pull = pull_process.fetch(pull_process.Told(card, settings))
    sys.stdout.write(f"{card.id} is here.\n" if pull.state == "here" else f"{pull.problem}\n")


if __name__ == "__main__":
    main()
