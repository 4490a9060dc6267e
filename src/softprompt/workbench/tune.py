"""From labelled rows to a tuned prompt on disk: the whole of `softprompt tune`, without a terminal.

Covers: the text path, label calibration, the label readout and the choice whether it is kept, checkpoints and resuming.
Does not cover: reading the rows (`tune_rows`), how numbers are shown, evaluation on test rows (`evaluate`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from softprompt.catalogue import find
from softprompt.data.labels import labels_of
from softprompt.data.records import Example
from softprompt.data.split import split
from softprompt.data.starts import instruction_of, solved_rows
from softprompt.data.template import Template
from softprompt.engine import events, readout_fit, readout_tune
from softprompt.engine import tune as loop
from softprompt.engine.artifact import READOUT, TunedPrompt, base_of, versions_here
from softprompt.engine.defaults import Recipe, resolve
from softprompt.engine.generate import make_ready
from softprompt.engine.init import initial_prompt
from softprompt.engine.loading import load_model
from softprompt.engine.packing import Row
from softprompt.engine.plans import EXAMPLE_TOKENS
from softprompt.engine.precision import decided, products
from softprompt.engine.readout_states import KeptStates
from softprompt.engine.score import calibration, label_scores
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.errors import DatasetInvalid, ModelUnsupported, ParameterInvalid
from softprompt.params import Init, TuneConfig
from softprompt.workbench import kept_readout
from softprompt.workbench.tune_check import check_config
from softprompt.workbench.tune_finished import Run, finished
from softprompt.workbench.tune_records import best_metric, data_record, metrics_record, recipe_record, too_many
from softprompt.workbench.tune_rows import Rows, TuneRows, content_hash, read_rows
from softprompt.workbench.tune_side import check_place, side_of
from softprompt.workbench.tune_validation import validation

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone, CausalBackbone
    from softprompt.engine.readout import LabelReadout

CALIBRATION_ROWS = 64
"""Training inputs that stand for all inputs when the labels' average scores are taken."""
PASSES = ("passes-tried.safetensors", "passes.safetensors")
"""Passes through the readout beside the checkpoint: those that say how many are good, and those that are taken."""
STOPPED = "no vectors trained through the readout: stopped on request; the readout is as it was fitted"


