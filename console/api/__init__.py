"""Management API of users, health, capability reports and other parts of the console.

`gateway.config.api_urls` adds these routers to `gateway.api.app.api`, which does not import them.
"""

from __future__ import annotations

from console.api import (
    capability_reports,
    health,
    imports,
    personal_keys,
    playground,
    providers,
    settings,
    traces,
    users,
)

ROUTERS = (
    users.router,
    personal_keys.router,
    settings.router,
    health.router,
    providers.router,
    capability_reports.router,
    imports.router,
    playground.router,
    traces.router,
)

__all__ = ["ROUTERS"]
