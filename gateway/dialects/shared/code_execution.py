"""Code that a provider runs in its own sandbox: the tool, and the runs in responses and histories.

OpenAI Responses writes one `code_interpreter_call` with its outputs, Anthropic a
`server_tool_use` and a result block, Gemini an `executableCode` and a `codeExecutionResult`
part. Containers and their files belong to the provider that ran the code.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from gateway.canon.json_values import list_or_empty
from gateway.canon.request import Tool
from gateway.canon.signature import FOREIGN_CONTAINER, FOREIGN_SEARCH
from gateway.dialects.shared.fields import object_or_empty, string_or_empty

Json = dict[str, Any]
Language = Literal["python", "bash"]

# The canonical name of the tool, which is Anthropic's.
NAME = "code_execution"
OPENAI_TOOL, OPENAI_CALL = "code_interpreter", "code_interpreter_call"
OPENAI_OUTPUTS = "code_interpreter_call.outputs"
GEMINI_CODE, GEMINI_RESULT = "executableCode", "codeExecutionResult"
# Gemini's tool, in both spellings that its clients use.
GEMINI_TOOLS = ("codeExecution", "code_execution")

SENT_AS_TEXT = "code that another provider ran is sent as text"
_OUTPUT_OK, _OUTPUT_FAILED = "OUTCOME_OK", "OUTCOME_FAILED"
_TIMED_OUT = "OUTCOME_DEADLINE_EXCEEDED"
_BASH = f"bash_{NAME}"
_RESULT_TYPES = (f"{NAME}_tool_result", f"{_BASH}_tool_result")
_INVALID_ID_CHARACTERS = re.compile(r"[^a-zA-Z0-9_]")
# Fields of a tool that every provider's own tool has or that request nothing.
_TOOL_DEFAULTS = frozenset({"type", "name"})


# --- the tool -------------------------------------------------------------------------------------


def is_code_execution(tool: Tool) -> bool:
    """Whether a tool is the provider's own code execution."""
    return tool.kind == "server" and tool.name == NAME


def tool_losses(tool: Tool) -> tuple[tuple[str, str], ...]:
    """The subfields of the client's tool that another provider cannot use, each with the reason."""
    native = tool.native or {}
    if any(name in native for name in GEMINI_TOOLS):
        return ()
    losses = [
        (name, "no equivalent")
        for name, value in native.items()
        if name not in _TOOL_DEFAULTS and name != "container" and value is not None
    ]
    container = native.get("container")
    if isinstance(container, str):
        losses.append(("container", "the container belongs to another provider"))
    for name, value in object_or_empty(container).items():
        if name == "file_ids" and value:
            losses.append((f"container.{name}", "the files belong to another provider"))
        elif name not in {"type", "file_ids"} and value is not None:
            losses.append((f"container.{name}", "no equivalent"))
    return tuple(losses)


# --- runs -----------------------------------------------------------------------------------------


class CodeResult(msgspec.Struct, frozen=True, kw_only=True):
    """Output of a code run.

    Attributes:
        id: the id of the run; empty where the result directly follows its code.
        output: standard output and errors.
        failed: whether the code failed.
        timed_out: whether it was stopped because it ran too long.
        losses: its fields that other providers' APIs do not have.
    """

    id: str = ""
    output: str = ""
    language: Language = "python"
    failed: bool = False
    timed_out: bool = False
    losses: tuple[str, ...] = ()


class CodeRun(msgspec.Struct, frozen=True, kw_only=True):
    """Code that a provider ran; `result` is None before it is known."""

    code: str
    id: str = ""
    language: Language = "python"
    result: CodeResult | None = None


def read_call(data: Json) -> CodeRun | None:
    """The code in a block, an item or a part; None for any other."""
    match data.get("type"):
        case "server_tool_use":
            return _from_tool_use(data)
        case "code_interpreter_call":
            code = string_or_empty(data.get("code"))
            return CodeRun(
                id=string_or_empty(data.get("id")), code=code, result=_parse_outputs(data)
            )
        case None if isinstance(part := data.get(GEMINI_CODE), dict):
            return CodeRun(
                id=string_or_empty(part.get("id")), code=string_or_empty(part.get("code"))
            )
        case _:
            return None


def _from_tool_use(data: Json) -> CodeRun | None:
    tool_input, run_id = object_or_empty(data.get("input")), string_or_empty(data.get("id"))
    match data.get("name"):
        case "code_execution":
            return CodeRun(id=run_id, code=string_or_empty(tool_input.get("code")))
        case "bash_code_execution":
            command = string_or_empty(tool_input.get("command"))
            return CodeRun(id=run_id, code=command, language="bash")
        case _:
            return None


def _parse_outputs(data: Json) -> CodeResult | None:
    """The outputs of an item; None where they were not requested or do not exist yet."""
    outputs, is_failed = data.get("outputs"), data.get("status") == "failed"
    if not isinstance(outputs, list) and not is_failed:
        return None
    entries = [entry for entry in list_or_empty(outputs) if isinstance(entry, dict)]
    losses = ("images of the output",) if any(e.get("type") == "image" for e in entries) else ()
    texts = (string_or_empty(entry.get("logs")) for entry in entries)
    return CodeResult(output="".join(texts), failed=is_failed, losses=losses)