def tune(
    train: Rows,
    *,
    model: str | Path | Backbone,
    out: str | Path | None = None,
    config: TuneConfig | None = None,
    validation: Rows | float | None = None,
    resume: bool = False,
    tidy: bool = True,
    name: str = "",
    listener: events.Listener = events.ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Tune a prompt for a frozen model on labelled rows.

    Args:
        train: a file (JSONL, JSON array, CSV) or examples.
        model: id of the catalogue, folder, or a loaded model.
        out: folder of the tuned prompt; checkpoints lie beside it in `OUT.run`.
        config: the person's choices; what is left open is filled in and said.
        validation: held-out rows: a file, examples, or a share of the training rows. The best epoch by them is kept.
        resume: go on from the last checkpoint of the same run; if that is over, take what it made.
        tidy: delete the checkpoint once the tuned prompt is whole.
        name: of the tuned prompt; the folder's name if empty.
        listener: told of every step.
        should_stop: asked after every update.

    Raises:
        ArtifactError, DataError, ModelError, ParameterInvalid, TuningError: with what to do.
    """
    job = _Job(config or TuneConfig(), listener)
    check_config(job.config)
    job.rows = read_rows(train, validation, job.config, job.note)
    backbone = load_model(model) if isinstance(model, str | Path) else model
    began = time.monotonic()
    folder = Path(out) if out is not None else None
    over = resume and folder and not side_of(folder).exists() and finished(folder, job.config, job.rows, backbone)
    if over:
        job.note(f"the same run made {folder} already: nothing is left to do")
        return replace(over, notes=(*over.notes, job.notes[-1]))
    if folder:
        check_place(side_of(folder))
    outcome, encoder = job.text_path(backbone, folder, resume, should_stop)
    fitted = job.readout_once(backbone, outcome, folder, resume, should_stop)
    history = outcome.history if outcome else ()
    tuned = job.tuned_prompt(backbone, name or (folder.name if folder else "tuned"), encoder.template, outcome, fitted)
    tuned = replace(tuned, calibration=job.calibrate(backbone, encoder, outcome))
    saved = tuned.save(folder) if folder else None
    if folder and tidy:
        shutil.rmtree(side_of(folder), ignore_errors=True)
    return Run(
        tuned=tuned,
        out=saved,
        updates=outcome.updates if outcome else 0,
        epochs=history,
        seconds=time.monotonic() - began,
        tokens=job.tokens,
        notes=tuple(job.notes),
    )


@dataclass
class _Job:
    """One run's rows and choices, filled step by step."""

    config: TuneConfig
    listener: events.Listener
    rows: TuneRows = field(default_factory=TuneRows)
    notes: list[str] = field(default_factory=list)
    recipe: Recipe | None = None
    tokens: int = 0
    states: KeptStates | None = None
    """Where what the readout reads is kept on the way."""
    passes: Callable[[str], loop.Keep | None] = lambda name: None
    """Where vectors that are trained through the readout are kept on the way."""

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.listener(events.Note(text))

    def text_path(
        self, backbone: Backbone, folder: Path | None, resume: bool, should_stop: Callable[[], bool]
    ) -> tuple[loop.Outcome | None, Encoder]:
        """Train the vectors through the vocabulary (unless only a readout is wanted)."""
        template = Template(self.config.template, self.config.instruction)
        encoder = Encoder(backbone.tokenizer, template, self.config.max_input_tokens, backbone.kind == "causal")
        rows = self._encoded(encoder)
        if self.config.readout == "only":
            return None, encoder
        self.recipe = self.resolved(backbone, self.rows.train)
        for sentence in self.recipe.notes:
            self.note(sentence)
        self.tokens = self.recipe.schedule.epochs * sum(len(r.prompt) + len(r.target) for r in rows)
        keep = None
        if folder is not None:
            side = side_of(folder)
            if not resume:
                shutil.rmtree(side, ignore_errors=True)
            keep = loop.Keep(side / "checkpoint.safetensors", self.config.checkpoint_seconds, self._key(backbone))
        precision = decided(self.config.precision, backbone.device, backbone.lean)
        if precision == "bfloat16":
            self.note("products are done in bfloat16 while tuning; --precision float32 does them exactly")
        with products(precision):
            outcome = loop.run(
                backbone,
                initial_prompt(backbone, self.recipe.start),
                rows,
                encoder.head,
                self.recipe.schedule,
                validate=validation(backbone, encoder, self.rows, self.config) if self.rows.held else None,
                listener=self.listener,
                keep=keep,
                should_stop=should_stop,
            )
        return outcome, encoder

    def readout_once(
        self,
        backbone: Backbone,
        outcome: loop.Outcome | None,
        folder: Path | None,
        resume: bool,
        should_stop: Callable[[], bool],
    ) -> readout_fit.Fitted | None:
        """The label readout; one that an earlier attempt finished is taken from beside the checkpoint."""
        if folder is None or self.config.readout == "off" or not self.rows.labels:
            return self.readout(backbone, outcome, should_stop)
        path, said = side_of(folder) / READOUT, len(self.notes)
        parts = [self._key(backbone), self.config.readout, best_metric(outcome.history if outcome else ())]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        template = Template(self.config.template, self.config.instruction)
        if resume and (found := kept_readout.load(path, key, template, backbone.device)):
            for sentence in found.notes:
                self.note(sentence)
            return found.fitted
        told = partial(self.listener, events.Kept("states"))
        seconds = self.config.checkpoint_seconds
        self.states = KeptStates(path.parent, key, seconds, told)
        self.passes = lambda name: loop.Keep(path.with_name(name), seconds, key)
        fitted = self.readout(backbone, outcome, should_stop)
        kept_readout.save(path, key, kept_readout.KeptReadout(fitted, tuple(self.notes[said:])))
        self.states.clear()
        self.listener(events.Kept("readout"))
        return fitted

    def _encoded(self, encoder: Encoder) -> list[Row]:
        """The training rows as ids, none longer than allowed; how many lost their end is said."""
        rows = encoder.rows([e.input for e in self.rows.train], [e.output for e in self.rows.train])
        if cut := sum(row.cut for row in rows):
            self.note(f"{cut} of {len(rows)} inputs are longer than {self.config.max_input_tokens} tokens and were cut")
        limit = self.config.max_output_tokens
        cut = sum(len(row.target) > limit for row in rows)
        if cut and self.config.readout != "only":
            self.note(
                f"{cut} of {len(rows)} answers are longer than {limit} tokens, their end token counted, and were cut; "
                "--max-output-tokens allows more"
            )
        return [replace(row, target=row.target[:limit]) for row in rows]

    def readout(
        self, backbone: Backbone, outcome: loop.Outcome | None, should_stop: Callable[[], bool]
    ) -> readout_fit.Fitted | None:
        """Fit the label readout; keep it where it reads labels better than the vocabulary says them."""
        wanted = self.config.readout
        if wanted == "off" or not self.rows.labels:
            if wanted == "only":
                raise ParameterInvalid('readout "only": this task has no label set to read.')
            return None
        if backbone.kind != "causal":
            if wanted == "only":
                raise ModelUnsupported("Label readouts need a decoder-only model; use readout off.")
            self.note("no label readout: it needs a decoder-only model")
            return None
        if few := readout_fit.too_few([example.output for example in self.rows.known]):
            if wanted == "only":
                raise DatasetInvalid(f'readout "only": {few}. Give more rows, or use readout off.')
            self.note(f"no label readout: {few}")
            return None
        fitted = self._fit(backbone, self.rows.known)
        best = fitted.chosen
        self.note(
            f"label readout: layers {', '.join(map(str, best.layers))} ({' and '.join(best.places)}), ridge "
            f"{best.ridge:g}{_counted(fitted.readout)}, {best.exact:.2f} exact in {readout_fit.FOLDS}-fold "
            "cross-validation on the training rows"
            + (f" and the {self.rows.lent} held out of them" if self.rows.lent else "")
            + too_many(self.rows.known, fitted)
        )
        text = best_metric(outcome.history if outcome else ())
        if wanted == "auto" and text is not None and text > best.exact:
            self.note(f"the readout is left out: the generated text reaches {text:.2f} exact on the validation rows")
            return None
        return replace(fitted, readout=self.through_readout(backbone, fitted.readout, should_stop))

    def through_readout(
        self, backbone: CausalBackbone, readout: LabelReadout, should_stop: Callable[[], bool]
    ) -> LabelReadout:
        """Move vectors and map together, if asked for, for as many passes as held-out rows say is good."""
        if not self.config.readout_epochs:
            return readout
        seen, held = (
            (self.rows.train, self.rows.held)
            if self.rows.held
            else split(self.rows.train, 0.2, self.config.seed, task=self.rows.task)
        )
        if few := readout_fit.too_few([example.output for example in seen]):
            self.note(f"no vectors trained through the readout: {few} beside those held out")
            return readout
        # A few words are enough to move hidden states; solved rows would only lengthen what every pass reads.
        start = self.resolved(backbone, seen, "text").start
        if start.init == "prompt":
            start = replace(
                start, init="text", text=self.default_instruction(), prefix_length=start.prefix_length or 20
            )
        vectors = initial_prompt(backbone, replace(start, method="prompt_tuning", place="prefix"))
        plan = readout_tune.Plan(
            epochs=self.config.readout_epochs,
            batch_size=self.config.batch_size or 8,
            seed=self.config.seed,
            max_input_tokens=self.config.max_input_tokens,
        )
        fitted, keep = self._fit(backbone, seen).readout, self.passes(PASSES[0])
        tried = readout_tune.train(backbone, fitted, vectors, seen, held, plan, self.listener, should_stop, keep)
        if tried.stopped:
            self.note(STOPPED)
            return readout
        shares = ", ".join(f"{share:.2f}" for share in tried.held_out)
        passes = max(range(len(tried.held_out)), key=tried.held_out.__getitem__)
        self.note(
            f"vectors trained through the readout: {shares} exact on {len(held)} held-out rows before and after each "
            f"pass; {passes} of {plan.epochs} passes taken, on all rows"
        )
        if not passes:
            return readout
        plan = replace(plan, epochs=passes)
        known, keep = self.rows.known, self.passes(PASSES[1])
        final = readout_tune.train(backbone, readout, vectors, known, [], plan, self._hear_kept, should_stop, keep)
        if final.stopped:
            self.note(STOPPED)
        return readout if final.stopped else final.readout

    def _hear_kept(self, event: events.Event) -> None:
        """Passes on all rows are told by nothing but what they leave on disk."""
        if isinstance(event, events.Kept):
            self.listener(event)

    def calibrate(self, backbone: Backbone, encoder: Encoder, outcome: loop.Outcome | None) -> torch.Tensor | None:
        """Average score of each label over training inputs."""
        if not self.rows.labels or outcome is None:
            return None
        ready = make_ready(backbone, encoder, outcome.prompt)
        texts = [example.input for example in self.rows.train[:CALIBRATION_ROWS]]
        return calibration(label_scores(backbone, ready, texts, self.rows.labels))

    def resolved(self, backbone: Backbone, rows: Sequence[Example], init: Init | None = None) -> Recipe:
        """The numbers of a run on `rows`; `init` is the start where the person left it open."""
        config = replace(self.config, init=self.config.init or init)
        examples = self.examples_text(backbone, rows) if config.init in (None, "examples") else ""
        given = self.given(backbone)
        return resolve(backbone, config, len(rows), self.rows.labels, self.default_instruction(), examples, given)

    def given(self, backbone: Backbone) -> SoftPrompt | None:
        """The vectors of the tuned prompt that this one starts from; refused if they belong to another model."""
        if self.config.init != "prompt":
            return None
        return TunedPrompt.load(self.config.init_prompt, backbone=backbone).prompt

    def examples_text(self, backbone: Backbone, rows: Sequence[Example]) -> str:
        """Solved training rows for the vectors to start from; empty if the room is too small for every answer."""
        room = self.config.virtual_tokens or min(EXAMPLE_TOKENS, backbone.context // 4)

        def count(text: str) -> int:
            return len(backbone.tokenizer(text, add_special_tokens=False)["input_ids"])

        asked = self.config.init == "examples"
        template = Template(self.config.template)
        text = solved_rows(rows, self.rows.labels, template, self.config.seed, room, count, asked=asked)
        if asked and not text:
            raise ParameterInvalid(f'init "examples": no solved row fits into {room} virtual tokens; use "text".')
        return text

    def default_instruction(self) -> str:
        """What the vectors start from, if the person gave no words."""
        return self.config.init_text or self.config.instruction or instruction_of(self.rows.task, self.rows.labels)

    def tuned_prompt(
        self,
        backbone: Backbone,
        name: str,
        template: Template,
        outcome: loop.Outcome | None,
        fitted: readout_fit.Fitted | None,
    ) -> TunedPrompt:
        """What the run found, with how it was made."""
        template = replace(template, wrapper=self.rows.wrapper)
        return TunedPrompt(
            name=name,
            base=base_of(backbone),
            licence=card.licence if (card := find(backbone.model_id)) else "",
            task=self.rows.task,
            prompt=outcome.prompt if outcome else SoftPrompt(),
            template=template,
            labels=self.rows.labels,
            readout=replace(fitted.readout, template=template) if fitted else None,
            recipe=recipe_record(self.config, self.recipe, self.notes, outcome.updates if outcome else 0),
            data=data_record(self.rows),
            metrics=metrics_record(outcome.history if outcome else (), fitted),
            versions=versions_here(),
        )

    def _fit(self, backbone: CausalBackbone, examples: Sequence[Example]) -> readout_fit.Fitted:
        return readout_fit.fit(
            backbone,
            examples,
            Template(self.config.template, self.config.instruction),
            lambda answer: labels_of(answer, self.rows.task),
            max_input_tokens=self.config.max_input_tokens,
            seed=self.config.seed,
            keep=self.states,
        )

    def _key(self, backbone: Backbone) -> str:
        """Digest of everything that decides where the run ends."""
        config = {k: v for k, v in asdict(self.config).items() if k not in ("checkpoint_seconds", "readout")}
        if not self.config.pattern:  # runs from before there were patterns go on
            del config["pattern"]
        config["precision"] = decided(self.config.precision, backbone.device, backbone.lean)
        if (given := self.given(backbone)) is not None:  # what stands in the folder counts, not where it lies
            config["init_prompt"] = [hashlib.sha256(t.numpy().tobytes()).hexdigest() for t in given.tensors().values()]
        parts = [base_of(backbone).fingerprint, content_hash(self.rows.train), content_hash(self.rows.held), config]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _counted(readout: LabelReadout) -> str:
    """What is said of counted tokens."""
    return "" if readout.tokens is None else f", counts of {len(readout.tokens):,} tokens"
