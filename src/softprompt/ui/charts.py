"""Charts drawn on the server: what a page shows before, or without, any script. Lines are SVG that stretches with the
page; numbers beside them are text of the page, so that they keep their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import htpy as h

MOST_POINTS = 500
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        look: "faint" behind another one, "train", or "held" for held-out rows (dashed).
        colour: number of the colour, from 1.
        marked: draw its points, too.
    """

    name: str
    points: Sequence[Point]
    look: str = "train"
    colour: int = 1
    marked: bool = False

    @property
    def css(self) -> str:
        return f"line {self.look} c{self.colour}"


def chart(lines: Sequence[Line], *, wide: float, told: str, across: str = "update", height: str = "") -> h.Element:
    """Lines over a common axis that begins at 0.

    Args:
        wide: the right end of the axis.
        told: what it shows, for those who cannot see it.
        height: a class that sets another height.
    """
    shown = [line for line in lines if line.points]
    values = [y for line in shown for _, y in line.points if math.isfinite(y)]
    high = max(values, default=1.0) or 1.0
    levels = nice(high)
    top = levels[-1]
    wide = max(wide, *(line.points[-1][0] for line in shown), 1) if shown else max(wide, 1)

    def place(point: Point) -> str:
        x, y = point
        return f"{100 * x / wide:.2f},{100 * (1 - min(y, top) / top):.2f}"

    drawn = [
        h.polyline(class_=line.css, points=" ".join(place(p) for p in thinned(line.points) if math.isfinite(p[1])))
        for line in shown
    ]
    rules = [_rule(100 * (1 - level / top)) for level in levels]
    marks = [
        h.i(class_=f"c{line.colour}", style=f"left:{100 * x / wide:.2f}%;top:{100 * (1 - min(y, top) / top):.2f}%")
        for line in shown
        if line.marked
        for x, y in thinned(line.points, 60)
        if math.isfinite(y)
    ]
    return h.div(class_=f"run-plot {height}".strip(), role="img", aria_label=told)[
        h.div(".run-plot-y", aria_hidden="true")[
            [h.span(style=f"top:{100 * (1 - level / top):.2f}%")[_short(level)] for level in levels]
        ],
        h.div(".run-plot-area", aria_hidden="true")[
            h.svg(viewBox="0 0 100 100", preserveAspectRatio="none")[rules, drawn], marks
        ],
        h.div(".run-plot-x", aria_hidden="true")[
            [h.span(style=f"left:{100 * at / wide:.2f}%")[f"{at:,.0f}"] for at in nice(wide, inside=True)]
        ],
        h.div(".run-plot-name", aria_hidden="true")[across],
    ]


def legend(lines: Sequence[Line]) -> h.Element:
    """Names of the lines beside their looks."""
    return h.ul(".run-legend", data_part="legend")[
        [h.li[h.span(class_=f"run-swatch {line.look} c{line.colour}", aria_hidden="true"), line.name] for line in lines]
    ]


def loss_lines(
    update: Sequence[int], loss: Sequence[float], smoothed: Sequence[float], held: Sequence[Point]
) -> list[Line]:
    """The loss of a run: every update faint, their mean strong, held-out rows dashed."""
    steps = list(zip(update, loss, strict=True))
    lines = [
        Line("each update", steps, "faint"),
        Line("training, smoothed", list(zip(update, smoothed, strict=True))),
    ]
    return [*lines, Line("validation", held, "held", 2, marked=True)] if held else lines


def interval(share: float, low: float, high: float, words: str, *, colour: int = 1) -> h.Element:
    """A share between 0 and 1 as a dot on its 95 % interval."""
    return h.span(class_=f"whisker c{colour}", role="img", aria_label=words, title=words)[
        h.i(style=f"left:{100 * low:.1f}%;width:{100 * max(0.0, high - low):.1f}%"),
        h.b(style=f"left:{100 * share:.1f}%"),
    ]


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """So many of the points as a screen can show, the last one among them."""
    step = max(1, math.ceil(len(points) / most))
    found = list(points[::step])
    if points and found[-1] != points[-1]:
        found.append(points[-1])
    return found


def nice(high: float, count: int = 4, *, inside: bool = False) -> list[float]:
    """Round levels from 0 to `high`; the last reaches it, or stays `inside`."""
    if not math.isfinite(high) or high < 1e-9:
        return [0.0, 1.0]
    raw = high / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= raw * 0.999)
    if inside and step < 1 <= high:
        step = 1
    last = math.floor(high / step + 1e-9) if inside else math.ceil(high / step - 1e-9)
    return [round(step * k, 12) for k in range(last + 1)]


def _rule(y: float) -> h.VoidElement | h.Element:
    return h.line(class_="axis", x1="0", x2="100", y1=f"{y:.2f}", y2=f"{y:.2f}")


def _short(value: float) -> str:
    return f"{value:.4g}" if value else "0"
