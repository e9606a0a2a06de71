"""Progress of the first-run setup, so that it can be resumed.

It is stored as a setting. A gateway whose admin was created by a management command has no
such row and counts as set up.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from console.access import is_admin
from gateway.models import Setting

Step = Literal["account", "provider", "key", "connect", "done"]
STEPS: tuple[Step, ...] = ("account", "provider", "key", "connect")
_NAME = "first_run"


def state() -> dict[str, Any]:
    """Return the next step as `step`, and the values that earlier steps stored."""
    row = Setting.objects.filter(name=_NAME).first()
    return dict(row.value) if row is not None and isinstance(row.value, dict) else {}


def step() -> Step:
    """Return the next step."""
    stored_step = state().get("step", "done")
    return cast("Step", stored_step) if stored_step in STEPS else "done"


def advance(next_step: Step, **values: Any) -> None:
    """Advance to a step and store values with it; never back, so a page may be opened twice."""
    stored_state = state()
    order = [*STEPS, "done"]
    if stored_state and order.index(next_step) < order.index(step()):
        next_step = step()
    Setting.objects.update_or_create(
        name=_NAME, defaults={"value": {**stored_state, **values, "step": next_step}}
    )


def is_setup_pending(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether this user has a setup to finish."""
    return is_admin(user) and step() != "done"
