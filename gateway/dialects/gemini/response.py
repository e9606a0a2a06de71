"""Complete responses: canonical to a client's JSON; finish reasons, usage, citations and log
probabilities, both ways.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.errors import GatewayError
from gateway.canon.json_values import dict_items, list_or_empty
from gateway.canon.logprobs import build_token, token_logprobs
from gateway.canon.request import (
    Audio,
    Citation,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.response import Finish, Response, Usage, unknown_reason
from gateway.canon.signature import hide_reasoning_text
from gateway.dialects.base import ResponseContext
from gateway.dialects.gemini.context import NAME, Json
from gateway.dialects.gemini.google_fields import PROMPT_FEEDBACK, google_fields, usage_details
from gateway.dialects.gemini.reasoning import is_gemini, render_signature
from gateway.dialects.shared.code_execution import losses_of as code_losses
from gateway.dialects.shared.code_execution import read_call as read_code
from gateway.dialects.shared.code_execution import render_gemini_parts
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.dialects.shared.fields import string_or_none, token_count
from gateway.dialects.shared.web_search import read_call

# --- a provider's response ------------------------------------------------------------------------


# --- a client's response --------------------------------------------------------------------------


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and its adaptations. Raises GatewayError for malformed output."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed_output_error(response.finish))
    report: list[Adaptation] = []
    candidates = [render_candidate(response, 0, context, report)]
    for index, choice in enumerate(response.alternatives, 1):
        candidates.append(render_candidate(choice, index, context, report))
    fields = google_fields(response.extra, "response")
    body: Json = {"candidates": candidates} if PROMPT_FEEDBACK not in fields else {}
    if (usage := render_usage(response.usage)) is not None:
        body["usageMetadata"] = usage
    return {**fields, **body, **render_identifiers(context)}, tuple(report)


def render_candidate(
    response: Response, index: int, context: ResponseContext, report: list[Adaptation]
) -> Json:
    """Render one response as a candidate."""
    parts: list[Json] = []
    grounded_texts: list[GroundedText] = []
    queries: list[str] = []
    preceding_bytes = 0
    for part_index, part in enumerate(response.parts):
        if query := search_query(part):
            queries.append(query)
            continue
        parts += render_part(
            part, f"candidates[{index}].content.parts[{part_index}]", context, report
        )
        if isinstance(part, Text):
            grounded_texts += [
                GroundedText(citation, part.text, preceding_bytes) for citation in part.citations
            ]
        if isinstance(part, Text | Refusal):
            preceding_bytes += utf8_length(part.text)
    report_pause(response.finish, index, report)
    report_unlinked_sources(grounded_texts, index, report)
    candidate: Json = {"content": {"role": "model", "parts": parts}}
    candidate |= render_candidate_end(response, grounded_texts, queries)
    if tokens := token_logprobs(response):
        candidate["logprobsResult"] = render_logprobs(tokens)
    return candidate | {"index": index, **google_fields(response.extra, "candidate")}


def report_pause(finish: Finish, index: int, report: list[Adaptation]) -> None:
    """Report a paused turn, for which the dialect has no finish reason."""
    if finish.reason == "pause":
        reason = "a paused turn is shown as stopped"
        report.append(approximated_field(f"candidates[{index}].finishReason", reason))


def report_unlinked_sources(
    grounded_texts: list[GroundedText], index: int, report: list[Adaptation]
) -> None:
    """Report sources that are neither Google's nor pages."""
    if any(_render_chunk(grounded_text.citation) is None for grounded_text in grounded_texts):
        path = f"candidates[{index}].groundingMetadata"
        report.append(dropped_field(path, "Gemini does not support sources without a URL"))


def render_candidate_end(
    response: Response, grounded_texts: list[GroundedText], queries: list[str]
) -> Json:
    """Why a candidate ended, and what it is grounded in: sources and the queries of searches."""
    out: Json = {"finishReason": render_finish(response.finish)}
    if response.finish.explanation:
        out["finishMessage"] = response.finish.explanation
    grounding = google_fields(response.extra, "grounding") | render_grounding(grounded_texts)
    if queries:
        grounding["webSearchQueries"] = queries
    if grounding:
        out["groundingMetadata"] = grounding
    return out


