"""Translation time is linear in the number of items of a request or response.

`python -m tests.dialects.test_scaling [n]` measures every client with every provider; the
tests combine each kind of item with one of the providers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from gateway.canon.adaptation import adaptation_rows
from gateway.canon.errors import GatewayError
from gateway.canon.fold import fold_events
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.providers.capabilities import edits_for, traits_for
from gateway.providers.edits import apply
from gateway.providers.profile import Edit
from gateway.relay.cache.key import canonical_json
from gateway.relay.exchange.reasoning_turns import (
    drop_state,
    keys_in,
    restore_state,
    turns_missing_state,
)
from gateway.relay.exchange.token_count import estimate_request_tokens
from gateway.relay.exchange.usage import UsageTap
from gateway.relay.journal.segments import encode_record
from gateway.relay.translate.media_parts import parts_to_fetch
from tests.dialects.crossing.upstreams import UPSTREAMS
from tests.dialects.scaling import growth
from tests.dialects.scaling_clients import REQUESTS
from tests.dialects.scaling_streams import RESPONSE_EVENTS, STREAMS
from tests.store.factories import make_record

SMALL, FACTOR = 400, 4
# A square would be 16; what is linear is near 4 on any machine.
MAX_RATIO = 1.75 * FACTOR
EXCHANGE = ResponseContext(id="1", created=1, model="m", include_usage=True)
Work = Callable[[], object]


class Target:
    """A target that requests are rendered for."""

    def __init__(self, dialect: str, preset: str, model: str, **changes: Any) -> None:
        self.name = f"{preset}/{model}"
        self.dialect = dialect
        self.traits: Traits = msgspec.structs.replace(traits_for(preset, model), **changes)
        self.edits = edits_for(preset, model)


TARGETS = [
    *(Target(u.dialect, u.preset, u.model(""), **u.changes) for u in UPSTREAMS.values()),
    Target("openai_chat", "mistral", "mistral-large-latest"),
    Target("openai_chat", "openai", "gpt-5", responses=False),
    Target("bedrock_converse", "bedrock", "amazon.nova-pro-v1:0"),
]


def _targets(number: int) -> list[Target]:
    return [TARGETS[(number * 5 + 3) % len(TARGETS)]]


def _parsing(client: str, kind: str) -> Callable[[int], Work]:
    def prepare(n: int) -> Work:
        body = REQUESTS[client][kind](n)
        return lambda: DIALECTS[client].client.parse_request(body, {})

    return prepare


def _rendering(client: str, kind: str, target: Target) -> Callable[[int], Work]:
    """Return the work per n items of rendering, profile edits, encoding and the log record."""

    def prepare(n: int) -> Work:
        request = DIALECTS[client].client.parse_request(REQUESTS[client][kind](n), {})

        def work() -> object:
            rendered_request = DIALECTS[target.dialect].provider.render_request(
                request, target.traits
            )
            body, report = apply(target.edits, rendered_request.body)
            rows = adaptation_rows((*rendered_request.report, *report))
            return msgspec.json.encode(body), encode_record(make_record(adaptations=rows))

        return work

    return prepare


def _superlinear(
    works: Iterator[tuple[str, Callable[[int], Work]]], small: int
) -> dict[str, float]:
    """Return the growth of each work that grows faster than its items."""
    ratios = ((name, growth(prepare, small, FACTOR)) for name, prepare in works)
    return {name: round(ratio, 1) for name, ratio in ratios if ratio > MAX_RATIO}


def _requests(
    client: str, targets: Callable[[int], list[Target]]
) -> Iterator[tuple[str, Callable[[int], Work]]]:
    for index, kind in enumerate(REQUESTS[client]):
        yield f"{client}: {kind}", _parsing(client, kind)
        try:
            _parsing(client, kind)(2)()
        except GatewayError:
            continue
        for target in targets(index):
            yield f"{client}: {kind} -> {target.name}", _rendering(client, kind, target)


def _relay_work() -> Iterator[tuple[str, Callable[[int], Work]]]:
    """Yield the work per n items of cache keys, token counts, reasoning, media and edits."""
    deepseek = traits_for("deepseek", "deepseek-v4-pro")
    paths = ("messages[].name", "messages[].tool_calls[].id", "tools[].x", "temperature")
    edits = tuple(Edit(op="drop", path=path) for path in paths)
    works: dict[str, Callable[[Request, dict[str, Any]], object]] = {
        "cache key": lambda request, _: msgspec.json.encode(canonical_json(request)),
        "token count": lambda request, _: estimate_request_tokens(request),
        "reasoning": lambda request, _: list(
            keys_in(request, "", turns_missing_state(request, text_suffices=False))
        ),
        "state": lambda request, _: drop_state(restore_state(request, {})),
        "media": lambda request, _: parts_to_fetch(request, DIALECTS["openai_chat"], deepseek),
        "edits": lambda _, body: apply(edits, body),
    }
    for kind in ("calls in messages", "thoughts with calls", "image addresses", "tools", "turns"):
        for name, measured in works.items():

            def prepare(n: int, kind: str = kind, measured: Any = measured) -> Work:
                body = REQUESTS["openai_chat"][kind](n)
                request = DIALECTS["openai_chat"].client.parse_request(body, {})
                return lambda: measured(request, body)

            yield f"{name}: {kind}", prepare


def _streams() -> Iterator[tuple[str, Callable[[int], Work]]]:
    for dialect, kinds in STREAMS.items():
        for kind in kinds:

            def prepare(n: int, dialect: str = dialect, kind: str = kind) -> Work:
                traits = traits_for(dialect, "m")
                frames = STREAMS[dialect][kind](n)

                def work() -> object:
                    parser, tap = DIALECTS[dialect].provider.stream_parser(traits, None), UsageTap()
                    for frame in frames:
                        tap.feed(parser.feed(frame))
                    tap.feed(parser.close())
                    return tap

                return work

            yield f"stream of {dialect}: {kind}", prepare


def _rendering_work() -> Iterator[tuple[str, Callable[[int], Work]]]:
    for dialect in REQUESTS:
        for kind in RESPONSE_EVENTS:

            def streamed(n: int, dialect: str = dialect, kind: str = kind) -> Work:
                events = RESPONSE_EVENTS[kind](n)

                def work() -> object:
                    renderer = DIALECTS[dialect].client.stream_renderer(EXCHANGE)
                    return [renderer.feed(event) for event in events]

                return work

            def whole(n: int, dialect: str = dialect, kind: str = kind) -> Work:
                events = RESPONSE_EVENTS[kind](n)
                return lambda: DIALECTS[dialect].client.render_response(
                    fold_events(events), EXCHANGE
                )

            yield f"stream for {dialect}: {kind}", streamed
            yield f"answer for {dialect}: {kind}", whole


@pytest.mark.parametrize("client", REQUESTS)
@pytest.mark.wide(every=3)
def test_requests_are_translated_in_linear_time(client: str) -> None:
    assert _superlinear(_requests(client, _targets), SMALL) == {}


def test_the_work_of_the_relay_takes_linear_time() -> None:
    assert _superlinear(_relay_work(), SMALL) == {}


def test_streams_are_read_in_linear_time() -> None:
    assert _superlinear(_streams(), SMALL) == {}


def test_responses_are_shown_in_linear_time() -> None:
    assert _superlinear(_rendering_work(), SMALL) == {}


def test_every_served_dialect_is_measured() -> None:
    client_dialects = {name for name, dialect in DIALECTS.items() if dialect.serves_clients}
    assert client_dialects - {"openai_embeddings"} == REQUESTS.keys()
    assert DIALECTS.keys() - {"openai_embeddings"} == STREAMS.keys()


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for client in REQUESTS:
        for name, ratio in _superlinear(_requests(client, lambda _: TARGETS), size).items():
            print(f"{ratio:5.1f} x  {name}", flush=True)
    for name, ratio in {
        **_superlinear(_streams(), size),
        **_superlinear(_rendering_work(), size),
    }.items():
        print(f"{ratio:5.1f} x  {name}", flush=True)
