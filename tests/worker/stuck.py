"""Children that hang."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from softprompt.worker import child


def serve(errors: Path, line: Connection) -> None:
    """From SIGALRM on the main thread waits for ever; the others go on. Where it hangs, it writes into `errors`."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    signal.signal(signal.SIGALRM, lambda *_: threading.Event().wait())
    child.serve(line)


def listens_never(line: Connection) -> None:
    """As one that still loads its libraries."""
    with line:
        threading.Event().wait()
