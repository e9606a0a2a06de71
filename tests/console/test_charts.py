"""Geometry of charts: inside their box, to scale, and complete without data."""

from __future__ import annotations

import pytest
from django.template import Context, Template
from django.utils import translation

from console import charts


def test_a_sparkline_spans_its_box_and_is_to_scale() -> None:
    spark = charts.sparkline([0, 10, 5], width=100, height=20)
    assert spark.line == "0,18 50,2 100,10"
    assert spark.end == (100, 10)
    assert spark.area.startswith("0,20 ") and spark.area.endswith(" 100,20")


@pytest.mark.parametrize("values", [[], [None, None]], ids=["none", "unknown"])
def test_a_sparkline_without_values_is_empty(values: list[None]) -> None:
    assert charts.sparkline(values).end is None


def test_a_sparkline_of_zeros_is_drawn_at_the_baseline() -> None:
    assert charts.sparkline([0, 0], width=100, height=20).line == "0,18 100,18"


def test_unknown_values_are_omitted_from_a_sparkline() -> None:
    assert charts.sparkline([1, None, 1], width=100, height=20).line == "0,2 100,2"


@pytest.mark.parametrize(
    ("maximum", "expected"),
    [
        (0, (0, 1)),
        (1, (0, 0.5, 1)),
        (3, (0, 1, 2, 3)),
        (130, (0, 50, 100, 150)),
        (0.0042, (0, 0.002, 0.004, 0.006)),
        (float("nan"), (0, 1)),
        (float("inf"), (0, 1)),
    ],
)
def test_scales_are_round_and_reach_the_highest_value(maximum: float, expected: object) -> None:
    assert charts.scale_ticks(maximum) == expected


@pytest.mark.parametrize("maximum", [7, 99, 100, 101, 12_345, 1e9, 3e-7])
def test_a_scale_is_never_too_short_nor_crowded(maximum: float) -> None:
    ticks = charts.scale_ticks(maximum)
    assert ticks[-1] >= maximum * 0.999
    assert 2 <= len(ticks) <= 5


def test_bars_start_at_the_baseline_and_stay_inside_the_box() -> None:
    columns = charts.columns([0, 50, 100], [0, 0, 25], width=300, height=100)
    assert [(bar.y, bar.height) for bar in columns.bars] == [(100, 0), (50, 50), (0, 100)]
    assert (columns.bars[2].bad_y, columns.bars[2].bad_height) == (75, 25)
    assert all(bar.x >= 0 and bar.x + bar.width <= 300 for bar in columns.bars)


def test_one_error_among_many_can_be_seen() -> None:
    assert charts.columns([100_000], [1], height=100).bars[0].bad_height == 2


@pytest.mark.parametrize(
    ("requests", "failed_count", "expected"),
    [(0, 0, ""), (100, 0, "ok"), (100, 1, "warn"), (100, 10, "bad"), (1, 1, "bad")],
)
def test_an_hour_has_a_level(requests: int, failed_count: int, expected: str) -> None:
    assert charts.hour_level(requests, failed_count) == expected


def test_numbers_in_svg_are_not_localized() -> None:
    template = Template("{% load charts %}{% spark values 'pace' %}")
    with translation.override("de"):
        drawn = template.render(Context({"values": [1.5, 1000.25, 3.0]}))
    assert "60,2" in drawn
    assert "0,29.96" in drawn


def test_chart_labels_are_escaped() -> None:
    template = Template("{% load charts %}{% status_bars cells label %}")
    cells = [{"level": "ok", "label": "<script>"}]
    drawn = template.render(Context({"cells": cells, "label": '"><b>'}))
    assert "<script>" not in drawn and "<b>" not in drawn
