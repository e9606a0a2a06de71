"""Provider-executed code: OpenAI's interpreter, Anthropic's and Gemini's code execution."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai import NOT_GIVEN
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.canon.fold import unfold_response
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing.sse import Frame
from gateway.simulate import translate
from tests.dialects.parsed_responses import claude, gpt
from tests.dialects.test_searches import events_of
from tests.each import each
from tests.fakes import anthropic_rules, gemini_rules, responses_rules

Json = dict[str, Any]

CONTEXT = ResponseContext(id="1", created=1, model="m")
CLAUDE, GPT, GEMINI = "claude-opus-5-5", "gpt-5.6-sol", "gemini-3.8-flash"
VERSION = {"anthropic-version": "2023-06-01"}
INTERPRETER: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
EXECUTION: Json = {"type": "code_execution_20250825", "name": "code_execution"}
BODIES: dict[str, Json] = {
    "openai_responses": {"input": "hi", "tools": [INTERPRETER], "max_output_tokens": 99},
    "anthropic_messages": {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [EXECUTION],
        "max_tokens": 99,
    },
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "tools": [{"codeExecution": {}}],
    },
}
TARGETS = {"openai_responses": GPT, "anthropic": CLAUDE, "gemini": GEMINI}
CODE = "print(6 * 7)"

ITEM: Json = {
    "id": "ci_abc",
    "type": "code_interpreter_call",
    "code": CODE,
    "container_id": "cntr_1",
    "outputs": [{"type": "logs", "logs": "42\n"}],
    "status": "completed",
}
USE: Json = {
    "type": "server_tool_use",
    "id": "srvtoolu_abc",
    "name": "code_execution",
    "input": {"code": CODE},
}
RESULT: Json = {
    "type": "code_execution_tool_result",
    "tool_use_id": "srvtoolu_abc",
    "content": {
        "type": "code_execution_result",
        "stdout": "42\n",
        "stderr": "",
        "return_code": 0,
        "content": [],
    },
}
BASH_USE: Json = {**USE, "name": "bash_code_execution", "input": {"command": "ls"}}
BASH_RESULT: Json = {
    **RESULT,
    "type": "bash_code_execution_tool_result",
    "content": {**RESULT["content"], "type": "bash_code_execution_result", "stdout": "a.txt"},
}
PARTS: list[Json] = [
    {"executableCode": {"language": "PYTHON", "code": CODE}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
]


def losses(translation: Json) -> set[tuple[str, str]]:
    return {(r["field"], r["action"]) for r in translation["report"] if r["action"] != "defaulted"}


def send(source: str, target: str, **changes: Any) -> Json:
    headers = VERSION if source == "anthropic_messages" else {}
    body = {"model": "gw", **BODIES[source], **changes}
    return translate.request(source, target, body, headers, TARGETS.get(target, "m"))


def refusal(target: str, body: Json) -> Any:
    match target:
        case "anthropic":
            body = {**body, "model": CLAUDE}
            return anthropic_rules.refusal(body, VERSION, counting=False)
        case "gemini":
            return gemini_rules.refusal(body, GEMINI)
        case _:
            return responses_rules.refusal(body)


# --- requests -------------------------------------------------------------------------------------


@each("target", list(TARGETS))
@each("source", list(BODIES))
def test_the_code_execution_tool_becomes_the_targets_own(source: str, target: str) -> None:
    expected_tools: Json = {
        "openai_responses": INTERPRETER,
        "anthropic": EXECUTION,
        "gemini": {"codeExecution": {}},
    }
    translation = send(source, target)
    assert translation["body"]["tools"] == [expected_tools[target]]
    assert losses(translation) == set()
    assert refusal(target, translation["body"]) is None
    if target == "openai_responses" and source != target:
        assert "code_interpreter_call.outputs" in translation["body"]["include"]


@pytest.mark.parametrize(
    ("container", "expected_losses"),
    [
        ("cntr_1", {"container"}),
        ({"type": "auto", "file_ids": ["file-1"]}, {"container.file_ids"}),
        ({"type": "auto", "memory_limit": "4g"}, {"container.memory_limit"}),
    ],
    ids=["container", "files", "memory"],
)
@each("target", ["anthropic", "gemini"])
def test_containers_and_files_of_openais_are_reported(
    target: str, container: Any, expected_losses: set[str]
) -> None:
    translation = send("openai_responses", target, tools=[{**INTERPRETER, "container": container}])
    assert len(translation["body"]["tools"]) == 1
    assert losses(translation) == {(f"tools[0].{name}", "dropped") for name in expected_losses}


@each("target", ["deepseek", "mistral", "bedrock", "cohere", "ollama", "xai", "vertex-anthropic"])
@each("source", list(BODIES))
def test_targets_that_run_no_code_do_not_get_the_tool(source: str, target: str) -> None:
    if (source, target) == ("anthropic_messages", "vertex-anthropic"):
        return  # the client's own tool stays
    model = {"vertex-anthropic": CLAUDE}.get(target, "m")
    headers = VERSION if source == "anthropic_messages" else {}
    translation = translate.request(
        source, target, {"model": "gw", **BODIES[source]}, headers, model
    )
    assert "tools" not in translation["body"]
    path = "tools[0].codeExecution" if source == "gemini" else "tools[0]"
    [row] = [row for row in translation["report"] if row["field"] == path]
    assert (row["action"], row["note"]) == ("dropped", "the target does not run code")


@each("target", ["anthropic", "openai_responses"])
def test_a_choice_of_the_tool_names_the_targets(target: str) -> None:
    translation = send("openai_responses", target, tool_choice={"type": "code_interpreter"})
    named: Json = {"type": "tool", "name": "code_execution"}
    assert translation["body"]["tool_choice"] == (
        named if target == "anthropic" else {"type": "code_interpreter"}
    )
    assert losses(translation) == set()


# --- responses ------------------------------------------------------------------------------------


def gemini(*parts: Json) -> Response:
    content = {"role": "model", "parts": list(parts)}
    body = {"candidates": [{"content": content, "finishReason": "STOP"}], "responseId": "g"}
    traits = Traits(preset="gemini", model=GEMINI)
    return DIALECTS["gemini"].provider.parse_response(body, traits, None)


RUNS = {
    "anthropic": claude(USE, RESULT, {"type": "text", "text": "42"}),
    "openai": gpt(
        ITEM,
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "42", "annotations": []}],
        },
    ),
    "gemini": gemini(*PARTS, {"text": "42"}),
}


@each("stream", [False, True])
@each("source", list(RUNS))
def test_runs_are_items_for_responses_clients(source: str, stream: bool) -> None:
    client = DIALECTS["openai_responses"].client
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        events = events_of(b"".join(map(renderer.feed, unfold_response(RUNS[source]))))
        body, report = events[-1]["response"], list(renderer.report)
        for event in events:
            TypeAdapter(ResponseStreamEvent).validate_python(event)
        stem = "response.code_interpreter_call"
        if source != "openai":
            assert [event["type"] for event in events if stem in event["type"]] == [
                f"{stem}.in_progress",
                f"{stem}_code.delta",
                f"{stem}_code.done",
                f"{stem}.interpreting",
                f"{stem}.completed",
            ]
    else:
        body, rows = client.render_response(RUNS[source], CONTEXT)
        report = list(rows)
    item = body["output"][0]
    assert {**item, "id": "ci_abc", "container_id": "cntr_1"} == ITEM
    assert [entry["type"] for entry in body["output"]] == ["code_interpreter_call", "message"]
    OpenAIResponse.model_validate({**body, "tools": []}, strict=False)
    assert not report


@each("stream", [False, True])
@each("source", ["openai", "gemini"])
def test_runs_are_blocks_for_messages_clients(source: str, stream: bool) -> None:
    client = DIALECTS["anthropic_messages"].client
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        events = events_of(b"".join(map(renderer.feed, unfold_response(RUNS[source]))))
        content = [e["content_block"] for e in events if e["type"] == "content_block_start"]
        deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        content[0]["input"] = json.loads(deltas[0]["partial_json"])
        content[-1]["text"] = deltas[-1]["text"]
        report = list(renderer.report)
    else:
        body, rows = client.render_response(RUNS[source], CONTEXT)
        Message.model_validate(body)
        content, report = body["content"], list(rows)
    run_id = content[0]["id"]
    assert run_id.startswith("srvtoolu_dgm_")
    assert content == [
        {**USE, "id": run_id},
        {**RESULT, "tool_use_id": run_id},
        {"type": "text", "text": "42"},
    ]
    assert not report


@each("stream", [False, True])
@each("source", ["openai", "anthropic"])
def test_runs_are_parts_for_googles_clients(source: str, stream: bool) -> None:
    client = DIALECTS["gemini"].client
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        chunks = events_of(b"".join(map(renderer.feed, unfold_response(RUNS[source]))))
        parts = [part for c in chunks for part in c["candidates"][0]["content"]["parts"]]
        report = list(renderer.report)
    else:
        body, rows = client.render_response(RUNS[source], CONTEXT)
        GenerateContentResponse.model_validate(body)
        parts, report = body["candidates"][0]["content"]["parts"], list(rows)
    assert parts[:3] == [*PARTS, {"text": "42"}]
    assert not report


@each("source", list(RUNS))
def test_openais_sdk_collects_the_streamed_runs(source: str) -> None:
    renderer = DIALECTS["openai_responses"].client.stream_renderer(CONTEXT)
    state: Any = ResponseStreamState(input_tools=NOT_GIVEN, text_format=NOT_GIVEN)
    for event in events_of(b"".join(map(renderer.feed, unfold_response(RUNS[source])))):
        state.handle_event(TypeAdapter(ResponseStreamEvent).validate_python(event))
    run, message = state._completed_response.output
    assert (run.code, run.outputs[0].logs) == (CODE, "42\n")
    assert message.content[0].text == "42"


@each("source", ["openai", "gemini"])
def test_anthropics_sdk_collects_the_streamed_runs(source: str) -> None:
    renderer = DIALECTS["anthropic_messages"].client.stream_renderer(CONTEXT)
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events_of(b"".join(map(renderer.feed, unfold_response(RUNS[source])))):
        snapshot = accumulate_event(
            event=TypeAdapter(RawMessageStreamEvent).validate_python(event),
            current_snapshot=snapshot,
            json_bufs=buffers,
        )
    run, result, text = snapshot.content
    assert run.input == {"code": CODE}
    assert (result.tool_use_id, result.content.stdout) == (run.id, "42\n")
    assert text.text == "42"


def test_requesting_always_shown_outputs_is_no_loss() -> None:
    include = ["code_interpreter_call.outputs"]
    for target in ("anthropic", "gemini"):
        assert losses(send("openai_responses", target, include=include)) == set()
    assert losses(send("openai_responses", "anthropic", include=["other"])) == {
        ("include", "dropped")
    }
    earlier = {"r": {"input": [], "output": []}}
    body = {"model": "gw", **BODIES["openai_responses"], "include": include}
    body["previous_response_id"] = "r"
    translation = translate.request("openai_responses", "openai_responses", body, {}, GPT, earlier)
    assert "code_interpreter_call.outputs" in translation["body"]["include"]


def test_a_stream_of_claudes_with_input_in_pieces_is_one_item() -> None:
    parser = DIALECTS["anthropic_messages"].provider.stream_parser(Traits(), None)
    renderer = DIALECTS["openai_responses"].client.stream_renderer(CONTEXT)
    code = json.dumps({"code": CODE})
    frames: list[Json] = [
        {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {**USE, "input": {}}},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in (code[:7], code[7:])
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": RESULT},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "message_stop"},
    ]
    out = b"".join(
        renderer.feed(event)
        for frame in frames
        for event in parser.feed(Frame(frame["type"], msgspec.json.encode(frame)))
    )
    item = events_of(out)[-1]["response"]["output"][0]
    assert {**item, "id": "ci_abc", "container_id": "cntr_1"} == ITEM


@each("source", ["anthropic", "openai", "gemini"])
def test_a_failed_run_has_an_error_in_every_dialect(source: str) -> None:
    failed_result = {**RESULT["content"], "stdout": "", "stderr": "Oops", "return_code": 1}
    response = {
        "anthropic": claude(USE, {**RESULT, "content": failed_result}),
        "openai": gpt({**ITEM, "status": "failed", "outputs": [{"type": "logs", "logs": "Oops"}]}),
        "gemini": gemini(
            PARTS[0],
            {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "Oops"}},
        ),
    }[source]
    item = DIALECTS["openai_responses"].client.render_response(response, CONTEXT)[0]["output"][0]
    assert (item["status"], item["outputs"]) == ("failed", [{"type": "logs", "logs": "Oops"}])
    blocks = DIALECTS["anthropic_messages"].client.render_response(response, CONTEXT)[0]["content"]
    assert blocks[1]["content"] == failed_result
    body = DIALECTS["gemini"].client.render_response(response, CONTEXT)[0]
    result = body["candidates"][0]["content"]["parts"][1]["codeExecutionResult"]
    assert result == {"outcome": "OUTCOME_FAILED", "output": "Oops"}


def test_files_in_a_container_are_reported() -> None:
    content = {
        **RESULT["content"],
        "content": [{"type": "code_execution_output", "file_id": "file_1"}],
    }
    response = claude(USE, {**RESULT, "content": content})
    for dialect in ("openai_responses", "gemini"):
        _, report = DIALECTS[dialect].client.render_response(response, CONTEXT)
        [row] = report
        assert (row.action, row.reason) == ("dropped", "not shown: files of the container")


def test_an_encrypted_output_is_named_and_reported() -> None:
    """Claude's newer web search filters its results by code with encrypted output."""
    content = {"type": "encrypted_code_execution_result", "encrypted_stdout": "x", "stderr": ""}
    response = claude(USE, {**RESULT, "content": {**content, "return_code": 0, "content": []}})
    body, report = DIALECTS["openai_responses"].client.render_response(response, CONTEXT)
    assert body["output"][0]["outputs"] == [{"type": "logs", "logs": "[encrypted output]"}]
    assert [row.reason for row in report] == ["not shown: encrypted output"]


