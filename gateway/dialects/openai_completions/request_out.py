"""The canonical request -> a provider's prompt: a conversation as one text."""

from __future__ import annotations

from typing import Any

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.arguments import written
from gateway.canon.request import (
    Document,
    Part,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.openai_completions.names import NAME, Json

_SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System"}


class _Job:
    """The request, the traits of its target, and the report as it grows."""

    def __init__(self, request: Request, traits: Traits) -> None:
        self.request = request
        self.traits = traits
        self.report: list[Adaptation] = []

    def drop(self, path: str, why: str = "no equivalent") -> None:
        """Report a field that is not sent; nothing for a value the client did not write."""
        self._tell(dropped(path, why))

    def bend(self, path: str, why: str, *, before: Any = None, after: Any = None) -> None:
        """Report a field that is sent as something near it."""
        self._tell(approximated(path, why, before=before, after=after))

    def _tell(self, item: Adaptation) -> None:
        if item.path and item not in self.report:
            self.report.append(item)


def render_request(request: Request, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry."""
    job = _Job(request, traits)
    body: Json = {"model": traits.model or request.model, "prompt": _prompt(job)}
    if request.stream:
        body["stream"] = True
        if traits.stream_options:
            body["stream_options"] = {"include_usage": True}
    _limit_out(job, body)
    _sampling_out(job, body)
    _lost(job)
    if request.meta.user_id is not None:
        if traits.user_field == "none":
            job.drop(request.path("user_id"))
        else:
            body["user"] = request.meta.user_id
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect == NAME:
                body.setdefault(key, value)
            else:
                job.drop(key)
    return Rendered(body=body, report=tuple(job.report))


def _prompt(job: _Job) -> str:
    """One user's text as it is; a conversation with its speakers named."""
    request = job.request
    if len(request.turns) == 1 and not request.instructions and request.turns[0].role == "user":
        return _words(job, request.turns[0])
    place = request.turns[0].at.partition("[")[0] if request.turns else "messages"
    job.bend(place or "messages", "a conversation is sent as one text with its speakers named")
    lines = [block.text for block in request.instructions]
    lines += [f"{_SPEAKERS[turn.role]}: {_words(job, turn)}" for turn in request.turns]
    if not request.turns or request.turns[-1].role != "assistant":
        lines.append("Assistant:")
    return "\n\n".join(lines)


def _words(job: _Job, turn: Turn) -> str:
    return "\n\n".join(words for part in turn.parts if (words := _said(job, part)))


def _said(job: _Job, part: Part) -> str:
    match part:
        case Text() | Refusal():
            return part.text
        case Document() if part.text is not None:
            return part.text
        case ToolCall():
            return f"[called {part.name} with {written(part)}]"
        case ToolResult():
            inner = " ".join(words for item in part.parts if (words := _said(job, item)))
            return f"[{part.name or 'the tool'} gave {inner}]"
        case _:
            job.drop(part.at, "a prompt holds text only")
            return ""


def _limit_out(job: _Job, body: Json) -> None:
    wanted, most = job.request.max_output, job.traits.max_output
    if wanted is None:
        return
    if most is not None and wanted > most:
        why = f"{wanted} clamped to the model's output limit {most}"
        job.bend(job.request.path("max_output"), why, before=wanted, after=most)
        wanted = most
    body["max_tokens"] = wanted


def _sampling_out(job: _Job, body: Json) -> None:
    request, traits, sampling = job.request, job.traits, job.request.sampling
    for name, taken in (
        ("temperature", traits.sampling),
        ("top_p", traits.sampling),
        ("top_k", traits.top_k),
        ("min_p", traits.min_p),
        ("repetition_penalty", traits.repetition_penalty),
        ("frequency_penalty", traits.penalties),
        ("presence_penalty", traits.penalties),
        ("seed", traits.seed),
        ("logit_bias", traits.logit_bias),
    ):
        value = getattr(sampling, name)
        if value is not None and taken:
            body[name] = value
        elif value is not None:
            job.drop(request.path(name))
    most = traits.stop_max
    if sampling.stop and most is not None and len(sampling.stop) > most:
        why = f"only the first {most} are sent"
        job.bend(request.path("stop"), why, before=len(sampling.stop), after=most)
    if kept := list(sampling.stop[:most]):
        body["stop"] = kept
    if sampling.logprobs and traits.logprobs and not request.stream:
        body["logprobs"] = sampling.top_logprobs or 0
    elif sampling.logprobs:
        job.drop(request.path("logprobs"))
    if sampling.n is not None and sampling.n > 1:
        job.bend(request.path("n"), "an answer has one choice", before=sampling.n, after=1)


def _lost(job: _Job) -> None:
    """What a prompt has no words for."""
    request, meta, thinking = job.request, job.request.meta, job.request.thinking
    if request.tools:
        job.drop("tools", "a prompt offers no tools")
    elif request.tool_choice is not None and request.tool_choice.mode in {"any", "named"}:
        job.drop(request.path("tool_choice"))
    if request.output.format != "text":
        job.drop(request.path("schema" if request.output.format == "schema" else "format"))
    if request.output.verbosity is not None:
        job.drop(request.path("verbosity"))
    if thinking is not None and thinking.effort is not None:
        job.drop(request.path("effort"))
    elif thinking is not None and thinking.mode in {"auto", "budget"}:
        job.drop(request.path("thinking"))
    if request.previous_response_id is not None:
        job.drop(request.path("previous_response_id"))
    if request.cache is not None:
        job.drop(request.at.get("cache", "cache_control"))
    for name in ("session_key", "metadata", "service_tier", "store"):
        if getattr(meta, name) and request.path(name) != request.path("user_id"):
            job.drop(request.path(name))
