"""What no program should send: valid documents with something strange in one place, forms that break off."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(max_size=6) | st.sampled_from(["", "\x00", "\ud800", "a" * 5000, "../..", "{x}", "data_asset"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
BOUNDARY = "softprompt-boundary"


@st.composite
def changed(draw: st.DrawFn, valid: Any) -> Any:
    """A document with something strange in one place, anywhere in it."""
    whole = json.loads(json.dumps(valid))
    place = whole
    while isinstance(place, dict | list) and place:
        key: Any = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = draw(JSON)
            return whole
        place = place[key]
    return draw(JSON)


@st.composite
def broken_form(draw: st.DrawFn, fields: list[str]) -> tuple[str, bytes]:
    """The content type and the body of a multipart form, one of the two broken."""
    head = draw(
        st.sampled_from(
            [
                'Content-Disposition: form-data; name="{}"; filename="rows.jsonl"',
                'Content-Disposition: form-data; name="{}"',
                "Content-Disposition: form-data; name={}; filename*=UTF-16''%ff%fe",
                'Content-Disposition: attachment; filename="../\x00"; name="{}"',
                'Content-Disposition: form-data; filename="rows.jsonl"',
                "Content-Type: text/plain; charset=nothing",
                "no colon",
                "",
            ]
        )
    )
    parts = draw(st.lists(st.tuples(st.sampled_from(fields), st.binary(max_size=40) | TEXT.map(_bytes)), max_size=4))
    body = b""
    for name, content in parts:
        body += f"--{BOUNDARY}\r\n{head.format(name)}\r\n\r\n".encode() + content + b"\r\n"
    body += f"--{BOUNDARY}--\r\n".encode()
    broken = draw(st.sampled_from(["cut", "header", "boundary", "inside", "nothing"]))
    if broken == "cut":
        body = body[: draw(st.integers(0, len(body)))]
    elif broken == "inside":
        place = draw(st.integers(0, len(body)))
        body = body[:place] + draw(st.binary(min_size=1, max_size=8)) + body[place:]
    elif broken == "boundary":
        body = body.replace(BOUNDARY.encode(), draw(st.binary(max_size=8)))
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    if broken == "header":
        endings = ["", "; boundary=", "; boundary=" + "b" * 300, '; boundary="', f"; boundary={BOUNDARY}; charset=no"]
        kind = "multipart/form-data" + draw(st.sampled_from(endings))
    return kind, body


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