def test_code_without_output_is_marked_in_a_history() -> None:
    silent = {**RESULT, "content": {**RESULT["content"], "stdout": ""}}
    turns = [("user", "hi"), ("assistant", [USE, silent]), ("user", "?")]
    messages = [{"role": role, "content": content} for role, content in turns]
    translation = send("anthropic_messages", "deepseek", messages=messages)
    assert "The code printed nothing." in json.dumps(translation["body"]["messages"][1])


def test_a_command_of_the_shell_has_no_language_for_googles_clients() -> None:
    body, report = DIALECTS["gemini"].client.render_response(claude(BASH_USE, BASH_RESULT), CONTEXT)
    code = body["candidates"][0]["content"]["parts"][0]["executableCode"]
    assert code == {"language": "LANGUAGE_UNSPECIFIED", "code": "ls"}
    [row] = report
    assert row.action == "approximated"


def test_a_command_of_the_shell_is_an_item_too() -> None:
    body, report = DIALECTS["openai_responses"].client.render_response(
        claude(BASH_USE, BASH_RESULT), CONTEXT
    )
    [item] = body["output"]
    assert (item["code"], item["outputs"]) == ("ls", [{"type": "logs", "logs": "a.txt"}])
    assert not report


@each("dialect", ["openai_chat", "ollama", "cohere", "bedrock_converse"])
@each("source", list(RUNS))
def test_code_runs_are_reported_by_apis_without_them(dialect: str, source: str) -> None:
    _, report = DIALECTS[dialect].client.render_response(RUNS[source], CONTEXT)
    assert {row.action for row in report} == {"dropped"}