def render_identifiers(context: ResponseContext) -> Json:
    """The model and response id of every response and chunk."""
    return {"modelVersion": context.model, "responseId": context.id}


def render_part(
    part: Part, path: str, context: ResponseContext, report: list[Adaptation]
) -> list[Json]:
    """A client's parts for one part of the response."""
    match part:
        case Text() | Refusal():
            return [{"text": part.text}] if part.text else []
        case Reasoning():
            return render_reasoning(part, context)
        case ToolCall():
            return [render_function_call(part, path, report)]
        case Native() if part.dialect == NAME:
            return [part.data]
        case Native() if parts := render_gemini_parts(part.data):
            run = read_code(part.data)
            if run is not None and run.language == "bash":
                report.append(approximated_field(path, "a shell command; Gemini names only Python"))
            losses = code_losses(part.data)
            report += [dropped_field(path, f"not shown: {loss}") for loss in losses]
            return parts
        case Native() | Image() | Document() | Audio() | ToolResult():
            report.append(dropped_field(path, "Gemini responses do not support it"))
            return []
        case _:
            assert_never(part)


def render_reasoning(part: Reasoning, context: ResponseContext) -> list[Json]:
    """Render reasoning; its signature token identifies the provider and model."""
    reasoning_text = "" if context.reasoning_display == "none" else part.text
    signature = part.signature
    if signature is not None and is_gemini(signature) and signature.kind != "thoughtSignature":
        signature = None  # the part of the call that follows carries the signature
    if signature is not None and not reasoning_text and not is_gemini(signature):
        # The provider requires the text back, so the token carries it.
        signature = hide_reasoning_text(part.text, signature)
    token = (
        render_signature(signature)
        if signature is not None and _needs_signature(signature, part)
        else None
    )
    if not reasoning_text and token is None:
        return []
    out: Json = {"text": reasoning_text}
    if reasoning_text or signature is None or not is_gemini(signature):
        out["thought"] = True
    if token is not None:
        out["thoughtSignature"] = token
    return [out]


def _needs_signature(signature: Signature, part: Reasoning) -> bool:
    """Whether there is state to return: a signature value, or reasoning of another provider."""
    foreign = bool(signature.provider) and not is_gemini(signature)
    return bool(signature.value) or part.redacted or foreign


def render_function_call(call: ToolCall, path: str, report: list[Adaptation]) -> Json:
    """Render a complete call."""
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw_arguments or ""}
    elif arguments is None:
        report.append(
            approximated_field(path, "the arguments are not a JSON object; shown as `_raw`")
        )
        arguments = {"_raw": call.raw_arguments or ""}
    out: Json = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    if call.signature is not None:
        out["thoughtSignature"] = render_signature(call.signature)
    return out


# --- citations ------------------------------------------------------------------------------------
#
# Google's offsets count bytes of UTF-8, canonical offsets count characters.

_SOURCES = ("groundingMetadata", "citationMetadata", "urlContextMetadata")


def extract_sources(candidate: Json) -> Json | None:
    """The source metadata of a candidate; None if it has none."""
    return {name: candidate[name] for name in _SOURCES if candidate.get(name)} or None


class GroundingSearches:
    """The searches of one response; Google sends their queries with the sources, after the text."""

    def __init__(self) -> None:
        self._queries: dict[str, None] = {}
        self._urls: dict[str, None] = {}

    def add(self, metadata: Any) -> None:
        """Add the searches in a `groundingMetadata`."""
        if not isinstance(metadata, dict):
            return
        queries = list_or_empty(metadata.get("webSearchQueries"))
        self._queries |= dict.fromkeys(q for q in queries if isinstance(q, str) and q)
        for chunk in list_or_empty(metadata.get("groundingChunks")):
            web = chunk.get("web") if isinstance(chunk, dict) else None
            if isinstance(web, dict) and isinstance(web.get("uri"), str):
                self._urls[web["uri"]] = None

    def items(self, response_id: str) -> list[Json]:
        """The searches as parts that other dialects read; Google lists all sources together."""
        items: list[Json] = []
        for number, query in enumerate(self._queries):
            action: Json = {"type": "search", "query": query, "queries": [query]}
            if not items:
                action["sources"] = [{"type": "url", "url": url} for url in self._urls]
            item_id = f"ws_{response_id}_{number}"
            items.append({"type": _SEARCH, "id": item_id, "status": "completed", "action": action})
        return items


