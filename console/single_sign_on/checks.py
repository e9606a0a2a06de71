"""The system check of the identity provider, for `check --deploy`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.security, deploy=True)
def identity_provider(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check that the discovery document can be read and is that of the issuer."""
    if not settings.OIDC:
        return
    # Its client, `requests`, is slow to import.
    from console.single_sign_on.discovery import find_problem

    if problem := find_problem(settings.OIDC):
        yield Error(
            f"Sign-in through the identity provider does not work: {problem}.",
            hint="DRAGOMAN_OIDC_ISSUER is the URL before /.well-known/openid-configuration, "
            "exactly as the provider states it.",
            id="console.E001",
        )
