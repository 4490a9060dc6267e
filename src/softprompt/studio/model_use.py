"""What rests on a foundation model here, the room it takes, and taking it off the disk when nothing needs it."""

from __future__ import annotations

from dataclasses import dataclass

from softprompt.config import Settings
from softprompt.engine import model_disk
from softprompt.engine.model_disk import Footprint
from softprompt.errors import InUse, UsageError, WrongState
from softprompt.storage.tables import Deployment, Evaluation, TunedPrompt, TuningRun
from softprompt.studio import foundation_models, model_pulls, standing
from softprompt.studio.access import Unit
from softprompt.studio.foundation_models import Model
from softprompt.studio.standing import Standing

SHOWN = 10
ACTIVE = ["queued", "running"]


@dataclass(frozen=True, slots=True)
class Use:
    """What the person who asks may see of the things that rest on a model; totals count all of these.

    Attributes:
        needed: whether something that works or answers needs it, seen or not; then it stays on the disk.
        standings: of the deployments, by id.
    """

    prompts: tuple[TunedPrompt, ...]
    prompts_total: int
    deployments: tuple[Deployment, ...]
    deployments_total: int
    needed: str
    standings: dict[str, Standing]


@dataclass(frozen=True, slots=True)
class Disk:
    """The room on this machine.

    Attributes:
        prints: of the models that lie ready, by id.
        left: bytes of broken-off downloads, by id.
        free: bytes where models are kept.
    """

    prints: dict[str, Footprint]
    left: dict[str, int]
    free: int

    @property
    def used(self) -> int:
        return sum(each.size for each in self.prints.values()) + sum(self.left.values())


def of(unit: Unit, model: Model) -> Use:
    seen = unit.visible()
    prompts = unit.rows.page(TunedPrompt, containers=seen, model_id=model.id, limit=SHOWN)
    served = unit.rows.page(Deployment, containers=seen, model_id=model.id, limit=SHOWN)
    states = standing.of(unit.rows, unit.store, served.items)
    return Use(prompts.items, prompts.total, served.items, served.total, needed(unit, model), states)


def needed(unit: Unit, model: Model) -> str:
    """Why the model has to stay, in words; empty if nothing works with it."""
    count = unit.rows.count
    counts = (
        (count(Deployment, model_id=model.id), "deployment", "deployments"),
        (count(TuningRun, model_id=model.id, state=ACTIVE), "unfinished tuning run", "unfinished tuning runs"),
        (count(Evaluation, model_id=model.id, state=ACTIVE), "unfinished evaluation", "unfinished evaluations"),
    )
    return " and ".join(f"{number} {one if number == 1 else many}" for number, one, many in counts if number)


def disk(models: list[Model], settings: Settings | None = None) -> Disk:
    """Of all these models; reads the sizes of files, so it is for few models that lie here."""
    settings = settings or Settings.from_environment()
    prints = {m.id: model_disk.footprint(m.path, m.card, settings) for m in models if m.path is not None}
    left = {m.id: model_disk.arrived(m.card, settings) for m in models if m.path is None and m.card is not None}
    return Disk(prints, {key: count for key, count in left.items() if count}, model_disk.room(settings))


def remove(unit: Unit, model_id: str, settings: Settings | None = None) -> int:
    """Take a model off the disk, or what a broken-off download left; the bytes that are freed.

    Tuned prompts stay and answer again as soon as their model is fetched again. Refused while something works with it.
    """
    unit.need_studio_admin()
    settings = settings or Settings.from_environment()
    model = foundation_models.find(unit.rows, model_id)
    if model.card is None:
        raise UsageError(f"{model.label} is a folder that was added; its files are not Softprompt's to remove.")
    pull = model_pulls.get(model.id, settings)
    if pull is not None and pull.state == "running":
        raise WrongState(f"{model.label} is being fetched just now. Stop that first.")
    if why := needed(unit, model):
        raise InUse(f"{model.label} stays: {why} need it. Delete or finish these first.")
    freed = model_disk.remove(model.card, settings)
    model_pulls.forget(model.id, settings)
    unit.log("remove from disk", None, "foundation model", name=model.id, bytes=freed)
    return freed
