"""Numbers in the README and docs are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.evaluate import definition
from console.evaluate.file_format import MAX_FILE_BYTES
from console.evaluation_runs.store import MAX_ACTIVE
from console.models.playground import MAX_RUNS
from console.models.saved_view import MAX_VIEWS
from console.pages.keys.views import UNDO_S
from console.pages.playground import MAX_RUNNING
from console.pages.requests import export
from console.pages.shares.public import MAX_PER_ADDRESS
from console.playground.plan import MAX_COLUMNS
from console.prompt_cache.cache_breaks import MAX_ROWS as CACHE_BREAK_ROWS
from gateway.accounting.what_if import MAX_CANDIDATES, MAX_DAYS
from gateway.api.scores import KEY_SCORES_PER_MINUTE
from gateway.client_spans.span import MAX_ITEMS
from gateway.edge import handshake, responses_websocket
from gateway.models.score import MAX_SCORES
from gateway.prompts.prompt import MAX_MESSAGES, MAX_USABLE_VERSIONS
from gateway.providers.catalog import PRESETS
from gateway.relay.cache import semantic
from gateway.relay.run import background, guarded_stream, shadow, web_search
from gateway.relay.run.choices import MAX_PARALLEL_CALLS
from gateway.relay.state import client_spans
from gateway.routing.strategies import EXPLORATION_SHARE
from gateway.store.cached_responses import MAX_BYTES as CACHE_BYTES
from gateway.store.options import MAX_END_USERS, MAX_MASKS
from gateway.telemetry.exporter import MAX_RECORDS

ROOT = Path(__file__).resolve().parent.parent
_MIB = 1024 * 1024
_WORDS = {4: "four", 5: "five", 8: "eight"}

CLAIMS = (
    ("README.md", f"{len(PRESETS)} provider presets"),
    ("docs/cache.md", f"at most {CACHE_BYTES // (1024 * _MIB)} GiB of responses"),
    (
        "docs/cache.md",
        f"{semantic.MAX_PER_CONTEXT} for each context and {semantic.MAX_VECTORS:,} in total",
    ),
    ("docs/cost.md", f"of the newest {CACHE_BREAK_ROWS} requests"),
    ("docs/cost.md", f"for up to {_WORDS[MAX_CANDIDATES]} models"),
    ("docs/cost.md", f"any period of up to {MAX_DAYS} days"),
    ("docs/cost.md", f"at most {MAX_PARALLEL_CALLS} at a time"),
    ("docs/evaluate.md", f"file of at most {MAX_FILE_BYTES // _MIB} MB"),
    ("docs/evaluate.md", f"up to {definition.MAX_MODELS} routes or"),
    ("docs/evaluate.md", f"up to {definition.MAX_CASES:,} cases"),
    ("docs/evaluate.md", f"up to {definition.MAX_REPEATS} (default 1)"),
    ("docs/evaluate.md", f"at most {definition.MAX_RESPONSES:,}"),
    (
        "docs/evaluate.md",
        f"up to {definition.MAX_CONCURRENCY} (default {definition.DEFAULT_CONCURRENCY})",
    ),
    ("docs/evaluate.md", f"can have {_WORDS[MAX_ACTIVE]} runs in progress"),
    (
        "docs/guardrails.md",
        f"the last {guarded_stream.BUFFERED_CHARS} characters of each text",
    ),
    (
        "docs/guardrails.md",
        f"windows of {guarded_stream.WINDOW_CHARS:,} characters, checked with "
        f"{guarded_stream.CONTEXT_CHARS} characters of context",
    ),
    ("docs/keys.md", f"undo this for {UNDO_S} seconds"),
    ("docs/limits.md", f"at most {MAX_END_USERS:,} entries"),
    ("docs/observability.md", f"records are queued ({MAX_RECORDS:,} at most)"),
    ("docs/playground.md", f"to up to {_WORDS[MAX_COLUMNS]} models"),
    ("docs/playground.md", f"can have {_WORDS[MAX_RUNNING]} runs in progress"),
    ("docs/playground.md", f"The newest {MAX_RUNS:,} runs of each user"),
    ("docs/playground.md", f"{MAX_PER_ADDRESS} views per address in ten minutes"),
    ("docs/prompts.md", f"1 to {MAX_MESSAGES} messages"),
    ("docs/prompts.md", f"one of the {MAX_USABLE_VERSIONS} newest"),
    ("docs/request-log.md", f"at most {MAX_VIEWS} for each user"),
    ("docs/request-log.md", f"the newest {export.MAX_ROWS:,} rows"),
    ("docs/request-log.md", f"at most {MAX_SCORES} scores"),
    ("docs/request-log.md", f"at most {KEY_SCORES_PER_MINUTE} times per minute"),
    (
        "docs/responses.md",
        f"up to {background.MAX_JOBS} responses in the background, at most "
        f"{background.MAX_JOBS_PER_OWNER} of them",
    ),
    (
        "docs/responses.md",
        f"up to {responses_websocket.MAX_TURNS} concurrent turns and "
        f"{responses_websocket.MAX_STREAMS} IDs",
    ),
    ("docs/routing.md", f"{EXPLORATION_SHARE:.0%} of requests try another".replace("%", " %")),
    ("docs/routing.md", f"up to {shadow.MAX_SHADOWS} concurrently in each process"),
    ("docs/settings.md", f"at most {MAX_MASKS}, whose matches"),
    (
        "docs/security.md",
        f"{handshake.MAX_CONNECTIONS:,}; {handshake.MAX_CONNECTIONS_PER_KEY}",
    ),
    (
        "docs/traces.md",
        f"up to {client_spans.MAX_CONCURRENT} requests concurrently, {client_spans.MAX_PER_KEY} of",
    ),
    ("docs/traces.md", f"{MAX_ITEMS:,} spans"),
    ("docs/web-search.md", f"{web_search.MAX_ROUNDS} calls of the model"),
)


@pytest.mark.parametrize("page", sorted({page for page, _ in CLAIMS}))
def test_a_page_has_the_numbers_of_the_code(page: str) -> None:
    text = " ".join((ROOT / page).read_text().split())
    assert [claim for name, claim in CLAIMS if name == page and claim not in text] == []
