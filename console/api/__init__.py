"""What of the management API stands on the console: people, health, the doctor and so on.

`gateway.config.urls` adds these routers to `gateway.api.api`, which knows nothing of them.
"""

from __future__ import annotations

from console.api import (
    examinations,
    health,
    imports,
    playground,
    providers,
    settings,
    users,
)

ROUTERS = (
    users.router,
    settings.router,
    health.router,
    providers.router,
    examinations.router,
    imports.router,
    playground.router,
)

__all__ = ["ROUTERS"]
