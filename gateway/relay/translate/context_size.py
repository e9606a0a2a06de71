"""The context length requested from Ollama for one request (`num_ctx`).

Ollama truncates a prompt that does not fit its context without an error. Without `num_ctx` the
context has 4k tokens on machines with less than 24 GiB of video memory (`Traits.default_context`).
A model is loaded anew when its context length changes, so lengths double instead of following each
prompt. Ollama itself limits the length to what the model was trained for.

docs.ollama.com/context-length
"""

from __future__ import annotations

from gateway.canon.errors import GatewayError
from gateway.canon.traits import Traits
from gateway.providers.profile import Edit
from gateway.relay.exchange.call import Exchange
from gateway.relay.exchange.request_features import estimate_tokens

# Tokens reserved for the response. Agents allow tens of thousands and use few: a context for all of
# them would take the memory of the model. A longer response makes Ollama forget the beginning.
OUTPUT_TOKENS = 2048
# The maximum where the model's context window is unknown: what Ollama uses with most memory.
MAX_CONTEXT = 262_144


def context_edits(exchange: Exchange, traits: Traits) -> tuple[Edit, ...]:
    """The edit that sets `num_ctx` of a translated request that needs more than the default.

    It has no effect where client, model or provider sets the field.

    Empty if the request fits the server's default, and for a request that cannot be parsed,
    which may only be passed through.
    """
    default = traits.default_context
    if not default or exchange.verb != "generate":
        return ()
    try:
        # With a margin: it is better to overestimate a prompt.
        prompt = estimate_tokens(exchange) * 9 // 8
        output = exchange.request.max_output
    except GatewayError:
        return ()
    required = prompt + min(OUTPUT_TOKENS, output or OUTPUT_TOKENS)
    length = default
    while length < required:
        length *= 2
    length = min(length, traits.context_window or MAX_CONTEXT)
    if length <= default:
        return ()
    reason = f"a context of {default} tokens is too short for the prompt and its response"
    return (Edit(op="default", path="options.num_ctx", value=length, reason=reason),)
