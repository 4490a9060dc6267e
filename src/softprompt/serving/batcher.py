"""The one thread of a loaded model, and the line of those who wait for it.

Takes calls from any thread, refuses what is too much, loads the model, takes turns (`turns`) while there is something
to do, and leaves nobody waiting at its end. Does not know HTTP and does not choose which models are loaded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from softprompt.errors import Busy, SoftpromptError, Unavailable
from softprompt.serving.call import Call
from softprompt.serving.fair import FairQueue
from softprompt.serving.jobs import Desk
from softprompt.serving.meters import Meters
from softprompt.serving.prompts import Prompts
from softprompt.serving.protocol import Event, Failed
from softprompt.serving.threads import Joinable, Launch
from softprompt.serving.turns import Limits, Turns, over, shown, too_late

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

log = logging.getLogger("softprompt.serving")


class Stopped(Exception):
    """This batcher takes nothing any more; the model may be loaded again by another one."""


class Batcher:
    """A model with its thread and queue.

    Attributes:
        model_id: the model.
        backbone: the model itself, while it is loaded.
        used: when it was last asked or answered, by the monotonic clock.
    """

    def __init__(
        self, model_id: str, load: Callable[[str], Backbone], prompts: Prompts, limits: Limits, meters: Meters
    ) -> None:
        self.model_id, self.used = model_id, time.monotonic()
        self.backbone: Backbone | None = None
        self._load, self._prompts, self._limits, self._meters = load, prompts, limits, meters
        self._waiting: FairQueue[Call] = FairQueue()
        self._turns: Turns | None = None
        self._news = threading.Condition()
        self._stopping: float | None = None
        self._ended: deque[float] = deque(maxlen=64)
        self._thread: Joinable | None = None
        meters.watch(model_id, self.waiting, self.running)

    # --- from other threads -------------------------------------------------------------------------------------------
    def start(self, launch: Launch) -> None:
        self._thread = launch(self._run, f"batcher {self.model_id}")

    def submit(self, call: Call) -> None:
        """Let a call wait for its turn; raises `Busy` if too many do.

        If they are mostly somebody else's, that one's newest has to go instead.
        """
        pushed_out = None
        with self._news:
            if self._stopping is not None:
                raise Stopped
            if len(self._waiting) >= self._limits.queue:
                pushed_out = self._waiting.make_room(call.work.tenant)
                if pushed_out is None:
                    raise self._busy()
            self._waiting.push(call.work.tenant, call)
            self.used = time.monotonic()
            self._news.notify()
        if pushed_out is not None:
            self._meters.ended(self.model_id, Busy.code)
            pushed_out.tell(Failed.of(self._busy()))

    def wake(self) -> None:
        """Look at once who gave up."""
        with self._news:
            self._news.notify()

    def stop(self, within: float, *, only_idle: bool = False) -> bool:
        """Take nothing any more, end what runs within some seconds; with `only_idle`, not if there is anything."""
        with self._news:
            if only_idle and (self.waiting() or self.running() or self.backbone is None):
                return False
            self._stopping = time.monotonic() + within
            self._news.notify()
        return True

    def join(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    @property
    def state(self) -> str:
        """loading, ready or stopped."""
        if self._stopping is not None:
            return "stopped"
        return "loading" if self.backbone is None else "ready"

    def waiting(self) -> int:
        """Calls that nothing was done for yet."""
        turns = self._turns  # the thread may take it away
        return len(self._waiting) + (0 if turns is None else len(turns.texts))

    def running(self) -> int:
        """Rows that are decoded."""
        turns = self._turns
        return 0 if turns is None else len(turns.jobs)

    def row_bytes(self) -> int:
        """Bytes of the keys and values of the running rows."""
        turns = self._turns
        return 0 if turns is None else turns.running.nbytes()

    # --- the thread ---------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        began = time.monotonic()
        try:
            self.backbone = backbone = self._load(self.model_id)
            desk = Desk(backbone, self.model_id, self._prompts)
            self._turns = turns = Turns(backbone, desk, self._limits, self._meters, self._end)
        except Exception as error:
            log.warning("%s cannot be loaded: %s", self.model_id, error)
            self._give_up(shown(error, f"{self.model_id} cannot be loaded"))
            return
        log.info("%s was loaded in %.1f s.", self.model_id, time.monotonic() - began)
        while self._more(turns):
            try:
                self._sweep()
                turns.turn(self._take, len(self._waiting))
            except Exception as error:  # a fault of the host's own: what is running cannot be trusted any more
                log.exception("a turn of %s failed", self.model_id)
                turns.lose_all(error)
        self._give_up(Unavailable("The serving host was stopped before this was done. Ask again in a minute."))

    def _more(self, turns: Turns) -> bool:
        """Wait for something to do; False when it is time to end."""
        with self._news:
            while not (self._waiting or turns.busy):
                if self._stopping is not None:
                    return False
                self._news.wait()
            return self._stopping is None or time.monotonic() < self._stopping

    def _sweep(self) -> None:
        """Let go of those who wait in vain."""
        with self._news:
            gone = self._waiting.remove(over)
        for call in gone:
            self._end(call, too_late(call), "cancelled" if call.cancelled else "time_limit")

    def _take(self) -> Call | None:
        """The call whose turn it is."""
        with self._news:
            return self._waiting.pop() if self._waiting else None

    def _give_up(self, error: SoftpromptError) -> None:
        """The end of the thread: nobody may be left waiting."""
        with self._news:
            self._stopping = self._stopping or time.monotonic()
            left = [*([] if self._turns is None else self._turns.calls()), *self._waiting]
            self._waiting, self._turns, self.backbone = FairQueue(), None, None
        for call in left:
            self._end(call, Failed.of(error), error.code)

    def _end(self, call: Call, event: Event, word: str) -> None:
        self._meters.ended(self.model_id, word)
        self.used = time.monotonic()
        self._ended.append(self.used)
        call.tell(event)

    def _busy(self) -> Busy:
        length = self.waiting()
        return Busy(
            f"{length} requests wait for {self.model_id}, as many as are allowed to. Ask again later.",
            retry_after=self._retry_after(length),
        )

    def _retry_after(self, length: int) -> float:
        """Seconds until the line is half as long, as fast as answers came lately."""
        if len(self._ended) < 2:
            return 1.0
        rate = len(self._ended) / max(time.monotonic() - self._ended[0], 1e-3)
        return round(min(max(length / 2 / rate, 0.5), 60.0), 1)
