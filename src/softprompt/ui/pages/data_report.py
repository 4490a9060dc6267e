"""The page of one dataset: what is in it, what is wrong with it, its rows, and where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import htpy as h

from softprompt.storage.datasets import Listed, Use
from softprompt.studio.datasets_leaks import Leaks
from softprompt.studio.datasets_lengths import Lengths
from softprompt.studio.foundation_models import Model
from softprompt.ui.components import badge, facts, field, select, when
from softprompt.ui.deployment_fields import tags_field
from softprompt.ui.layout import Frame, csrf_field
from softprompt.ui.pages.data_parts import Shown, address, dataset_page, listing, plural
from softprompt.ui.pages.data_rows import Piece, rows

_MANY_CLASSES, _MAJORITY, _FEW = 10, 0.5, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Lengths of the rows, and the model whose tokens were counted.

    Attributes:
        model: id of the chosen one; empty if there is none on this machine.
        limit: tokens behind which an input is cut.
        lengths: None while they were not counted.
    """

    models: Sequence[Model]
    model: str
    limit: int
    lengths: Lengths | None

    @property
    def label(self) -> str:
        return next((model.label for model in self.models if model.id == self.model), self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Leaks against a chosen test set.

    Attributes:
        others: what can be chosen.
        test: id of the chosen one, called `name`.
        leaks: None while nobody looked.
    """

    others: Sequence[Listed] = ()
    test: str = ""
    name: str = ""
    leaks: Leaks | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to look at. `kind`: bad (rows are lost), warn (a tuned prompt suffers) or note."""

    kind: str
    title: str
    words: str
    finding: str = ""
    fix: bool = False


def report(
    frame: Frame, shown: Shown, piece: Piece, measured: Measured, compared: Compared, uses: Sequence[Use]
) -> str:
    found = shown.dataset
    if found.key is None:
        waiting = h.div(".card.empty")[h.h2["No file yet"], h.p["Its upload is not over. Load this page again later."]]
        return dataset_page(frame, shown, "report", waiting)
    told = found.report or {}
    seen = list(findings(told, measured, compared))
    return dataset_page(
        frame,
        shown,
        "report",
        h.section(".card")[_numbers(told, seen)],
        _findings(shown, seen, piece, told),
        h.div(".split.data-split")[
            rows(shown, piece),
            h.div(".stack")[
                _labels(shown, piece, told),
                _lengths(frame, shown, measured, compared),
                _leaks(frame, shown, measured, compared),
                _uses(uses),
                _about(frame, shown),
            ],
        ],
    )


def _numbers(told: Mapping[str, Any], seen: Sequence[Finding]) -> h.Element:
    labels, copies = len(told.get("labels") or {}), told.get("duplicate_count", 0)
    clashes = told.get("contradiction_count", 0)
    counts = (
        (told.get("valid", 0), "row that can be used", "rows that can be used"),
        (told.get("refused", 0), "row that cannot", "rows that cannot"),
        (copies, "group of copies", "groups of copies"),
        (clashes, "contradiction", "contradictions"),
        (len(seen), "finding", "findings"),
    )
    shown: list[tuple[str, h.Node]] = [(one if count == 1 else many, f"{count:,}") for count, one, many in counts]
    shown.insert(2, ("label" if labels == 1 else "labels", f"{labels:,}") if labels else ("as outputs", "free text"))
    return facts(shown)


def findings(told: Mapping[str, Any], measured: Measured, compared: Compared) -> Iterator[Finding]:
    """What is worth a look, the worst first."""
    if refused := told.get("refused", 0):
        kinds = listing(
            f"{kind.replace('_', ' ')} {count}" for kind, count in (told.get("problem_kinds") or {}).items()
        )
        yield Finding("bad", f"{plural(refused, 'row')} cannot be used", f"Of each kind: {kinds}.", "problems", True)
    if repaired := _repaired(told):
        yield Finding(
            "note",
            f"{plural(repaired, 'line')} read after a repair",
            "A fixed version has them written properly.",
            "repaired",
            True,
        )
    if count := told.get("contradiction_count", 0):
        words = "The same input with different outputs teaches nothing. Decide for one output."
        yield Finding("warn", plural(count, "contradiction"), words, "contradictions", True)
    if count := told.get("duplicate_count", 0):
        words = "Copies weigh more than other rows, and flatter a test if they stand on both sides of a split."
        yield Finding("warn", f"{plural(count, 'group')} of copies", words, "duplicates", True)
    if compared.leaks and compared.leaks.count:
        words = f"They stand in {compared.name} as they are, or nearly. Take them out of one, or the test flatters."
        yield Finding("warn", f"{plural(compared.leaks.count, 'row')} of the test set", words, "leaks")
    yield from _label_findings(told)
    if wrapper := told.get("wrapper"):
        shared = f"{wrapper.get('prefix', '')}…{wrapper.get('suffix', '')}"
        words = f"“{shared[:160]}” stands around each. It is taken off when tuning and evaluating."
        yield Finding("note", "All inputs share a text", words, "", True)
    if measured.lengths and measured.lengths.unit == "tokens" and (over := measured.lengths.over(measured.limit)):
        words = f"The end of their input is cut behind {measured.limit:,} tokens of {measured.label}."
        yield Finding("warn", f"{plural(over, 'row')} too long", words, "long")
    if 0 < told.get("valid", 0) < _FEW:
        yield Finding("note", f"{plural(told['valid'], 'row')} only", f"{_FEW} or more make results steadier.")


def _repaired(told: Mapping[str, Any]) -> int:
    """Lines of the file that needed a repair."""
    return len({problem["line"] for problem in told.get("problems", ()) if problem["repaired"]})


def _label_findings(told: Mapping[str, Any]) -> Iterator[Finding]:
    labels, combinations = told.get("labels") or {}, told.get("combinations") or {}
    written = [spelling for spelling in told.get("label_spellings", ()) if spelling["differ_by"] != "order"]
    if written:
        names = listing((" / ".join(f"“{text}”" for text in spelling["spellings"]) for spelling in written), 2)
        words = f"They differ by case or space and are learned as different labels: {names}."
        yield Finding("warn", f"{plural(len(written), 'label')} of several spellings", words, "spellings", True)
    if ordered := len(told.get("label_spellings", ())) - len(written):
        words = "The same labels stand in different orders. Decide for one order."
        yield Finding("note", f"{plural(ordered, 'combination')} in several orders", words, "spellings")
    if rare := told.get("rare_labels", ()):
        names = listing(f"{each['label']} ({each['rows']})" for each in rare)
        yield Finding("warn", plural(len(rare), "rare label"), f"Hardly learned: {names}. Add rows of them.", "rare")
    majority = told.get("majority")
    if majority and majority["share"] > _MAJORITY and len(combinations) > 1:
        words = f"A model that always says “{majority['output'][:60]}” looks good. Compare macro F1, or add other rows."
        yield Finding("note", f"{majority['share']:.0%} have one output", words)
    if len(labels) > _MANY_CLASSES and told.get("task") == "classification":
        words = f"IBM advises at most {_MANY_CLASSES} for a classifier tuned on a prompt."
        yield Finding("note", f"{len(labels):,} classes", words)


def _findings(shown: Shown, seen: Sequence[Finding], piece: Piece, told: Mapping[str, Any]) -> h.Node:
    if not seen:
        return h.div(".note", role="status")[h.strong["Nothing to complain about"], "Every row can be used as it is."]
    count = told.get("refused", 0) + _repaired(told)
    words = f"Fix these {count:,} …" if count else "Fix what can be fixed …"
    fix = h.a(".button.primary", href=f"{shown.path}/fix")[words]
    fixable = shown.may_edit and any(each.fix for each in seen)
    return h.section(".card.flush", aria_labelledby="findings-title")[
        h.div(".title")[h.h2("#findings-title")["What the check found"], fix if fixable else None],
        h.ul(".findings")[[_finding(shown, each, piece) for each in seen]],
    ]


def _finding(shown: Shown, each: Finding, piece: Piece) -> h.Element:
    sign = {"bad": "!", "warn": "!", "note": "i"}[each.kind]
    inside = [h.span(".sign", aria_hidden="true")[sign], h.span(".what")[h.b[each.title], h.span(".muted")[each.words]]]
    if not each.finding:
        return h.li(class_=each.kind)[h.div[inside]]
    where = address(shown.path, "rows", **(piece.of or {}), finding=each.finding)
    current = "true" if piece.wanted.finding == each.finding else None
    return h.li(class_=each.kind)[
        h.a(href=where, data_rows="", data_finding=each.finding, aria_current=current)[
            inside, h.span(".go")["Show rows"]
        ]
    ]


def _labels(shown: Shown, piece: Piece, told: Mapping[str, Any]) -> h.Node:
    labels, combinations = told.get("labels") or {}, told.get("combinations") or {}
    if not labels:
        return None
    blocks: list[h.Node] = [_bars(shown, piece, "Labels", "label", labels)]
    if combinations and list(combinations) != list(labels):
        blocks.append(_bars(shown, piece, "Combinations", "output", combinations))
    return blocks


def _bars(shown: Shown, piece: Piece, title: str, name: str, counts: Mapping[str, int], most: int = 12) -> h.Element:
    """A bar for each, that leads to its rows."""
    largest, total = max(counts.values(), default=1) or 1, sum(counts.values()) or 1
    chosen = getattr(piece.wanted, name)
    bars = [
        h.a(
            ".bar", href=address(shown.path, "rows", **(piece.of or {}), **{name: text}), data_rows="",
            aria_current="true" if chosen == text else None, title=f"{text}: {count:,} rows, {count / total:.0%}",
        )[
            h.span(".name")[text or "–"],
            h.span(".meter")[h.i(style=f"width:{100 * count / largest:.1f}%")],
            h.span(".count")[f"{count:,}"],
        ]
        for text, count in counts.items()
    ]  # fmt: skip
    rest = bars[most:200]
    hidden = len(counts) - 200
    return h.section(".card.stack.tight")[
        h.div(".row.apart")[h.h2[title], h.span(".faint.small")[f"{len(counts):,}"]],
        h.div(".bars")[bars[:most]],
        h.details[
            h.summary(".small")[f"{len(counts) - most:,} more"],
            h.div(".bars")[rest],
            h.p(".faint.small")[f"and {hidden:,} that are not shown"] if hidden > 0 else None,
        ]
        if rest
        else None,
    ]


def _lengths(frame: Frame, shown: Shown, measured: Measured, compared: Compared) -> h.Element:
    lengths = measured.lengths
    options = [(model.id, model.label) for model in measured.models]
    form: h.Element = h.form(".stack.tight", method="post", action=f"{shown.path}/lengths")[
        csrf_field(frame),
        h.input(type="hidden", name="test", value=compared.test) if compared.test else None,
        h.div(".fields.narrow")[
            field("Model", select("model", options, measured.model)),
            field("Cut behind", h.input(type="number", name="limit", min="1", max="32768", value=str(measured.limit))),
        ],
        h.button(".button", data_busy="Counting …")["Count tokens" if lengths is None else "Count again"],
    ]
    if not measured.models:
        form = h.p(".faint.small")["Pull a foundation model to see lengths in its tokens."]
    told = h.p(".muted")[f"The tokens of {measured.label} were not counted yet."]
    return h.section("#lengths.card.stack.tight")[
        h.h2[f"Lengths in {lengths.unit}" if lengths else "Lengths in tokens"],
        _histogram(lengths, measured) if lengths and lengths.counts else told,
        form,
    ]


def _histogram(lengths: Lengths, measured: Measured) -> h.Node:
    width, height, base = 320, 110, 92
    limit = measured.limit if lengths.unit == "tokens" else 0
    reach = max(lengths.longest + 1, min(limit + 1, round(lengths.longest * 1.6)), 1)
    bins = lengths.bins()
    top = max((rows for _, _, rows in bins), default=1) or 1
    columns = []
    for first, last, count in bins:
        left, wide = width * first / reach, width * (last + 1 - first) / reach
        tall = (base - 8) * count / top
        over = " over" if limit and first > limit else ""
        columns.append(
            h.rect(
                class_=f"column{over}", x=f"{left:.1f}", y=f"{base - tall:.1f}", width=f"{max(wide - 1, 0.7):.1f}",
                height=f"{tall:.1f}",
            )[h.title[f"{first}–{last} {lengths.unit}: {plural(count, 'row')}"]]
        )  # fmt: skip
    cut: h.Node = None
    if limit and limit < reach:
        x = width * (limit + 1) / reach
        cut = [h.line(class_="cut", x1=f"{x:.1f}", x2=f"{x:.1f}", y1="2", y2=str(base))]
    median, p95 = lengths.share_below(0.5), lengths.share_below(0.95)
    told = f"Median {median:,}, 95 % up to {p95:,}, longest {lengths.longest:,} {lengths.unit}."
    longer = lengths.over(limit) if limit else 0
    behind = f" {plural(longer, 'row')} longer than {limit:,}." if longer else f" None is longer than {limit:,}."
    return [
        h.svg(".histogram", viewBox=f"0 0 {width} {height}", role="img", aria_label=f"{told}{behind if limit else ''}")[
            columns,
            cut,
            h.line(class_="axis", x1="0", x2=str(width), y1=str(base), y2=str(base)),
            h.text(x="0", y=str(height - 4))["0"],
            h.text(x=str(width), y=str(height - 4), text_anchor="end")[f"{reach - 1:,}"],
        ],
        h.p(".muted.small")[told, behind if limit else None],
    ]


def _leaks(frame: Frame, shown: Shown, measured: Measured, compared: Compared) -> h.Node:
    if not (compared.others or compared.test):
        return None
    names = {d.id: f"{d.name} · version {d.version}" for d in compared.others}
    if compared.test:
        names.setdefault(compared.test, compared.name)
    options = [("", "Choose a dataset"), *names.items()]
    told: h.Node = h.p(".muted.small")["Rows that stand in a test set too make its results look better than they are."]
    if compared.leaks:
        count = compared.leaks.count
        where = address(
            shown.path, "rows", model=measured.model, limit=measured.limit, test=compared.test, finding="leaks"
        )
        told = (
            h.p[h.a(href=where, data_rows="")[f"{plural(count, 'row')}"], " of it stand in there, or nearly."]
            if count
            else h.p(".small")["No row of it stands in there."]
        )
    return h.section("#leaks.card.stack.tight")[
        h.h2["Leaks"],
        told,
        h.form(".stack.tight", method="post", action=f"{shown.path}/leaks")[
            csrf_field(frame),
            h.input(type="hidden", name="model", value=measured.model),
            h.input(type="hidden", name="limit", value=str(measured.limit)),
            field("Test set", select("test", options, compared.test, required=True)),
            h.button(".button", data_busy="Looking …")["Look for leaks"],
        ],
    ]


def _uses(uses: Sequence[Use]) -> h.Element:
    if not uses:
        words = "No run and no evaluation works with this version yet."
        return h.section(".card")[h.h2["Where it is used"], h.p(".muted.small")[words]]
    lines = [
        h.li[
            h.div(".row.apart")[
                h.a(href=f"/tuning/runs/{use.id}" if use.kind == "run" else f"/tuning/evaluations/{use.id}")[use.name],
                badge(use.state),
            ],
            h.span(".faint.small")[f"{use.role}, ", when(use.created_at)],
        ]
        for use in uses
    ]
    return h.section(".card")[h.h2["Where it is used"], h.ul(".list-plain")[lines]]


def _about(frame: Frame, shown: Shown) -> h.Element:
    found = shown.dataset
    pairs: list[tuple[str, h.Node]] = [
        ("File", found.file_name or "–"),
        ("Description", found.description or "–"),
        ("Tags", h.span(".tags")[[h.span(".tag")[tag] for tag in found.tags]] if found.tags else "–"),
        ("SHA-256", h.code[(found.sha256 or "–")[:16]]),
    ]
    known = h.dl(".pairs")[[[h.dt[name], h.dd[value]] for name, value in pairs]]
    if not shown.may_edit:
        return h.section(".card")[h.h2["About"], known]
    change = h.details[
        h.summary(".small")["Change description and tags"],
        h.form(".stack.tight", method="post", action=f"{shown.path}/about")[
            csrf_field(frame),
            field("Description", h.textarea(name="description", rows="3", maxlength="4000")[found.description]),
            tags_field(", ".join(found.tags)),
            h.button(".button")["Save"],
        ],
    ]
    delete = h.form(method="post", action=f"{shown.path}/delete")[
        csrf_field(frame), h.button(".button.quiet.danger")["Delete this version"]
    ]
    return h.section(".card.stack.tight")[h.h2["About"], known, change, delete]
