"""The child of a worker: hears tasks over a connection, works, tells what it does, one JSON object a message.

Ends when the connection does: then the worker is dead. What a task means stands in `child_work`. While a task has
nothing to say, a second thread says whether it comes further; so the worker can tell long work from work that hangs.
What it logs goes to the worker, who writes it down under the id of the run.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import CodeType, FrameType
from typing import Any

from softprompt import logs
from softprompt.config import log_level_from_environment
from softprompt.errors import OutOfMemory, SoftpromptError
from softprompt.worker.runner import ALIVE, LOGGED, READY, Message, Stop

log = logging.getLogger("softprompt.worker.child")


class Stopped(Exception):
    """The task was asked to end without a result."""


BEAT = 0.5
"""Seconds between two looks at where the task stands."""


class Control:
    """What the worker wants: tasks, and an end of the one at hand."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self.tasks: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.wish: Stop | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Message:
        return self.tasks.get()

    def should_stop(self) -> bool:
        return self.wish is not None

    def check(self, *, saved: bool = False) -> None:
        """End the task here if that is wanted. A pause waits until a checkpoint is `saved`."""
        if self.wish == "cancel" or (self.wish == "pause" and saved):
            raise Stopped

    def _read(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                message = json.loads(self._line.recv_bytes())
                if message["kind"] == "stop":
                    self.wish = message["how"]
                else:
                    self.wish = None
                    self.tasks.put(message)
        os._exit(0)  # nobody listens any more; a checkpoint is on disk


class Pulse:
    """Tells that the main thread comes further: it stands in another place of the code than a moment ago.

    One that waits for a lock, a file or a device stands still, however busy the processor is. A loop of ours that never
    ends is not recognised.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell, self._main = tell, threading.main_thread().ident
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        before = None
        while True:
            time.sleep(BEAT)
            here = _place(sys._current_frames().get(self._main or 0))
            if here != before:
                self._tell({"kind": ALIVE})
            before = here


def _place(frame: FrameType | None) -> list[tuple[CodeType, int]]:
    """Where a thread stands: the instruction of every function on its stack."""
    found = []
    while frame is not None:
        found.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return found


def serve(line: Connection) -> None:
    """Work until the other end of the line is closed."""
    os.setsid()  # Ctrl-C reaches the worker alone, which then asks this process to stop
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever sends them to all processes leaves it to the worker, too
        signal.signal(number, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1)  # the worker asks where a task hangs, before it ends it
    os.dup2(2, 1)  # whatever a library prints belongs into the log
    control = Control(line)
    writing = threading.Lock()

    def tell(message: Message) -> None:
        try:
            words = json.dumps(message, allow_nan=False)
        except ValueError:
            words = json.dumps(_finite(message))
        with writing:
            line.send_bytes(words.encode())

    def relay(line: str) -> None:
        tell({"kind": LOGGED, "line": line})

    logs.setup(stderr=False, relay=relay, level=log_level_from_environment())
    Pulse(tell)
    from softprompt.worker.libraries import Desk  # there already, where this process was forked

    desk = Desk(control, tell)
    tell({"kind": READY})
    while True:
        message = control.next()
        with logs.bound(**message["about"]):
            tell(attempt(desk, message))


def _finite(value: Any) -> Any:
    """Without numbers that JSON does not know; databases refuse them."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def attempt(desk: Any, message: Message) -> Message:
    """Do a task; the last message about it."""
    try:
        return {"kind": "done", "result": desk.do(message)}
    except Stopped:
        return {"kind": "stopped"}
    except MemoryError:
        desk.forget()
        return _failed(OutOfMemory())
    except SoftpromptError as error:
        if isinstance(error, OutOfMemory):
            desk.forget()
        return _failed(error)
    except OSError as error:
        log.exception("The task broke off.")
        words = f"{type(error).__name__}: {error}"
        return {"kind": "failed", "code": "storage_full" if _full(error) else "error", "message": words, "retry": True}
    except Exception as error:  # a mistake of ours: it is told, and the child goes on
        log.exception("The task broke off.")
        words = f"{type(error).__name__}: {error}. This is a mistake in Softprompt; the worker's log has the details."
        return {"kind": "failed", "code": "error", "message": words, "retry": False}


def _failed(error: SoftpromptError) -> Message:
    if _full(error):
        return {"kind": "failed", "code": "storage_full", "message": str(error), "retry": True}
    return {"kind": "failed", "code": error.code, "message": str(error), "retry": False}


def _full(error: BaseException | None) -> bool:
    """Whether there was no room: somewhere in the chain of causes, as a number or in the words of another language."""
    import errno

    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    while error is not None:
        if isinstance(error, OSError) and error.errno in codes:
            return True
        if any(f"(os error {code})" in str(error) for code in codes):
            return True
        error = error.__cause__ or error.__context__
    return False
