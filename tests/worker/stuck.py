"""A child that can be made to hang: from SIGALRM on its main thread waits for ever; the others go on."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from softprompt.worker import child


def serve(errors: Path, line: Connection) -> None:
    """Where it hangs, it writes into the file of `errors`."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    signal.signal(signal.SIGALRM, lambda *_: threading.Event().wait())
    child.serve(line)
