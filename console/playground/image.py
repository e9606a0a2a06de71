"""A run as an SVG image: a card for each model with its figures and its response.

Colors are presentation attributes, as the console's policy refuses inline styles.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from xml.sax.saxutils import escape

from console.playground.shared_view import SharedResponse, SharedRun
from console.templatetags.ui import ms, usd

CARDS_PER_ROW = 4
MAX_CARDS = 16
MAX_LINES = 22
CARD_WIDTH, GAP, PADDING = 380, 16, 24
_INSET, _LINE, _TEXT_TOP = 16, 19, 74
_CHARS, _TITLE_CHARS = 48, 56
THEMES = {
    "light": {
        "bg": "#f5f6f9",
        "card": "#ffffff",
        "line": "#d9dce5",
        "text": "#1b2033",
        "muted": "#5a6072",
        "bad": "#b3261e",
    },
    "dark": {
        "bg": "#0e1016",
        "card": "#161922",
        "line": "#2c303c",
        "text": "#eceef4",
        "muted": "#a3a8b8",
        "bad": "#f28b82",
    },
}
_FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
# Characters that XML 1.0 does not allow.
_FORBIDDEN_CHARS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_svg(run: SharedRun, theme: str = "light") -> str:
    """The image: the title, and the first response of each column."""
    colors = THEMES[theme]
    responses = [response for response in run.responses if response.repetition == 1][:MAX_CARDS]
    columns = max(1, min(CARDS_PER_ROW, len(responses)))
    width = 2 * PADDING + columns * CARD_WIDTH + (columns - 1) * GAP
    title = wrap(run.title, _TITLE_CHARS * columns - 8, 2) if run.title else []
    y = PADDING
    parts = [
        _svg_text(PADDING, y + 18 + 24 * n, line, colors["text"], 18, bold=True)
        for n, line in enumerate(title)
    ]
    y += 24 * len(title) + (12 if title else 0)
    for start in range(0, len(responses), columns):
        row = [(each, _response_lines(each)) for each in responses[start : start + columns]]
        height = _TEXT_TOP + _LINE * max(len(lines) for _response, lines in row) + _INSET
        for index, (response, lines) in enumerate(row):
            x = PADDING + index * (CARD_WIDTH + GAP)
            parts += _response_card(response, lines, x, y, height, colors)
        y += height + GAP
    height = y - GAP + PADDING if responses else y + PADDING
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{_FONT}">'
        f'<rect width="{width}" height="{height}" fill="{colors["bg"]}"/>{"".join(parts)}</svg>\n'
    )


def _response_lines(response: SharedResponse) -> list[str]:
    calls = [f"{name}({arguments})" for name, arguments in response.calls]
    text = "\n".join(filter(None, (*calls, response.text)))
    return wrap(text, _CHARS, MAX_LINES)


def _response_card(
    response: SharedResponse, lines: list[str], x: int, y: int, height: int, colors: dict[str, str]
) -> Iterator[str]:
    text_x = x + _INSET
    yield (
        f'<rect x="{x}" y="{y}" width="{CARD_WIDTH}" height="{height}" rx="8" '
        f'fill="{colors["card"]}" stroke="{colors["line"]}"/>'
    )
    name = wrap(f"{response.letter}  {response.model}", 42, 1)
    yield _svg_text(text_x, y + 28, name[0] if name else "", colors["text"], 15, bold=True)
    if response.state == "ok":
        yield _svg_text(text_x, y + 50, figures(response), colors["muted"], 12)
    else:
        yield _svg_text(text_x, y + 50, response.state, colors["bad"], 12)
    for number, line in enumerate(lines):
        yield _svg_text(text_x, y + _TEXT_TOP + _LINE * number + 10, line, colors["text"], 13)


def figures(response: SharedResponse) -> str:
    """Times, speed and cost in one line; unknown ones are left out."""
    parts = [
        ms(response.total_ms) if response.total_ms is not None else "",
        f"first token {ms(response.first_token_ms)}" if response.first_token_ms is not None else "",
        f"{response.tokens_per_s:.0f} tok/s" if response.tokens_per_s else "",
        usd(response.cost_usd) if response.cost_usd is not None else "",
    ]
    return " · ".join(filter(None, parts))


def _svg_text(x: int, y: int, text: str, fill: str, size: int, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" fill="{fill}" font-size="{size}"{weight} xml:space="preserve">'
        f"{escape(text)}</text>"
    )


def wrap(text: str, width: int, max_lines: int) -> list[str]:
    """Lines of at most `width` characters, wide ones counted twice; the last may end with `…`."""
    lines: list[str] = []
    for line in _wrap_text(_FORBIDDEN_CHARS.sub("", text).strip(), width):
        if len(lines) == max_lines:
            lines[-1] = f"{lines[-1][: width - 1]}…"
            return lines
        lines.append(line)
    return lines


def _wrap_text(text: str, width: int) -> Iterator[str]:
    for paragraph in text.expandtabs(4).splitlines():
        line, line_width = "", 0
        for word in re.findall(r"\S+\s*|\s+", paragraph):
            for chunk in _split_word(word, width):
                size = _text_width(chunk)
                if line and line_width + _text_width(chunk.rstrip()) > width:
                    yield line.rstrip()
                    line, line_width = "", 0
                line, line_width = line + chunk, line_width + size
        yield line.rstrip()


def _split_word(word: str, width: int) -> Iterator[str]:
    """The word, cut where it is longer than a line."""
    chunk, chunk_width = "", 0
    for character in word:
        size = _text_width(character)
        if chunk_width + size > width and character.strip():
            yield chunk
            chunk, chunk_width = "", 0
        chunk, chunk_width = chunk + character, chunk_width + size
    yield chunk


def _text_width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
