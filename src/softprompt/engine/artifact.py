"""A tuned prompt as a folder: vectors, readout, template, recipe, metrics, and the model they belong to.

    prompt.safetensors      prefix, suffix, deep, calibration: dense float32
    readout.safetensors     the label readout, if there is one
    softprompt.json         everything else, see `artifact_card`
    README.md               a page for people
    adapter_config.json     the same prefix for PEFT, as far as PEFT can express it, see `peft_format`
    adapter_model.safetensors

Covers: saving whole or not at all, and loading what a stranger made: nothing in the folder is ever run, and whatever
does not fit is refused with its file and its values. Does not cover foreign formats (`import_prompt`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

import softprompt
from softprompt.data.template import Template
from softprompt.engine.artifact_card import CARD, Base, Card, ReadoutCard, dump_card, name_problem, read_card, readme
from softprompt.engine.artifact_shapes import due_of, misfits, readout_misfits, token_ids
from softprompt.engine.fingerprint import fingerprint
from softprompt.engine.folder_swap import previous, write_folder
from softprompt.engine.peft_format import Adapter, write_adapter
from softprompt.engine.readout import LabelReadout
from softprompt.engine.safe_files import read_file, refuse
from softprompt.engine.safe_tensors import MAX_FILE_BYTES, dump_tensors, finite, parse_tensors
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ArtifactInvalid, WrongBase

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

__all__ = ["Base", "TunedPrompt", "base_of", "is_tuned_prompt", "now", "versions_here"]

PROMPT, READOUT = "prompt.safetensors", "readout.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_SHAPES = ("kind", "layers", "kv_heads", "head_dim")
"""What of a model has to agree beside its embeddings: models may share those and nothing else."""
FILES = frozenset({PROMPT, READOUT, CARD, "README.md", "adapter_config.json", "adapter_model.safetensors"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TunedPrompt:
    """What a tuning run leaves behind.

    Attributes:
        name: what people call it.
        base: the foundation model it belongs to.
        task: what its answers are: classification, multilabel, generation, summarization.
        prompt: the vectors.
        template: how an input becomes a prompt, in tuning and in serving.
        labels: the known answers, whole combinations for multi-label tasks; empty for free text.
        calibration: `[C]` what is subtracted from the labels' scores when they are read through the vocabulary.
        readout: reads the label from hidden states.
        recipe, data, metrics, versions: how it was made, from what, how good it is, with which libraries; JSON.
        licence: of the tuned prompt.
        created: ISO 8601, UTC.
    """

    name: str
    base: Base
    task: str
    prompt: SoftPrompt
    template: Template
    labels: tuple[str, ...] = ()
    calibration: Tensor | None = None
    readout: LabelReadout | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    created: str = field(default_factory=lambda: now())

    @property
    def virtual_tokens(self) -> int:
        """Vectors around the input; those of the readout where the text path has none."""
        return self.prompt.virtual_tokens or (0 if self.readout is None else self.readout.prompt.virtual_tokens)

    @property
    def max_input_tokens(self) -> int:
        """Longest prompt in tokens, as in tuning; 0: no limit."""
        longest = self._chosen("max_input_tokens")
        return longest if isinstance(longest, int) else 0

    @property
    def pattern(self) -> str:
        """Regular expression that its answers keep; "": none."""
        pattern = self._chosen("pattern")
        return pattern if isinstance(pattern, str) else ""

    @property
    def answers_by(self) -> Literal["readout", "text"]:
        return "text" if self.readout is None else "readout"

    def save(self, folder: str | Path) -> Path:
        """Write the folder, whole or not at all; an older tuned prompt of this name is replaced, nothing else is."""
        self._check()
        tensors = {PROMPT: dump_tensors(self._prompt_tensors())}
        if self.readout is not None:
            tensors[READOUT] = dump_tensors(self.readout.tensors())
        adapter = write_adapter(self.prompt, self.base)
        card = self._card(tensors, adapter)
        files = {**tensors, **adapter.files, CARD: dump_card(card), "README.md": readme(card)}
        return write_folder(Path(folder), files, known=FILES, mark=CARD)

    @classmethod
    def load(cls, folder: str | Path, *, backbone: Backbone | None = None) -> TunedPrompt:
        """Read and check the folder; with `backbone`, also that it is the right model."""
        home = _home(Path(folder))
        card = read_card(home)
        tensors = _read(home, PROMPT, card, card.tensors)
        calibration = tensors.pop("calibration", None)
        tuned = cls(
            name=card.name,
            base=card.base,
            task=card.task,
            prompt=SoftPrompt(**tensors),
            template=card.template,
            labels=card.labels,
            calibration=calibration,
            readout=None if card.readout is None else _readout(home, card, card.readout),
            recipe=card.recipe,
            data=card.data,
            metrics=card.metrics,
            versions=card.versions,
            licence=card.licence,
            created=card.created,
        )
        tuned._check(home)
        if (tuned.virtual_tokens, tuned.answers_by) != (card.virtual_tokens, card.answers_by):
            refuse(
                home / CARD,
                f"says {card.virtual_tokens} virtual tokens, answers by {card.answers_by}; its tensors say "
                f"{tuned.virtual_tokens}, {tuned.answers_by}",
                "Export the tuned prompt again.",
            )
        if backbone is not None:
            tuned.check_base(backbone)
        return tuned

    def check_base(self, backbone: Backbone) -> None:
        """Refuse a model with other embeddings or of another shape, and number types that cannot hold the vectors."""
        there = fingerprint(backbone.model)
        if there != self.base.fingerprint:
            raise WrongBase(
                f"The tuned prompt {self.name!r} was made for {self.base.model_id} (embeddings "
                f"{self.base.fingerprint[:12]}); the model at hand is {backbone.model_id or 'without a name'} "
                f"(embeddings {there[:12]}), where its vectors mean nothing. Load {self.base.model_id}, or tune again."
            )
        at_hand = base_of(backbone)
        if other := [name for name in _SHAPES if getattr(at_hand, name) != getattr(self.base, name)]:
            told = ", ".join(f"{name} {getattr(at_hand, name)} instead of {getattr(self.base, name)}" for name in other)
            raise WrongBase(
                f"The tuned prompt {self.name!r} was made for {self.base.model_id}; the model at hand, "
                f"{backbone.model_id or 'without a name'}, has the same embeddings but another build ({told}). "
                f"Load {self.base.model_id}, or tune again."
            )
        behind = {} if self.readout is None else self.readout.prompt.tensors()
        for name, tensor in [*self.prompt.tensors().items(), *behind.items()]:
            if not bool(torch.isfinite(tensor.to(backbone.dtype)).all()):
                raise ArtifactInvalid(
                    f"The {name} of {self.name!r} reaches {float(tensor.abs().max()):.3g}, too large for "
                    f"{backbone.dtype}, in which the model runs. Load the model in bfloat16 or float32."
                )

    def _chosen(self, name: str) -> Any:
        """A parameter of the run, if the recipe tells it; recipes come from strangers, too."""
        config = self.recipe.get("config")
        return config.get(name) if isinstance(config, dict) else None

    def _prompt_tensors(self) -> dict[str, Tensor]:
        extra = {} if self.calibration is None else {"calibration": self.calibration}
        return {**self.prompt.tensors(), **extra}

    def _check(self, where: Path | None = None) -> None:
        """Every tensor finite and of the shape that model, labels and layers ask for."""
        problems = [f"its name {problem}"] if (problem := name_problem(self.name)) else []
        problems += misfits(self._prompt_tensors(), due_of(self.base, len(self.labels)), "")
        if self.prompt.deep is not None and self.base.kind != "causal":
            problems.append("keys and values per layer, which the engine runs in decoder-only models alone")
        if self.calibration is not None and not self.labels:
            problems.append("a calibration without labels")
        if self.readout is not None:
            problems += readout_misfits(self.readout, self.base)
        if len(set(self.labels)) != len(self.labels):
            problems.append(f"{len(self.labels) - len(set(self.labels))} labels stand there twice")
        if problems:
            raise ArtifactInvalid(
                f"{where or f'The tuned prompt {self.name!r}'} does not fit together: {'; '.join(problems)}."
            )
        for name, tensor in {**self._prompt_tensors(), **(self.readout.tensors() if self.readout else {})}.items():
            finite(tensor, f"{where or self.name}: {name}")

    def _card(self, tensors: Mapping[str, bytes], adapter: Adapter) -> Card:
        left_out = list(adapter.leaves_out)
        left_out += ["label readout"] if self.readout is not None else []
        left_out += ["calibration of the labels"] if self.calibration is not None else []
        left_out += [f"template {self.template.text!r}"] + (["instruction"] if self.template.instruction else [])
        return Card(
            name=self.name,
            created=self.created,
            licence=self.licence,
            task=self.task,
            base=self.base,
            template=self.template,
            labels=self.labels,
            virtual_tokens=self.virtual_tokens,
            answers_by=self.answers_by,
            tensors={name: tuple(tensor.shape) for name, tensor in self._prompt_tensors().items()},
            readout=None if self.readout is None else _readout_card(self.readout),
            recipe=self.recipe,
            data=self.data,
            metrics=self.metrics,
            versions=self.versions,
            peft={"covers": list(adapter.covers), "leaves_out": left_out},
            files={name: _facts(data) for name, data in tensors.items()},
        )


def base_of(backbone: Backbone) -> Base:
    """The facts about a loaded model that a tuned prompt keeps."""
    config = backbone.model.config
    heads = int(config.num_attention_heads)
    return Base(
        model_id=backbone.model_id,
        fingerprint=fingerprint(backbone.model),
        kind=backbone.kind,
        hidden_size=backbone.hidden_size,
        layers=int(config.num_hidden_layers),
        kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_dim=int(
            getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or backbone.hidden_size // heads
        ),
        dtype=str(backbone.dtype).removeprefix("torch."),
    )


def is_tuned_prompt(folder: str | Path) -> bool:
    """Whether the folder calls itself a tuned prompt; whether it is a sound one shows when it is loaded."""
    return (Path(folder) / CARD).is_file() or (previous(Path(folder)) / CARD).is_file()


def is_of_another_program(folder: str | Path) -> bool:
    """Whether the folder holds a prompt of PEFT or caikit, or pickles, which `TunedPrompt.load` refuses with advice."""
    home = Path(folder)
    if not home.is_dir() or (home / "config.json").exists():
        return False
    names = {path.name for path in home.iterdir()}
    return "adapter_config.json" in names or any(name.endswith(_PICKLES) for name in names)


def now() -> str:
    """This moment as the card writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions_here() -> dict[str, str]:
    """The libraries that decide what comes out of a run."""
    return {"softprompt": softprompt.__version__} | {name: version(name) for name in ("torch", "transformers")}