# --- histories ------------------------------------------------------------------------------------


def history(source: str, *, from_other_provider: bool) -> Json:
    """Return a body whose second turn has a code run, optionally of another provider."""
    match source:
        case "openai_responses":
            item = {**ITEM, "container_id": "cntr_dgm_1"} if from_other_provider else ITEM
            return {
                "input": [{"role": "user", "content": "hi"}, item, {"role": "user", "content": "?"}]
            }
        case "anthropic_messages":
            blocks = [USE, RESULT]
            if from_other_provider:
                blocks = [
                    {**USE, "id": "srvtoolu_dgm_1"},
                    {**RESULT, "tool_use_id": "srvtoolu_dgm_1"},
                ]
            turns = [("user", "hi"), ("assistant", blocks), ("user", "?")]
            return {"messages": [{"role": role, "content": content} for role, content in turns]}
        case _:
            contents: Any = [
                ("user", [{"text": "hi"}]),
                ("model", PARTS),
                ("user", [{"text": "?"}]),
            ]
            return {"contents": [{"role": role, "parts": parts} for role, parts in contents]}


@each(
    "target", ["openai_responses", "anthropic", "openai", "bedrock", "cohere", "ollama", "mistral"]
)
@each("source", list(BODIES))
def test_runs_in_a_history_survive_at_every_target(source: str, target: str) -> None:
    is_same_provider = (source, target) in {
        ("openai_responses", "openai_responses"),
        ("anthropic_messages", "anthropic"),
    }
    translation = send(source, target, **history(source, from_other_provider=is_same_provider))
    wire = json.dumps(translation["body"])
    assert "print(6 * 7)" in wire and "42" in wire
    assert 'code_interpreter_call"' not in wire and "server_tool_use" not in wire
    assert "approximated" in {action for _, action in losses(translation)}
    if target in TARGETS:
        assert refusal(target, translation["body"]) is None


