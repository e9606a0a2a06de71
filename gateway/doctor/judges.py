"""Judges of the probes: pure functions from a reply to a verdict."""

from __future__ import annotations

import re

import msgspec

from gateway.canon.events import BlockEnd, BlockStart, Delta
from gateway.canon.json_values import decode_or_none
from gateway.canon.request import Reasoning, Refusal, Text, ToolCall
from gateway.doctor.values import Judge, Judgment, Probe, ProbeReply

# Failures that are unrelated to the capability in question.
_TRANSIENT_ERRORS = {
    "rate_limit": "the rate limit was exceeded",
    "quota": "the account has no credit left",
    "overloaded": "the provider was overloaded",
    "timeout": "the request timed out",
    "upstream_auth": "the credential was rejected",
    "content_policy": "the content filter stopped the request",
}
_REFUSED_FROM, _REFUSED_TO = 400, 500
# A model with thinking on or off, but no efforts, has still been asked to think.
_APPROXIMATE_PATHS = ("effort",)
# Characters of a response that are quoted.
MAX_QUOTE_CHARS = 160


def judge(probe: Probe, reply: ProbeReply) -> Judgment:
    """Return the verdict on the reply to a probe."""
    adaptation = next((a for a in reply.report if _was_changed(probe, a.path, a.action)), None)
    if adaptation is not None:
        return Judgment("unclear", f"not checked: {adaptation.reason}")
    if reply.error is not None:
        judgment = _judge_error(reply)
        if judgment.verdict == "unclear" or not probe.expects_error:
            return judgment
        return probe.judge(reply)
    if probe.follow_up is not None and reply.first_reply is None:
        return _no_tool_call(reply)
    return probe.judge(reply)


def _was_changed(probe: Probe, path: str, action: str) -> bool:
    """Whether an adaptation changed a part that had to arrive unchanged."""
    if action == "approximated" and path.startswith(_APPROXIMATE_PATHS):
        return False
    return (
        action != "defaulted"
        and bool(probe.required_paths)
        and path.startswith(probe.required_paths)
    )


def _judge_error(reply: ProbeReply) -> Judgment:
    error = reply.error
    assert error is not None
    message = error.message
    reason = _TRANSIENT_ERRORS.get(error.kind)
    if reason is not None:
        return Judgment("unclear", f"{reason}: {message}")
    if error.status is None:
        # Raised before the request was sent, or by a malformed response.
        was_not_sent = error.kind in {"invalid_request", "unsupported_param"}
        return (
            Judgment("unclear", f"not checked: {message}")
            if was_not_sent
            else Judgment("wrong", message)
        )
    if _REFUSED_FROM <= error.status < _REFUSED_TO:
        return Judgment("refused", f"{message} (HTTP {error.status})")
    return Judgment("unclear", f"request failed: {message} (HTTP {error.status})")


def _no_tool_call(reply: ProbeReply) -> Judgment:
    quote = _quote_response(reply_text(reply))
    return Judgment("unclear", f"no tool was called, so no result could be sent; {quote}")


# --- reading a reply --------------------------------------------------------------------


def reply_text(reply: ProbeReply) -> str:
    """Return the text of the response, refusals included."""
    parts = reply.response.parts if reply.response else ()
    return "".join(part.text for part in parts if isinstance(part, Text | Refusal)).strip()


def calls_of(reply: ProbeReply) -> list[ToolCall]:
    """Return the tool calls of the response."""
    parts = reply.response.parts if reply.response else ()
    return [part for part in parts if isinstance(part, ToolCall)]


