"""Foundation models as the studio sees them: the catalogue's, and folders that an admin added."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt import catalogue
from softprompt.catalogue import ModelCard
from softprompt.config import Settings
from softprompt.engine.sources import available
from softprompt.errors import ModelUnknown, ModelUnsupported, NameTaken, UsageError
from softprompt.storage.rows import Rows
from softprompt.storage.tables import FoundationModel
from softprompt.studio.access import Unit
from softprompt.studio.in_use import refuse_if_used
from softprompt.studio.names import clean_name


@dataclass(frozen=True, slots=True)
class Model:
    """A foundation model.

    Attributes:
        card: what is known about it; None for an added folder.
        path: folder on this machine, if it is here.
        created: of an added one, when.
    """

    id: str
    label: str
    architecture: str
    context: int
    tunable: bool
    reason: str
    path: Path | None
    card: ModelCard | None = None
    row: FoundationModel | None = None

    @property
    def available(self) -> bool:
        return self.path is not None

    @property
    def name(self) -> str:
        """What the engine opens: the catalogue's id, or the folder."""
        return self.id if self.row is None else self.row.path


def added_folder(rows: Rows, model_id: str) -> str | None:
    """Where a model lies that an admin added, which other machines do not know by its id; None for all others."""
    row = rows.first(FoundationModel, model_id=model_id)
    return row.path if row is not None else None


def all_models(rows: Rows) -> list[Model]:
    """Every model, added ones first."""
    added = [_added(row) for row in rows.all(FoundationModel)]
    settings = Settings.from_environment()
    return added + [_carded(card, settings) for card in catalogue.cards()]


def named(rows: Rows, text: str) -> list[tuple[str, str]]:
    """Ids and labels of models with the text in one of their names; whether they lie here is not looked up."""
    needle = text.casefold()
    added = [(row.model_id, row.model_id.split("/")[-1], ()) for row in rows.all(FoundationModel)]
    known = [*added, *((card.id, card.label, card.aliases) for card in catalogue.cards())]
    return [(key, label) for key, label, others in known if needle in " ".join((key, label, *others)).casefold()]


def find(rows: Rows, model_id: str) -> Model:
    """A model by its id or one of its other names."""
    row = rows.first(FoundationModel, model_id=model_id)
    if row is not None:
        return _added(row)
    return _carded(catalogue.get(model_id))


def tunable(rows: Rows, model_id: str) -> Model:
    """As `find`, refused if the model cannot be tuned."""
    model = find(rows, model_id)
    if not model.tunable:
        raise ModelUnsupported(f"{model.label} cannot be tuned here: {model.reason}. `models list` shows which can.")
    return model


def add(unit: Unit, model_id: str, path: str) -> FoundationModel:
    """Make a folder of this server known under an id."""
    import json

    unit.need_studio_admin()
    model_id = clean_name(model_id, "model_id", most=300)
    if unit.rows.first(FoundationModel, model_id=model_id) or catalogue.find(model_id):
        raise NameTaken(f"There is a foundation model {model_id!r} already. Choose another id.")
    folder = Path(path).expanduser()
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"path: {folder} is no folder of a model: its config.json cannot be read ({error})."
        ) from error
    kind = str(config.get("model_type", ""))
    if kind not in catalogue.CAUSAL | catalogue.SEQ2SEQ:
        known = ", ".join(sorted(catalogue.CAUSAL | catalogue.SEQ2SEQ))
        raise ModelUnsupported(f"{folder} holds a model of type {kind!r}; the engine runs {known}.")
    context = config.get("max_position_embeddings") or config.get("n_positions") or 512
    facts: dict[str, Any] = {"model_type": kind, "context": int(context)}
    row = unit.rows.add(FoundationModel(model_id=model_id, path=str(folder.resolve()), facts=facts))
    unit.log("create", row, name=model_id)
    return row


def remove(unit: Unit, model_id: str) -> None:
    unit.need_studio_admin()
    row = unit.rows.first(FoundationModel, model_id=model_id)
    if row is None:
        raise ModelUnknown(f"No foundation model {model_id!r} was added here.")
    refuse_if_used(unit, row)
    unit.log("delete", row, name=model_id)
    unit.rows.remove(FoundationModel, id=row.id)


def _added(row: FoundationModel) -> Model:
    kind = row.facts.get("model_type", "")
    return Model(
        id=row.model_id,
        label=row.model_id.split("/")[-1],
        architecture="seq2seq" if kind in catalogue.SEQ2SEQ else "causal",
        context=int(row.facts.get("context", 512)),
        tunable=True,
        reason="",
        path=Path(row.path) if Path(row.path).is_dir() else None,
        row=row,
    )


def _carded(card: ModelCard, settings: Settings | None = None) -> Model:
    return Model(
        id=card.id,
        label=card.label,
        architecture=card.architecture,
        context=card.context,
        tunable=card.tunable,
        reason=card.reason,
        path=available(card, settings),
        card=card,
    )