@each("source", list(BODIES))
def test_runs_in_a_history_are_geminis_parts(source: str) -> None:
    translation = send(source, "gemini", **history(source, from_other_provider=False))
    assert translation["body"]["contents"][1] == {"role": "model", "parts": PARTS}
    assert losses(translation) == set()
    without_tool = send(source, "gemini", **history(source, from_other_provider=False), tools=[])
    parts = without_tool["body"]["contents"][1]["parts"]
    assert (parts == PARTS) == (source == "gemini")
    assert source == "gemini" or "print(6 * 7)" in parts[0]["text"]


@each("source", ["openai_responses", "anthropic_messages"])
def test_own_code_runs_in_a_history_are_unchanged(source: str) -> None:
    target = "anthropic" if source == "anthropic_messages" else source
    translation = send(source, target, **history(source, from_other_provider=False))
    wire = json.dumps(translation["body"])
    assert ("server_tool_use" if target == "anthropic" else '"container_id": "cntr_1"') in wire


@each("source", ["openai_responses", "anthropic_messages"])
def test_runs_of_others_in_a_body_that_passes_through_become_text(source: str) -> None:
    dialect = DIALECTS[source]
    body = {"model": "m", **history(source, from_other_provider=True)}
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    assert dialect.replace_state_tokens is not None
    replaced, report = dialect.replace_state_tokens(fields, Traits())
    wire = msgspec.json.encode(replaced)
    assert b"print(6 * 7)" in wire and b"cntr_dgm" not in wire and b"srvtoolu_dgm" not in wire
    assert {row.action for row in report} == {"approximated"}