def _quote_response(text: str, anchor: str = "") -> str:
    """Quote the response, cut to a line around `anchor`."""
    line = " ".join(text.split())
    if not line:
        return "empty response"
    position = line.lower().find(anchor.lower()) if anchor else 0
    start = (
        max(position - MAX_QUOTE_CHARS // 2, 0) if position + len(anchor) > MAX_QUOTE_CHARS else 0
    )
    excerpt = line[start : start + MAX_QUOTE_CHARS]
    return f"responded “{'…' * (start > 0)}{excerpt}{'…' * (start + MAX_QUOTE_CHARS < len(line))}”"


def _finish_reason(reply: ProbeReply) -> str:
    return reply.response.finish.reason if reply.response else ""


# --- text -------------------------------------------------------------------------------


def supported_if_any_response(reply: ProbeReply) -> Judgment:
    """Supported if there is any text, or a call."""
    if not reply_text(reply) and not calls_of(reply):
        return Judgment("wrong", f"response without text, finish reason {_finish_reason(reply)}")
    return Judgment("supported", _quote_response(reply_text(reply)))


def supported_if_accepted(reply: ProbeReply) -> Judgment:
    """Supported, as the request was not refused."""
    return Judgment("supported", _quote_response(reply_text(reply)))


def response_contains(*terms: str) -> Judge:
    """Supported if the response contains all of these terms, ignoring case."""

    def judge_reply(reply: ProbeReply) -> Judgment:
        text = reply_text(reply)
        missing_terms = [term for term in terms if term.lower() not in text.lower()]
        if not missing_terms:
            return Judgment("supported", _quote_response(text, terms[0]))
        return Judgment("wrong", f"no “{missing_terms[0]}”: {_quote_response(text)}")

    return judge_reply


def response_contains_any(*terms: str) -> Judge:
    """Supported if the response contains one of these words."""
    pattern = re.compile(rf"\b(?:{'|'.join(terms)})\b", re.IGNORECASE)

    def judge_reply(reply: ProbeReply) -> Judgment:
        text = reply_text(reply)
        matches = pattern.search(text) is not None
        return Judgment("supported" if matches else "wrong", _quote_response(text))

    return judge_reply


def streams(reply: ProbeReply) -> Judgment:
    """Supported if a stream with text arrived."""
    if not reply.streamed:
        return Judgment("wrong", "a stream was requested, but a complete response was returned")
    delta_count = sum(isinstance(event, Delta) for event in reply.events)
    if not delta_count:
        return Judgment("wrong", "the stream contained no text")
    return Judgment("supported", f"{delta_count} chunks, finish reason {_finish_reason(reply)}")


def counts_in_stream(reply: ProbeReply) -> Judgment:
    """Supported if the stream reports its tokens."""
    if not reply.streamed:
        return Judgment("unclear", "the response was not a stream")
    usage = reply.response.usage if reply.response else None
    if usage is None or usage.prompt_tokens is None or usage.output is None:
        return Judgment("wrong", "the stream contained no token usage")
    return Judgment("supported", f"{usage.prompt_tokens} tokens in, {usage.output} out")


def ends_at_token_limit(limit: int) -> Judge:
    """Supported if the response ends for its length, at about `limit` tokens."""

    def judge_reply(reply: ProbeReply) -> Judgment:
        usage = reply.response.usage if reply.response else None
        output_tokens = usage.output if usage else None
        count = "unknown" if output_tokens is None else output_tokens
        summary = f"finish reason {_finish_reason(reply)}, {count} tokens out"
        if output_tokens is not None and output_tokens > limit * 2:
            return Judgment("wrong", f"{summary} with a limit of {limit}")
        if _finish_reason(reply) == "length":
            return Judgment("supported", summary)
        return Judgment(
            "wrong" if output_tokens is not None and output_tokens >= limit else "unclear", summary
        )

    return judge_reply


def stops_before_term(term: str, after: str) -> Judge:
    """Supported if the text reaches `after` and ends before `term`."""

    def judge_reply(reply: ProbeReply) -> Judgment:
        text = reply_text(reply)
        if term in text:
            return Judgment("wrong", f"did not stop at “{term}”: {_quote_response(text)}")
        if after not in text:
            return Judgment("unclear", f"unexpected text: {_quote_response(text)}")
        return Judgment("supported", _quote_response(text, after))

    return judge_reply


def preserves(*terms: str) -> Judge:
    """Supported if these characters arrive intact."""

    def judge_reply(reply: ProbeReply) -> Judgment:
        text = reply_text(reply)
        if "\ufffd" in text:
            return Judgment("wrong", f"broken characters: {_quote_response(text)}")
        complete = all(term in text for term in terms)
        return Judgment("supported" if complete else "unclear", _quote_response(text, terms[0]))

    return judge_reply


def continues_text(start: str, end: str) -> Judge:
    """Supported if the text continues a prefilled answer instead of repeating it."""

    def judge_reply(reply: ProbeReply) -> Judgment:
        text = reply_text(reply)
        begun_again = text.lower().startswith(start.lower())
        is_continuation = end.lower() in text.lower()[: len(end) + 20] and not begun_again
        return Judgment("supported" if is_continuation else "wrong", _quote_response(text))

    return judge_reply


def supported_if_counted(reply: ProbeReply) -> Judgment:
    """Supported if the count is a number of tokens."""
    if not reply.count:
        return Judgment("wrong", "no token count")
    return Judgment("supported", f"{reply.count} tokens")


# --- tools ------------------------------------------------------------------------------


def calls(name: str, *, min_calls: int = 1, needs: str = "") -> Judge:
    """Supported if there are `min_calls` calls of this tool, each with an object as arguments.

    `needs` is a field that every call must have.
    """

    def judge_reply(reply: ProbeReply) -> Judgment:
        tool_calls = calls_of(reply)
        if not tool_calls:
            return Judgment("wrong", f"no tool call: {_quote_response(reply_text(reply))}")
        wrong_name = next((call.name for call in tool_calls if call.name != name), None)
        if wrong_name is not None:
            return Judgment("wrong", f"called {wrong_name}, which was not offered")
        invalid_call = next((call for call in tool_calls if call.arguments is None), None)
        if invalid_call is not None:
            return Judgment(
                "wrong", f"arguments are not a JSON object: {invalid_call.raw_arguments}"
            )
        if needs and any(needs not in (call.arguments or {}) for call in tool_calls):
            return Judgment("wrong", f"arguments lack {needs}: {_format_calls(tool_calls)}")
        if len(tool_calls) < min_calls:
            return Judgment("unclear", f"{len(tool_calls)} call instead of {min_calls}")
        return Judgment("supported", _format_calls(tool_calls))

    return judge_reply


def calls_without_arguments(name: str) -> Judge:
    """Supported if a tool without parameters is called with an empty object."""
    judge_calls = calls(name)

    def judge_reply(reply: ProbeReply) -> Judgment:
        judgment = judge_calls(reply)
        tool_calls = calls_of(reply)
        if judgment.verdict == "supported" and any(call.arguments for call in tool_calls):
            return Judgment(
                "wrong", f"arguments for a tool without parameters: {_format_calls(tool_calls)}"
            )
        return judgment

    return judge_reply


def calls_once(name: str) -> Judge:
    """Supported if the tool is called only once, though the prompt asks for two."""
    judge_calls = calls(name)

    def judge_reply(reply: ProbeReply) -> Judgment:
        judgment, tool_calls = judge_calls(reply), calls_of(reply)
        if judgment.verdict == "supported" and len(tool_calls) > 1:
            return Judgment(
                "wrong", (f"{len(tool_calls)} parallel calls although they were disabled")
            )
        return judgment if tool_calls else Judgment("unclear", judgment.message)

    return judge_reply


def calls_none(reply: ProbeReply) -> Judgment:
    """Supported if there is text instead of a call."""
    tool_calls = calls_of(reply)
    if tool_calls:
        return Judgment("wrong", f"called {tool_calls[0].name} although tools were forbidden")
    return supported_if_any_response(reply)


def calls_in_chunks(name: str) -> Judge:
    """Supported if a streamed call has complete arguments."""
    judge_calls = calls(name, needs="text")

    def judge_reply(reply: ProbeReply) -> Judgment:
        if not reply.streamed:
            return Judgment("unclear", "the response was not a stream")
        judgment = judge_calls(reply)
        if judgment.verdict != "supported":
            return judgment
        return Judgment("supported", f"arguments in {_count_argument_deltas(reply)} chunks")

    return judge_reply


def _count_argument_deltas(reply: ProbeReply) -> int:
    """Return the number of deltas in the calls of a stream."""
    in_call, chunk_count = False, 0
    for event in reply.events:
        if isinstance(event, BlockStart):
            in_call = event.kind == "tool_call"
        elif isinstance(event, BlockEnd):
            in_call = False
        elif isinstance(event, Delta):
            chunk_count += in_call
    return chunk_count


def keeps_ids(*terms: str) -> Judge:
    """Supported if the ids of the calls differ, and the results were matched by them."""
    judge_terms = response_contains(*terms)

    def judge_reply(reply: ProbeReply) -> Judgment:
        tool_calls = calls_of(reply.first_reply) if reply.first_reply else []
        ids = [call.id for call in tool_calls]
        if not all(ids) or len(set(ids)) != len(ids):
            return Judgment("wrong", f"calls with the IDs {', '.join(ids) or 'none'}")
        if len(ids) < 2:
            return Judgment("unclear", "only one call, so the order of IDs could not be checked")
        return judge_terms(reply)

    return judge_reply


def _format_calls(tool_calls: list[ToolCall]) -> str:
    lines = (f"{c.name}({msgspec.json.encode(c.arguments).decode()[:80]})" for c in tool_calls)
    return "; ".join(lines)


# --- formats and reasoning ----------------------------------------------------------------


def json_object(reply: ProbeReply) -> Judgment:
    """Supported if the response is a JSON object and nothing else."""
    text = reply_text(reply)
    value = decode_or_none(text)
    return Judgment("supported" if isinstance(value, dict) else "wrong", _quote_response(text))


def json_of(fields: dict[str, type], **choices: tuple[str, ...]) -> Judge:
    """Supported if the response is an object of exactly these fields.

    `choices` are the allowed values of a field.
    """

    def judge_reply(reply: ProbeReply) -> Judgment:
        text = reply_text(reply)
        response_fields = decode_or_none(text)
        if not isinstance(response_fields, dict):
            return Judgment("wrong", f"not a JSON object: {_quote_response(text)}")
        matches_fields = set(response_fields) == set(fields) and all(
            isinstance(response_fields[name], kind) for name, kind in fields.items()
        )
        matches_fields = matches_fields and all(
            response_fields[name] in allowed_values for name, allowed_values in choices.items()
        )
        return Judgment("supported" if matches_fields else "wrong", _quote_response(text))

    return judge_reply


def supported_if_reasoned(reply: ProbeReply) -> Judgment:
    """Supported if the model reasons, visibly or by its token count."""
    parts = reply.response.parts if reply.response else ()
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    visible_text = "".join(part.text for part in thoughts).strip()
    if visible_text:
        return Judgment("supported", f"reasoning: “{' '.join(visible_text.split())[:120]}”")
    usage = reply.response.usage if reply.response else None
    if thoughts or (usage and usage.reasoning):
        tokens = usage.reasoning if usage else None
        return Judgment(
            "supported", f"it reasons ({tokens or 'some'} tokens) but does not return the reasoning"
        )
    return Judgment("wrong", f"no reasoning: {_quote_response(reply_text(reply))}")


def caches(reply: ProbeReply) -> Judgment:
    """Supported if a cache breakpoint is accepted; reports tokens written or read."""
    usage = reply.response.usage if reply.response else None
    cached_tokens = (usage.cache_write or 0) + (usage.cache_read or 0) if usage else 0
    if cached_tokens:
        return Judgment("supported", f"{cached_tokens} tokens written to or read from the cache")
    return Judgment("supported", "accepted, but no tokens were written to the cache")


# --- errors -----------------------------------------------------------------------------


def refuses(*kinds: str) -> Judge:
    """Supported if the error has one of these kinds, and a message."""

    def judge_reply(reply: ProbeReply) -> Judgment:
        error = reply.error
        if error is None:
            return Judgment("wrong", f"accepted: {_quote_response(reply_text(reply))}")
        summary = f"{error.message} (HTTP {error.status})"
        if error.kind in kinds and error.message and error.status is not None:
            return Judgment("supported", summary)
        return Judgment("wrong", f"classified as {error.kind}: {summary}")

    return judge_reply
