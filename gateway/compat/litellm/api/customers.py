"""LiteLLM's endpoints for customers, the end users that requests name.

Modelled on litellm/proxy/management_endpoints/customer_endpoints.py (1.106.2). End users are not
stored apart from their usage: each has the same budget and limits, those of the key or of all keys.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from gateway import store
from gateway.api.auth import Editor, Reader
from gateway.compat.litellm.api.failures import Wrong, body_of, guarded, reply
from gateway.compat.litellm.api.fields import NOTHING, TOLD_WINDOWS, text_of
from gateway.models import EndUserHour

router = Router(tags=["litellm"])

MAX_LISTED = 1000
_KNOWN = frozenset({"user_id", "alias", "blocked", "spend"})
_EACH = "each end user has the same budget and limits: set end_user_budget and end_user_limits "
_EACH += "in the settings or on a key"
_BLOCKED = "end users cannot be blocked: revoke the key that they use, or set end_user_budget on it"
_TEXT = {"type": "string"}


def _wants(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_CUSTOMER = _wants({"user_id": _TEXT, "alias": _TEXT})
_IDS = _wants({"user_ids": {"type": "array", "items": _TEXT}})


@router.post(
    "/customer/new", auth=Editor(), operation_id="litellm_customer_new", openapi_extra=_CUSTOMER
)
def new(request: HttpRequest) -> HttpResponse:
    """Return a customer: end users need not be created."""
    return guarded(lambda: _accepted(body_of(request)))


@router.post(
    "/customer/update",
    auth=Editor(),
    operation_id="litellm_customer_update",
    openapi_extra=_CUSTOMER,
)
def update(request: HttpRequest) -> HttpResponse:
    """Return a customer: nothing is stored of one."""
    return guarded(lambda: _accepted(body_of(request)))


@router.post(
    "/customer/block", auth=Editor(), operation_id="litellm_customer_block", openapi_extra=_IDS
)
def block(request: HttpRequest) -> HttpResponse:
    """Refused: end users cannot be blocked."""
    return guarded(_refuse_block)


@router.get("/customer/info", auth=Reader(), operation_id="litellm_customer_info")
def info(request: HttpRequest, end_user_id: str = "") -> HttpResponse:
    """A customer with its spend in total."""
    return guarded(lambda: _info(end_user_id))


@router.get("/customer/list", auth=Reader(), operation_id="litellm_customer_list")
def list_customers(request: HttpRequest) -> HttpResponse:
    """The customers with the highest spend."""
    return guarded(_list)


def _accepted(fields: dict[str, Any]) -> HttpResponse:
    customer = text_of(fields, "user_id")
    if not customer or "\0" in customer:
        raise Wrong(400, "user_id: is required", "user_id")
    if fields.get("blocked"):
        raise Wrong(400, f"blocked: {_BLOCKED}", "blocked")
    for name, value in fields.items():
        if name not in _KNOWN and value not in NOTHING:
            raise Wrong(400, f"{name}: {_EACH}", name)
    notes = ["alias: is not stored"] if fields.get("alias") else []
    return reply({**_customer(customer, _spend_of(customer)), "notes": notes})


def _refuse_block() -> HttpResponse:
    raise Wrong(400, f"user_ids: {_BLOCKED}", "user_ids")


def _info(customer: str) -> HttpResponse:
    if not customer or "\0" in customer:
        raise Wrong(400, "end_user_id: is required", "end_user_id")
    if not EndUserHour.objects.filter(end_user=customer).exists():
        raise Wrong(400, f"End User Id={customer[:200]} does not exist in db", "end_user_id")
    return reply(_customer(customer, _spend_of(customer)))


def _list() -> HttpResponse:
    spent = EndUserHour.objects.spend_by_end_user(0, MAX_LISTED)
    return reply([_customer(name, float(usd)) for name, usd in spent.items()])


def _spend_of(customer: str) -> float:
    rows = EndUserHour.objects.filter(end_user=customer)
    return float(rows.spend_by_end_user(0, 1).get(customer, 0))


def _customer(customer: str, spend: float) -> dict[str, Any]:
    """Return an end user as LiteLLM does (`LiteLLM_EndUserTable`), with the budget of each."""
    budget = store.load_options().end_user_budget
    amounts = {"day": budget.day_usd, "week": budget.week_usd, "month": budget.month_usd}
    window = next((span for span, usd in amounts.items() if usd is not None), None)
    usd = budget.total_usd if window is None else amounts[window]
    return {
        "user_id": customer,
        "alias": None,
        "blocked": False,
        "spend": spend,
        "allowed_model_region": None,
        "default_model": None,
        "litellm_budget_table": None
        if usd is None
        else {
            "max_budget": float(usd),
            "budget_duration": TOLD_WINDOWS[window] if window is not None else None,
        },
    }