SIGNED: Json = {
    "executableCode": {"language": "PYTHON", "code": CODE},
    "thoughtSignature": "U0lHTkVE",
}


@each("client", ["anthropic_messages", "openai_responses"])
@each("followed_by_call", [False, True])
def test_the_state_of_code_returns_to_gemini(client: str, followed_by_call: bool) -> None:
    """Gemini 3 signs the code that it runs; a client of another API carries the signature."""
    result = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}}
    call = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "Q0FMTA=="}
    last = call if followed_by_call else {"text": "It is 42."}
    response = gemini(SIGNED, result, last)
    body, _ = DIALECTS[client].client.render_response(response, CONTEXT)
    request = msgspec.json.decode(msgspec.json.encode(BODIES[client]))
    name = "f" if client == "anthropic_messages" else None
    if client == "anthropic_messages":
        request["tools"].append({"name": name, "input_schema": {"type": "object"}})
        responses = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": "ok"}
            for block in body["content"]
            if block["type"] == "tool_use"
        ]
        request["messages"] += [
            {"role": "assistant", "content": body["content"]},
            {"role": "user", "content": responses or "and?"},
        ]
    else:
        request["tools"].append({"type": "function", "name": "f", "parameters": {}})
        responses = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
            for item in body["output"]
            if item["type"] == "function_call"
        ]
        user = {"role": "user", "content": "and?"}
        request["input"] = [
            {"role": "user", "content": "hi"},
            *body["output"],
            *(responses or [user]),
        ]
    upstream_body = translate.request(client, "gemini", {"model": "m", **request}, VERSION, GEMINI)[
        "body"
    ]
    parts = [
        part
        for turn in upstream_body["contents"]
        if turn["role"] == "model"
        for part in turn["parts"]
    ]
    signatures = {
        key: part.get("thoughtSignature")
        for part in parts
        for key in part
        if key in {"executableCode", "functionCall"}
    }
    expected = {"executableCode": "U0lHTkVE"}
    assert signatures == (expected | {"functionCall": "Q0FMTA=="} if followed_by_call else expected)


def test_the_state_of_code_is_unchanged_for_googles_clients() -> None:
    body, _ = DIALECTS["gemini"].client.render_response(gemini(SIGNED), CONTEXT)
    assert body["candidates"][0]["content"]["parts"] == [SIGNED]
