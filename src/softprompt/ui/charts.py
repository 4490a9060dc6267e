"""The loss curve as SVG, drawn on the server: what a page shows before, or without, any script."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

WIDTH, HEIGHT = 1000, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 34
MOST_POINTS = 400

Point = tuple[float, float]


def loss_curve(train: Sequence[Point], validation: Sequence[Point], updates: int) -> h.Node:
    """Loss over updates.

    Args:
        train: (update, loss) of the training rows.
        validation: the same of the validation rows.
        updates: of the whole run, the width of the picture.
    """
    if not train:
        return h.div(".empty")[h.p["The curve begins with the first update."]]
    top = max(y for _, y in (*train, *validation)) * 1.05 or 1.0
    wide = max(updates, int(train[-1][0]), 1)

    def x(value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * value / wide

    def y(value: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - value / top)

    def line(points: Sequence[Point], style: str) -> h.Node:
        shown = points[:: max(1, len(points) // MOST_POINTS)]
        return h.polyline(class_=style, points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in shown))

    levels = [top * k / 4 for k in range(5)]
    grid = [h.line(class_="axis", x1=_LEFT, x2=WIDTH - _RIGHT, y1=f"{y(v):.1f}", y2=f"{y(v):.1f}") for v in levels]
    marks = [h.text(x=_LEFT - 8, y=f"{y(v) + 4:.1f}", text_anchor="end")[f"{v:.2f}"] for v in levels]
    marks += [
        h.text(x=f"{x(wide * k / 4):.1f}", y=HEIGHT - 12, text_anchor="middle")[f"{wide * k / 4:.0f}"] for k in range(5)
    ]
    told = f"Loss over {wide} updates: from {train[0][1]:.2f} to {train[-1][1]:.2f}."
    return h.svg(viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=told)[
        grid, marks, line(train, "line"), line(validation, "line second") if validation else None
    ]
