"""Rewrites `body.model` in each line of an OpenAI batch file to the provider's model name.

A name resolves as in any other request: a route, an alias or `provider/model` with a target
at the provider that receives the file; else the provider's own name of a model that has a row
here or is in its price list. Any other name is rejected with its line number.

A line whose model name does not change is copied unchanged. The file is copied from one spool
to another, a few lines at a time and in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from gateway.canon import model_names
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.json_values import to_raw
from gateway.edge import admission
from gateway.edge.admission import find_route
from gateway.framing.multipart import ByteRange, Part
from gateway.providers.prices import lists_model
from gateway.relay.exchange.call import Exchange
from gateway.relay.exchange.spool import Spool
from gateway.relay.passthrough.batches import MAX_LINE_BYTES
from gateway.relay.passthrough.request import BATCH_PURPOSES, provider_path, state_of
from gateway.routing import other_models
from gateway.routing.snapshot import Provider, may_use

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_MAX_CACHED_NAMES = 1000

Fields = dict[str, msgspec.Raw]
RenameModel = Callable[[str, int], str]
CheckFields = Callable[[Fields, int], None]


class _Body(msgspec.Struct):
    model: str | None = None


class _Line(msgspec.Struct):
    body: _Body | None = None


_line_decoder = msgspec.json.Decoder(_Line)
_fields_decoder = msgspec.json.Decoder(Fields)


def is_batch_upload(form: list[Part]) -> bool:
    """Whether a form uploads a file of batch lines. Raises MalformedForm."""
    return any(part.name == "purpose" and part.text in BATCH_PURPOSES for part in form)


def find_batch_part(exchange: Exchange) -> Part | None:
    """The file of batch lines that a call uploads; None for any other call.

    Raises GatewayError if it is unclear which part is the file, or which the purpose: models and
    guardrails are checked in one file, and the provider may read another.
    """
    state, operation = state_of(exchange)
    if operation.family != "files" or state.form is None:
        return None
    purposes = [part for part in state.form if part.name == "purpose"]
    if any(part.filename is not None for part in purposes):
        raise invalid("purpose must be a plain field of the form", "purpose")
    if not is_batch_upload(state.form):
        return None
    if len(purposes) > 1:
        raise invalid("purpose appears twice", "purpose")
    files = [part for part in state.form if part.filename is not None]
    if len(files) != 1 or files[0].name != "file":
        raise invalid("a batch needs one file, in the part `file` of the form", "file")
    return files[0]


async def check_input_file(runtime: Runtime, exchange: Exchange, provider: Provider) -> None:
    """Raises GatewayError for a batch whose requests were not checked when they were uploaded.

    A provider may also accept files that were uploaded with another purpose.
    """
    owner = state_of(exchange)[0].owner_key_id
    if "input_file_id" not in exchange.fields or owner is None:
        return
    if not (other_models.is_limited(exchange.key) or exchange.snapshot.uses_guardrails):
        return
    file_id = admission.field_value(exchange.fields, "input_file_id", str, default="")
    try:
        is_checked = await runtime.resource_owners.is_batch_input(provider.name, owner, file_id)
    except Exception as error:
        message = "the purpose of this file is unknown while the database is unavailable"
        raise GatewayError(Error(kind="overloaded", message=message)) from error
    if not is_checked:
        raise invalid(
            "input_file_id: the file must be uploaded with the purpose `batch`, so that its "
            "requests are checked",
            "input_file_id",
        )


async def infer_provider(exchange: Exchange, file: Part) -> str:
    """The provider that serves the first line's model, for a call that names no provider.

    Empty if it is ambiguous: the name is not a route, or several providers serve it.
    """
    spool = state_of(exchange)[0].spool
    assert spool is not None
    assert file.stored_range is not None
    first = _FirstLine()
    async for chunk in spool.read(file.stored_range):
        if first.feed(chunk):
            break
    name = first.model()
    route = exchange.snapshot.route(name) if name else None
    targets = route.targets if route is not None else ()
    providers = {
        t.model.provider.name for t in targets if provider_path(t.model.provider, "batches")
    }
    return providers.pop() if len(providers) == 1 else ""


async def rename_models(
    runtime: Runtime, exchange: Exchange, file: Part, provider: Provider
) -> tuple[str, ...]:
    """Rewrite the models in the call's batch file to the provider's names.

    Return the guardrails of the routes that the lines name. Raises GatewayError.
    """
    state = state_of(exchange)[0]
    source_spool = state.spool
    assert source_spool is not None
    target_spool = runtime.spools.open(source_spool.size)
    parts: list[Part] = []
    model_names_of_file = _ModelNames(exchange, provider)
    try:
        for part in state.form or ():
            rewriter = (
                BatchLineRewriter(model_names_of_file, _other_models_check(exchange))
                if part is file
                else None
            )
            parts.append(
                part
                if part.stored_range is None
                else await _copy_part(part, source_spool, target_spool, rewriter)
            )
    except BaseException:
        target_spool.close()
        raise
    state.form, state.spool, state.has_checked_requests = parts, target_spool, True
    source_spool.close()
    return tuple(sorted(model_names_of_file.guardrails))


async def _copy_part(
    part: Part, source: Spool, target: Spool, rewriter: BatchLineRewriter | None
) -> Part:
    """Copy a part to another spool, through `rewriter` if there is one."""
    assert part.stored_range is not None
    start = target.size
    async for chunk in source.read(part.stored_range):
        await target.write(
            chunk if rewriter is None else await asyncio.to_thread(rewriter.feed, chunk)
        )
    if rewriter is not None:
        await target.write(await asyncio.to_thread(rewriter.close))
    return msgspec.structs.replace(part, stored_range=ByteRange(start, target.size - start))


class BatchLineRewriter:
    """Rewrites the model of each line to what `rename(name, line_number)` returns.

    `check` is called with the body's fields, if it has any that may name other models.
    """

    def __init__(self, rename: RenameModel, check: CheckFields | None = None) -> None:
        self._rename, self._check = rename, check
        self._line_number = 0
        self._pending: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Buffer a chunk; return the lines that it completes. Raises GatewayError."""
        line_end, newline, remainder = data.partition(b"\n")
        self._append_pending(line_end)
        if not newline:
            return b""
        completed_line, self._pending, self._size = b"".join(self._pending), [], 0
        *lines, partial_line = remainder.split(b"\n")
        self._append_pending(partial_line)
        return b"".join(self._rewrite_line(line) + b"\n" for line in (completed_line, *lines))

    def close(self) -> bytes:
        """The last line, if it does not end with a newline. Raises GatewayError."""
        return self._rewrite_line(b"".join(self._pending))

    def _append_pending(self, line_part: bytes) -> None:
        self._pending.append(line_part)
        self._size += len(line_part)
        if self._size > MAX_LINE_BYTES:
            max_mb = MAX_LINE_BYTES // 1024 // 1024
            raise invalid(
                f"line {self._line_number + 1} of the file has more than {max_mb} MB", "file"
            )

    def _rewrite_line(self, line: bytes) -> bytes:
        self._line_number += 1
        model = _read_model(line, self._line_number) if line.strip() else None
        if _may_differ_in_case(line):
            _check_case(line, self._line_number)
        if self._check is not None:
            line = self._check_fields(self._check, line)
        if model is None:
            is_copied = not line.strip() or _is_unambiguous(line)
            return line if is_copied else _without_duplicates(line)
        new_name = self._rename(model, self._line_number)
        return (
            line if new_name == model and _is_unambiguous(line) else _replace_model(line, new_name)
        )

    def _check_fields(self, check: CheckFields, line: bytes) -> bytes:
        """The line; without duplicate fields, if it has some that are checked."""
        fields = _fields_decoder.decode(line) if line.strip() else {}
        if not bytes(fields.get("body", b"")).startswith(b"{"):
            return line
        body = _fields_decoder.decode(fields["body"])
        if other_models.FIELDS.isdisjoint(body):
            return line
        check(body, self._line_number)
        return _without_duplicates(line)


