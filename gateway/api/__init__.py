"""The management API: django-ninja under /api, its documentation at /docs."""

from __future__ import annotations

from gateway.api.app import api

__all__ = ["api"]