def read_result(data: Json) -> CodeResult | None:
    """The result in a block or a part; None for any other."""
    if isinstance(part := data.get(GEMINI_RESULT), dict):
        outcome = part.get("outcome")
        return CodeResult(
            id=string_or_empty(part.get("id")),
            output=string_or_empty(part.get("output")),
            failed=outcome not in (None, _OUTPUT_OK),
            timed_out=outcome == _TIMED_OUT,
        )
    if data.get("type") not in _RESULT_TYPES:
        return None
    run_id, content = string_or_empty(data.get("tool_use_id")), object_or_empty(data.get("content"))
    language: Language = "python" if data["type"] == _RESULT_TYPES[0] else "bash"
    if string_or_empty(content.get("type")).endswith("_error"):
        code = string_or_empty(content.get("error_code"))
        timed_out = code == "execution_time_exceeded"
        return CodeResult(
            id=run_id, output=code, language=language, failed=True, timed_out=timed_out
        )
    losses = []
    if content.get("content"):
        losses.append("files of the container")
    streams = [string_or_empty(content.get(name)) for name in ("stdout", "stderr")]
    if "encrypted_stdout" in content:
        losses.append("encrypted output")
        streams[0] = "[encrypted output]"
    return CodeResult(
        id=run_id,
        output="\n".join(filter(None, streams)),
        language=language,
        failed=content.get("return_code") not in (None, 0),
        losses=tuple(losses),
    )


def is_foreign(data: Json) -> bool:
    """Whether an item represents code that another provider ran, in no container of OpenAI's."""
    return data.get("type") == OPENAI_CALL and string_or_empty(data.get("container_id")).startswith(
        FOREIGN_CONTAINER
    )


def history_text(data: Json) -> str:
    """A run or a result of a history as Markdown text; empty for any other part."""
    run = read_call(data)
    if run is None:
        result = read_result(data)
        return "" if result is None else _output_text(result)
    text = f"```{run.language}\n{run.code}\n```"
    return text if run.result is None else f"{text}\n\n{_output_text(run.result)}"


def _output_text(result: CodeResult) -> str:
    output = result.output.rstrip()
    title = "Output of the code, which failed" if result.failed else "Output"
    return f"{title}:\n```\n{output}\n```" if output else "The code printed nothing."


# --- runs as OpenAI writes them -------------------------------------------------------------------


def render_call_item(run: CodeRun, response_id: str) -> Json:
    """The `code_interpreter_call`, without its id."""
    result = run.result
    outputs = [{"type": "logs", "logs": result.output}] if result and result.output else []
    return {
        "type": OPENAI_CALL,
        "code": run.code,
        "container_id": f"{FOREIGN_CONTAINER}{response_id}",
        "outputs": outputs,
        "status": "failed" if result is not None and result.failed else "completed",
    }


# --- runs as Anthropic writes them ----------------------------------------------------------------


class CodeBlocks:
    """Renders the runs of one response as Anthropic's blocks; a result has the id of its run."""

    def __init__(self, response_id: str) -> None:
        self._response_id = response_id
        self._count = 0
        self._open_id = ""

    def render(self, data: Json) -> list[Json]:
        """The blocks of a run, of a result or of both; empty for any other part."""
        run = read_call(data)
        if run is not None:
            self._count += 1
            run_id = _INVALID_ID_CHARACTERS.sub("_", run.id or f"{self._response_id}_{self._count}")
            self._open_id = f"{FOREIGN_SEARCH}{run_id}"
            call = {
                "type": "server_tool_use",
                "id": self._open_id,
                "name": NAME,
                "input": {"code": run.code},
            }
            return [call, *self._result_blocks(run.result)] if _is_item(data) else [call]
        result = read_result(data)
        return self._result_blocks(result) if result is not None and self._open_id else []

    def _result_blocks(self, result: CodeResult | None) -> list[Json]:
        result = result or CodeResult()
        run_id, self._open_id = self._open_id, ""
        if result.timed_out and not result.output:
            content: Json = {
                "type": f"{NAME}_tool_result_error",
                "error_code": "execution_time_exceeded",
            }
        else:
            content = {
                "type": f"{NAME}_result",
                "stdout": "" if result.failed else result.output,
                "stderr": result.output if result.failed else "",
                "return_code": int(result.failed),
                "content": [],
            }
        return [{"type": f"{NAME}_tool_result", "tool_use_id": run_id, "content": content}]


def _is_item(data: Json) -> bool:
    """Whether a run and its result are one item."""
    return data.get("type") == OPENAI_CALL


# --- runs as Gemini writes them -------------------------------------------------------------------


def render_gemini_parts(data: Json) -> list[Json]:
    """The parts of a run, of a result or of both; empty for any other part.

    Ids are left out: they are optional, and a result directly follows its code.
    """
    run = read_call(data)
    if run is None:
        result = read_result(data)
        return [] if result is None else [_gemini_result(result)]
    language = "PYTHON" if run.language == "python" else "LANGUAGE_UNSPECIFIED"
    code = {GEMINI_CODE: {"language": language, "code": run.code}}
    return [code] if run.result is None else [code, _gemini_result(run.result)]


def _gemini_result(result: CodeResult) -> Json:
    outcome = _OUTPUT_FAILED if result.failed else _OUTPUT_OK
    return {
        GEMINI_RESULT: {
            "outcome": _TIMED_OUT if result.timed_out else outcome,
            "output": result.output,
        }
    }


def losses_of(data: Json) -> tuple[str, ...]:
    """The fields of a code run or its result that no other provider's API has."""
    run = read_call(data)
    result = read_result(data) if run is None else run.result
    if run is not None and result is None and _is_item(data):
        return ("the output, which the request did not include",)
    return result.losses if result is not None else ()
