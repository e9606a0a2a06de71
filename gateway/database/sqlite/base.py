"""The backend: errors whose release does not wait for the database, statements converted once.

Django's wrapper of the library's errors keeps each error in a variable of a frame of its own
traceback. Such a cycle is freed by the garbage collector, in any thread: often the event loop's.
It contains a cursor, and to free that waits for the connection's mutex, which a later statement
of the same connection holds while it waits for a locked database, up to its timeout. So no request
was served for 20 s. The same happened with an error that a thread hands to the event loop: its
traceback contains the cursor of the statement that failed, if that is still open.
"""

from __future__ import annotations

from functools import lru_cache
from types import TracebackType
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property


class AcyclicErrorWrapper(DatabaseErrorWrapper):
    """Raises Django's errors without the wrapper's frame in their tracebacks."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise Django's error for one of the library."""
        try:
            super().__exit__(exc_type, exc_value, traceback)
        except Exception as error:
            raise error.with_traceback(traceback)  # noqa: B904 - its cause is set


class Cursor(base.SQLiteCursorWrapper):
    """Django's cursor, which would search for placeholders each time a statement is executed.

    That search took a tenth of the time to write a row of the request log by itself.
    """

    def convert_query(self, query: str, *, param_names: list[str] | None = None) -> str:
        """The statement with SQLite's placeholders."""
        if param_names is not None:
            return super().convert_query(query, param_names=param_names)
        return _with_question_marks(query)


@lru_cache(maxsize=128)
def _with_question_marks(query: str) -> str:
    return base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper with `AcyclicErrorWrapper` and `Cursor`; it closes its own cursors."""

    transaction_mode: str | None

    def _start_transaction_under_autocommit(self) -> None:
        with self.cursor() as cursor:
            cursor.execute(f"BEGIN {self.transaction_mode or ''}")

    def create_cursor(self, name: str | None = None) -> Cursor:
        """A cursor of the connection."""
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        return cursor

    @cached_property
    def wrap_database_errors(self) -> Any:
        """The context manager that raises Django's errors for those of the library."""
        return AcyclicErrorWrapper(self)
