"""The models in an OpenAI batch's file: each line's `body.model`, as the provider calls it.

A name is looked up as any model of a client is: a route, an alias or `provider/model` with a
target at the provider that the file goes to; else a model of that provider by its own name,
one with a row here or in its price list. Any other is refused with the number of its line.

A line whose model keeps its name keeps its bytes. A file goes from one spool to another, a
few lines at a time and in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.edge.admit import find_route, may_use
from gateway.framing.multipart import Part, Stretch
from gateway.providers.prices import lists
from gateway.relay.call import Call
from gateway.relay.forward import path_of, state_of
from gateway.relay.spool import Spool
from gateway.routing.snapshot import Provider

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# What a file for batches is uploaded for: OpenAI's word and Together's.
PURPOSES = frozenset({"batch", "batch-api"})
# What is held of a file at a time, but for the step in which it is read.
MAX_LINE_BYTES = 32 * 1024 * 1024
_MOST_NAMES = 1000

Fields = dict[str, msgspec.Raw]
Rename = Callable[[str, int], str]


class _Body(msgspec.Struct):
    model: str | None = None


class _Line(msgspec.Struct):
    body: _Body | None = None


_lines = msgspec.json.Decoder(_Line)
_fields = msgspec.json.Decoder(Fields)


def is_for_batches(form: list[Part]) -> bool:
    """Whether a form uploads a file of batch lines. Raises Malformed."""
    return any(part.name == "purpose" and part.text in PURPOSES for part in form)


def of_call(call: Call) -> Part | None:
    """The file of batch lines that a call uploads; None for any other call."""
    state, operation = state_of(call)
    if operation.family != "files" or state.form is None or not is_for_batches(state.form):
        return None
    files = [part for part in state.form if part.name == "file" and part.filename is not None]
    return files[0] if len(files) == 1 else None


async def provider_of(call: Call, file: Part) -> str:
    """Where the model of the first line is served, for a call that names no provider.

    Empty where that does not say it: the name is no route's, or two providers have it.
    """
    spool = state_of(call)[0].spool
    assert spool is not None
    assert file.kept is not None
    first = _First()
    async for data in spool.read(file.kept):
        if first.feed(data):
            break
    name = first.model()
    route = call.snapshot.route(name) if name else None
    targets = route.targets if route is not None else ()
    able = {t.model.provider.name for t in targets if path_of(t.model.provider, "batches")}
    return able.pop() if len(able) == 1 else ""


async def rename(runtime: Runtime, call: Call, file: Part, provider: Provider) -> None:
    """Give the models in the call's form the provider's names. Raises GatewayError."""
    state = state_of(call)[0]
    old = state.spool
    assert old is not None
    new = runtime.spools.open(old.size)
    parts: list[Part] = []
    try:
        for part in state.form or ():
            lines = Lines(_Names(call, provider)) if part is file else None
            parts.append(part if part.kept is None else await _moved(part, old, new, lines))
    except BaseException:
        new.close()
        raise
    state.form, state.spool = parts, new
    old.close()


async def _moved(part: Part, old: Spool, new: Spool, lines: Lines | None) -> Part:
    """A part in another spool, through `lines` if there are any."""
    assert part.kept is not None
    start = new.size
    async for data in old.read(part.kept):
        await new.write(data if lines is None else await asyncio.to_thread(lines.feed, data))
    if lines is not None:
        await new.write(await asyncio.to_thread(lines.close))
    return msgspec.structs.replace(part, kept=Stretch(start, new.size - start))


class Lines:
    """The lines of a file with the names that `name_of` gives (for a name, and its line)."""

    def __init__(self, name_of: Rename) -> None:
        self._name_of = name_of
        self._number = 0
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """What is ready once `data` has come. Raises GatewayError."""
        first, end, rest = data.partition(b"\n")
        self._hold(first)
        if not end:
            return b""
        whole, self._held, self._size = b"".join(self._held), [], 0
        *more, last = rest.split(b"\n")
        self._hold(last)
        return b"".join(self._line(line) + b"\n" for line in (whole, *more))

    def close(self) -> bytes:
        """The last line, which has no end. Raises GatewayError."""
        return self._line(b"".join(self._held))

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size > MAX_LINE_BYTES:
            most = MAX_LINE_BYTES // 1024 // 1024
            raise invalid(f"line {self._number + 1} of the file has more than {most} MB", "file")

    def _line(self, line: bytes) -> bytes:
        self._number += 1
        model = _model(line, self._number) if line.strip() else None
        if model is None:
            return line
        new = self._name_of(model, self._number)
        return line if new == model and _once(line) else _with(line, new)


class _First:
    """Finds the first line that says something."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bool:
        """Take in more; whether that is enough."""
        self._held = (self._held + data).lstrip()
        return b"\n" in self._held or len(self._held) > MAX_LINE_BYTES

    def model(self) -> str | None:
        """What it names; None for nothing. Raises GatewayError."""
        line = self._held.partition(b"\n")[0]
        return _model(line, 1) if line else None


def _model(line: bytes, number: int) -> str | None:
    """What a line names; None where it has no body or no model, which the provider will tell."""
    try:
        found = _lines.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = f"line {number} of the file is no request in JSON: {error}"
        raise invalid(why, "file") from None
    return found.body.model if found.body is not None else None


def _once(line: bytes) -> bool:
    """Whether nobody can read another model in a line than was read here.

    Of a field that stands twice one reader takes the first, another the last.
    """
    return line.count(b'"model"') == line.count(b'"body"') == 1 and b"\\u00" not in line


def _with(line: bytes, model: str) -> bytes:
    fields = _fields.decode(line)
    body = _fields.decode(fields["body"])
    body["model"] = msgspec.Raw(msgspec.json.encode(model))
    fields["body"] = msgspec.Raw(msgspec.json.encode(body))
    return msgspec.json.encode(fields)


class _Names:
    """What a key's names of models are at a provider; each is looked up once."""

    def __init__(self, call: Call, provider: Provider) -> None:
        self._call, self._provider = call, provider
        self._known: dict[str, str] = {}

    def __call__(self, name: str, number: int) -> str:
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            found = self._known[name] = self._looked_up(name, number)
        return found

    def _looked_up(self, name: str, number: int) -> str:
        snapshot, here = self._call.snapshot, self._provider.name
        route = snapshot.route(name)
        for target in route.targets if route is not None else ():
            if target.model.provider.name == here:
                self._check(name, number)
                return target.model.name
        own = f"{here}/{name}"
        if own in snapshot.models or lists(self._provider.preset, name):
            self._check(own, number)
            return name
        at = f"line {number} of the file: body.model: `{name[:200]}`"
        if route is not None:
            raise invalid(f"{at} has no target at {here}, where the file goes", "file")
        raise invalid(
            f"{at} is no model here; use a route, an alias or `{here}/...` for any model that "
            f"{here} has",
            "file",
        )

    def _check(self, name: str, number: int) -> None:
        """Raise GatewayError where the key may not use a model."""
        route, key = find_route(self._call.snapshot, None, name), self._call.key
        if key is not None and not may_use(key, route):
            message = (
                f"line {number} of the file: body.model: this API key may not use the model "
                f"`{name[:200]}`"
            )
            raise GatewayError(Error(kind="not_allowed", message=message, param="file"))
