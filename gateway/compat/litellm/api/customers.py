"""LiteLLM's endpoints for customers, the end users that requests name.

Modeled on litellm/proxy/management_endpoints/customer_endpoints.py (1.106.2). End users need
not be created: by default, the limits and the budget of all end users apply. A customer with its
own budget, limits, alias or block is an entry of the setting `end_users`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from gateway import store
from gateway.api.auth import Admin
from gateway.compat.litellm.api.failures import RejectedRequest, body_of, reply, run_in_transaction
from gateway.compat.litellm.api.fields import (
    BUDGET_DURATIONS,
    EMPTY_VALUES,
    LIMITS,
    STRING_SCHEMA,
    budget_of,
    limits_of,
    request_body_schema,
    string_field,
)
from gateway.models import EndUserHour
from gateway.routing.limits import Budget, Limits
from gateway.store.documents import OwnedElsewhere
from gateway.store.end_users import Entries, change_end_users

router = Router(tags=["litellm"])

MAX_LISTED = 1000
_BUDGET = frozenset({"max_budget", "budget_duration", "soft_budget"})
_LIMITS = frozenset({"rpm_limit", "tpm_limit", "max_parallel_requests"})
_KNOWN_FIELDS = frozenset({"user_id", "alias", "blocked", "spend", *_BUDGET, *_LIMITS})
_REFUSED_FIELDS = {
    "budget_id": "set the budget itself: max_budget",
    "default_model": "set the models on the key or the route",
    "allowed_model_region": "the targets of the route determine the region",
    "object_permission": "permissions are set on the key",
}
_NUMBER, _COUNT = {"type": "number"}, {"type": "integer"}


_CUSTOMER = request_body_schema(
    {
        "user_id": STRING_SCHEMA,
        "alias": STRING_SCHEMA,
        "blocked": {"type": "boolean"},
        "max_budget": _NUMBER,
        "budget_duration": STRING_SCHEMA,
        "soft_budget": _NUMBER,
        "rpm_limit": _COUNT,
        "tpm_limit": _COUNT,
        "max_parallel_requests": _COUNT,
    }
)
_IDS = request_body_schema({"user_ids": {"type": "array", "items": STRING_SCHEMA}})


@router.post(
    "/customer/new", auth=Admin(), operation_id="litellm_customer_new", openapi_extra=_CUSTOMER
)
def new(request: HttpRequest) -> HttpResponse:
    """Create a customer with a budget, limits, an alias or a block; others need no creation."""
    return run_in_transaction(lambda: _save_customer(body_of(request), is_new=True))


@router.post(
    "/customer/update",
    auth=Admin(),
    operation_id="litellm_customer_update",
    openapi_extra=_CUSTOMER,
)
def update(request: HttpRequest) -> HttpResponse:
    """Change the fields of a customer that are sent; null removes one."""
    return run_in_transaction(lambda: _save_customer(body_of(request), is_new=False))


@router.post(
    "/customer/block", auth=Admin(), operation_id="litellm_customer_block", openapi_extra=_IDS
)
def block(request: HttpRequest) -> HttpResponse:
    """Reject all requests that name these end users."""
    return run_in_transaction(lambda: _block_customers(body_of(request), blocked=True))


@router.post(
    "/customer/unblock", auth=Admin(), operation_id="litellm_customer_unblock", openapi_extra=_IDS
)
def unblock(request: HttpRequest) -> HttpResponse:
    """Accept requests of these end users again."""
    return run_in_transaction(lambda: _block_customers(body_of(request), blocked=False))


@router.post(
    "/customer/delete", auth=Admin(), operation_id="litellm_customer_delete", openapi_extra=_IDS
)
def delete(request: HttpRequest) -> HttpResponse:
    """Remove the settings of these end users; their spend stays in the log."""
    return run_in_transaction(lambda: _delete_customers(body_of(request)))


@router.get("/customer/info", auth=Admin(), operation_id="litellm_customer_info")
def info(request: HttpRequest, end_user_id: str = "") -> HttpResponse:
    """A customer with its spend in total."""
    return run_in_transaction(lambda: _customer_info(end_user_id))


@router.get("/customer/list", auth=Admin(), operation_id="litellm_customer_list")
def list_customers(request: HttpRequest) -> HttpResponse:
    """The customers with settings of their own, and those with the highest spend."""
    return run_in_transaction(_list_customers)


def _save_customer(fields: dict[str, Any], *, is_new: bool) -> HttpResponse:
    customer = string_field(fields, "user_id")
    if not customer:
        raise RejectedRequest(400, "user_id: is required", "user_id")
    for name, value in fields.items():
        if name not in _KNOWN_FIELDS and value not in EMPTY_VALUES:
            reason = _REFUSED_FIELDS.get(name, "there is no such field of a customer")
            raise RejectedRequest(400, f"{name}: {reason}", name)
    notes = ["spend: is computed from the log"] if fields.get("spend") else []

    def change(entries: Entries) -> None:
        if is_new and customer in entries:
            reason = f"Customer already exists, passed user_id={customer[:200]}"
            raise RejectedRequest(400, reason, "user_id")
        entries[customer], entry_notes = _apply_changes(entries.get(customer, {}), fields)
        notes.extend(entry_notes)

    _change_entries(change)
    return reply({**_customer_out(customer, _spend_of(customer)), "notes": notes})


def _apply_changes(
    entry: dict[str, Any], fields: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return an entry with the fields that are sent, and notes. Raises RejectedRequest."""
    updated_entry, notes = dict(entry), list[str]()
    if "alias" in fields:
        updated_entry["alias"] = string_field(fields, "alias")
    if "blocked" in fields:
        updated_entry["blocked"] = _require_boolean(fields["blocked"])
    if _BUDGET & fields.keys():
        updated_entry["budget"], notes = budget_of(fields)
    if _LIMITS & fields.keys():
        limits = limits_of(fields)
        sent_limits = {LIMITS[name]: limits[LIMITS[name]] for name in _LIMITS & fields.keys()}
        updated_entry["limits"] = {**updated_entry.get("limits", {}), **sent_limits}
    return updated_entry, notes


