"""How often a deployment is asked, and how long answers take: pictures, and the table behind them."""

from __future__ import annotations

import htpy as h

from softprompt.studio.usage import SPANS, Usage
from softprompt.ui.components import facts, table
from softprompt.ui.deployment_fields import latency
from softprompt.ui.deployment_frame import Shown, deployment_page
from softprompt.ui.layout import Frame
from softprompt.ui.usage_charts import Series, bar_chart, moment_words, step_chart


def deployment_usage(frame: Frame, shown: Shown, usage: Usage) -> str:
    links = [
        h.a(href=f"{shown.here}/usage?span={span.name}", aria_current="true" if span == usage.span else None)[
            span.words
        ]
        for span in SPANS
    ]
    pick = h.nav(".tabs", aria_label="Span")[links]
    return deployment_page(
        frame, shown, "usage", h.div(".row.apart")[_sums(usage), pick], _pictures(shown, usage), _table(usage)
    )


def _sums(usage: Usage) -> h.Element:
    whole = usage.whole
    return facts(
        [
            ("requests", f"{whole.requests:,}"),
            ("without an answer", f"{whole.errors:,}"),
            ("input tokens", f"{whole.input_tokens:,}"),
            ("virtual tokens", f"{whole.virtual_tokens:,}"),
            ("generated tokens", f"{whole.generated_tokens:,}"),
            ("half within", latency(whole.p50)),
            ("95 % within", latency(whole.p95)),
        ]
    )


def _pictures(shown: Shown, usage: Usage) -> h.Node:
    if not usage.whole.requests:
        return h.div(".card.empty")[
            h.h2["Nobody asked in this time"],
            h.p["Every request is counted here, whichever way it came, seconds after its answer."],
            h.div(".row")[
                h.a(".button.primary", href=f"{shown.here}/test")["Ask it something"],
                h.a(".button", href=f"{shown.here}/code")["See the code"],
            ],
        ]
    requests = bar_chart(
        usage,
        "Requests",
        (
            Series("answered", "one", lambda p: p.requests - p.errors),
            Series("without an answer", "bad", lambda p: p.errors),
        ),
        _count,
    )
    took = step_chart(
        usage,
        "Time to the whole answer",
        (Series("half within (p50)", "one", lambda p: p.p50), Series("95 % within (p95)", "two", lambda p: p.p95)),
        _seconds,
    )
    tokens = bar_chart(
        usage,
        "Tokens",
        (
            Series("input", "one", lambda p: p.input_tokens),
            Series("virtual", "faded", lambda p: p.virtual_tokens),
            Series("generated", "two", lambda p: p.generated_tokens),
        ),
        _count,
    )
    return h.section(".card.stack", aria_label="Over time", data_part="charts")[requests, took, tokens]


def _table(usage: Usage) -> h.Node:
    if not usage.whole.requests:
        return None
    heads = ("Requests", "No answer", "Input", "Virtual", "Generated", "p50", "p95")
    rows: list[list[h.Node]] = [
        [
            h.time(datetime=p.at.isoformat(), title=p.at.strftime("%Y-%m-%d %H:%M UTC"))[moment_words(p.at, usage)],
            f"{p.requests:,}",
            f"{p.errors:,}",
            f"{p.input_tokens:,}",
            f"{p.virtual_tokens:,}",
            f"{p.generated_tokens:,}",
            latency(p.p50),
            latency(p.p95),
        ]
        for p in reversed(usage.points)
        if p.requests
    ]
    step = int(usage.span.step.total_seconds() // 60)
    width = f"{step} minute{'s' if step > 1 else ''}" if step < 60 else f"{step // 60} hours"
    head = (("From (UTC)", False), *((words, True) for words in heads))
    return h.details(".card.flush")[
        h.summary(".title")[
            h.h2["The numbers as a table"],
            h.span(".faint.small")[f"Each row {width} in which somebody asked, in UTC. Percentiles are right to 10 %."],
        ],
        table(head, rows, "Usage over time"),
    ]


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else ""


def _seconds(value: float) -> str:
    return "0" if value == 0 else latency(value)
