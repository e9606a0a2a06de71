"""`/docs`: the API reference, rendered here from the OpenAPI document."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import public

# Both views import the operations when called: they come from the management API, which other
# pages do not import.

_MAX_QUERY = 200


@require_safe
@public
def docs(request: HttpRequest) -> HttpResponse:
    """All operations by subject; with `q`, those that contain its words."""
    from console.pages.api_reference.operations import groups, operations

    query = request.GET.get("q", "")[:_MAX_QUERY].strip()
    operation_groups = groups(query)
    context = {
        "document": reverse("api:openapi-json"),
        "query": query,
        "groups": operation_groups,
        "count": sum(len(entries) for _tag, entries in operation_groups),
        "total": len(operations()),
    }
    return render(request, "console/api_reference/page.html", context)


@require_safe
@public
def docs_operation(request: HttpRequest, name: str) -> HttpResponse:
    """One operation: parameters, body, responses, and a command that calls it."""
    from console.pages.api_reference.operations import operations

    operation = operations().get(name)
    if operation is None:
        raise Http404(_("Operation not found."))
    related = [each for each in operations().values() if each.tag == operation.tag]
    context = {
        "document": reverse("api:openapi-json"),
        "operation": operation,
        "related": related,
        "base": f"{request.scheme}://{request.get_host()}",
    }
    return render(request, "console/api_reference/operation.html", context)