def _require_boolean(value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise RejectedRequest(400, "blocked: must be true or false", "blocked")
    return bool(value)


def _change_entries(change: Callable[[Entries], None]) -> None:
    """Change the setting `end_users`. Raises RejectedRequest, OwnedElsewhere."""
    try:
        change_end_users(change)
    except OwnedElsewhere:
        raise
    except ValueError as error:
        raise RejectedRequest(400, f"user_id: {error}", "user_id") from None


def _block_customers(fields: dict[str, Any], *, blocked: bool) -> HttpResponse:
    customers = _customer_ids(fields)

    def change(entries: Entries) -> None:
        for customer in customers:
            entries[customer] = {**entries.get(customer, {}), "blocked": blocked}

    _change_entries(change)
    return reply({"blocked_users": [_customer_out(name, _spend_of(name)) for name in customers]})


def _delete_customers(fields: dict[str, Any]) -> HttpResponse:
    customers = _customer_ids(fields)

    def change(entries: Entries) -> None:
        for customer in customers:
            if entries.pop(customer, None) is None and not _has_spent(customer):
                reason = f"End User Id={customer[:200]} does not exist in db"
                raise RejectedRequest(404, reason, "user_ids")

    _change_entries(change)
    message = f"Successfully deleted customers with ids: {customers}"
    return reply({"deleted_customers": len(customers), "message": message})


def _customer_ids(fields: dict[str, Any]) -> list[str]:
    """Return the names of `user_ids`. Raises RejectedRequest."""
    names = fields.get("user_ids")
    valid = isinstance(names, list) and all(isinstance(n, str) and n for n in names)
    if not isinstance(names, list) or not names or not valid or "\0" in "".join(names):
        raise RejectedRequest(400, "user_ids: must be a list of the names of end users", "user_ids")
    return list(dict.fromkeys(names))


def _customer_info(customer: str) -> HttpResponse:
    if not customer or "\0" in customer:
        raise RejectedRequest(400, "end_user_id: is required", "end_user_id")
    if customer not in store.load_options().end_users and not _has_spent(customer):
        raise RejectedRequest(
            404, f"End User Id={customer[:200]} does not exist in db", "end_user_id"
        )
    return reply(_customer_out(customer, _spend_of(customer)))


def _list_customers() -> HttpResponse:
    spend_by_customer = EndUserHour.objects.spend_by_end_user(0, MAX_LISTED)
    names_without_spend = [
        name for name in store.load_options().end_users if name not in spend_by_customer
    ]
    rows = [_customer_out(name, float(usd)) for name, usd in spend_by_customer.items()]
    return reply(
        [*rows, *(_customer_out(name, _spend_of(name)) for name in names_without_spend)][
            :MAX_LISTED
        ]
    )


def _has_spent(customer: str) -> bool:
    return EndUserHour.objects.filter(end_user=customer).exists()


def _spend_of(customer: str) -> float:
    rows = EndUserHour.objects.filter(end_user=customer)
    return float(rows.spend_by_end_user(0, 1).get(customer, 0))


def _customer_out(customer: str, spend: float) -> dict[str, Any]:
    """Return an end user as LiteLLM does (`LiteLLM_EndUserTable`), with its budget and limits."""
    options = store.load_options()
    end_user = options.end_users.get(customer)
    budget, limits = options.end_user_budget, options.end_user_limits
    if end_user is not None:
        budget = end_user.budget if end_user.budget != Budget() else budget
        limits = end_user.limits if end_user.limits != Limits() else limits
    return {
        "user_id": customer,
        "alias": end_user.alias or None if end_user is not None else None,
        "blocked": end_user is not None and end_user.blocked,
        "spend": spend,
        "allowed_model_region": None,
        "default_model": None,
        "litellm_budget_table": _budget_table(budget, limits) or None,
    }


def _budget_table(budget: Budget, limits: Limits) -> dict[str, Any]:
    amounts = {"day": budget.day_usd, "week": budget.week_usd, "month": budget.month_usd}
    window = next((span for span, usd in amounts.items() if usd is not None), None)
    usd = budget.total_usd if window is None else amounts[window]
    table: dict[str, Any] = {}
    if usd is not None:
        duration = BUDGET_DURATIONS[window] if window is not None else None
        table = {"max_budget": float(usd), "budget_duration": duration}
    numbers = {field: getattr(limits, LIMITS[field]) for field in sorted(_LIMITS)}
    return {**table, **{field: number for field, number in numbers.items() if number is not None}}
