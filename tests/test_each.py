"""Tests of the `each` decorator."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.each import each


def test_all_rows_that_fail_are_listed() -> None:
    @each("number, limit", [(1, 5), (7, 5), pytest.param(9, 5, id="nine")])
    def check(number: int, limit: int) -> None:
        assert number < limit

    with pytest.raises(AssertionError, match=r"2 of 3 rows failed:\n  7-5: .*\n  nine: "):
        check()


def test_a_table_without_rows_is_a_mistake() -> None:
    @each("number", [])
    def check(number: int) -> None:
        raise AssertionError

    with pytest.raises(AssertionError, match="no rows"):
        check()


def test_a_table_is_skipped_only_if_all_its_rows_are() -> None:
    @each("number", [1, 2])
    def check(number: int) -> None:
        if number == 1:
            pytest.skip("not here")

    check()

    @each("number", [1])
    def check_one(number: int) -> None:
        pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception):
        check_one()


RECORDED: list[int] = []


@each("number", [1, 2])
async def test_fixtures_and_coroutines_work(number: int, tmp_path: Path) -> None:
    assert tmp_path
    RECORDED.append(number)
    assert list(range(1, number + 1)) == RECORDED
