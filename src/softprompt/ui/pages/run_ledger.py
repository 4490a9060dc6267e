"""The token ledger on a run's page: what a question costs with and without the tuned prompt, in the reader's rates."""

from __future__ import annotations

import htpy as h

from softprompt.storage.tables import TuningRun
from softprompt.studio.ledger import Ledger, Line, Rates
from softprompt.ui.components import field
from softprompt.ui.layout import Frame, csrf_field
from softprompt.ui.run_words import tokens


def ledger_card(frame: Frame, run: TuningRun, found: Ledger | None, rates: Rates) -> h.Node:
    """The table with its rates; nothing where nothing was counted."""
    if found is None:
        return None
    return h.section("#ledger.card.flush", data_part="ledger")[
        h.div(".title.wraps")[
            h.div[
                h.h2["Token ledger"],
                h.p(".small.muted")[
                    f"Means over {found.rows:,} questions. Virtual tokens are the trained vectors: nobody types them, "
                    "but they take room."
                ],
            ],
        ],
        _table(found, rates),
        h.p(".more.small")[found.saving] if found.saving else None,
        _rates(frame, run, rates),
        h.details(".more.small")[
            h.summary["The instruction that was counted"], h.p(".muted.said-text")[found.instruction]
        ],
    ]


def _table(found: Ledger, rates: Rates) -> h.Element:
    head = ["Input", "Virtual", "Generated", "Together", f"Of {found.context:,}" if found.context else "Of the context"]
    price = [f"{rates.currency} for {rates.questions:,}"] if rates.known else []
    least = min(found.lines, key=rates.price) if rates.known else None
    return h.div(".scroll", tabindex="0", role="region", aria_label="Token ledger")[
        h.table[
            h.caption(".sr")["Tokens of one question, by the way it is asked"],
            h.thead[
                h.tr[
                    h.th(scope="col")["How it is asked"],
                    [h.th(".num", scope="col")[words] for words in (*head, *price)],
                ]
            ],
            h.tbody[[_line(line, found, rates, least=line is least) for line in found.lines]],
        ]
    ]


def _line(line: Line, found: Ledger, rates: Rates, *, least: bool) -> h.Element:
    part = line.total / found.context if found.context else 0.0
    said = h.span(title="counted in answers" if line.measured else "tokens of the right answer")[tokens(line.generated)]
    return h.tr[
        h.th(".row-name", scope="row")[line.name],
        h.td(".num")[tokens(line.input)],
        h.td(".num")[tokens(line.virtual)],
        h.td(".num")[said],
        h.td(".num")[h.strong[tokens(line.total)]],
        h.td(".num.shade", style=f"--share:{min(100.0, 100 * part):.1f}%")[f"{part:.1%}" if found.context else "–"],
        h.td(".num")[h.strong[_money(rates.price(line))] if least else _money(rates.price(line))]
        if rates.known
        else None,
    ]


def _rates(frame: Frame, run: TuningRun, rates: Rates) -> h.Element:
    def amount(name: str, words: str, value: float) -> h.Element:
        given = f"{value:g}" if value else ""
        return field(words, h.input(name=name, inputmode="decimal", value=given, placeholder="0.00"))

    form = h.form(method="post", action=f"/tuning/runs/{run.id}/rates")[
        csrf_field(frame),
        h.div(".fields.narrow")[
            amount("input", "Input tokens", rates.input),
            amount("virtual", "Virtual tokens", rates.virtual),
            amount("generated", "Generated tokens", rates.generated),
            field("Currency", h.input(name="currency", value=rates.currency, maxlength="8")),
            field(
                "Questions",
                h.input(name="questions", type="number", min="1", step="1", value=str(rates.questions)),
            ),
        ],
        h.div(".row")[
            h.button(".button")["Show the price"],
            h.span(".small.muted")["Per million tokens, as your provider bills them. This browser remembers them."],
        ],
    ]
    return h.details(".more.rates", open=rates.known)[h.summary["Price in your own rates"], form]


def _money(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"
