"""`manage.py chat`: a conversation with a model of the gateway, in the terminal."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from console.evaluate.chat import PATH, read_error
from console.gateway_client import GatewayClient, GatewayError
from console.management.gateway_options import (
    BAD_INPUT,
    add_gateway_options,
    read_gateway_options,
)
from console.templatetags.ui import ms, tokens
from gateway.framing import sse
from gateway.terminal_text import printable_text

HELP = "/model NAME changes the model, /reset begins again, /exit ends; Ctrl+C stops a response."


class Conversation:
    """The messages so far, and the model that answers."""

    def __init__(self, gateway: GatewayClient, model: str, system: str) -> None:
        self.model = model
        self.usage: dict[str, Any] = {}
        self._gateway = gateway
        self._first = [{"role": "system", "content": system}] if system else []
        self.messages = [*self._first]

    def reset(self) -> None:
        """Forget all but the system prompt."""
        self.messages = [*self._first]

    def ask(self, prompt: str) -> Iterator[str]:
        """The deltas of the response; both become part of the conversation. Raises GatewayError.

        A prompt without any response is forgotten.
        """
        messages = [*self.messages, {"role": "user", "content": prompt}]
        body = {"model": self.model, "messages": messages, "stream": True}
        body["stream_options"] = {"include_usage": True}
        response_chunks = []
        try:
            for chunk in self._stream_response(body):
                response_chunks.append(chunk)
                yield chunk
        finally:
            if response_chunks:
                response = {"role": "assistant", "content": "".join(response_chunks)}
                self.messages = [*messages, response]

    def _stream_response(self, body: dict[str, Any]) -> Iterator[str]:
        self.usage = {}
        decoder = sse.Decoder()
        try:
            with self._gateway.stream(PATH, body) as response:
                while data := response.read1(65536):
                    for frame in decoder.feed(data):
                        if frame.data == b"[DONE]":
                            return
                        yield from self._read_chunk(msgspec.json.decode(frame.data))
        except (msgspec.DecodeError, sse.FrameTooLarge):
            raise GatewayError("the response is not a stream of chat completions") from None
        raise GatewayError("the response ended early")

    def _read_chunk(self, chunk: dict[str, Any]) -> Iterator[str]:
        if "error" in chunk:
            raise GatewayError(read_error(msgspec.json.encode(chunk), 200))
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if text := delta.get("content") or delta.get("refusal"):
                yield text


class Command(BaseCommand):
    """Reads prompts line by line; without a terminal, each line of the standard input."""

    help = "Chat with a model of a gateway."
    # Needs neither the database nor the server's settings.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `chat`."""
        parser.add_argument("model", help="model or route")
        parser.add_argument("--system", default="", help="system prompt")
        add_gateway_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Converse until the input ends."""
        gateway = GatewayClient(*read_gateway_options(options))
        conversation = Conversation(gateway, options["model"], options["system"])
        terminal = sys.stdin.isatty()
        if terminal:
            self.stdout.write(HELP)
        has_failed = False
        while (prompt := _read_line(terminal=terminal)) is not None:
            prompt = prompt.strip()
            if prompt in {"/exit", "/quit"}:
                break
            if prompt == "/reset":
                conversation.reset()
            elif prompt.startswith("/model "):
                conversation.model = prompt.removeprefix("/model ").strip()
            elif prompt:
                has_failed = not self._print_response(conversation, prompt)
                if has_failed and not terminal:
                    break
        if has_failed and not terminal:
            sys.exit(1)

    def _print_response(self, conversation: Conversation, prompt: str) -> bool:
        """Print a response while it streams; return whether it is complete."""
        start_time = time.monotonic()
        try:
            for chunk in conversation.ask(prompt):
                self.stdout.write(printable_text(chunk), ending="")
                self.stdout.flush()
        except KeyboardInterrupt:
            self.stdout.write("\nStopped.")
            return True
        except GatewayError as error:
            self.stderr.write(f"\n{printable_text(str(error))}")
            return False
        usage = conversation.usage
        counts = f"{tokens(usage.get('prompt_tokens'))} + {tokens(usage.get('completion_tokens'))}"
        self.stdout.write("")
        self.stderr.write(
            f"{conversation.model}, {ms((time.monotonic() - start_time) * 1000)}, {counts} tokens"
        )
        return True


def _read_line(*, terminal: bool) -> str | None:
    try:
        return input("> ") if terminal else input()
    except EOFError:
        return None
    except KeyboardInterrupt:
        return None
    except UnicodeDecodeError:
        raise CommandError("the input is not UTF-8 text", returncode=BAD_INPUT) from None
