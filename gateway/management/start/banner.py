"""The banner that `up` prints once it accepts connections: URLs, keys and an example call."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.management.start.bootstrap import StartResult

# Addresses for which `localhost` is the name to call.
_LOCALHOST_ADDRESSES = {"127.0.0.1", "0.0.0.0", "::", "::1", ""}  # noqa: S104 - compared, not bound


def address(host: str, port: int, *, is_tls: bool = False) -> str:
    """Return the gateway's base URL for callers on this machine."""
    scheme = "https" if is_tls else "http"
    if host in _LOCALHOST_ADDRESSES:
        return f"{scheme}://localhost:{port}"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def banner(result: StartResult, base: str, *, notes: Sequence[str], open_mode: bool) -> str:
    """Return the text of the banner; `base` is the gateway's base URL."""
    setup_query = f"?setup={result.setup_token}" if result.setup_token else ""
    lines = [*notes, "", "Dragoman is running."] if notes else ["Dragoman is running."]
    lines += [
        _format_line("API base URL", f"{base}/v1  (OpenAI SDKs)"),
        _format_line("", f"{base}  (Anthropic SDKs, Claude Code)"),
        _format_line("Console", f"{base}/{setup_query}"),
        _format_line("API reference", f"{base}/docs"),
    ]
    if result.first_key:
        lines.append(_format_line("Gateway key", f"{result.first_key}  (shown only once)"))
    if open_mode:
        lines.append(_format_line("Keys", "not required: any key is accepted on this machine"))
    if result.admin_key_file:
        lines.append(_format_line("Admin key", f"in {result.admin_key_file}"))
    if result.environment_providers:
        lines.append(_format_line("Providers", ", ".join(result.environment_providers)))
    lines += ["", "Try it:", f"  {curl(result, base, open_mode=open_mode)}", ""]
    return "\n".join(lines)


def _format_line(name: str, value: str) -> str:
    return f"  {name:<14} {value}"


def curl(result: StartResult, base: str, *, open_mode: bool) -> str:
    """Return a shell command that calls the example model."""
    key = result.first_key or ("anything" if open_mode else "$DRAGOMAN_API_KEY")
    body = f'{{"model":"{result.example_model}","messages":[{{"role":"user","content":"Hello"}}]}}'
    return (
        f"curl {base}/v1/chat/completions -H 'Content-Type: application/json' "
        f"""-H "Authorization: Bearer {key}" -d '{body}'"""
    )
