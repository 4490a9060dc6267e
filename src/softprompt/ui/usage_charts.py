"""Usage over time as pictures drawn on the server: bars and steps in SVG, words around them in HTML, so that they stay
legible at every width. Every picture says its numbers on hover; a table with all of them stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import htpy as h

from softprompt.studio.usage import Stretch, Usage

_HEIGHT = 100.0


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that is drawn: its name, its CSS class, its number in each stretch (None: nothing to draw)."""

    name: str
    style: str
    value: Callable[[Stretch], float | None]


def bar_chart(usage: Usage, title: str, series: Sequence[Series], told: Callable[[float], str]) -> h.Element:
    """Bars, the series on top of each other."""
    sums = [sum(s.value(point) or 0 for s in series) for point in usage.points]
    top = _top(max(sums, default=0))
    wide = 1000 / max(1, len(usage.points))
    shapes: list[h.Node] = []
    for number, point in enumerate(usage.points):
        base = _HEIGHT
        for each in series:
            tall = _HEIGHT * (each.value(point) or 0) / top
            if tall > 0:
                base -= tall
                x, width = number * wide + wide * 0.12, wide * 0.76
                shapes.append(
                    h.rect(class_=each.style, x=f"{x:.2f}", y=f"{base:.2f}", width=f"{width:.2f}", height=f"{tall:.2f}")
                )
    return _plot(usage, title, series, shapes, top, told)


def step_chart(usage: Usage, title: str, series: Sequence[Series], told: Callable[[float], str]) -> h.Element:
    """A line for each series, level over each stretch, broken where there is nothing."""
    values = [s.value(point) for s in series for point in usage.points]
    top = _top(max((v for v in values if v is not None), default=0))
    wide = 1000 / max(1, len(usage.points))
    shapes: list[h.Node] = []
    for each in series:
        path, open_ = "", False
        for number, point in enumerate(usage.points):
            value = each.value(point)
            if value is None:
                open_ = False
                continue
            y = _HEIGHT * (1 - value / top)
            path += f"{'L' if open_ else 'M'}{number * wide:.2f} {y:.2f}H{(number + 1) * wide:.2f}"
            open_ = True
        if path:
            shapes.append(h.path(class_=f"line {each.style}", d=path))
    return _plot(usage, title, series, shapes, top, told)


def moment_words(at: datetime, usage: Usage) -> str:
    """A moment as the axis of this span tells it."""
    return at.strftime("%H:%M") if usage.span.name in ("hour", "day") else at.strftime("%-d %b %H:%M")


def _plot(
    usage: Usage,
    title: str,
    series: Sequence[Series],
    shapes: Sequence[h.Node],
    top: float,
    told: Callable[[float], str],
) -> h.Element:
    wide = 1000 / max(1, len(usage.points))
    levels = [h.line(class_="axis", x1="0", x2="1000", y1=f"{y:.0f}", y2=f"{y:.0f}") for y in (0, 50, 100)]
    hover = [
        h.rect(class_="hover", x=f"{number * wide:.2f}", y="0", width=f"{wide:.2f}", height="100")[
            h.title[_words(usage, point, series, told)]
        ]
        for number, point in enumerate(usage.points)
    ]
    drawing = h.svg(
        viewBox="0 0 1000 100", preserveAspectRatio="none", role="img", aria_label=_summary(usage, title, series, told)
    )[levels, shapes, hover]
    legend = [h.span[h.i(class_=each.style, aria_hidden="true"), each.name] for each in series]
    first, middle, last = usage.points[0].at, usage.points[len(usage.points) // 2].at, usage.points[-1].at
    return h.figure(".plot")[
        h.figcaption[h.h2[title], h.span(".legend")[legend]],
        h.div(".levels", aria_hidden="true")[h.span[told(top)], h.span[told(top / 2)], h.span[told(0)]],
        h.div(".canvas")[drawing],
        h.div(".moments", aria_hidden="true")[[h.span[moment_words(at, usage)] for at in (first, middle, last)]],
    ]


def _words(usage: Usage, point: Stretch, series: Sequence[Series], told: Callable[[float], str]) -> str:
    values = ((each.name, each.value(point)) for each in series)
    return f"{moment_words(point.at, usage)}: " + ", ".join(
        f"{name} {told(value) if value is not None else '–'}" for name, value in values
    )


def _summary(usage: Usage, title: str, series: Sequence[Series], told: Callable[[float], str]) -> str:
    """What the picture says, for those who hear it."""
    parts = []
    for each in series:
        values = [v for v in (each.value(point) for point in usage.points) if v]
        parts.append(f"{each.name} at most {told(max(values))}" if values else f"{each.name} none")
    return f"{title}, {usage.span.words}: {'; '.join(parts)}. The table below has every number."


def _top(largest: float) -> float:
    """A round number not below the largest."""
    if largest <= 0:
        return 1.0
    size = 10.0 ** (len(f"{int(largest)}") - 1) if largest >= 1 else 0.001
    while size * 10 <= largest:
        size *= 10
    return float(next(size * step for step in (1, 2, 4, 5, 6, 8, 10) if size * step >= largest * 0.9999))
