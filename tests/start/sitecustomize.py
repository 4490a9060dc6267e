"""Runs first in every process that a test starts, of which there are a hundred; what is left out here is a second each.

accelerate is no requirement of Softprompt: it is here for PEFT, with which tests compare in their own process, and
transformers would load it just because it is there.
"""

import gc
import sys

sys.modules["accelerate"] = None  # type: ignore[assignment]
gc.set_threshold(20_000, 20, 50)
