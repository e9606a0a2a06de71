"""Values of stored prompts, as the registry snapshot carries them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gateway.prompts.variables import Variables, names_in, render_text

# Versions of a prompt that a request can name: the newest ones, and the active one.
MAX_USABLE_VERSIONS = 50
MAX_MESSAGES = 100


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message; its content can use `{{variables}}`."""

    role: Literal["system", "user", "assistant"]
    content: str


class Parameters(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Default parameters: a request's own values take precedence. None sends none."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stop: tuple[str, ...] = ()


class PromptVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version, which never changes. `model` is used if a request names none."""

    number: int
    messages: tuple[Message, ...]
    parameters: Parameters = Parameters()
    model: str = ""

    def variables(self) -> list[str]:
        """The names of its variables, in order of first use."""
        return names_in(message.content for message in self.messages)

    def render(self, variables: Variables) -> tuple[Message, ...]:
        """The messages with their variables replaced. Raises MissingVariable."""
        return tuple(
            Message(message.role, render_text(message.content, variables))
            for message in self.messages
        )


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt: its usable versions by number, and the number of the active one."""

    name: str
    active: int
    versions: dict[int, PromptVersion]


def parse_version(
    number: int, messages: object, parameters: object, model: str = ""
) -> PromptVersion:
    """The version of JSON values. Raises ValueError that begins with the field at fault."""
    try:
        parsed_messages = msgspec.convert(messages, tuple[Message, ...])
    except msgspec.ValidationError as error:
        raise ValueError(f"messages: {error}") from None
    if not 1 <= len(parsed_messages) <= MAX_MESSAGES:
        raise ValueError(f"messages: must have 1 to {MAX_MESSAGES} messages")
    try:
        parsed_parameters = msgspec.convert(parameters, Parameters)
    except msgspec.ValidationError as error:
        raise ValueError(f"parameters: {error}") from None
    return PromptVersion(
        number=number, messages=parsed_messages, parameters=parsed_parameters, model=model
    )
