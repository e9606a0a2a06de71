"""Runs a test over the rows of a table and lists every row that fails.

`@each("row", ROWS)` accepts the arguments of `pytest.mark.parametrize`. Fixtures are set up once
for all rows, so a row must not leave state behind that affects another row.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

MAX_LISTED = 40


def each(
    names: str | tuple[str, ...], rows: Iterable[Any], ids: Any = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a test to run with each row as one test item.

    Raises:
        AssertionError: at least one row failed; lists the rows, caused by the first failure.
    """
    arguments = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    table = list(_labelled(list(rows), ids, len(arguments)))

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(test)
        missing = set(arguments) - set(signature.parameters)
        assert not missing, f"{test.__name__} takes no {missing}"
        remaining = [p for name, p in signature.parameters.items() if name not in arguments]

        if inspect.iscoroutinefunction(test):

            async def run_async(**fixtures: Any) -> None:
                result = _Result(test.__name__, len(table))
                for label, values in table:
                    try:
                        await test(**dict(zip(arguments, values, strict=True)), **fixtures)
                    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
                        result.add(label, error)
                result.check()

            run: Callable[..., Any] = run_async
        else:

            def run_sync(**fixtures: Any) -> None:
                result = _Result(test.__name__, len(table))
                for label, values in table:
                    try:
                        test(**dict(zip(arguments, values, strict=True)), **fixtures)
                    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
                        result.add(label, error)
                result.check()

            run = run_sync
        functools.update_wrapper(run, test)
        del run.__wrapped__  # type: ignore[attr-defined]
        run.__signature__ = signature.replace(parameters=remaining)  # type: ignore[attr-defined]
        return run

    return decorate


class _Result:
    def __init__(self, name: str, rows: int) -> None:
        self._name, self._rows = name, rows
        self._failed: list[tuple[str, BaseException]] = []
        self._skipped: list[str] = []

    def add(self, label: str, error: BaseException) -> None:
        if isinstance(error, pytest.skip.Exception):
            self._skipped.append(str(error))
        else:
            self._failed.append((label, error))

    def check(self) -> None:
        if self._failed:
            lines = [f"{label}: {_first_line(error)}" for label, error in self._failed]
            failed_rows = "\n  ".join(lines[:MAX_LISTED])
            count = f"{len(self._failed)} of {self._rows} rows failed"
            raise AssertionError(f"{count}:\n  {failed_rows}") from self._failed[0][1]
        assert self._rows, f"{self._name} has no rows"
        if len(self._skipped) == self._rows:
            pytest.skip(self._skipped[0])


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__} {text[0]}"[:300]


def _labelled(rows: list[Any], ids: Any, width: int) -> Iterable[tuple[str, tuple[Any, ...]]]:
    labels = list(ids) if ids is not None and not callable(ids) else None
    for number, row in enumerate(rows):
        label = labels[number] if labels else None
        values = row
        if hasattr(row, "values") and hasattr(row, "marks"):  # pytest.param
            assert not row.marks, "a row with marks needs an item of its own"
            label, values = row.id or label, row.values
        elif width == 1:
            values = (row,)
        if label is None:
            label = ids(values[0]) if callable(ids) else "-".join(str(v)[:60] for v in values)
        yield str(label), tuple(values)
