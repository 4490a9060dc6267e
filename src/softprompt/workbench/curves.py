"""A picture of the loss by epoch, training and validation, one colour per run, each line named at its end.

Draws without a display and leaves matplotlib's global state alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#2563a8", "#c2570c", "#2f7d4f", "#8a3a8f", "#5f6b76", "#a8342f")
INK, QUIET, GRID = "#1f2933", "#5f6b76", "#e4e7eb"
GAP = 0.065
"""Least distance of two names, as a share of the picture's height."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A run and its records by epoch, with "loss" and, if there were validation rows, "validation_loss"."""

    name: str
    epochs: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    values: tuple[float, ...]
    color: str
    dashed: bool


def draw_curves(path: str | Path, runs: Sequence[Curve], title: str = "Loss while tuning") -> Path:
    """Draw the runs' losses as a PNG."""
    from matplotlib.figure import Figure

    lines = _lines(runs)
    figure = Figure(figsize=(8, 4.5), dpi=160, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    top = max((max(line.values) for line in lines), default=1.0) * 1.08 or 1.0
    longest = max((len(line.values) for line in lines), default=1)
    for line in lines:
        epochs = range(1, len(line.values) + 1)
        style = (0, (4, 2)) if line.dashed else "solid"
        axes.plot(epochs, line.values, color=line.color, linewidth=2, linestyle=style, clip_on=False)
        axes.plot(epochs[-1], line.values[-1], "o", color=line.color, markersize=5, clip_on=False)
    _name_ends(axes, lines, top)
    _style(axes, title, top, longest)
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, format="png")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}. Name another file.") from error
    return file


def _lines(runs: Sequence[Curve]) -> list[_Line]:
    lines = []
    for number, run in enumerate(runs):
        color = COLORS[number % len(COLORS)]
        seen = tuple(float(record["loss"]) for record in run.epochs)
        held = tuple(float(value) for record in run.epochs if (value := record.get("validation_loss")) is not None)
        lines += [_Line(f"{run.name}, training", seen, color, False)] if seen else []
        lines += [_Line(f"{run.name}, validation", held, color, True)] if held else []
    return lines


def _name_ends(axes: Axes, lines: Sequence[_Line], top: float) -> None:
    """Write each name right of its line's end, pushed apart where two ends lie close."""
    place = -1.0
    for line in sorted(lines, key=lambda line: line.values[-1]):
        place = max(line.values[-1] / top, place + GAP)
        axes.annotate(
            f"{line.name}  {line.values[-1]:.2f}",
            xy=(len(line.values), line.values[-1]),
            xytext=(1.02, place),
            textcoords="axes fraction",
            color=line.color,
            fontsize=10,
            va="center",
            annotation_clip=False,
        )


def _style(axes: Axes, title: str, top: float, longest: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=13, color=INK, pad=14, fontweight="bold")
    axes.set_xlabel("epoch", fontsize=10, color=QUIET)
    axes.set_ylabel("loss per target token, nats", fontsize=10, color=QUIET)
    axes.set_xlim(1, max(longest, 2))
    axes.set_ylim(0, top)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
