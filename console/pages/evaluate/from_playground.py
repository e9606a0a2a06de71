"""An evaluation from the playground: its prompt, its models and its settings."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.evaluate.chat import DIALECT
from console.evaluate.definition import Definition
from console.models import Evaluation
from console.pages.evaluate.from_log import NO_PARAMS
from console.pages.evaluate.views import save
from console.pages.playground import json_response, json_view, read_plan
from console.playground.client_request import build_request, render_body
from console.playground.plan import Plan


@require_POST
@json_view("view")
async def playground_to_evaluation(request: HttpRequest, user: Any) -> HttpResponseBase:
    """Create an evaluation without cases; respond with the URL of its settings."""
    plan, _document = await sync_to_async(read_plan)(request)
    evaluation = Evaluation(owner_id=user.pk)
    await sync_to_async(save)(evaluation, definition_of(plan))
    return json_response({"url": reverse("evaluation-edit", args=[evaluation.pk])}, 201)


def definition_of(plan: Plan) -> Definition:
    """The conversation and the settings of the first column, with the models of all columns.

    Raises GatewayError if Chat cannot express them.
    """
    column = plan.columns[0]
    body = render_body(DIALECT, build_request(column, stream=False))[0]
    schema = column.settings.schema
    own_fields = NO_PARAMS | {"response_format"} if schema else NO_PARAMS
    return Definition(
        name=_("From the playground"),
        models=tuple(dict.fromkeys(column.model for column in plan.columns)),
        messages=tuple(body["messages"]),
        params={name: value for name, value in body.items() if name not in own_fields},
        tools=tuple(body.get("tools") or ()),
        response_schema=schema,
        repeat=plan.repeat,
    )
