"""What one question costs in tokens: the bare model told what to do, shown solved examples, and the tuned prompt.

Counted with the model's tokenizer, nothing is generated: of an answer the tokens of the right one are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from softprompt.data.records import Example
from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.tokens import Encoder

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

SHOTS = 3
MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts tokens of the same rows in several ways; means per row."""

    backbone: Backbone
    tuned: TunedPrompt
    instruction: str
    rows: Sequence[Example]

    def ledger(self, shots: Sequence[Example]) -> dict[str, Any]:
        """The table of a tuned prompt beside the bare model, ready to be stored."""
        plain = Template(self.tuned.template.text, self.instruction)
        shown = plain.with_shots([(shot.input, shot.output) for shot in shots])
        lines = [self._line("zero-shot", plain)]
        if shots:
            lines.append(self._line(f"{len(shots)}-shot", shown))
        for way, virtual in self._ways():
            told = replace(self.tuned.template, instruction=self.instruction)
            lines.append(self._line(way, told, virtual, instruction=True))
            lines.append(self._line(way, self.tuned.template, virtual))
        return {
            "rows": len(self.rows),
            "context": self.backbone.context,
            "instruction": self.instruction,
            "lines": lines,
        }

    def _ways(self) -> list[tuple[str, int]]:
        """How the tuned prompt answers, with the vectors that are read."""
        ways = [("text", self.tuned.prompt.virtual_tokens)] if self.tuned.prompt.virtual_tokens else []
        if self.tuned.readout is not None:
            ways.append(("readout", self.tuned.readout.prompt.virtual_tokens))
        return ways

    def _line(self, way: str, template: Template, virtual: int = 0, *, instruction: bool = False) -> dict[str, Any]:
        causal = self.backbone.kind == "causal"
        encoder = Encoder(self.backbone.tokenizer, template, share_head=causal)
        encoded = encoder.rows([row.input for row in self.rows], [row.output for row in self.rows])
        count = len(self.rows)
        said = 0 if way == "readout" else sum(len(row.target) for row in encoded) / count
        read = len(encoder.head) + sum(len(row.prompt) for row in encoded) / count
        return {
            "way": way,
            "instruction": instruction or not virtual and way not in ("text", "readout"),
            "input_tokens": round(read, 2),
            "virtual_tokens": virtual,
            "generated_tokens": round(said, 2),
        }


def ledger(backbone: Backbone, tuned: TunedPrompt, train: Sequence[Example], test: Sequence[Example]) -> dict[str, Any]:
    """Token counts on test rows, or on training rows where there are none; the first training rows are the shots."""
    from softprompt.data.starts import instruction_of

    config = tuned.recipe.get("config") or {}
    words = config.get("instruction") or config.get("init_text")
    instruction = str(words or instruction_of(tuned.task, tuned.labels))  # type: ignore[arg-type]
    return Counter(backbone, tuned, instruction, (list(test) or list(train))[:MOST_ROWS]).ledger(train[:SHOTS])
