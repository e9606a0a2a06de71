"""LiteLLM's lists of models, from which agents read context windows and prices.

`/model/info` has a row for each target of each name, `/model_group/info` one for each name,
as in litellm/proxy/proxy_server.py and `ModelGroupInfo` of litellm/types/router.py (1.106.2).
Unknown values are null, never 0. A key sees only the routes that it may use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from gateway.canon.traits import Traits
from gateway.compat.litellm.api.callers import Caller, KeyHolder, caller_of
from gateway.compat.litellm.api.failures import RejectedRequest, reply, run_in_transaction
from gateway.compat.litellm.config.deployment import COSTS
from gateway.edge.admission import usable_names
from gateway.providers.catalog.litellm_names import prefix_for_preset
from gateway.providers.profile import Price
from gateway.routing.pricing import TOKENS_PER_MTOK
from gateway.routing.snapshot import Model, Route, Target

router = Router(tags=["litellm"])

# LiteLLM's names of capabilities.
_CAPABILITY_CHECKS: dict[str, Callable[[Traits], bool]] = {
    "supports_system_messages": lambda _traits: True,
    "supports_vision": lambda traits: traits.images,
    "supports_function_calling": lambda traits: traits.tools,
    "supports_parallel_function_calling": lambda traits: traits.tools and traits.parallel_toggle,
    "supports_tool_choice": lambda traits: traits.tools and traits.forced_tools,
    "supports_response_schema": lambda traits: traits.structured == "schema",
    "supports_reasoning": lambda traits: traits.reasoning,
    "supports_pdf_input": lambda traits: traits.pdf,
    "supports_audio_input": lambda traits: traits.audio,
    "supports_prompt_caching": lambda traits: traits.cache != "none",
    "supports_assistant_prefill": lambda traits: traits.prefill,
    "supports_web_search": lambda traits: (
        bool(traits.web_search) or traits.built_in_tools_in_responses
    ),
}
# LiteLLM's modes of models that cannot chat -> a form of their names.
_MODES = {
    "image_generation": re.compile(r"gpt-image|dall-e|imagen-|flash-image|pro-image|grok-imagine"),
    "audio_transcription": re.compile(r"whisper|-transcribe"),
    "audio_speech": re.compile(r"(?:^|/)tts-|-tts(?:-|$)"),
    "moderation": re.compile(r"-moderation-"),
    "rerank": re.compile(r"rerank"),
}
# Chat parameters that only some models support.
_PARAM_CHECKS: dict[str, Callable[[Traits], bool]] = {
    "temperature": lambda traits: traits.sampling,
    "top_p": lambda traits: traits.sampling,
    "top_k": lambda traits: traits.top_k,
    "frequency_penalty": lambda traits: traits.penalties,
    "presence_penalty": lambda traits: traits.penalties,
    "seed": lambda traits: traits.seed,
    "stop": lambda traits: traits.stop_max != 0,
    "n": lambda traits: traits.n_max > 1,
    "logprobs": lambda traits: traits.logprobs,
    "top_logprobs": lambda traits: traits.logprobs,
    "logit_bias": lambda traits: traits.logit_bias,
    "tools": lambda traits: traits.tools,
    "tool_choice": lambda traits: traits.tools,
    "parallel_tool_calls": lambda traits: traits.tools and traits.parallel_toggle,
    "response_format": lambda traits: traits.structured != "none",
    "reasoning_effort": lambda traits: bool(traits.efforts),
    "verbosity": lambda traits: traits.verbosity,
}
_COMMON_PARAMS = ("max_tokens", "max_completion_tokens", "stream", "stream_options", "user")


@router.get("/model/info", auth=KeyHolder(), operation_id="litellm_model_info")
def model_info(request: HttpRequest, litellm_model_id: str = "") -> HttpResponse:
    """All targets of all models, with context window, capabilities and price; or one by ID."""
    return run_in_transaction(lambda: _model_info(caller_of(request), litellm_model_id))


@router.get("/v1/model/info", auth=KeyHolder(), operation_id="litellm_model_info_v1")
def model_info_v1(request: HttpRequest, litellm_model_id: str = "") -> HttpResponse:
    """All targets of all models; alias of `/model/info`."""
    return run_in_transaction(lambda: _model_info(caller_of(request), litellm_model_id))


@router.get("/model_group/info", auth=KeyHolder(), operation_id="litellm_model_group_info")
def model_group_info(request: HttpRequest, model_group: str = "") -> HttpResponse:
    """All models, each with its targets combined; or one by name."""
    return run_in_transaction(lambda: _model_group_info(caller_of(request), model_group))


def _model_info(caller: Caller, model_name: str) -> HttpResponse:
    rows = [
        entry_of(name, target, admin=caller.admin)
        for name, route in _routes_of_caller(caller)
        for target in route.targets
    ]
    if model_name:
        rows = [row for row in rows if row["model_info"]["id"] == model_name]
        if not rows:
            reason = f"there is no model with the id `{model_name[:200]}`"
            raise RejectedRequest(400, reason, "litellm_model_id")
    return reply({"data": rows})


def _model_group_info(caller: Caller, group_name: str) -> HttpResponse:
    if not group_name:
        return reply(
            {"data": [_model_group(name, route) for name, route in _routes_of_caller(caller)]}
        )
    route = caller.snapshot.route(group_name)
    groups = (
        [_model_group(group_name, route)] if route is not None and caller.may_use(route) else []
    )
    return reply({"data": groups})


def _routes_of_caller(caller: Caller) -> Iterable[tuple[str, Route]]:
    """Yield the names the caller may request, as /v1/models lists them, with their routes."""
    for name in usable_names(caller.snapshot, caller.key, known_models=False):
        route = caller.snapshot.route(name)
        if route is not None and route.targets:
            yield name, route


# --- a target ---------------------------------------------------------------------------


def prefix_of(model: Model) -> str:
    """Return LiteLLM's prefix of a model's provider, or the provider's name if it has none."""
    return prefix_for_preset(model.provider.preset) or model.provider.name