_SEARCH = "web_search_call"


def search_query(part: Part) -> str:
    """The query of a search that the provider ran; empty for any other part."""
    search = read_call(part.data) if isinstance(part, Native) else None
    return search.query if search is not None else ""


def parse_citations(sources: Json, text: str) -> list[Citation]:
    """The sources of a text."""
    citations: list[Citation] = []
    offsets = _OffsetConverter(text)
    metadata = sources.get("groundingMetadata")
    if isinstance(metadata, dict):
        chunks = list_or_empty(metadata.get("groundingChunks"))
        # Sources without supports belong to the entire text.
        every_chunk = {"groundingChunkIndices": list(range(len(chunks)))}
        for support in list_or_empty(metadata.get("groundingSupports")) or [every_chunk]:
            if isinstance(support, dict):
                citations += _parse_support(support, chunks, offsets)
    citations += _parse_recitations(sources.get("citationMetadata"), offsets)
    cited_urls = {citation.url for citation in citations}
    return citations + [
        citation
        for citation in _parse_read_pages(sources.get("urlContextMetadata"))
        if citation.url not in cited_urls
    ]


def _parse_recitations(metadata: Any, offsets: _OffsetConverter) -> list[Citation]:
    """Citations of works that the response quotes."""
    metadata = metadata if isinstance(metadata, dict) else {}
    source_objects = metadata.get("citationSources") or metadata.get("citations")
    return [
        Citation(
            url=string_or_none(source.get("uri")),
            title=string_or_none(source.get("title")),
            start=offsets.to_characters(source.get("startIndex", 0)),
            end=offsets.to_characters(source.get("endIndex")),
            dialect=NAME,
            native={"citation": source},
        )
        for source in list_or_empty(source_objects)
        if isinstance(source, dict) and isinstance(source.get("uri"), str)
    ]


def _parse_read_pages(metadata: Any) -> list[Citation]:
    """Citations of pages in the prompt that the model has read."""
    pages = metadata.get("urlMetadata") if isinstance(metadata, dict) else None
    return [
        Citation(url=page["retrievedUrl"], dialect=NAME, native={"page": page})
        for page in list_or_empty(pages)
        if isinstance(page, dict)
        and isinstance(page.get("retrievedUrl"), str)
        and str(page.get("urlRetrievalStatus")).endswith("SUCCESS")
    ]


def _parse_support(support: Json, chunks: list[Any], offsets: _OffsetConverter) -> list[Citation]:
    segment = support.get("segment")
    segment = segment if isinstance(segment, dict) else {}
    start = offsets.to_characters(segment.get("startIndex", 0))
    end = offsets.to_characters(segment.get("endIndex"))
    quote = string_or_none(segment.get("text"))
    if quote is not None and not offsets.delimit(quote, start, end):
        start = end = None  # they count in another part
    citations = []
    for chunk_index in list_or_empty(support.get("groundingChunkIndices")):
        chunk = (
            chunks[chunk_index]
            if type(chunk_index) is int and 0 <= chunk_index < len(chunks)
            else None
        )
        source = _chunk_source(chunk)
        if source is None:
            continue
        citations.append(
            Citation(
                url=string_or_none(source.get("uri")),
                title=string_or_none(source.get("title")),
                quote=quote,
                start=start,
                end=end,
                dialect=NAME,
                native={"chunk": chunk, "segment": segment},
            )
        )
    return citations


def _chunk_source(chunk: Any) -> Json | None:
    """The source in a chunk: a page, a document of the caller, a location on the map."""
    if not isinstance(chunk, dict):
        return None
    return next((value for value in chunk.values() if isinstance(value, dict)), None)


