"""Sessions in the database, stored under the hash of their keys, with an idle timeout.

Keys cannot be recovered from the database or its backups. `expire_date` is the earlier of the
session's own end and its idle timeout.
"""

from __future__ import annotations

import datetime as dt
from hashlib import blake2b
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as USER_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

# Minimum interval between two updates of `expire_date`.
_MIN_EXTENSION = dt.timedelta(minutes=5)
# The idle timeout of anonymous sessions: anyone can start them, and none may stay for a day.
_ANONYMOUS_HOURS = 1.0


def stored_key(key: str) -> str:
    """Return the hash of a session key; it fits into Django's column."""
    return blake2b(key.encode(), digest_size=20).hexdigest()


def _idle_end(data: dict[str, Any]) -> dt.datetime:
    hours = settings.SESSION_IDLE_HOURS
    if USER_KEY not in data:
        hours = min(hours, _ANONYMOUS_HOURS)
    return timezone.now() + dt.timedelta(hours=hours)


class SessionStore(db.SessionStore):
    """Django's session store with hashed keys."""

    def load(self) -> dict[str, Any]:
        """Return the session's data; empty if it has ended."""
        row = self._live_sessions().filter(session_key=stored_key(self.session_key or "")).first()
        if row is None:
            self._session_key = None
            return {}
        data: dict[str, Any] = self.decode(row.session_data)
        if (renewed_expiry := self._extended_expiry(row, data)) is not None:
            self._live_sessions().filter(session_key=row.session_key).update(
                expire_date=renewed_expiry
            )
        return data

    async def aload(self) -> dict[str, Any]:
        """Asynchronous `load`."""
        row = (
            await self._live_sessions()
            .filter(session_key=stored_key(self.session_key or ""))
            .afirst()
        )
        if row is None:
            self._session_key = None
            return {}
        data: dict[str, Any] = self.decode(row.session_data)
        if (renewed_expiry := self._extended_expiry(row, data)) is not None:
            await (
                self._live_sessions()
                .filter(session_key=row.session_key)
                .aupdate(expire_date=renewed_expiry)
            )
        return data

    def exists(self, session_key: str) -> bool:
        """Whether a session with this key exists."""
        return super().exists(stored_key(session_key))

    async def aexists(self, session_key: str) -> bool:
        """Asynchronous `exists`."""
        return await super().aexists(stored_key(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """Return the row to save."""
        return self._hash_key(super().create_model_instance(data), data)

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """Asynchronous `create_model_instance`."""
        return self._hash_key(await super().acreate_model_instance(data), data)

    def delete(self, session_key: str | None = None) -> None:
        """Delete the session with this key, by default this session."""
        key = session_key or self.session_key
        if key is not None:
            super().delete(stored_key(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """Asynchronous `delete`."""
        key = session_key or self.session_key
        if key is not None:
            await super().adelete(stored_key(key))

    def _live_sessions(self) -> Any:
        return self.model.objects.filter(expire_date__gt=timezone.now())

    def _hash_key(self, row: AbstractBaseSession, data: dict[str, Any]) -> AbstractBaseSession:
        row.session_key = stored_key(row.session_key)
        row.expire_date = min(row.expire_date, _idle_end(data))
        return row

    def _extended_expiry(
        self, row: AbstractBaseSession, data: dict[str, Any]
    ) -> dt.datetime | None:
        """Return the new end of a used session; None if it would hardly change."""
        end = min(self.get_expiry_date(expiry=data.get("_session_expiry")), _idle_end(data))
        return end if end - row.expire_date > _MIN_EXTENSION else None
