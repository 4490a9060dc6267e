"""Threads for models. The first model is computed by the main thread of the process, where products are quickest.

GNU OpenMP lets the threads of a team wait actively only while there are no more of them than processors. A team behind
any other thread than the first counts one too many, sleeps between products, and takes about half as long again
(docs/performance.md). So HTTP gets a thread of its own, the main thread is lent to models, and threads that read tuned
prompts from storage compute alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol


class Joinable(Protocol):
    """Something that runs and comes to an end."""

    def join(self, timeout: float | None = None) -> None: ...


Launch = Callable[[Callable[[], None], str], Joinable]
"""Starts a function under a name."""


def spawn(run: Callable[[], None], name: str) -> Joinable:
    """Run it in a new thread, which does not keep the process alive."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def alone() -> None:
    """For threads beside the models: never get a team, whose threads would count as well."""
    import torch
    from threadpoolctl import ThreadpoolController

    torch.get_num_threads()  # sets this thread's number from the environment, once; what follows stays
    ThreadpoolController().select(user_api="openmp").limit(limits=1)


class MainThread:
    """Lends the main thread to one function after another; who comes while it is lent gets a new thread."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[_Lent | None] = queue.SimpleQueue()
        self._lent = threading.Lock()

    def launch(self, run: Callable[[], None], name: str) -> Joinable:
        """A `Launch`, from any thread."""
        if not self._lent.acquire(blocking=False):
            return spawn(run, name)
        lent = _Lent(run)
        self._work.put(lent)
        return lent

    def beside(self, other: Callable[[], None], name: str) -> None:
        """Run `other` in a new thread, and what is launched in this one, until `other` ends; raises what it raised."""
        raised: list[BaseException] = []

        def run() -> None:
            try:
                other()
            except BaseException as error:  # SystemExit too: it would end the thread alone
                raised.append(error)
            finally:
                self._work.put(None)

        spawn(run, name)
        while (lent := self._work.get()) is not None:
            try:
                lent.run()
            finally:
                self._lent.release()
                lent.ended.set()
        if raised:
            raise raised[0]


class _Lent:
    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.ended = threading.Event()

    def join(self, timeout: float | None = None) -> None:
        self.ended.wait(timeout)
