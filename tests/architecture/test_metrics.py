"""What is counted is documented and shown, and what is shown or alerted on is counted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.metrics import Metrics
from plugins.breakout.metrics import Metrics as BreakoutMetrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
BOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text("utf-8"))
ALERTS = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text("utf-8"))

OF_PROMETHEUS = {"le", "instance", "job"}


def declared() -> dict[str, tuple[str, set[str]]]:
    """Each metric's kind and labels, by its full name."""
    metrics = Metrics()
    BreakoutMetrics(metrics.registry)
    found = {}
    for collector in metrics.registry._collector_to_names:
        for family in collector.collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name] = (family.type, set(getattr(collector, "_labelnames", ())))
    return found


METRICS = declared()
OURS = {name for name in METRICS if name.startswith("breakout_")}


def name_of(word: str) -> str:
    """The metric of a time series."""
    base = re.sub(r"_(bucket|sum|count)$", "", word)
    return base if METRICS.get(base, ("",))[0] == "histogram" else word


def named(expression: str) -> set[str]:
    without_values = re.sub(r'"[^"]*"', '""', expression)
    return {name_of(word) for word in re.findall(r"\b(?:breakout|process)_\w+", without_values)}


def labels_in(expression: str) -> set[str]:
    without_values = re.sub(r'"[^"]*"', '""', expression)
    inside = re.findall(r"\{([^}]*)\}", without_values)
    grouped = re.findall(r"\b(?:by|on|without|group_left)\s*\(([^)]*)\)", without_values)
    words = [part.partition("=")[0].rstrip("!") for group in (*inside, *grouped) for part in group.split(",")]
    return {word.strip() for word in words}


def of_the_board() -> Iterator[str]:
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def test_every_metric_is_documented_with_its_kind_and_labels() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|(.*?)\|", PAGE, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert documented == {name: METRICS[name] for name in OURS}


def test_every_metric_is_on_the_dashboard() -> None:
    assert set().union(*map(named, of_the_board())) >= OURS


@pytest.mark.parametrize("expression", sorted({*of_the_board(), *(rule["expr"] for rule in rules())}))
def test_what_is_shown_or_alerted_on_exists_with_its_labels(expression: str) -> None:
    names = named(expression)
    assert names <= set(METRICS)
    known = OF_PROMETHEUS.union(*(METRICS[name][1] for name in names))
    assert labels_in(expression) <= known
    assert expression.count("(") == expression.count(")")
    for word in re.findall(r"\b\w+_bucket\b", expression):
        assert name_of(word) != word


def test_each_panel_has_a_number_of_its_own_and_a_place_of_its_own() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_each_alert_says_what_is_wrong_and_how_bad_it_is() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"]


def test_labels_are_few() -> None:
    """A label whose values are ids or names makes a series of each of them."""
    assert set().union(*(labels for _, labels in METRICS.values())) == {
        *("phase", "presence", "kind", "outcome", "until", "version", "command", "state", "worker", "endpoint"),
        *("urgency", "where"),
    }