# --- reading ----------------------------------------------------------------------------------------------------------
def _home(folder: Path) -> Path:
    """The folder itself; its forerunner if the machine stopped in the instant between the two."""
    if not folder.exists() and (previous(folder) / CARD).is_file():
        return previous(folder)
    if not folder.is_dir():
        refuse(folder, "is no folder", "A tuned prompt is a folder with softprompt.json in it.")
    if (folder / CARD).is_file():
        return folder
    names = sorted(path.name for path in folder.iterdir())
    if "adapter_config.json" in names or {"decoder.pt", "encoder.pt"} & set(names):
        refuse(
            folder, f"has no {CARD}: it was made by another program", "Convert it: softprompt import FOLDER --model ID."
        )
    if pickles := [name for name in names if name.endswith(_PICKLES)]:
        refuse(
            folder,
            f"has no {CARD}, only {pickles[0]}, a pickle, which can run any code when it is opened",
            "Where you trust it, convert it: torch.load(…, weights_only=True), then safetensors.torch.save_file.",
        )
    refuse(folder, f"has no {CARD}", "A tuned prompt is a folder with softprompt.json in it.")


def _read(home: Path, name: str, card: Card, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The tensors of a file, which must be those that the card knows."""
    data = read_file(home, name, MAX_FILE_BYTES)
    facts = _facts(data)
    if len(data) != card.files[name]["bytes"]:
        refuse(home / name, f"has {len(data):,} bytes, the card says {card.files[name]['bytes']:,}", "Copy it again.")
    if facts != card.files[name]:
        refuse(
            home / name,
            f"has SHA-256 {facts['sha256'][:12]}…, the card says {card.files[name]['sha256'][:12]}…",
            "It was changed after it was saved, or belongs to another tuned prompt. Copy the folder again.",
        )
    tensors = parse_tensors(data, home / name, dtypes=frozenset({"F32"}))
    there = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if there != dict(shapes):
        odd = sorted(key for key in {*there, *shapes} if there.get(key) != shapes.get(key))
        shown = "; ".join(
            f"{key[:40]!r}: {there.get(key, 'missing')}, card: {shapes.get(key, 'none')}" for key in odd[:5]
        )
        refuse(home / name, f"holds other tensors than the card says ({shown})", "Export the tuned prompt again.")
    return tensors


def _readout(home: Path, card: Card, facts: ReadoutCard) -> LabelReadout:
    tensors = _read(home, READOUT, card, facts.tensors)
    if missing := {"center", "scale", "weight", "bias"} - set(tensors):
        refuse(home / READOUT, f"lacks {', '.join(sorted(missing))}", "Export the tuned prompt again.")
    if ("tokens" in tensors) != ("idf" in tensors):
        refuse(home / READOUT, "has one of tokens and idf, which belong together", "Export the tuned prompt again.")
    if "tokens" in tensors:
        tensors["tokens"] = token_ids(tensors["tokens"], home / READOUT)
    parts = {name.removeprefix("prompt."): tensors.pop(name) for name in list(tensors) if name.startswith("prompt.")}
    return LabelReadout(
        labels=facts.labels,
        layers=facts.layers,
        places=facts.places,
        template=facts.template,
        prompt=SoftPrompt(**parts),
        **tensors,
    )


def _readout_card(readout: LabelReadout) -> ReadoutCard:
    return ReadoutCard(
        labels=readout.labels,
        layers=readout.layers,
        places=readout.places,
        template=readout.template,
        tensors={name: tuple(tensor.shape) for name, tensor in readout.tensors().items()},
    )


def _facts(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
