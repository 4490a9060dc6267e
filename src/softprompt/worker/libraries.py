"""What a worker's children need, imported: loaded once, by the process that they are forked from."""

import gc
import os

os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # a look for devices that would not survive the fork
gc.disable()  # looking for garbage among libraries would take a sixth of the time

from softprompt.worker.child_work import Desk  # noqa: E402

gc.freeze()  # they stay; what a collection does not touch remains shared among processes
gc.enable()

__all__ = ["Desk"]
