"""What a logged request has beyond the fields of the page.

A request opened from the log keeps all its settings: those that the page displays can be
edited there, the others are in `LoggedSettings`. While nothing has been edited, the client's
own body is sent again (`LoggedBody`).
"""

from __future__ import annotations

from typing import Any

import msgspec
from django.utils.translation import gettext as _

from gateway.canon.request import (
    Meta,
    Request,
    RequestSettings,
    without_paths,
)

Json = dict[str, Any]


class LoggedSettings(RequestSettings, frozen=True, kw_only=True, omit_defaults=True):
    """The settings of a logged request, as JSON.

    A request with its messages cannot be decoded: their parts are a union of structs without a
    tag.
    """

    @property
    def headers(self) -> dict[str, str]:
        """The client's headers that are part of the request."""
        headers = {}
        if self.version:
            headers["anthropic-version"] = self.version
        if self.betas:
            headers["anthropic-beta"] = ",".join(self.betas)
        return headers


class LoggedBody(msgspec.Struct, frozen=True, kw_only=True):
    """The client's body of a logged request, and the request that the page makes of it unedited.

    Attributes:
        dialect: the dialect of the body.
        body: its JSON.
        unedited_request: the canonical request of a column whose page is as it was opened.
    """

    dialect: str
    body: Json
    unedited_request: Request


def settings_from_request(request: Request) -> LoggedSettings:
    """The settings of a request."""
    request_without_paths = without_paths(request)
    names = (name for name in LoggedSettings.__struct_fields__)
    return LoggedSettings(**{name: getattr(request_without_paths, name) for name in names})


def encode_settings(logged_settings: LoggedSettings) -> Json:
    """The settings as JSON for the page."""
    return dict(msgspec.to_builtins(logged_settings))


def decode_settings(data: Any) -> LoggedSettings:
    """Settings from the page. Raises ValueError."""
    return msgspec.convert(data, LoggedSettings)


def same_request(request: Request, other: Request) -> bool:
    """Whether two requests are equal but for the model."""
    neutral = msgspec.structs.replace(other, model=request.model)
    return bool(without_paths(request) == without_paths(neutral))


def body_for(logged_body: LoggedBody, model: str, *, model_in_path: bool) -> Json:
    """The logged body for this model."""
    return logged_body.body if model_in_path else {**logged_body.body, "model": model}


def logged_setting_names(logged_settings: LoggedSettings) -> list[str]:
    """Names of the settings that the page does not display."""
    sampling, output, reasoning = (
        logged_settings.sampling,
        logged_settings.output,
        logged_settings.reasoning,
    )
    hidden_fields = ("min_p", "repetition_penalty", "n", "logprobs", "top_logprobs", "logit_bias")
    names = [name for name in hidden_fields if getattr(sampling, name) is not None]
    names += [tool.name for tool in logged_settings.tools if tool.kind != "function"]
    if logged_settings.tool_choice is not None and logged_settings.tool_choice.names:
        names.append("tool_choice")
    if reasoning is not None and (reasoning.mode or reasoning.budget or reasoning.visible):
        names.append(_("reasoning mode"))
    if output.format == "json":
        names.append(_("JSON output"))
    if output.verbosity:
        names.append("verbosity")
    names += [
        name for name in Meta.__struct_fields__ if getattr(logged_settings.meta, name) is not None
    ]
    breakpoints = [part.cache for part in logged_settings.instructions if part.cache]
    breakpoints += [tool.cache for tool in logged_settings.tools if tool.cache]
    names += [_("prompt-cache breakpoints")] if logged_settings.cache or breakpoints else []
    names += sorted({name for fields in logged_settings.extra.values() for name in fields})
    names += [_("beta features")] if logged_settings.betas else []
    return names