def _other_models_check(exchange: Exchange) -> CheckFields | None:
    """Refuse other models in the lines of a limited key; None for any other key."""
    if not other_models.is_limited(exchange.key):
        return None

    def check(body: Fields, line_number: int) -> None:
        try:
            other_models.refuse_other_models(exchange.snapshot, exchange.key, body, "body.")
        except GatewayError as failure:
            message = f"line {line_number} of the file: {failure.error.message}"
            raise GatewayError(Error(kind="not_allowed", message=message, param="file")) from None

    return check


class _FirstLine:
    """Reads the first line that is not blank."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> bool:
        """Buffer a chunk; return whether the line is complete."""
        self._buffer = (self._buffer + data).lstrip()
        return b"\n" in self._buffer or len(self._buffer) > MAX_LINE_BYTES

    def model(self) -> str | None:
        """The model that the line names, or None. Raises GatewayError."""
        line = self._buffer.partition(b"\n")[0]
        return _read_model(line, 1) if line else None


def _read_model(line: bytes, line_number: int) -> str | None:
    """The model that a line names; None without a body or model, which the provider reports."""
    try:
        request_line = _line_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"line {line_number} of the file is not a JSON request: {error}"
        raise invalid(message, "file") from None
    return request_line.body.model if request_line.body is not None else None


def _is_unambiguous(line: bytes) -> bool:
    """Whether every JSON parser reads the same model from a line.

    Of a duplicate field some parsers use the first value, others the last.
    """
    counts = (line.count(b'"model"'), line.count(b'"body"'))
    return max(counts) <= 1 and b"\\u00" not in line


def _may_differ_in_case(line: bytes) -> bool:
    """Whether a line may contain `model` or `body` in another case, or with escaped letters."""
    lower = line.lower()
    names = (b'"model"', b'"body"')
    return b"\\u00" in line or any(lower.count(name) != line.count(name) for name in names)


def _check_case(line: bytes, line_number: int) -> None:
    """Raises GatewayError for a field of the line or its body that is in another case."""
    try:
        fields = _fields_decoder.decode(line)
        admission.check_case({"body": None, **fields})
        if bytes(fields.get("body", b"")).startswith(b"{"):
            admission.check_case(_fields_decoder.decode(fields["body"]))
    except GatewayError as failure:
        raise invalid(f"line {line_number} of the file: {failure.error.message}", "file") from None


def _without_duplicates(line: bytes) -> bytes:
    """A line with the last of duplicate fields only, as its model was read."""
    fields = _fields_decoder.decode(line)
    if bytes(fields.get("body", b"")).startswith(b"{"):
        fields["body"] = to_raw(_fields_decoder.decode(fields["body"]))
    return msgspec.json.encode(fields)


def _replace_model(line: bytes, model: str) -> bytes:
    fields = _fields_decoder.decode(line)
    body = _fields_decoder.decode(fields["body"])
    body["model"] = to_raw(model)
    fields["body"] = to_raw(body)
    return msgspec.json.encode(fields)


class _ModelNames:
    """Maps the model names of a key to a provider's names; each is resolved once."""

    def __init__(self, exchange: Exchange, provider: Provider) -> None:
        self._call, self._provider = exchange, provider
        self._resolved_names: dict[str, str] = {}
        # Those of the routes that the lines name.
        self.guardrails: set[str] = set()

    def __call__(self, name: str, line_number: int) -> str:
        provider_model = self._resolved_names.get(name)
        if provider_model is None:
            if len(self._resolved_names) >= _MAX_CACHED_NAMES:
                self._resolved_names.clear()
            provider_model = self._resolved_names[name] = self._resolve_name(name, line_number)
        return provider_model

    def _resolve_name(self, name: str, line_number: int) -> str:
        if (fault := model_names.find_name_fault(name)) is not None:
            raise invalid(f"line {line_number} of the file: body.model: {fault}", "file")
        snapshot, provider_name = self._call.snapshot, self._provider.name
        route = snapshot.route(name)
        self.guardrails.update(route.guardrails if route is not None else ())
        for target in route.targets if route is not None else ():
            if target.model.provider.name == provider_name:
                self._check_access(name, line_number)
                return target.model.name
        qualified_name = f"{provider_name}/{name}"
        if qualified_name in snapshot.models or lists_model(self._provider.preset, name):
            self._check_access(qualified_name, line_number)
            return name
        location = f"line {line_number} of the file: body.model: `{name[:200]}`"
        if route is not None:
            raise invalid(
                f"{location} has no target at {provider_name}, which receives the file", "file"
            )
        raise invalid(
            f"{location} is not a model of this gateway; use a route, an alias or "
            f"`{provider_name}/...` for any model of {provider_name}",
            "file",
        )

    def _check_access(self, name: str, line_number: int) -> None:
        """Raises GatewayError if the key may not use the model."""
        route, key = find_route(self._call.snapshot, None, name), self._call.key
        if key is not None and not may_use(key, route):
            message = (
                f"line {line_number} of the file: body.model: this API key may not use the model "
                f"`{name[:200]}`"
            )
            raise GatewayError(Error(kind="not_allowed", message=message, param="file"))
