"""Sessions in the database under the hash of their keys, ended when nobody uses them.

Whoever reads the database, or a backup of it, finds no key to sign in with. `expire_date` is
the earlier of two ends: the session's own, and that of the time it may be idle.
"""

from __future__ import annotations

import datetime as dt
from hashlib import blake2b
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

# How often the use of a session is noted: not at each request.
_STEP = dt.timedelta(minutes=5)


def stored_key(key: str) -> str:
    """What a session's key is in the database: as long as Django's column."""
    return blake2b(key.encode(), digest_size=20).hexdigest()


def _idle_end() -> dt.datetime:
    return timezone.now() + dt.timedelta(hours=settings.SESSION_IDLE_HOURS)


class SessionStore(db.SessionStore):
    """Django's sessions, with the hash of the key in the place of the key."""

    def load(self) -> dict[str, Any]:
        """The session's data; empty where it has ended."""
        row = self._live().filter(session_key=stored_key(self.session_key or "")).first()
        if row is None:
            self._session_key = None
            return {}
        data: dict[str, Any] = self.decode(row.session_data)
        if (later := self._later(row, data)) is not None:
            self._live().filter(session_key=row.session_key).update(expire_date=later)
        return data

    async def aload(self) -> dict[str, Any]:
        """As `load`."""
        row = await self._live().filter(session_key=stored_key(self.session_key or "")).afirst()
        if row is None:
            self._session_key = None
            return {}
        data: dict[str, Any] = self.decode(row.session_data)
        if (later := self._later(row, data)) is not None:
            await self._live().filter(session_key=row.session_key).aupdate(expire_date=later)
        return data

    def exists(self, session_key: str) -> bool:
        """Whether there is a session with this key."""
        return super().exists(stored_key(session_key))

    async def aexists(self, session_key: str) -> bool:
        """As `exists`."""
        return await super().aexists(stored_key(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """The row to save."""
        return self._hashed(super().create_model_instance(data))

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """As `create_model_instance`."""
        return self._hashed(await super().acreate_model_instance(data))

    def delete(self, session_key: str | None = None) -> None:
        """End the session with this key, or this one."""
        key = session_key or self.session_key
        if key is not None:
            super().delete(stored_key(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """As `delete`."""
        key = session_key or self.session_key
        if key is not None:
            await super().adelete(stored_key(key))

    def _live(self) -> Any:
        return self.model.objects.filter(expire_date__gt=timezone.now())

    def _hashed(self, row: AbstractBaseSession) -> AbstractBaseSession:
        row.session_key = stored_key(row.session_key)
        row.expire_date = min(row.expire_date, _idle_end())
        return row

    def _later(self, row: AbstractBaseSession, data: dict[str, Any]) -> dt.datetime | None:
        """The end that a use of the session moves it to; None where that is not worth noting."""
        end = min(self.get_expiry_date(expiry=data.get("_session_expiry")), _idle_end())
        return end if end - row.expire_date > _STEP else None
