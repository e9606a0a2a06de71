"""How answers are judged: pure functions of what was heard."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.canon.events import BlockEnd, BlockStart, Delta
from gateway.canon.request import Reasoning, Refusal, Text, ToolCall
from gateway.relay.doctor.values import Heard, Judge, Judged, Probe

# Failures that say nothing about what was asked.
_PASSING = {
    "rate_limit": "it was over its rate limit",
    "quota": "its account has no credit left",
    "overloaded": "it was overloaded",
    "timeout": "it took too long",
    "upstream_auth": "it did not accept the credential",
    "content_policy": "its filter stopped the question",
}
_REFUSED_FROM, _REFUSED_TO = 400, 500
# Who knows thinking by yes and no alone has been asked for it all the same.
_ROUGHLY = ("effort",)
# Characters of an answer that are quoted.
QUOTED = 160


def judge(probe: Probe, heard: Heard) -> Judged:
    """The verdict on what a probe brought."""
    lost = next((a for a in heard.report if _carried(probe, a.path, a.action)), None)
    if lost is not None:
        return Judged("unclear", f"not asked: {lost.why}")
    if heard.error is not None:
        told = _of_error(heard)
        if told.verdict == "unclear" or not probe.errors:
            return told
        return probe.judge(heard)
    if probe.follow is not None and heard.before is None:
        return _no_second(heard)
    return probe.judge(heard)


def _carried(probe: Probe, path: str, action: str) -> bool:
    """Whether a record tells of something that had to arrive as it is."""
    if action == "approximated" and path.startswith(_ROUGHLY):
        return False
    return action != "defaulted" and bool(probe.carries) and path.startswith(probe.carries)


def _of_error(heard: Heard) -> Judged:
    error = heard.error
    assert error is not None
    said = error.message
    why = _PASSING.get(error.kind)
    if why is not None:
        return Judged("unclear", f"{why}: {said}")
    if error.status is None:
        # Raised before anything was sent, or the answer is not what its dialect promises.
        unsaid = error.kind in {"invalid_request", "unsupported_param"}
        return Judged("unclear", f"not asked: {said}") if unsaid else Judged("wrong", said)
    if _REFUSED_FROM <= error.status < _REFUSED_TO:
        return Judged("refused", f"{said} (HTTP {error.status})")
    return Judged("unclear", f"it failed: {said} (HTTP {error.status})")


def _no_second(heard: Heard) -> Judged:
    said = _quoted(words_of(heard))
    return Judged("unclear", f"it called no tool, so there was nothing to answer it; {said}")


# --- reading an answer ------------------------------------------------------------------


def words_of(heard: Heard) -> str:
    """The text of the answer, refusals included."""
    parts = heard.response.parts if heard.response else ()
    return "".join(part.text for part in parts if isinstance(part, Text | Refusal)).strip()


def calls_of(heard: Heard) -> list[ToolCall]:
    """The tool calls of the answer."""
    parts = heard.response.parts if heard.response else ()
    return [part for part in parts if isinstance(part, ToolCall)]


def _quoted(text: str, near: str = "") -> str:
    """The answer's words, cut to a line; `near` is a word that must stay in sight."""
    line = " ".join(text.split())
    if not line:
        return "it said nothing"
    at = line.lower().find(near.lower()) if near else 0
    start = max(at - QUOTED // 2, 0) if at + len(near) > QUOTED else 0
    cut = line[start : start + QUOTED]
    return f"it said “{'…' * (start > 0)}{cut}{'…' * (start + QUOTED < len(line))}”"


def _reason(heard: Heard) -> str:
    return heard.response.finish.reason if heard.response else ""


# --- words ------------------------------------------------------------------------------


def answered(heard: Heard) -> Judged:
    """Any words at all, or a call, with a proper end."""
    if not words_of(heard) and not calls_of(heard):
        return Judged("wrong", f"an answer without words, finish {_reason(heard)}")
    return Judged("supported", _quoted(words_of(heard)))


def accepted(heard: Heard) -> Judged:
    """It did not refuse."""
    return Judged("supported", _quoted(words_of(heard)))


def says(*wanted: str) -> Judge:
    """All of these in the answer, in any case of letters."""

    def judged(heard: Heard) -> Judged:
        text = words_of(heard)
        missing = [word for word in wanted if word.lower() not in text.lower()]
        if not missing:
            return Judged("supported", _quoted(text, wanted[0]))
        return Judged("wrong", f"no “{missing[0]}”: {_quoted(text)}")

    return judged


def says_one_of(*wanted: str) -> Judge:
    """One of these words in the answer."""
    word = re.compile(rf"\b(?:{'|'.join(wanted)})\b", re.IGNORECASE)

    def judged(heard: Heard) -> Judged:
        text = words_of(heard)
        found = word.search(text) is not None
        return Judged("supported" if found else "wrong", _quoted(text))

    return judged


def streams(heard: Heard) -> Judged:
    """A stream with text and a proper end."""
    if not heard.streamed:
        return Judged("wrong", "a stream was asked for, and one whole answer came")
    pieces = sum(isinstance(event, Delta) for event in heard.events)
    if not pieces:
        return Judged("wrong", "a stream without any text")
    return Judged("supported", f"{pieces} pieces, finish {_reason(heard)}")


def counts_in_stream(heard: Heard) -> Judged:
    """A stream that says its tokens."""
    if not heard.streamed:
        return Judged("unclear", "the answer was no stream")
    usage = heard.response.usage if heard.response else None
    if usage is None or usage.prompt is None or usage.output is None:
        return Judged("wrong", "a stream without the number of its tokens")
    return Judged("supported", f"{usage.prompt} tokens in, {usage.output} out")


def stays_within(limit: int) -> Judge:
    """An answer that ends for its length, at about `limit` tokens."""

    def judged(heard: Heard) -> Judged:
        usage = heard.response.usage if heard.response else None
        used = usage.output if usage else None
        told = f"finish {_reason(heard)}, {used if used is not None else 'unknown'} tokens out"
        if used is not None and used > limit * 2:
            return Judged("wrong", f"{told} where {limit} were allowed")
        if _reason(heard) == "length":
            return Judged("supported", told)
        return Judged("wrong" if used is not None and used >= limit else "unclear", told)

    return judged


def stops_before(word: str, after: str) -> Judge:
    """Text that has come as far as `after` and ends before `word`."""

    def judged(heard: Heard) -> Judged:
        text = words_of(heard)
        if word in text:
            return Judged("wrong", f"it went past “{word}”: {_quoted(text)}")
        if after not in text:
            return Judged("unclear", f"it wrote something else: {_quoted(text)}")
        return Judged("supported", _quoted(text, after))

    return judged


def keeps(*wanted: str) -> Judge:
    """These characters unharmed."""

    def judged(heard: Heard) -> Judged:
        text = words_of(heard)
        if "\ufffd" in text:
            return Judged("wrong", f"broken characters: {_quoted(text)}")
        whole = all(word in text for word in wanted)
        return Judged("supported" if whole else "unclear", _quoted(text, wanted[0]))

    return judged


def goes_on(start: str, end: str) -> Judge:
    """Text that goes on from a begun answer, and does not begin again."""

    def judged(heard: Heard) -> Judged:
        text = words_of(heard)
        begun_again = text.lower().startswith(start.lower())
        good = end.lower() in text.lower()[: len(end) + 20] and not begun_again
        return Judged("supported" if good else "wrong", _quoted(text))

    return judged


def counted(heard: Heard) -> Judged:
    """A number of tokens."""
    if not heard.count:
        return Judged("wrong", "it counted nothing")
    return Judged("supported", f"{heard.count} tokens")


# --- tools ------------------------------------------------------------------------------


def calls(name: str, *, least: int = 1, needs: str = "") -> Judge:
    """At least so many calls of a tool, each with an object; `needs` is a field of it."""

    def judged(heard: Heard) -> Judged:
        made = calls_of(heard)
        if not made:
            return Judged("wrong", f"no call: {_quoted(words_of(heard))}")
        other = next((call.name for call in made if call.name != name), None)
        if other is not None:
            return Judged("wrong", f"it called {other}, which is not on offer")
        bad = next((call for call in made if call.arguments is None), None)
        if bad is not None:
            return Judged("wrong", f"arguments that are no JSON object: {bad.raw}")
        if needs and any(needs not in (call.arguments or {}) for call in made):
            return Judged("wrong", f"arguments without {needs}: {_shown(made)}")
        if len(made) < least:
            return Judged("unclear", f"{len(made)} call where {least} were asked for")
        return Judged("supported", _shown(made))

    return judged


def calls_bare(name: str) -> Judge:
    """A call of a tool without parameters, with an empty object."""
    called = calls(name)

    def judged(heard: Heard) -> Judged:
        found = called(heard)
        made = calls_of(heard)
        if found.verdict == "supported" and any(call.arguments for call in made):
            return Judged("wrong", f"arguments for a tool that takes none: {_shown(made)}")
        return found

    return judged


def calls_once(name: str) -> Judge:
    """One call of a tool, where two things were asked for."""
    called = calls(name)

    def judged(heard: Heard) -> Judged:
        found, made = called(heard), calls_of(heard)
        if found.verdict == "supported" and len(made) > 1:
            return Judged("wrong", f"{len(made)} calls at once, though it was told not to")
        return found if made else Judged("unclear", found.words)

    return judged


def calls_none(heard: Heard) -> Judged:
    """Words in place of a call."""
    made = calls_of(heard)
    if made:
        return Judged("wrong", f"it called {made[0].name} though it must not")
    return answered(heard)


def calls_in_pieces(name: str) -> Judge:
    """A call in a stream, its arguments whole in the end."""
    called = calls(name, needs="text")

    def judged(heard: Heard) -> Judged:
        if not heard.streamed:
            return Judged("unclear", "the answer was no stream")
        found = called(heard)
        if found.verdict != "supported":
            return found
        return Judged("supported", f"arguments in {_argument_pieces(heard)} pieces")

    return judged


def _argument_pieces(heard: Heard) -> int:
    """How many deltas the calls of a stream came in."""
    inside, pieces = False, 0
    for event in heard.events:
        if isinstance(event, BlockStart):
            inside = event.kind == "tool_call"
        elif isinstance(event, BlockEnd):
            inside = False
        elif isinstance(event, Delta):
            pieces += inside
    return pieces


def keeps_ids(*wanted: str) -> Judge:
    """Calls whose ids differ, and results that were found by them."""
    told = says(*wanted)

    def judged(heard: Heard) -> Judged:
        made = calls_of(heard.before) if heard.before else []
        ids = [call.id for call in made]
        if not all(ids) or len(set(ids)) != len(ids):
            return Judged("wrong", f"calls with the ids {', '.join(ids) or 'none'}")
        if len(ids) < 2:
            return Judged("unclear", "one call only, so that no two ids could be mixed up")
        return told(heard)

    return judged


def _shown(made: list[ToolCall]) -> str:
    lines = (f"{c.name}({msgspec.json.encode(c.arguments).decode()[:80]})" for c in made)
    return "; ".join(lines)


# --- forms and thinking -----------------------------------------------------------------


def json_object(heard: Heard) -> Judged:
    """A JSON object and nothing else."""
    text = words_of(heard)
    found = _decoded(text)
    return Judged("supported" if isinstance(found, dict) else "wrong", _quoted(text))


def json_of(fields: dict[str, type], **choices: tuple[str, ...]) -> Judge:
    """A JSON object of exactly these fields; `choices` are the words a field may have."""

    def judged(heard: Heard) -> Judged:
        text = words_of(heard)
        found = _decoded(text)
        if not isinstance(found, dict):
            return Judged("wrong", f"no JSON object: {_quoted(text)}")
        fits = set(found) == set(fields) and all(
            isinstance(found[name], kind) for name, kind in fields.items()
        )
        fits = fits and all(found[name] in words for name, words in choices.items())
        return Judged("supported" if fits else "wrong", _quoted(text))

    return judged


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def thinks(heard: Heard) -> Judged:
    """Thoughts that can be seen."""
    parts = heard.response.parts if heard.response else ()
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    shown = "".join(part.text for part in thoughts).strip()
    if shown:
        return Judged("supported", f"it thought “{' '.join(shown.split())[:120]}”")
    usage = heard.response.usage if heard.response else None
    if thoughts or (usage and usage.reasoning):
        tokens = usage.reasoning if usage else None
        return Judged("supported", f"it thinks ({tokens or 'some'} tokens), and does not show it")
    return Judged("wrong", f"no thought: {_quoted(words_of(heard))}")


def caches(heard: Heard) -> Judged:
    """A cache mark that is taken; better, tokens that were written or read."""
    usage = heard.response.usage if heard.response else None
    moved = (usage.cache_write or 0) + (usage.cache_read or 0) if usage else 0
    if moved:
        return Judged("supported", f"{moved} tokens written to or read from the cache")
    return Judged("supported", "taken; no tokens were written to the cache")


# --- errors -----------------------------------------------------------------------------


def refuses(*kinds: str) -> Judge:
    """An error of one of these kinds, with words."""

    def judged(heard: Heard) -> Judged:
        error = heard.error
        if error is None:
            return Judged("wrong", f"it took it: {_quoted(words_of(heard))}")
        told = f"{error.message} (HTTP {error.status})"
        if error.kind in kinds and error.message and error.status is not None:
            return Judged("supported", told)
        return Judged("wrong", f"reads as {error.kind}: {told}")

    return judged
