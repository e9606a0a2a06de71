"""What `up` prints before it serves: where everything is, and a line that works."""

from __future__ import annotations

from gateway.management.start.bootstrap import Started


def banner(started: Started, base: str, *, open_mode: bool) -> str:
    """The lines for a person; `base` is the URL people reach the gateway at."""
    lines = [
        "",
        "Dragoman is up.",
        f"  API base URL   {base}/v1          (OpenAI SDKs)",
        f"                 {base}             (Anthropic SDKs, Claude Code)",
        f"  Console        {base}/{_setup(started)}",
        f"  API reference  {base}/docs",
    ]
    if started.first_key:
        lines.append(f"  Gateway key    {started.first_key}   (shown only now)")
    if open_mode:
        lines.append("  Keys           none needed: any token is accepted on this machine")
    lines += [f"  Found          {name}" for name in started.found]
    lines += ["", "Try it:", f"  {curl(started, base, open_mode=open_mode)}", ""]
    return "\n".join(lines)


def _setup(started: Started) -> str:
    return f"?setup={started.setup_token}" if started.setup_token else ""


def curl(started: Started, base: str, *, open_mode: bool) -> str:
    """One line for a shell that gets an answer from the demo provider."""
    key = "anything" if open_mode else started.first_key or "$DRAGOMAN_KEY"
    body = '{"model":"demo","messages":[{"role":"user","content":"Hello"}]}'
    return (
        f"curl {base}/v1/chat/completions -H 'Content-Type: application/json' "
        f"""-H "Authorization: Bearer {key}" -d '{body}'"""
    )
