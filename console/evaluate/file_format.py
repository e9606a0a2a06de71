"""Evaluation files: YAML (also JSON), CSV and JSON lines.

A YAML file is a complete evaluation. The names of promptfoo's configuration (`prompts`,
`providers`, `tests`, `defaultTest`) are understood; what would run code is refused.
CSV and JSON lines have cases only.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import msgspec
import yaml

from console.evaluate.case_parser import parse_case_text
from console.evaluate.definition import (
    Definition,
    InvalidDefinition,
    parse_definition,
    render_definition,
)

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_NUMBER_CHARS = 500
_NUMBER_TAGS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_PROMPTFOO = frozenset({"prompts", "providers", "tests", "defaultTest", "targets"})
# Fields of promptfoo's configuration that do not change the requests.
_IGNORED_KEYS = frozenset(
    {"sharing", "outputPath", "env", "evaluateOptions", "commandLineOptions", "tags", "$schema"}
)
# Types of models in promptfoo's provider ids.
_API_KINDS = frozenset({"chat", "messages", "responses", "completion"})


class _Loader(yaml.SafeLoader):
    """YAML without aliases, which expand to gigabytes, and without very long numbers."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (`*name`) are not supported")
        return super().compose_node(parent, index)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        # Converting a number in base 60, such as `1:30`, takes time quadratic in its length.
        node = super().compose_scalar_node(anchor)
        if node.tag in _NUMBER_TAGS and len(node.value) > MAX_NUMBER_CHARS:
            raise yaml.YAMLError("a number is too long: put it in quotes, or write it shorter")
        return node


def load_file(name: str, text: str) -> Definition:
    """The evaluation in a file, by the ending of its name. Raises InvalidDefinition."""
    if len(text.encode()) > MAX_FILE_BYTES:
        raise InvalidDefinition(f"the file is larger than {MAX_FILE_BYTES // 1024 // 1024} MB")
    if "\0" in text:
        raise InvalidDefinition("the file contains a NUL character")
    path = PurePath(name)
    match path.suffix.lower():
        case ".csv":
            return Definition(name=path.stem, cases=parse_case_text(text, "csv"))
        case ".jsonl" | ".ndjson":
            return Definition(name=path.stem, cases=parse_case_text(text, "jsonl"))
        case ".txt":
            return Definition(name=path.stem, cases=parse_case_text(text, "lines"))
        case ".yaml" | ".yml" | ".json":
            definition = parse_definition(_rename_promptfoo_fields(_load_yaml(text)))
            evaluation_name = definition.name or path.stem
            return msgspec.structs.replace(definition, name=evaluation_name)
        case _:
            raise InvalidDefinition("the file must end in .yaml, .json, .csv, .jsonl or .txt")


def _load_yaml(text: str) -> Any:
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise InvalidDefinition(
            f"the file is not valid YAML: {' '.join(str(error).split())}"
        ) from None
    except (KeyError, AttributeError):  # PyYAML's for `!!bool x` and `!!timestamp x`
        raise InvalidDefinition(
            "the file is not valid YAML: a value does not fit its tag"
        ) from None
    if isinstance(data, list):
        return {"cases": data}
    try:
        # Dates and other types of YAML become text.
        return msgspec.json.decode(msgspec.json.encode(data))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise InvalidDefinition(f"the file has a value that JSON cannot hold: {error}") from None


def dump_file(definition: Definition) -> str:
    """The evaluation as YAML; `load_file` restores it."""
    return yaml.dump(
        render_definition(definition),
        Dumper=_Dumper,
        allow_unicode=True,
        sort_keys=False,
        width=100,
    )


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and never writes aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


# --- promptfoo -------------------------------------------------------------------------


def _rename_promptfoo_fields(data: Any) -> Any:
    """The object with promptfoo's field names replaced by those of this format."""
    if not isinstance(data, dict) or not data.keys() & _PROMPTFOO:
        return data
    renamed_fields = {k: v for k, v in data.items() if k not in _PROMPTFOO | _IGNORED_KEYS}
    if "prompts" in data:
        renamed_fields["prompt"] = _single_prompt(data["prompts"])
    if (providers := data.get("providers", data.get("targets"))) is not None:
        rows = providers if isinstance(providers, list) else [providers]
        renamed_fields["models"] = [_model_name(row) for row in rows]
    if (tests := data.get("tests")) is not None:
        if not isinstance(tests, list):
            raise InvalidDefinition(
                "`tests` must be a list in this file; import other files separately"
            )
        renamed_fields["cases"] = [_without_options(test) for test in tests]
    default = data.get("defaultTest")
    if isinstance(default, dict):
        judge = _judge_model(default.get("options"))
        renamed_fields |= {k: v for k, v in _without_options(default).items() if k != "description"}
        if judge:
            renamed_fields.setdefault("judge", judge)
    return renamed_fields


def _without_options(test: Any) -> Any:
    """A test without the fields that do not change its result. Raises InvalidDefinition."""
    if not isinstance(test, dict):
        return test
    options = test.get("options")
    if isinstance(options, dict) and options.keys() & {"transform", "transformVars"}:
        raise InvalidDefinition("`transform` runs code and is not supported")
    case = {k: v for k, v in test.items() if k not in {"options", "metadata"}}
    return case if case.keys() & {"vars", "messages", "assert"} else {**case, "vars": {}}


def _judge_model(options: Any) -> str:
    provider = options.get("provider") if isinstance(options, dict) else None
    return "" if provider is None else _model_name(provider)


def _single_prompt(prompts: Any) -> Any:
    rows = prompts if isinstance(prompts, list) else [prompts]
    if len(rows) != 1:
        raise InvalidDefinition(
            f"the file has {len(rows)} prompts; an evaluation has one: make one file for each"
        )
    prompt = rows[0]
    if isinstance(prompt, dict):
        prompt = prompt.get("raw")
    if not isinstance(prompt, str) or re.match(r"(file|https?)://", prompt):
        raise InvalidDefinition("the prompt must be in the file itself")
    return prompt


def _model_name(provider: Any) -> str:
    """A model of the gateway for a provider id: `openai:chat:gpt-4.1` -> `openai/gpt-4.1`."""
    if isinstance(provider, dict):
        provider = provider.get("id")
    if not isinstance(provider, str) or re.match(r"(file|https?|exec|python)\b", provider):
        raise InvalidDefinition("`providers` must be names of models")
    parts = provider.split(":")
    if len(parts) == 1:
        return provider
    names = [part for part in parts[1:] if part not in _API_KINDS]
    return f"{parts[0]}/{':'.join(names)}"
