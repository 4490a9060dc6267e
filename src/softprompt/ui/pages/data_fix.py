"""What a repaired version would change, before it is made: each kind with examples, before and after."""

from __future__ import annotations

import htpy as h

from softprompt.studio.datasets_fix import Change, Kind, Plan
from softprompt.ui.layout import Frame, csrf_field
from softprompt.ui.pages.data_parts import Shown, dataset_page, marked, plural, tags, text

_KINDS: tuple[tuple[Kind, str, str, bool], ...] = (
    ("repaired", "Write repaired rows properly", "They were read already; the new version needs no repair.", True),
    ("refused", "Leave out rows that cannot be used", "Write them anew by hand if they matter.", True),
    ("spellings", "Give each label one spelling", "The one that stands most often.", True),
    ("wrapper", "Take off the text that all inputs share", "Inputs get shorter; tuning does it by itself, too.", False),
    ("duplicates", "Keep one row of each group of copies", "The first one stays.", True),
    ("contradictions", "Leave out contradicting rows", "All rows of each group. Better: decide by hand.", False),
)
ALWAYS: tuple[Kind, ...] = ("repaired", "refused")


def fix(frame: Frame, shown: Shown, plan: Plan) -> str:
    """The page."""
    if plan.empty:
        content: h.Node = h.div(".card.empty")[
            h.h2["There is nothing to fix"],
            h.p["Every row can be used as it is."],
            h.a(".button", href=shown.path)["Back to the report"],
        ]
        return dataset_page(frame, shown, "fix", content, title="Fix")
    blocks = [_block(shown, plan, *kind) for kind in _KINDS if plan.counts[kind[0]]]
    count = sum(plan.counts[kind] for kind in ALWAYS)
    words = f"Fix these {count:,}" if count else "Fix what is ticked"
    form = h.form(".stack", method="post", action=f"{shown.path}/repair", data_part="fix")[
        csrf_field(frame),
        h.input(type="hidden", name="chosen", value="1"),
        blocks,
        h.div(".card.row.apart.sticky-foot")[
            h.p(".muted")["A new version is made; this one stays as it is, and can be restored."],
            h.div(".row")[
                h.a(".button", href=shown.path)["Not now"],
                h.button(".button.primary", data_busy="Writing …")[words],
            ],
        ],
    ]
    return dataset_page(frame, shown, "fix", form, title="Fix")


def _block(shown: Shown, plan: Plan, kind: Kind, title: str, words: str, chosen: bool) -> h.Element:
    count, examples = plan.counts[kind], plan.examples[kind]
    needed = kind in ALWAYS
    box = h.input(
        type="checkbox", name="step", value=kind, checked=chosen or needed, disabled=needed,
        aria_describedby=f"about-{kind}",
    )  # fmt: skip
    head = h.label(".choice.bare")[
        box,
        h.span[h.b[title], h.span(".muted")[f" · {plural(count, 'row')}"]],
        h.span(f"#about-{kind}.help")[words],
    ]
    unseen = count - len(examples)
    more = h.p(".faint.small.pad")[f"and {unseen:,} more"] if unseen > 0 and kind != "contradictions" else None
    return h.section(".card.flush", data_kind=kind)[
        h.div(".title")[head], h.div(".changes")[[_change(shown, change) for change in examples]], more
    ]


def _change(shown: Shown, change: Change) -> h.Element:
    before: h.Node
    if change.marks:
        words = [h.p(".small.muted")[mark.problem.message] for mark in change.marks]
        before = [marked(change.marks[0], *change.marks[1:]), words]
    else:
        before = _pair(shown, change.before)
    after = _pair(shown, change.after) if change.after else h.span(".gone")["left out"]
    if change.kind == "duplicates" and change.after:
        after = h.span(".stays")["stays"]
    return h.div(".change")[
        h.span(".faint.small.where")[f"Line {change.line:,}" if change.line else "File"],
        h.div(".before")[before],
        h.span(".arrow", aria_label="becomes")["→"],
        h.div(".after")[after],
    ]


def _pair(shown: Shown, pair: tuple[str, str] | None) -> h.Node:
    if pair is None:
        return h.span(".faint")["–"]
    return [text(pair[0][:600]), tags(pair[1], shown.dataset.task)]