class _OffsetConverter:
    """Converts offsets in one text between characters and bytes of UTF-8."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._length = len(text)
        # Byte offset of each character's end; None if the text is ASCII.
        self._character_ends: list[int] | None = None
        if not text.isascii():
            sizes = (len(character.encode("utf-8", "replace")) for character in text)
            self._character_ends = list(accumulate(sizes))

    def to_characters(self, byte_offset: Any) -> int | None:
        """The characters before a byte offset; None for an invalid offset."""
        if type(byte_offset) is not int or byte_offset < 0:
            return None
        return (
            min(byte_offset, self._length)
            if self._character_ends is None
            else bisect_right(self._character_ends, byte_offset)
        )

    def delimit(self, quote: str, start: int | None, end: int | None) -> bool:
        """Whether the characters between two offsets are a quotation, or a part of it."""
        segment = self._text[start:end]
        return bool(segment) and (segment in quote or quote in segment)

    def to_bytes(self, character_offset: int) -> int:
        """The bytes before a character offset; a negative one counts from the end."""
        character_offset = (
            max(0, character_offset + self._length)
            if character_offset < 0
            else min(character_offset, self._length)
        )
        if self._character_ends is None or character_offset == 0:
            return character_offset
        return self._character_ends[character_offset - 1]


class GroundedText(msgspec.Struct, frozen=True):
    """A source of a text of the response, which follows `preceding_bytes` of other texts."""

    citation: Citation
    text: str
    preceding_bytes: int


def render_grounding(grounded_texts: Sequence[GroundedText]) -> Json:
    """The `groundingMetadata` for sources; empty if there are none."""
    # Each distinct chunk with its index.
    chunks: dict[bytes, tuple[int, Json]] = {}
    supports: list[Json] = []
    offsets, measured_text = _OffsetConverter(""), ""
    for grounded_text in grounded_texts:
        if grounded_text.text is not measured_text:
            offsets, measured_text = _OffsetConverter(grounded_text.text), grounded_text.text
        chunk = _render_chunk(grounded_text.citation)
        if chunk is None:
            continue
        chunk_index, _ = chunks.setdefault(msgspec.json.encode(chunk), (len(chunks), chunk))
        support: Json = {"groundingChunkIndices": [chunk_index]}
        if (segment := _render_segment(grounded_text, offsets)) is not None:
            support["segment"] = segment
        supports.append(support)
    if not supports:
        return {}
    grounding_chunks = [chunk for _, chunk in chunks.values()]
    return {"groundingChunks": grounding_chunks, "groundingSupports": supports}


def _render_chunk(citation: Citation) -> Json | None:
    if citation.dialect == NAME and isinstance(citation.native.get("chunk"), dict):
        native: Json = citation.native["chunk"]
        return native
    if citation.url is None:
        return None
    web: Json = {"uri": citation.url}
    if citation.title is not None:
        web["title"] = citation.title
    return {"web": web}


def _render_segment(grounded_text: GroundedText, offsets: _OffsetConverter) -> Json | None:
    """The segment of the response that a citation covers; all of it if it has no offsets."""
    citation, text = grounded_text.citation, grounded_text.text
    if citation.dialect == NAME and isinstance(citation.native.get("segment"), dict):
        native: Json = citation.native["segment"]
        return native
    start = citation.start or 0
    end = len(text) if citation.end is None else citation.end
    if not text[start:end]:
        return None
    return {
        "startIndex": grounded_text.preceding_bytes + offsets.to_bytes(start),
        "endIndex": grounded_text.preceding_bytes + offsets.to_bytes(end),
        "text": text[start:end],
    }


def utf8_length(text: str) -> int:
    """The length of a text in bytes of UTF-8, the unit of Google's offsets."""
    return len(text.encode("utf-8", "replace"))


# --- log probabilities ----------------------------------------------------------------------------


def parse_logprobs(logprobs_result: Any) -> list[Json]:
    """The tokens of a response, each with its top alternatives."""
    result_fields = logprobs_result if isinstance(logprobs_result, dict) else {}
    top_candidates = [
        dict_items(position.get("candidates"))
        for position in dict_items(result_fields.get("topCandidates"))
    ]
    chosen_candidates = dict_items(result_fields.get("chosenCandidates"))
    top_candidates += [[]] * (len(chosen_candidates) - len(top_candidates))
    return [
        _parse_candidate(candidate, alternatives)
        for candidate, alternatives in zip(chosen_candidates, top_candidates, strict=False)
    ]


def _parse_candidate(candidate: Json, alternatives: list[Json]) -> Json:
    alternative_tokens = [_parse_candidate(alternative, []) for alternative in alternatives]
    return build_token(candidate.get("token"), candidate.get("logProbability"), alternative_tokens)


