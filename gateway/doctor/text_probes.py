"""Probes of text: responses, streams, instructions, limits, sampling, errors."""

from __future__ import annotations

from gateway.canon.request import Sampling, Text, Turn
from gateway.doctor import judges as on
from gateway.doctor.request_parts import assume_stops, assume_traits, request_of, user
from gateway.doctor.values import Probe

RESPONSES, INSTRUCTIONS, SAMPLING, ERRORS = "Responses", "Instructions", "Sampling", "Errors"
LIMIT = 32
_HELLO = "Say the word hello."
_ODD = ("漢字", "naïve", "🧑‍🚀")
_CAPITAL = "What is the capital of France? Answer in one sentence."
_LINE = "alpha beta gamma delta epsilon"
_MOTTO = "Whatever you are asked, answer with the single word MARIGOLD and nothing else."
_LONG_TEXT = "lorem " * 2_000

PLAIN_RESPONSE = Probe(
    name="plain",
    group=RESPONSES,
    title="Plain response",
    summary="A one-word response, not streamed.",
    criterion="Any text with a finish reason. If this fails, the other checks are skipped.",
    request=request_of(_HELLO),
    judge=on.supported_if_any_response,
)
TEXT_PROBES = (
    PLAIN_RESPONSE,
    Probe(
        name="stream",
        group=RESPONSES,
        title="Stream",
        summary="A short response, streamed.",
        criterion="Text in chunks, with a finish reason.",
        request=request_of(_HELLO, stream=True),
        judge=on.streams,
    ),
    Probe(
        name="stream_usage",
        group=RESPONSES,
        title="Usage in a stream",
        summary="A stream that reports token usage at the end.",
        criterion="Both input and output tokens.",
        request=request_of(_HELLO, stream=True, include_usage=True),
        assume=assume_traits(stream_options=True),
        judge=on.counts_in_stream,
    ),
    Probe(
        name="max_tokens",
        group=RESPONSES,
        title="Output token limit",
        summary=f"Counting to three hundred in words, with a limit of {LIMIT} tokens.",
        criterion="Finish reason `length`, and about as many tokens as allowed.",
        request=request_of("Count from one to three hundred in words.", max_output=LIMIT),
        required_paths=("max_output",),
        judge=on.ends_at_token_limit(LIMIT),
    ),
    Probe(
        name="unicode",
        group=RESPONSES,
        title="Unicode and emoji",
        summary=f"Repeating {' '.join(_ODD)} in a stream.",
        criterion="All characters intact, even if chunks split them.",
        request=request_of(f'Repeat exactly and say nothing else: "{" ".join(_ODD)}"', stream=True),
        judge=on.preserves(*_ODD),
    ),
    Probe(
        name="long_line",
        group=RESPONSES,
        title="Long line",
        summary=f"A prompt with a line of {len(_LONG_TEXT):,} characters, then a word to repeat.",
        criterion="The word is repeated.",
        request=request_of(
            _LONG_TEXT, "Leave the line above aside. Say only this word: COBALT", stream=True
        ),
        judge=on.response_contains("cobalt"),
    ),
    Probe(
        name="count_tokens",
        group=RESPONSES,
        title="Token counting",
        summary="The number of tokens of a prompt, from the provider's token counting API.",
        criterion="A number above 0.",
        request=request_of(_HELLO, max_output=None),
        verb="count_tokens",
        assume=assume_traits(count_tokens="endpoint"),
        judge=on.supported_if_counted,
    ),
    Probe(
        name="system",
        group=INSTRUCTIONS,
        title="System prompt",
        summary="An instruction to always answer MARIGOLD, then a question.",
        criterion="MARIGOLD in the response.",
        request=request_of(_CAPITAL, instructions=(Text(text=_MOTTO, path="system"),)),
        required_paths=("system",),
        judge=on.response_contains("marigold"),
    ),
    Probe(
        name="many_systems",
        group=INSTRUCTIONS,
        title="Several system prompts",
        summary="Two system messages with one code word each; both words are requested.",
        criterion="Both words in the response.",
        request=request_of(
            "Which are the names of the two boats? Say only the names.",
            instructions=(
                Text(text="The name of the first boat is MARIGOLD.", path="system"),
                Text(text="The name of the second boat is COBALT.", path="system"),
            ),
        ),
        required_paths=("system",),
        judge=on.response_contains("marigold", "cobalt"),
    ),
    Probe(
        name="mid_system",
        group=INSTRUCTIONS,
        title="System message in the conversation",
        summary="A system message after the second question.",
        criterion="It is accepted and followed: MARIGOLD in the response.",
        request=request_of(
            turns=(
                user(_CAPITAL),
                Turn(role="assistant", parts=(Text(text="It is Paris."),)),
                user("And of Italy?"),
                Turn(role="system", parts=(Text(text=_MOTTO, path="turns"),), path="turns"),
            )
        ),
        assume=assume_traits(mid_system=True),
        required_paths=("turns",),
        judge=on.response_contains("marigold"),
    ),
    Probe(
        name="prefill",
        group=INSTRUCTIONS,
        title="Prefilled response",
        summary="A conversation that ends with the beginning of an assistant message.",
        criterion="The model continues the message instead of starting over.",
        request=request_of(
            turns=(
                user("Name the capital of France."),
                Turn(
                    role="assistant",
                    parts=(Text(text="The capital of France is the city of", path="turns"),),
                    path="turns",
                ),
            )
        ),
        assume=assume_traits(prefill=True),
        required_paths=("turns",),
        judge=on.continues_text("The capital", "Paris"),
    ),
    Probe(
        name="stop",
        group=SAMPLING,
        title="Stop sequences",
        summary=f"To repeat “{_LINE}”, with “delta” as a stop sequence.",
        criterion="The response ends before delta.",
        request=request_of(
            f"Repeat this line and say nothing else: {_LINE}", sampling=Sampling(stop=("delta",))
        ),
        assume=assume_stops,
        required_paths=("stop",),
        judge=on.stops_before_term("delta", "gamma"),
    ),
    Probe(
        name="temperature",
        group=SAMPLING,
        title="Temperature",
        summary="A plain response at temperature 0.2.",
        criterion="The request is accepted.",
        request=request_of(_HELLO, sampling=Sampling(temperature=0.2)),
        assume=assume_traits(sampling=True),
        required_paths=("temperature",),
        judge=on.supported_if_accepted,
    ),
    Probe(
        name="seed",
        group=SAMPLING,
        title="Seed",
        summary="A plain response with a seed.",
        criterion="The request is accepted.",
        request=request_of(_HELLO, sampling=Sampling(seed=7)),
        assume=assume_traits(seed=True),
        required_paths=("seed",),
        judge=on.supported_if_accepted,
    ),
    Probe(
        name="penalties",
        group=SAMPLING,
        title="Penalties",
        summary="A plain response with a presence penalty of 0.5.",
        criterion="The request is accepted.",
        request=request_of(_HELLO, sampling=Sampling(presence_penalty=0.5)),
        assume=assume_traits(penalties=True),
        required_paths=("presence_penalty",),
        judge=on.supported_if_accepted,
    ),
    Probe(
        name="unknown_model",
        group=ERRORS,
        title="Unknown model",
        summary="A model that does not exist.",
        criterion=(
            "An error classified as unknown model. Servers that ignore the name answer instead."
        ),
        request=request_of(_HELLO),
        model="no-such-model-by-the-doctor",
        expects_error=True,
        judge=on.refuses("not_found", "invalid_request"),
    ),
    Probe(
        name="bad_parameter",
        group=ERRORS,
        title="Invalid parameter",
        summary="A plain response at temperature 99.",
        criterion="An error classified as an invalid parameter.",
        request=request_of(_HELLO, sampling=Sampling(temperature=99.0)),
        assume=assume_traits(sampling=True, temperature_max=1000.0),
        required_paths=("temperature",),
        expects_error=True,
        judge=on.refuses("invalid_request", "unsupported_param"),
    ),
)
