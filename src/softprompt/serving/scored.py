"""Known answers compared by their scores, for jobs of several tuned prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softprompt.engine.requests import Answer
from softprompt.engine.score import confidence
from softprompt.engine.score import score_rows as scores_of
from softprompt.serving.call import Job

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


def score_rows(backbone: Backbone, jobs: Sequence[Job]) -> list[Answer]:
    """The likeliest known answer of each job, in order; jobs of one prompt are scored together."""
    together: dict[int, list[int]] = {}
    for number, job in enumerate(jobs):
        together.setdefault(id(job.scored), []).append(number)
    answers: dict[int, Answer] = {}
    for numbers in together.values():
        chosen = [jobs[number] for number in numbers]
        answers.update(zip(numbers, _one_prompt(backbone, chosen), strict=True))
    return [answers[number] for number in range(len(jobs))]


def _one_prompt(backbone: Backbone, jobs: Sequence[Job]) -> list[Answer]:
    prepared = jobs[0].scored
    assert prepared is not None
    tuned, ready = prepared.tuned, prepared.text
    scores = scores_of(backbone, ready, [job.row for job in jobs], tuned.labels)
    shares = confidence(scores, tuned.calibration).tolist()
    answers = []
    for job, line in zip(jobs, shares, strict=True):
        order = sorted(range(len(line)), key=lambda label: -line[label])
        labels = tuple((tuned.labels[label], line[label]) for label in order)
        answers.append(
            Answer(
                input=job.call.work.input or "",
                output=labels[0][0],
                input_tokens=len(ready.encoder.head) + len(job.row.prompt),
                virtual_tokens=ready.prompt.virtual_tokens,
                generated_tokens=0,
                stop_reason="label",
                confidence=labels[0][1],
                cut=job.row.cut,
                labels=labels,
            )
        )
    return answers