def entry_of(name: str, target: Target, *, admin: bool) -> dict[str, Any]:
    """Return a target of a name as in `/model/info`."""
    model = target.model
    prefix = prefix_of(model)
    params: dict[str, Any] = {"model": f"{prefix}/{model.name}", "custom_llm_provider": prefix}
    params |= {"weight": target.weight, "order": target.order}
    if target.tags:
        params["tags"] = list(target.tags)
    if admin:  # only admins see upstream URLs
        params["api_base"] = model.provider.base_url
    traits = model.traits
    info = {
        "id": str(target.id) if target.id else model.label,
        "db_model": False,
        "key": model.name,
        "litellm_provider": prefix,
        "mode": _mode_of(model),
        "max_tokens": traits.max_output,
        "max_input_tokens": traits.context_window,
        "max_output_tokens": traits.max_output,
        **_costs_per_token(model.price),
        **{capability: is_able(traits) for capability, is_able in _CAPABILITY_CHECKS.items()},
        "supported_openai_params": _supported_params(traits),
    }
    return {"model_name": name, "litellm_params": params, "model_info": info}


def _costs_per_token(price: Price) -> dict[str, float | None]:
    return {name: per_token(getattr(price, price_name)) for name, price_name in COSTS.items()}


def per_token(usd: Decimal | None) -> float | None:
    """Convert US dollars per million tokens to US dollars per token."""
    return None if usd is None else float(usd / TOKENS_PER_MTOK)


def _supported_params(traits: Traits) -> list[str]:
    return [
        *_COMMON_PARAMS,
        *(name for name, is_supported in _PARAM_CHECKS.items() if is_supported(traits)),
    ]


# --- a name -----------------------------------------------------------------------------


def _mode_of(model: Model) -> str:
    """Return the endpoint that serves a model: what it is for, if it cannot chat."""
    traits = model.traits
    if traits.embeddings == "only":
        return "embedding"
    if traits.completions == "only":
        return "completion"
    if traits.responses_only:
        return "responses"
    name = model.name.lower()
    return next((mode for mode, form in _MODES.items() if form.search(name)), "chat")


def _model_group(name: str, route: Route) -> dict[str, Any]:
    """Values of a model group: the largest of each number, capabilities that any target has."""
    models = [target.model for target in route.targets]
    traits = [model.traits for model in models]
    prices = [_costs_per_token(model.price) for model in models]
    supported_params = {param for each in traits for param in _supported_params(each)}
    modes = {_mode_of(model) for model in models}
    return {
        "model_group": name,
        "providers": sorted({prefix_of(model) for model in models}),
        "max_input_tokens": _max_known(each.context_window for each in traits),
        "max_output_tokens": _max_known(each.max_output for each in traits),
        **{cost: _max_known(price[cost] for price in prices) for cost in COSTS},
        "mode": modes.pop() if len(modes) == 1 else "chat",
        "tpm": route.limits.tokens_per_minute,
        "rpm": route.limits.requests_per_minute,
        **{
            capability: any(is_able(each) for each in traits)
            for capability, is_able in _CAPABILITY_CHECKS.items()
        },
        "supported_reasoning_efforts": _common_efforts(traits),
        "supported_openai_params": sorted(supported_params),
        "configurable_clientside_auth_params": None,
    }


def _max_known(numbers: Iterable[Any]) -> Any:
    return max((number for number in numbers if number is not None), default=None)


def _common_efforts(traits: Iterable[Traits]) -> list[str] | None:
    efforts = dict.fromkeys(effort for each in traits for effort in each.efforts)
    return list(efforts) or None
