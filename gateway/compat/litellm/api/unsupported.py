"""LiteLLM's endpoints that this gateway does not have: a 404 that says what to use instead."""

from __future__ import annotations

from fnmatch import fnmatchcase

from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

from gateway.compat.litellm.api.failures import RejectedRequest, failure

_SPEND = "use GET /api/spend"
# Pattern of paths -> what to use instead; the first match counts.
REPLACEMENTS = {
    "/spend/logs/*": "use GET /spend/logs",
    "/spend/*": _SPEND,
    "/global/*": _SPEND,
    "/*/daily/activity": _SPEND,
    "/tag/*": "tags need not be created; for their spend, use GET /api/spend?by=tag",
    "/utils/supported_openai_params": "use supported_openai_params of GET /model_group/info",
    "/key/*regenerate": "use POST /api/keys/NAME/rotate",
    "/budget/*": "set the budget itself: max_budget of the key, team, user or customer",
    "/organization/*": "use /team/new: an organization is a team above other teams",
    "/end_user/*": "use /customer/...",
    "/model/*": "use POST /model/update",
    "/credentials*": "use /api/providers",
    "/config/*": "change the configuration file, or use /api/settings",
    "/cache/*": "use /api/cache",
    "/fallback*": "use /api/routes",
    "/guardrails*": "use /api/guardrails",
    "/provider/budgets": "use GET /api/providers",
}
_DOCUMENTED = "docs/litellm.md lists the supported endpoints"
_PATHS = (
    "^(?:budget|cache|config|credentials|customer|end_user|fallback|global|guardrails|key|model"
    "|organization|provider|spend|tag|team|user|utils)(?:/|$)"
)


@csrf_exempt
def unsupported_endpoint(request: HttpRequest) -> HttpResponse:
    """Return the 404; without the path, as LiteLLM has paths with a key."""
    path = request.path.rstrip("/")
    matches = (text for pattern, text in REPLACEMENTS.items() if fnmatchcase(path, pattern))
    advice = next(matches, _DOCUMENTED)
    return failure(RejectedRequest(404, f"this endpoint of LiteLLM is not supported: {advice}"))


urlpatterns = [re_path(_PATHS, unsupported_endpoint)]
