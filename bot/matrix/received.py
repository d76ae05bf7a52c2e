"""JSON as others sent it, read so that nothing in it breaks what later keeps it or sends it on."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

from pydantic_core import from_json

MOST_NESTED = 100
"""Levels of lists and objects in one another. Nobody means more; stores and serialisers give up at some hundreds."""

_LONGEST_NUMBER = 40
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def received(raw: bytes) -> Any:
    """The value; `ValueError` where it is no JSON.

    What no store or request could hold is replaced, so that one person's event cannot keep all others' back: what lies
    too deep by null, numbers without end by the largest or by null, halves of surrogate pairs by a mark.
    """
    text = raw.decode()
    if _is_plain(raw):
        return _loaded(text)
    # Only where something is wrong, every token is looked at.
    value = _loaded(_flattened(text))
    return json.loads(
        json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _is_plain(raw: bytes) -> bool:
    """Whether a parser reads it that takes neither deep nesting nor halves of pairs nor endless numbers."""
    try:
        from_json(raw, allow_inf_nan=False)
    except ValueError:
        return False
    return True


def _loaded(text: str) -> Any:
    return json.loads(text, parse_constant=lambda _: None, parse_float=_float, parse_int=_int)


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else math.copysign(sys.float_info.max, value)


def _int(text: str) -> int | None:
    return int(text) if len(text) <= _LONGEST_NUMBER else None


def _flattened(text: str) -> str:
    """The text with null in the place of each list and object that lies too deep."""
    kept, depth, start = [], 0, 0
    for token in _TOKENS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == MOST_NESTED:
                kept.append(text[start : token.start()] + "null")
        elif token[0] in "]}":
            if depth == MOST_NESTED:
                start = token.end()
            depth -= 1
    return "".join(kept) + text[start:]
