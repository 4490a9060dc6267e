"""The few parts that pages are made of. Everything a person wrote is escaped by htpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import htpy as h

from softprompt.ui.layout import Frame, csrf_field, page


def badge(state: str) -> h.Element:
    """A state as a coloured word."""
    return h.span(class_=f"badge {state}")[state]


def facts(items: Iterable[tuple[str, h.Node]]) -> h.Element:
    """Numbers large, their names small."""
    return h.div(".facts")[[h.div(".fact")[h.b[value], h.span[name]] for name, value in items]]


def bars(counts: Mapping[str, int | float], *, most: int = 20, share: bool = False) -> h.Element:
    """A bar for each name, the largest first."""
    top = sorted(counts.items(), key=lambda item: -item[1])[:most]
    largest = max((value for _, value in top), default=1) or 1
    shown = [
        h.div(".bar")[
            h.span(".name", title=name)[name],
            h.span(".meter")[h.i(style=f"width:{100 * value / largest:.1f}%")],
            h.span(".count")[f"{value:.0%}" if share else f"{value:,}"],
        ]
        for name, value in top
    ]
    rest = len(counts) - len(top)
    return h.div(".bars")[shown, h.p(".faint.small")[f"and {rest} more"] if rest > 0 else None]


def meter(done: float, label: str) -> h.Element:
    """How much of something is done, from 0 to 1."""
    percent = f"{100 * min(max(done, 0), 1):.1f}"
    return h.div(
        ".meter", role="progressbar", aria_label=label, aria_valuenow=percent, aria_valuemin="0", aria_valuemax="100"
    )[h.i(style=f"width:{percent}%")]


def table(head: Sequence[tuple[str, bool]], rows: Sequence[Sequence[h.Node]], label: str) -> h.Element:
    """A table; each head cell is (words, whether numbers stand below)."""
    # A column of buttons has no words above it; an empty heading would be read out as one.
    cells = [h.th(".num" if n else "", scope="col")[words] if words else h.td for words, n in head]
    body = [h.tr[[h.td(".num" if head[i][1] else "")[cell] for i, cell in enumerate(row)]] for row in rows]
    return h.div(".scroll", tabindex="0", role="region", aria_label=label)[h.table[h.thead[h.tr[cells]], h.tbody[body]]]


def empty(title: str, words: str, action: h.Node = None) -> h.Element:
    """What stands where nothing is yet: what to do first."""
    return h.div(".card.empty")[h.h2[title], h.p[words], action]


def button(words: str, href: str, *, primary: bool = False) -> h.Element:
    return h.a(class_="button primary" if primary else "button", href=href)[words]


def action(
    frame: Frame, words: str, where: str, *, style: str = "", fields: Mapping[str, str] | None = None
) -> h.Element:
    """A button that changes something: a form of its own, so that it works without scripts."""
    hidden = [h.input(type="hidden", name=name, value=value) for name, value in (fields or {}).items()]
    return h.form(method="post", action=where)[csrf_field(frame), hidden, h.button(class_=f"button {style}")[words]]


def field(label: str, control: h.Node) -> h.Element:
    """A control under its name."""
    return h.label(".field")[h.span[label], control]


def helped(label: str, help: str, control: Callable[[Mapping[str, str]], h.Node]) -> h.Element:
    """A control under its name, with a line of help, which is read out after the name and not as a part of it.

    Args:
        control: makes it, with the attributes that tie it to both.
    """
    mark = sha256(f"{label} {help}".encode()).hexdigest()[:8]
    tie = {"id": f"field-{mark}", "aria-describedby": f"help-{mark}"}
    return h.div(".field")[
        h.label(for_=tie["id"])[label], control(tie), h.span(".help", id=tie["aria-describedby"])[help]
    ]


def select(name: str, options: Iterable[tuple[str, str]], chosen: str = "", **attributes: Any) -> h.Element:
    return h.select(name=name, **attributes)[
        [h.option(value=value, selected=value == chosen)[words] for value, words in options]
    ]


def notice(kind: str, title: str, words: h.Node = None, action: h.Node = None) -> h.Element:
    """note, warn or error."""
    return h.div(class_=kind, role="status" if kind == "note" else "alert")[h.strong[title], words, action]


def outcome(problem: str, done: str = "") -> h.Node:
    """What came of the form that was sent: why it did not work, or that it did."""
    return [
        notice("error", "That did not work.", h.span(".told")[problem]) if problem else None,
        notice("note", done) if done else None,
    ]


def code(text: str) -> h.Element:
    """A piece of code with a button that copies it."""
    copy = h.button(".button.js-only", type="button", data_copy="")["Copy"]
    return h.div(".copy")[h.pre(tabindex="0")[h.code[text]], copy]


def when(moment: datetime | None, now: datetime | None = None) -> h.Node:
    """A moment in words, exactly on hover."""
    if moment is None:
        return "–"
    exact = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return h.time(datetime=moment.isoformat(), title=exact)[ago(moment, now)]


def ago(moment: datetime, now: datetime | None = None) -> str:
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "just now"


def lasting(seconds: float | None) -> str:
    """A length of time in words."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return ""


