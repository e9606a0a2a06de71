"""The doctor on the demo models, and on fakes that refuse what the real services refuse.

The expected verdicts of each fake are listed probe by probe.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Text, ToolCall
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.doctor import (
    BY_NAME,
    PROBES,
    Examination,
    Finding,
    advice,
    estimate,
    examine,
)
from gateway.doctor.judges import judge
from gateway.doctor.text_probes import PLAIN_RESPONSE
from gateway.doctor.values import Judgment, ProbeReply
from gateway.providers.capabilities import merge_traits
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Price, Secret
from gateway.routing.snapshot import Provider, Target, model_of
from tests.fakes import (
    Call,
    Refusal,
    Script,
    ScriptedResponse,
    StrictAnthropic,
    StrictDeepSeek,
    StrictGemini,
    StrictOpenAI,
    bedrock_rules,
    cohere_rules,
)
from tests.fakes.bedrock import BEARER, StrictBedrock
from tests.fakes.cohere import StrictCohere
from tests.fakes.ollama import StrictOllama
from tests.waits import wait_until_async

JSON = '{"mood":"calm","waves":3,"words":["blue"]}'


def target(preset: str, model: str, *, url: str = "", key: str = "", **values: Any) -> Target:
    row = PRESETS[preset]
    provider = Provider(
        id=1,
        name=preset,
        preset=preset,
        dialect=row.dialect,
        base_url=url or row.base_url,
        auth=row.auth,
        credential=Secret(key),
        headers=row.headers,
        edits=row.edits,
    )
    return Target(id=0, model=replace(model_of(provider, model), **values))


def script_all_responses(script: Script, *, length: str, goes_on: bool = True) -> None:
    """Script a fake to answer as a model that supports everything.

    `length` is its finish reason of a truncated response, `goes_on` whether it continues a
    prefilled one.
    """
    continuation = " Paris." if goes_on else "The capital of France is Paris."
    gauge = Call("read_gauge", {"room": "cellar"})
    others = (
        Call("read_gauge", {"room": "attic"}, id="call_2"),
        Call("read_gauge", {"room": "hall"}),
    )
    for text, response in {
        "Say the word hello": ScriptedResponse(text="Hello."),
        "three hundred": ScriptedResponse(text="one, two, three", finish=length, output_tokens=32),
        "Repeat exactly": ScriptedResponse(text="漢字 naïve 🧑‍🚀", chunk_chars=1),
        "COBALT": ScriptedResponse(text="COBALT"),
        "What is the capital": ScriptedResponse(text="MARIGOLD"),
        "And of Italy": ScriptedResponse(text="MARIGOLD"),
        "Name the capital": ScriptedResponse(text=continuation),
        "two boats": ScriptedResponse(text="MARIGOLD, COBALT"),
        "Repeat this line": ScriptedResponse(text="alpha beta gamma "),
        "`cellar`": ScriptedResponse(calls=(gauge,), reasoning="The gauge, then."),
        "Name its color": ScriptedResponse(
            calls=(gauge,), then=ScriptedResponse(text="It is red.")
        ),
        "`cellar` and": ScriptedResponse(calls=(replace_id(gauge, "call_1"), others[0])),
        "`garage`": ScriptedResponse(text="I may not."),
        "`porch`": ScriptedResponse(calls=(others[1],)),
        "read_clock": ScriptedResponse(calls=(Call("read_clock"),)),
        "Good morning": ScriptedResponse(calls=(Call("read_clock"),)),
        "write_note": ScriptedResponse(calls=(Call("write_note", {"text": "The sea. " * 60}),)),
        "this image": ScriptedResponse(text="Red."),
        "with one key": ScriptedResponse(text='{"mood":"calm"}'),
        "sea as JSON.": ScriptedResponse(text=JSON),
        "17 times 23": ScriptedResponse(text="19 times 21.", reasoning="391 and 399."),
        "keeper write": ScriptedResponse(text="Wind.", cached_tokens=5),
    }.items():
        script.on(text, response)


def replace_id(call: Call, id_: str) -> Call:
    return Call(call.name, call.arguments, id=id_)


async def run_doctor(checked_target: Target, **values: Any) -> dict[str, Finding]:
    examination = await examine(checked_target, **values)
    assert examination.ended == "done"
    return {finding.name: finding for finding in examination.findings}


def verdicts_of(findings: dict[str, Finding]) -> dict[str, str]:
    """Return the verdicts other than "supported"."""
    return {f.name: f.verdict for f in findings.values() if f.verdict != "supported"}


# The demo provider


async def test_the_demo_model_passes_all_probes_but_instructions_and_images() -> None:
    """It is a script that follows no instructions and reads no images."""
    assert verdicts_of(await run_doctor(target("demo", "demo-fast"))) == {
        "count_tokens": "unclear",
        "system": "wrong",
        "many_systems": "wrong",
        "mid_system": "wrong",
        "prefill": "wrong",
        "bad_parameter": "wrong",
        "result_image": "wrong",
        "image": "wrong",
    }


@pytest.mark.parametrize(
    ("model", "faults"),
    [
        (
            "demo-bad-tool-json",
            {"tool", "parallel_tools", "strict_tools", "stream_arguments", "forced_tool"},
        ),
        (
            "demo-wrong-tool",
            {"tool", "parallel_tools", "zero_arguments", "forced_tool", "one_at_a_time"},
        ),
        ("demo-bad-tool-arguments", {"tool", "parallel_tools", "zero_arguments"}),
        ("demo-bad-schema", {"schema", "json"}),
    ],
)
async def test_a_faulty_demo_model_is_detected(model: str, faults: set[str]) -> None:
    well = verdicts_of(await run_doctor(target("demo", "demo-fast")))
    ill = verdicts_of(await run_doctor(target("demo", f"{model}@0ms")))
    assert {name for name in ill if ill[name] == "wrong"} - set(well) >= faults


@pytest.mark.parametrize(
    ("model", "verdict", "text"),
    [
        ("demo-quota", "unclear", "no credit left: You exceeded your current quota"),
        ("demo-401", "unclear", "the credential was rejected"),
        ("demo-500", "unclear", "The demo server had an error"),
        ("demo-context", "refused", "maximum context length"),
        ("demo-cut", "wrong", "closed in the middle"),
        ("demo-html", "wrong", "text/html, not JSON"),
        ("demo-empty", "wrong", "response without text"),
    ],
)
async def test_no_probe_runs_without_a_plain_response(model: str, verdict: str, text: str) -> None:
    reply: list[Finding] = []
    examination = await examine(target("demo", model), on_finding=reply.append)
    assert examination.ended == "no_response"
    assert [finding.name for finding in reply] == ["plain"]
    assert reply[0].verdict == verdict
    assert text in reply[0].message
    assert len(examination.findings) == len(PROBES)
    assert {f.verdict for f in examination.findings[1:]} == {"unclear"}
    assert advice(examination.verdicts, target("demo", model).model.traits) == []


# The strict fakes

OPENAI = {"thinking_tools": "refused", "thinking": "refused", "prefill": "wrong"}
UNMARKED = {"cache": "refused", "result_image": "refused"}
REASONING = {"stop": "refused", "temperature": "refused", "penalties": "refused"}
TEXT_ONLY = {"image": "refused", "result_image": "refused", "cache": "refused"}
MESSAGES = {
    "seed": "unclear",
    "penalties": "unclear",
    "json": "unclear",
    "foreign_ids": "refused",
}
NO_TURNS = {"mid_system": "unclear", "prefill": "refused"}
UNSAID = {"one_at_a_time": "unclear", "strict_tools": "unclear", "cache": "unclear"}

# What a dialect has no words for is not asked.
NO_CHOICE = {"one_at_a_time": "unclear", "forced_tool": "unclear"}
OLLAMA = {
    **NO_CHOICE,
    "count_tokens": "unclear",
    "no_tool": "unclear",
    "bad_parameter": "wrong",
    "result_image": "unclear",
    "strict_tools": "unclear",
    "cache": "unclear",
    "mid_system": "refused",
}
COHERE = {
    **NO_CHOICE,
    "count_tokens": "unclear",
    "mid_system": "unclear",
    "prefill": "unclear",
    "bad_parameter": "wrong",
    "image": "refused",
    "result_image": "unclear",
    "cache": "unclear",
}
NO_THINKING = {"thinking": "refused", "thinking_tools": "refused"}
UNCLEAR_THINKING = {"thinking": "unclear", "thinking_tools": "unclear"}
CONVERSE = {
    "mid_system": "unclear",
    "seed": "unclear",
    "penalties": "unclear",
    "json": "unclear",
}
NOT_CLAUDE = {
    **CONVERSE,
    **UNCLEAR_THINKING,
    "count_tokens": "refused",
    "prefill": "wrong",
    "one_at_a_time": "refused",
}
RESPONSES = {
    "prefill": "unclear",
    "stop": "unclear",
    "seed": "unclear",
    "penalties": "unclear",
    "cache": "unclear",
}

TRUTHS: dict[str, tuple[Any, str, str, str, dict[str, str]]] = {
    "gpt-4o": (StrictOpenAI, "openai", "/v1", "length", {**OPENAI, **UNMARKED}),
    "o4-mini": (
        StrictOpenAI,
        "openai",
        "/v1",
        "length",
        {**REASONING, **UNMARKED, "prefill": "wrong"},
    ),
    "deepseek-chat": (
        StrictDeepSeek,
        "deepseek",
        "/v1",
        "length",
        {**TEXT_ONLY, "count_tokens": "unclear", "schema": "refused", "prefill": "wrong"},
    ),
    "claude-haiku-4-5": (
        StrictAnthropic,
        "anthropic",
        "",
        "max_tokens",
        {**MESSAGES, "mid_system": "refused"},
    ),
    "claude-opus-4-7": (
        StrictAnthropic,
        "anthropic",
        "",
        "max_tokens",
        {**MESSAGES, "mid_system": "refused", "prefill": "refused", "temperature": "refused"},
    ),
    "claude-opus-5-5": (
        StrictAnthropic,
        "anthropic",
        "",
        "max_tokens",
        {**MESSAGES, "prefill": "refused", "temperature": "refused"},
    ),
    "gemini-3.1-pro": (StrictGemini, "gemini", "", "MAX_TOKENS", {**NO_TURNS, **UNSAID}),
    "gemini-2.5-flash": (StrictGemini, "gemini", "", "MAX_TOKENS", {**NO_TURNS, **UNSAID}),
    "llama3.2": (StrictOllama, "ollama", "", "length", {**OLLAMA, **NO_THINKING}),
    "qwen3": (StrictOllama, "ollama", "", "length", OLLAMA),
    cohere_rules.PLAIN: (StrictCohere, "cohere", "", "MAX_TOKENS", {**COHERE, **NO_THINKING}),
    cohere_rules.REASONER: (StrictCohere, "cohere", "", "MAX_TOKENS", COHERE),
    bedrock_rules.CLAUDE: (StrictBedrock, "bedrock", "", "max_tokens", CONVERSE),
    bedrock_rules.CLAUDE_NOW: (
        StrictBedrock,
        "bedrock",
        "",
        "max_tokens",
        {**CONVERSE, "prefill": "refused", "temperature": "refused"},
    ),
    bedrock_rules.NOVA: (
        StrictBedrock,
        "bedrock",
        "",
        "max_tokens",
        # A strict schema forbids more properties at its root, which Nova rejects.
        {**NOT_CLAUDE, "strict_tools": "refused"},
    ),
    bedrock_rules.LLAMA: (
        StrictBedrock,
        "bedrock",
        "",
        "max_tokens",
        {**NOT_CLAUDE, "forced_tool": "refused", "schema": "refused", "cache": "unclear"},
    ),
    "gpt-5": (
        StrictOpenAI,
        "openai_responses",
        "/v1",
        "max_output_tokens",
        {**RESPONSES, "temperature": "refused"},
    ),
    "gpt-4o by Responses": (
        StrictOpenAI,
        "openai_responses",
        "/v1",
        "max_output_tokens",
        {**RESPONSES, **NO_THINKING},
    ),
}
# Models that take up a begun response.
GOES_ON = ("claude", "llama3.2", "qwen3")


def test_every_dialect_has_a_doctor_case() -> None:
    """Embeddings do not answer questions; completions support only a few probes."""
    dialects = {PRESETS[preset].dialect for _, preset, *_ in TRUTHS.values()}
    assert dialects == set(DIALECTS) - {"openai_embeddings", "openai_completions"}


@pytest.mark.parametrize("model", TRUTHS)
async def test_probes_find_the_actual_abilities(model: str) -> None:
    fake, preset, path, length, truth = TRUTHS[model]
    with fake() as upstream:
        script_all_responses(
            upstream.script, length=length, goes_on=any(name in model for name in GOES_ON)
        )
        key = getattr(upstream, "key", BEARER)
        name = model.partition(" ")[0]
        checked_target = target(preset, name, url=upstream.url + path, key=key)
        examination = await run_doctor(checked_target)
    assert set(examination) == set(BY_NAME)
    assert verdicts_of(examination) == truth


async def test_a_refusal_has_the_upstreams_message() -> None:
    with StrictOpenAI() as upstream:
        script_all_responses(upstream.script, length="length")
        examination = await run_doctor(
            target("openai", "o4-mini", url=f"{upstream.url}/v1", key=upstream.key)
        )
    assert "'stop' is not supported with this model" in examination["stop"].message
    assert "(HTTP 400)" in examination["stop"].message


async def test_probes_ignore_the_known_traits() -> None:
    """Live traffic drops fields by traits; the doctor must let the upstream refuse them."""
    with StrictOpenAI() as upstream:
        script_all_responses(upstream.script, length="length", goes_on=False)
        checked_target = target("openai", "gpt-4o", url=f"{upstream.url}/v1", key=upstream.key)
        wrong_traits = replace(
            checked_target.model.traits, sampling=False, tools=False, images=False, stop_max=0
        )
        wrong_traits = replace(wrong_traits, structured="none", forced_tools=False)
        checked_target = replace(
            checked_target, model=replace(checked_target.model, traits=wrong_traits)
        )
        examination = await examine(checked_target)
    proposed = {item.trait: item.proposed for item in advice(examination.verdicts, wrong_traits)}
    assert proposed == {
        "sampling": True,
        "tools": True,
        "images": True,
        "stop_max": 4,
        "structured": "schema",
        "forced_tools": True,
    }


async def test_wrong_catalog_capabilities_are_detected() -> None:
    with StrictAnthropic() as upstream:
        script_all_responses(upstream.script, length="max_tokens")
        checked_target = target("anthropic", "claude-opus-4-7", url=upstream.url, key=upstream.key)
        wrong_traits = replace(
            checked_target.model.traits, sampling=True, prefill=True, mid_system=True
        )
        wrong_traits = replace(wrong_traits, tool_id_rule="any")
        examination = await examine(
            replace(checked_target, model=replace(checked_target.model, traits=wrong_traits))
        )
    proposed = advice(examination.verdicts, wrong_traits)
    assert {item.trait: item.proposed for item in proposed if item.trait != "count_tokens"} == {
        "sampling": False,
        "prefill": False,
        "mid_system": False,
        "tool_id_rule": "word",
    }
    assert all(item.is_verified for item in proposed)


async def test_no_secret_is_in_a_report() -> None:
    with StrictOpenAI(key="sk-another-0123456789abcdef") as upstream:
        key = "sk-mine-0123456789abcdef"
        examination = await examine(target("openai", "gpt-4o", url=f"{upstream.url}/v1", key=key))
    assert examination.ended == "no_response"
    assert "Incorrect API key" in examination.findings[0].message
    assert key not in str(examination)


# Deadlines, stopping, costs


async def test_a_silent_probe_ends_at_its_deadline() -> None:
    probes = [replace(BY_NAME["temperature"], deadline_s=0.05)]
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="late", first_s=0.3)
        checked_target = target("openai", "gpt-4o", url=f"{upstream.url}/v1", key=upstream.key)
        examination = await examine(checked_target, probes=probes)
    assert [f.verdict for f in examination.findings] == ["supported", "unclear"]
    assert examination.findings[1].message == "no response within 0.05 s"


async def test_a_check_ends_at_its_deadline() -> None:
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="slow", first_s=0.4)
        checked_target = target("openai", "gpt-4o", url=f"{upstream.url}/v1", key=upstream.key)
        started = time.perf_counter()
        examination = await examine(checked_target, total_s=0.6)
    assert time.perf_counter() - started < 15
    assert examination.ended == "timed_out"
    assert len(examination.findings) == len(PROBES)
    assert "the time limit for all checks was reached" in examination.findings[-1].message


async def test_probes_run_at_most_max_parallel_at_once() -> None:
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="slow", first_s=0.2)
        checked_target = target("openai", "gpt-4o", url=f"{upstream.url}/v1", key=upstream.key)
        asking = asyncio.create_task(examine(checked_target, max_parallel=3))
        max_concurrent = 0
        while not asking.done() and len(upstream.requests) < 12:
            await asyncio.sleep(0.01)
            max_concurrent = max(
                max_concurrent, sum(not request.finished for request in list(upstream.requests))
            )
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert 1 < max_concurrent <= 3


async def test_stopping_closes_every_call() -> None:
    with StrictOpenAI() as upstream:
        script_all_responses(upstream.script, length="length")
        upstream.script.default = ScriptedResponse(text="slow", first_s=30)
        slow_prompts = ("What is the capital", "two boats", "COBALT")
        for text in slow_prompts:
            upstream.script.on(text, ScriptedResponse(text="slow", first_s=30))
        checked_target = target("openai", "gpt-4o", url=f"{upstream.url}/v1", key=upstream.key)
        asking = asyncio.create_task(examine(checked_target, max_parallel=8))
        await wait_until_async(
            lambda: any(
                not request.finished and any(text in str(request.body) for text in slow_prompts)
                for request in upstream.requests
            )
        )
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await wait_until_async(
            lambda: all(request.finished or request.left_at for request in upstream.requests),
            within_s=15,
        )
        assert any(request.left_at for request in upstream.requests)


async def test_a_rate_limit_is_waited_for_once() -> None:
    limit = Refusal(429, "rate_limit_error", "slow down", headers={"retry-after": "0"})
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="hello", error=limit)
        checked_target = target("openai", "gpt-4o", url=f"{upstream.url}/v1", key=upstream.key)
        examination = await examine(checked_target, probes=())
        assert len(upstream.requests) == 2
    assert examination.findings[0].verdict == "unclear"


def test_the_cost_is_estimated_before_the_run() -> None:
    priced = estimate(target("openai", "gpt-4o").model)
    assert priced.probes == len(PROBES)
    assert priced.requests > priced.probes
    assert priced.usd is not None
    assert priced.max_usd is not None
    assert 0 < priced.usd < priced.max_usd < 2
    assert estimate(target("custom", "own", url="http://127.0.0.1:1").model).usd is None


async def test_the_cost_estimate_is_near_the_actual_cost() -> None:
    checked_target = target("demo", "demo-fast", price=Price(input=1, output=1))  # type: ignore[arg-type]
    examination = await examine(checked_target)
    before = estimate(checked_target.model)
    read = sum(finding.input for finding in examination.findings)
    assert before.input * 0.3 < read < before.input * 1.5
    assert examination.cost_usd is not None
    assert before.max_usd is not None
    assert 0 < examination.cost_usd < before.max_usd


# Judging


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Error(kind="unsupported_param", message="no", status=400), "refused"),
        (Error(kind="invalid_request", message="no", status=422), "refused"),
        (Error(kind="rate_limit", message="no", status=429), "unclear"),
        (Error(kind="upstream_error", message="no", status=500), "unclear"),
        (Error(kind="content_policy", message="no", status=400), "unclear"),
        (Error(kind="upstream_error", message="cut off"), "wrong"),
        (Error(kind="unsupported_param", message="can not be said"), "unclear"),
    ],
)
def test_an_error_verdict_depends_on_its_kind(error: Error, verdict: str) -> None:
    assert judge(PLAIN_RESPONSE, ProbeReply(error=error)).verdict == verdict


def test_a_verdict_is_a_function_of_the_response_alone() -> None:
    reply = ProbeReply(response=Response(parts=(Text(text="alpha beta gamma"),)))
    assert judge(BY_NAME["stop"], reply) == judge(BY_NAME["stop"], reply)
    assert judge(BY_NAME["stop"], reply).verdict == "supported"
    past = ProbeReply(response=Response(parts=(Text(text="alpha beta gamma delta epsilon"),)))
    assert judge(BY_NAME["stop"], past).verdict == "wrong"
    other = ProbeReply(response=Response(parts=(Text(text="I would rather not"),)))
    assert judge(BY_NAME["stop"], other).verdict == "unclear"


def test_every_probe_describes_its_request() -> None:
    assert len(BY_NAME) == len(PROBES) >= 25
    for probe in PROBES:
        assert probe.title
        assert probe.summary.endswith(".")
        assert probe.criterion.endswith(".")
        assert 0 < probe.deadline_s <= 120


def test_unclear_findings_have_no_advice() -> None:
    assert advice(dict.fromkeys(BY_NAME, "unclear"), Traits()) == []


def test_a_refusal_counts_only_if_its_prerequisites_work() -> None:
    verdicts = {"plain": "supported", "tool": "unclear", "forced_tool": "refused"}
    assert advice(verdicts, Traits()) == []  # type: ignore[arg-type]
    advices = advice({**verdicts, "tool": "supported"}, Traits())  # type: ignore[dict-item]
    assert [(item.trait, item.proposed) for item in advices] == [("forced_tools", False)]


def test_a_doctor_report_is_json() -> None:
    examination = Examination(
        target="a/b", dialect="openai_chat", findings=(Finding(name="plain", verdict="wrong"),)
    )
    round_trip = msgspec.json.decode(msgspec.json.encode(examination), type=Examination)
    assert round_trip == examination


def scripted_probes(preset: str, dialect: str) -> list[str]:
    """Return the probes that a dialect can express, with a possible response of a model."""
    written = []
    traits = replace(Traits(), preset=preset, model="m")
    for probe in PROBES:
        assumed = merge_traits(traits, probe.assume(traits))
        requests = [probe.request]
        if probe.follow_up is not None:
            tool = probe.request.tools[0]
            calls = tuple(
                ToolCall(id=f"call_{n}", name=tool.name, arguments={"room": "cellar"})
                for n in range(2)
            )
            second = probe.follow_up(probe.request, Response(parts=calls))
            assert second is not None
            requests.append(second)
        try:
            for request in requests:
                DIALECTS[dialect].provider.render_request(replace(request, model="m"), assumed)
        except GatewayError:
            continue
        written.append(probe.name)
    return written


@pytest.mark.parametrize(
    "dialect", sorted({preset.dialect for preset in PRESETS.values()} - {"openai_embeddings"})
)
def test_every_probe_can_be_sent_in_every_dialect(dialect: str) -> None:
    """No probe breaks a dialect's renderer; unsupported fields are reported."""
    preset = next(p.name for p in PRESETS.values() if p.dialect == dialect)
    written = scripted_probes(preset, dialect)
    assert {"plain", "stream", "max_tokens", "unicode"} <= set(written)
    assert len(written) > len(PROBES) / 2


async def test_a_gateway_error_does_not_affect_other_findings(caplog: Any) -> None:
    def broken(reply: ProbeReply) -> Judgment:
        raise KeyError("x")

    probes = [replace(BY_NAME["seed"], judge=broken), BY_NAME["temperature"]]
    examination = await examine(target("demo", "demo-fast"), probes=probes)
    assert [f.verdict for f in examination.findings] == ["supported", "unclear", "supported"]
    assert "KeyError" in examination.findings[1].message
    assert "a capability check failed" in caplog.text


async def test_an_evidence_quote_contains_the_match() -> None:
    examination = await examine(target("demo", "demo-fast"), probes=[BY_NAME["unicode"]])
    assert "漢字" in examination.findings[1].message