def render_logprobs(tokens: list[Json]) -> Json:
    """The `logprobsResult` for a client."""
    top_candidates = [
        {
            "candidates": [
                _render_candidate(alternative)
                for alternative in token_object.get("top_logprobs", [])
            ]
        }
        for token_object in tokens
    ]
    chosen_candidate: Json = {
        "chosenCandidates": [_render_candidate(token_object) for token_object in tokens]
    }
    return (
        {**chosen_candidate, "topCandidates": top_candidates}
        if any(token_object["candidates"] for token_object in top_candidates)
        else chosen_candidate
    )


def _render_candidate(token_object: Json) -> Json:
    return {"token": token_object.get("token"), "logProbability": token_object.get("logprob")}


# --- finish reasons -------------------------------------------------------------------------------

# `finishReason` -> canonical; any other value is read as a normal stop, and reported.
_FINISH_REASONS: dict[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "ESCALATION",
            "PUP_LIMITED_DISABLED",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
        ),
        "filter",
    ),
    **dict.fromkeys(
        (
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS",
            "MISSING_THOUGHT_SIGNATURE",
            "MALFORMED_RESPONSE",
            "NO_IMAGE",
            "IMAGE_OTHER",
        ),
        "malformed",
    ),
}
_GOOGLE_REASONS = {
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "filter": "SAFETY",
    "refusal": "SAFETY",
}


def parse_finish(
    finish_reason: str, message: Any, *, has_tool_call: bool, is_empty: bool
) -> Finish:
    """The canonical reason; a stop after calls is the reason `tool`."""
    reason: Any = _FINISH_REASONS.get(finish_reason, "stop")
    if finish_reason == "OTHER" and is_empty:
        reason = "malformed"
    if reason == "stop" and has_tool_call:
        reason = "tool"
    explanation = message if isinstance(message, str) and message else None
    if reason == "malformed" and explanation is None:
        explanation = f"the model's response ended with {finish_reason}"
    category = finish_reason if reason == "filter" else None
    unknown = None if finish_reason == "OTHER" else unknown_reason(finish_reason, _FINISH_REASONS)
    return Finish(reason=reason, explanation=explanation, category=category, unknown=unknown)


def render_finish(finish: Finish) -> str:
    """The `finishReason`; a Google filter keeps its name."""
    if finish.reason == "filter" and _FINISH_REASONS.get(finish.category or "") == "filter":
        return finish.category or ""
    return _GOOGLE_REASONS.get(finish.reason, "STOP")


# --- usage ----------------------------------------------------------------------------------------


def parse_usage(usage: Any) -> Usage | None:
    """The tokens in a `usageMetadata`; None if it has no counts."""
    if not isinstance(usage, dict) or not usage:
        return None
    prompt_tokens = token_count(usage, "promptTokenCount")
    cached_tokens = token_count(usage, "cachedContentTokenCount")
    tool_tokens = token_count(usage, "toolUsePromptTokenCount")
    reasoning_tokens = token_count(usage, "thoughtsTokenCount")
    answer_tokens = token_count(usage, "candidatesTokenCount")
    output_counts = [count for count in (answer_tokens, reasoning_tokens) if count is not None]
    uncached_tokens = (
        None
        if prompt_tokens is None
        else max(0, prompt_tokens - (cached_tokens or 0)) + (tool_tokens or 0)
    )
    return Usage(
        input=uncached_tokens,
        cache_read=cached_tokens,
        output=sum(output_counts) if output_counts else None,
        reasoning=reasoning_tokens,
        native=usage,
    )


def render_usage(usage: Usage | None) -> Json | None:
    """The `usageMetadata` for a client, without unknown counts."""
    if usage is None or (usage.prompt_tokens is None and usage.output is None):
        return None
    out: Json = {}
    if usage.prompt_tokens is not None:
        out["promptTokenCount"] = usage.prompt_tokens
    if usage.cache_read is not None:
        out["cachedContentTokenCount"] = usage.cache_read
    if usage.output is not None:
        out["candidatesTokenCount"] = max(0, usage.output - (usage.reasoning or 0))
    if usage.reasoning is not None:
        out["thoughtsTokenCount"] = usage.reasoning
    out["totalTokenCount"] = (usage.prompt_tokens or 0) + (usage.output or 0)
    return out | usage_details(usage.native)