def until(moment: datetime | None, now: datetime | None = None, *, never: str = "never") -> h.Node:
    """A moment to come in words, exactly on hover."""
    if moment is None:
        return never
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    exact = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    if seconds <= 0:
        return h.time(datetime=moment.isoformat(), title=exact)[ago(moment, now)]
    count, word = next(
        ((round(seconds / length), word) for length, word in ((86400, "day"), (3600, "hour"), (60, "minute"))
         if seconds >= length),
        (round(seconds), "second"),
    )  # fmt: skip
    return h.time(datetime=moment.isoformat(), title=exact)[f"in {count} {word}{'' if count == 1 else 's'}"]


def folding(head: Sequence[tuple[str, bool]], rows: Sequence[Sequence[h.Node]], label: str) -> h.Element:
    """A table whose rows become cards on narrow screens, each cell beside its heading; head as in `table`."""

    def cell(column: int, content: h.Node) -> h.Element:
        words, number = head[column]
        return h.td(".num" if number else "", role="cell", data_label=words or None)[h.div[content]]

    cells = [
        h.th(".num" if number else "", scope="col", role="columnheader")[words] if words else h.td(role="cell")
        for words, number in head
    ]
    body = [h.tr(role="row")[[cell(i, content) for i, content in enumerate(row)]] for row in rows]
    return h.div(".scroll", tabindex="0", role="region", aria_label=label)[
        h.table(".folding", role="table")[
            h.thead(role="rowgroup")[h.tr(role="row")[cells]], h.tbody(role="rowgroup")[body]
        ]
    ]


def confirm(
    frame: Frame,
    words: str,
    question: h.Node,
    where: str,
    *,
    yes: str,
    style: str = "quiet danger small",
    fields: Mapping[str, str] | None = None,
    label: str = "",
) -> h.Element:
    """For what cannot be undone: a button that first says what it will do. The browser opens it, without scripts.

    Args:
        yes: words on the button that does it.
        label: says more than `words` to those who hear the page.
    """
    mark = f"ask-{sha256(f'{where} {sorted((fields or {}).items())}'.encode()).hexdigest()[:12]}"
    hide = {"popovertarget": mark, "popovertargetaction": "hide"}
    return h.div(".confirm")[
        h.button(class_=f"button {style}", type="button", popovertarget=mark, aria_label=label or None)[words],
        h.div(".card.stack.tight.ask", id=mark, popover=True, role="dialog", aria_label=label or words)[
            h.p[question],
            h.div(".row")[
                action(frame, yes, where, style="danger", fields=fields),
                h.button(".button.quiet", type="button", autofocus=True, **hide)["Leave it"],
            ],
        ],
    ]


def no_permission(frame: Frame, title: str, needs: str, whom: Sequence[str]) -> str:
    """A page that somebody may not see: what it needs, and who can give it."""
    asked = ", ".join(whom[:-1]) + f" or {whom[-1]}" if len(whom) > 1 else "".join(whom)
    card = h.div(".card.empty", data_part="no-permission")[
        h.h2["This page is not for you yet"],
        h.p[needs],
        h.p["Ask ", h.strong[asked], "."] if asked else None,
        button("Back to the start", "/"),
    ]
    return page(frame, title, card)
