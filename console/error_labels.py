"""Labels of the error kinds, for all pages."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# One label for each of `gateway.canon.errors.KINDS`.
ERROR_LABELS: dict[str, Promise] = {
    "invalid_request": _("invalid request"),
    "unsupported_param": _("unsupported parameter"),
    "context_length": _("context too long"),
    "content_policy": _("content policy"),
    "too_large": _("request too large"),
    "method_not_allowed": _("method not allowed"),
    "gateway_auth": _("invalid API key"),
    "not_found": _("not found"),
    "not_allowed": _("not allowed"),
    "client_gone": _("client disconnected"),
    "rate_limit": _("rate limit"),
    "quota": _("out of quota"),
    "upstream_auth": _("provider credential rejected"),
    "overloaded": _("overloaded"),
    "timeout": _("timeout"),
    "upstream_error": _("upstream error"),
    "malformed_output": _("malformed output"),
}


def error_label(kind: str) -> str:
    """Return the label of a kind; for an unknown one, the kind with spaces."""
    label = ERROR_LABELS.get(kind)
    return str(label) if label is not None else kind.replace("_", " ")
