"""A folder of another program and a loaded model become a tuned prompt.

Finds out which program wrote the folder; reading it is up to `peft_format` and `caikit_format`. Does not evaluate: what
was imported carries no metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from softprompt.data.template import Template
from softprompt.engine import caikit_format, peft_format
from softprompt.engine.artifact import TunedPrompt, base_of, is_tuned_prompt, versions_here
from softprompt.engine.imported import ImportedVectors
from softprompt.engine.safe_files import refuse

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

RAW = Template(text="{{input}}")
"""What stands around an input when the files do not say."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A tuned prompt and where it came from."""

    tuned: TunedPrompt
    format: str
    left_out: tuple[str, ...]


def import_prompt(folder: Path, backbone: Backbone, *, name: str, template: Template | None = None) -> Imported:
    """The tuned prompt for this model.

    Args:
        folder: as PEFT's `save_pretrained` or caikit wrote it.
        backbone: the model the vectors were trained on.
        name: of the tuned prompt.
        template: what stands around an input; the folder's own if it has one, else the bare input.
    """
    base = base_of(backbone)
    found = read_foreign(folder, base.kind)
    found.check_fit(base)
    source = {"format": found.format, "base_name": found.base_name, **found.source, "left_out": list(found.left_out)}
    tuned = TunedPrompt(
        name=name,
        base=base,
        task="generation",
        prompt=found.prompt,
        template=template or found.template or RAW,
        recipe={"imported": source},
        versions=versions_here(),
    )
    tuned.check_base(backbone)
    return Imported(tuned, found.format, found.left_out)


def read_foreign(folder: Path, kind: str) -> ImportedVectors:
    """The vectors of a folder in any format that can be imported, for a model of that kind."""
    if format_of(folder) == "peft":
        return peft_format.read_adapter(folder)
    return caikit_format.read_caikit(folder, kind)


def check_foreign(folder: Path) -> None:
    """Refuse what cannot be imported for any model, so that none has to be loaded first."""
    if format_of(folder) == "peft":
        peft_format.read_adapter(folder)


def format_of(folder: Path) -> Literal["peft", "caikit"]:
    """Which program wrote the folder."""
    if not folder.is_dir():
        refuse(folder, "is no folder", "Give the folder that PEFT or caikit wrote.")
    if is_tuned_prompt(folder):
        refuse(folder, "is a tuned prompt already", "Use it as it is.")
    if (folder / peft_format.CONFIG).exists():
        return "peft"
    if any((folder / name).exists() for name in caikit_format.FILES.values()):
        return "caikit"
    names = sorted(path.name for path in folder.iterdir())
    refuse(
        folder,
        f"holds {', '.join(names[:5]) or 'nothing'}: neither {peft_format.CONFIG} nor "
        f"{' nor '.join(caikit_format.FILES.values())}",
        "PEFT's prompt tuning and prefix tuning and caikit's prompt vectors can be imported.",
    )
