"""Runs guardrails on forms: their text fields, and the lines of an uploaded batch file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.framing.multipart import ByteRange, Part
from gateway.guardrails.body_texts import replace_texts, texts_of
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.spool import Spool
from gateway.relay.passthrough.request import BATCH_PURPOSES, state_of
from gateway.relay.run.guardrails import check_texts, reject_duplicate_names, reject_token_ids

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime


async def guard_form(runtime: Runtime, call: Call) -> None:
    """Check the form of a passthrough call, whose fields `guard_request` has checked.

    Raises GatewayError if a guardrail blocks, or cannot check, a part.
    """
    state = state_of(call.exchange)[0]
    if state.form is None or call.guard is None or not call.guard.before:
        return
    fields = {name: msgspec.json.decode(raw) for name, raw in call.exchange.fields.items()}
    state.form = _checked_parts(state.form, fields)
    await _guard_batch_file(runtime, call)


def _checked_parts(form: list[Part], fields: dict[str, Any]) -> list[Part]:
    """The parts of a form, with the checked texts of its fields."""
    positions: dict[str, int] = {}
    parts = []
    for part in form:
        if part.filename is not None:
            parts.append(part)
            continue
        if part.stored_range is not None:
            raise invalid(f"{part.name[:80]} is too long to be checked by guardrails", part.name)
        value = fields.get(part.name)
        if isinstance(value, list):
            position = positions[part.name] = positions.get(part.name, -1) + 1
            value = value[position]
        if isinstance(value, str):  # a webhook may have removed the field
            parts.append(msgspec.structs.replace(part, data=value.encode()))
    return parts


def _batch_file(call: Call) -> Part | None:
    state, operation = state_of(call.exchange)
    if operation.family != "files" or state.form is None:
        return None
    purposes = [part for part in state.form if part.name == "purpose" and part.filename is None]
    if not any(part.text in BATCH_PURPOSES for part in purposes):
        return None
    return next((part for part in state.form if part.filename is not None), None)


async def _guard_batch_file(runtime: Runtime, call: Call) -> None:
    """Check the lines of an uploaded batch file, and rewrite them in place.

    Raises GatewayError if a guardrail blocks a line.
    """
    file = _batch_file(call)
    state = state_of(call.exchange)[0]
    if file is None or state.spool is None:
        return
    source, target = state.spool, runtime.spools.open(state.spool.size)
    parts: list[Part] = []
    try:
        for part in state.form or ():
            if part.stored_range is None:
                parts.append(part)
                continue
            start = target.size
            checked_texts = (
                _check_lines(runtime, call, source, part.stored_range)
                if part is file
                else source.read(part.stored_range)
            )
            async for data in checked_texts:
                await target.write(data)
            byte_range = ByteRange(start, target.size - start)
            parts.append(msgspec.structs.replace(part, stored_range=byte_range))
    except BaseException:
        target.close()
        raise
    state.form, state.spool = parts, target
    source.close()


async def _check_lines(
    runtime: Runtime, call: Call, spool: Spool, byte_range: ByteRange
) -> AsyncIterator[bytes]:
    """The lines of a file with checked request bodies; their length was checked on arrival."""
    pending, number = bytearray(), 0
    async for data in spool.read(byte_range):
        pending += data
        *lines, incomplete_line = bytes(pending).split(b"\n") if b"\n" in data else [bytes(pending)]
        pending = bytearray(incomplete_line)
        for line in lines:
            number += 1
            yield await _check_line(runtime, call, line, number) + b"\n"
    if pending:
        yield await _check_line(runtime, call, bytes(pending), number + 1)


async def _check_line(runtime: Runtime, call: Call, line: bytes, number: int) -> bytes:
    if not line.strip():
        return line
    try:
        request = offload.decode(line)
        body = request.get("body") if isinstance(request, dict) else None
        assert call.guard is not None
        reject_token_ids(call.guard, body)
        reject_duplicate_names(call.guard, line, request)
        texts = texts_of(body) if isinstance(body, dict) else []
        if not texts:
            return line
        checked_texts, rewritten = await check_texts(runtime, call, "request", texts, document=body)
        if rewritten is None and checked_texts is not texts:
            rewritten = replace_texts(body, checked_texts)
    except GatewayError as failure:
        message = f"line {number} of the file: {failure.error.message}"
        error = msgspec.structs.replace(failure.error, message=message)
        raise GatewayError(error) from None
    except (msgspec.MsgspecError, RecursionError):
        raise invalid(
            f"line {number} of the file cannot be checked by guardrails", "file"
        ) from None
    return line if rewritten is None else msgspec.json.encode({**request, "body": rewritten})
