"""OpenAI's legacy text completions: a prompt in, its continuation out."""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway.dialects.base import Client, Dialect, PromptSplit, Provider, Verb
from gateway.dialects.openai_completions.request import (
    NAME,
    MergedCompletionStream,
    check,
    merge_responses,
    parse_request,
    render_request,
    split_request,
)
from gateway.dialects.openai_completions.response import (
    CompletionStreamParser,
    CompletionStreamRenderer,
    parse_response,
    render_response,
)
from gateway.dialects.shared.openai_errors import parse_error, render_error
from gateway.dialects.shared.token_count import no_count


def _render_count(tokens: int) -> dict[str, Any]:
    return {"object": "response.input_tokens", "input_tokens": tokens}


def _path(model: str, *, stream: bool, verb: Verb) -> str:
    return "/completions"


DIALECT = Dialect(
    name=NAME,
    keepalive=b": keep-alive\n\n",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=CompletionStreamRenderer,
        render_error=partial(render_error, prompt="prompt"),
        render_count=_render_count,
    ),
    provider=Provider(
        path=_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=CompletionStreamParser,
        parse_error=parse_error,
        parse_count=no_count("there is no call that counts a completion's tokens"),
    ),
    check_passthrough=check,
    prompt_split=PromptSplit(
        split_request,
        merge_responses,
        MergedCompletionStream,
    ),
)
