"""Rules of all templates, styles and scripts, without a browser."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from console import icons
from tests.each import each

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
SCRIPTS = sorted(p for p in (ROOT / "static/js").rglob("*.js"))
STYLES = sorted((ROOT / "static/css").rglob("*.css"))
FIRST_LOAD_BYTES = 150_000
MAX_TEMPLATE_LINE = 160
MAX_SCRIPT_LINES = 400
# Counts that are never large.
SMALL_COUNTS = {
    "templates/console/personal/page.html: limits.max_keys",
    "templates/console/personal/page.html: limits.key_days",
    "templates/console/requests/_session.html: session.steps|length",
    "templates/console/requests/_session.html: cache_breaks.findings|length",
    "templates/console/requests/_session.html: cache_breaks.request_count",
    "templates/console/routes/_bar.html: changes|length",
    "templates/mfa/index.html: authenticators.recovery_codes.get_unused_codes|length",
}

# What the content security policy would refuse, or what lets text become markup.
FORBIDDEN = {
    r"\|\s*safe\b": "`|safe` makes text markup",
    r"\{%\s*autoescape\s+off": "escaping is never off",
    r"\sstyle\s*=": "inline styles are refused by the policy",
    r"<style\b": "inline styles are refused by the policy",
    r"\son[a-z]+\s*=\s*[\"']": "inline handlers are refused by the policy",
    r"\bhx-on\b": "hx-on needs eval",
    r"hx-trigger\s*=\s*[\"'][^\"']*\[": "trigger filters need eval",
    r"hx-trigger=\"[^\"]*\binput\b[^\"]*\"(?! hx-sync=\"this:replace\")": (
        "htmx drops what is typed while a request waits, without hx-sync"
    ),
    r"hx-post=(?![^>]*\bhx-sync=)": (
        "htmx sends the second click of a double click after the first, without hx-sync"
    ),
    r"hx-(?:vals|headers)[\w:]*\s*=\s*[\"']js:": "js: needs eval",
    r"<script(?![^>]*\bsrc=)(?![^>]*type=[\"']application/json)[^>]*>": "inline scripts are refused",
    r"<th\b(?![^>]*\bscope=)": "without a scope, a screen reader guesses what a header is for",
    r"https?://(?!\{\{|localhost|127\.0\.0\.1|www\.w3\.org)[a-z0-9.-]+[^\"'<\s]*\.(?:js|css|woff2?)": (
        "files of others lie under static/vendor"
    ),
}


@each("path", TEMPLATES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_template_has_no_forbidden_constructs(path: Path) -> None:
    text = re.sub(
        r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}", "", path.read_text(), flags=re.S
    )
    reasons = [reason for pattern, reason in FORBIDDEN.items() if re.search(pattern, text, re.I)]
    assert reasons == []


@each(
    "line",
    [
        "{{ x|safe }}",
        '<p style="color: red">',
        '<a onclick="x()">',
        '<div hx-on:click="x">',
        '<div hx-trigger="keyup[ctrlKey]">',
        '<input hx-trigger="focus, input delay:250ms">',
        "<script>x()</script>",
        '<script type="module">x()</script>',
    ],
)
def test_the_lint_finds_planted_errors(line: str) -> None:
    assert any(re.search(pattern, line, re.I) for pattern in FORBIDDEN)


def test_template_lines_are_short_enough_to_read() -> None:
    long_lines = [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} characters"
        for path in TEMPLATES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > MAX_TEMPLATE_LINE
    ]
    assert long_lines == []


def test_large_counts_in_sentences_have_thousands_separators() -> None:
    """`{{ n }}` in a `blocktranslate` is 1234; `with shown=n|count` and `{{ shown }}` is 1,234."""
    block = r"\{% blocktranslate[^%]*\bcount n=(\S+)[^%]*%\}(.*?)\{% endblocktranslate %\}"
    plain_counts = {
        f"{path.relative_to(ROOT)}: {expression}"
        for path in TEMPLATES
        for expression, text in re.findall(block, path.read_text(encoding="utf-8"), re.S)
        if "{{ n }}" in text
    }
    assert plain_counts == SMALL_COUNTS


@each("path", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_script_makes_no_markup_of_text(path: Path) -> None:
    text = path.read_text()
    for word in (
        "innerHTML",
        ".outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
    ):
        assert word not in re.sub(r"//.*", "", text), word


def test_a_link_to_a_confirmation_ends_with_an_ellipsis() -> None:
    """`Delete…` opens a page that asks, `Revoke` acts; an icon alone has no room for it."""
    labels = [
        (path.name, label)
        for path in TEMPLATES
        for tag, content in re.findall(r"<a\b([^>]*)>(.*?)</a>", path.read_text(), re.S)
        if re.search(r'class="[^"]*\bdanger\b|url \'[\w-]+-(?:delete|revoke)\'', tag)
        for label in re.findall(r"\{% translate [\"'](.*?)[\"'] %\}", content)
    ]
    assert len(labels) > 10
    assert [(name, label) for name, label in labels if not label.endswith("…")] == []


def test_scripts_are_short_enough_to_read() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in SCRIPTS
    }
    assert {name: n for name, n in sizes.items() if n > MAX_SCRIPT_LINES} == {}


def test_no_htmx_2_idiom_is_left() -> None:
    checker = ROOT / "tests/browser/vendor/upgrade-check.py"
    completed = subprocess.run(
        [sys.executable, str(checker), str(ROOT / "templates")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout


def test_the_htmx_check_finds_an_old_idiom(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text('<div hx-vars="a:1" hx-ext="sse"></div>')
    checker = ROOT / "tests/browser/vendor/upgrade-check.py"
    completed = subprocess.run(
        [sys.executable, str(checker), str(tmp_path)], check=False, capture_output=True
    )
    assert completed.returncode == 1


def test_every_icon_is_in_the_sprite() -> None:
    used_icons = icons.used_icons([ROOT / "templates", ROOT / "static", ROOT / "console"])
    sprite = (ROOT / "static/vendor/icons/icons.svg").read_text()
    sprite_names = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    assert sorted(used_icons - sprite_names) == []
    assert sorted(sprite_names - used_icons) == [], (
        "icons that no page uses; run manage.py build_icons"
    )


def test_every_stylesheet_is_in_a_layer_and_remote_free() -> None:
    for path in STYLES:
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S).strip()
        assert text.startswith("@layer"), path
        assert not re.search(r"url\([\"']?https?:", text), path


# Set by htmx and uPlot; and with a number that a template computes.
FOREIGN_CLASSES = re.compile(r"htmx-request|u-over|c\d|in\d+")


def test_every_class_of_a_stylesheet_is_used() -> None:
    """A class that only a stylesheet has was renamed on the page, which lost its style."""
    rules = [re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S) for path in STYLES]
    selectors = [selector for text in rules for selector in re.findall(r"([^{}]+)\{", text)]
    styled = {name for text in selectors for name in re.findall(r"\.([A-Za-z_][\w-]*)", text)}
    sources = [*TEMPLATES, *SCRIPTS, *(ROOT / "console").rglob("*.py")]
    used_classes = set(
        re.findall(r"[A-Za-z_][\w-]*", "\n".join(path.read_text() for path in sources))
    )
    assert len(styled) > 100
    assert (
        sorted(name for name in styled - used_classes if not FOREIGN_CLASSES.fullmatch(name)) == []
    )


def test_the_first_load_of_every_page_is_small() -> None:
    """Everything that a page loads before the first click, compressed."""
    from tests.page_weight import first_load_bytes

    pages = [
        str(path.relative_to(ROOT / "templates"))
        for path in (ROOT / "templates/console").rglob("*.html")
        if "{% extends" in path.read_text(encoding="utf-8")
    ]
    totals = {page: sum(first_load_bytes(page).values()) for page in pages}
    assert len(totals) > 50
    assert {page: size for page, size in totals.items() if size > FIRST_LOAD_BYTES} == {}


def test_vendored_files_are_named() -> None:
    readme = (ROOT / "static/vendor/README.md").read_text()
    for folder in (ROOT / "static/vendor").iterdir():
        if folder.is_dir():
            assert f"`{folder.name}`" in readme
            assert any("LICENSE" in p.name or p.name == "NOTICE" for p in folder.iterdir()), folder
    readme = (ROOT / "tests/browser/vendor/README.md").read_text()
    for path in (ROOT / "tests/browser/vendor").iterdir():
        assert f"`{path.name}`" in readme or path.name == "README.md", path.name


# Names and abbreviations that are the same in every language.
_UNTRANSLATED = frozenset(
    {"CSV", "Django", "Dragoman", "HTTP", "JSON", "POST", "Python", "UTC", "YAML", "expected"}
)


def _untranslated(text: str) -> list[str]:
    """Return words of a template outside `translate`, `blocktranslate`, code and markup."""
    attributes = r'\s(?:title|aria-label|placeholder|alt|data-label)="([^"{]*[A-Za-z]{3}[^"{]*)"'
    for pattern in (
        r"\{#.*?#\}|\{% comment.*?endcomment %\}|<!--.*?-->",
        r"\{% blocktranslate.*?endblocktranslate %\}",
        r"\{% block (?:width|form_attributes) %\}.*?\{% endblock %\}",  # classes and attributes
        r"<(code|pre|kbd|samp|script|svg)\b.*?</\1>",
    ):
        text = re.sub(pattern, " ", text, flags=re.S)
    values = re.findall(attributes, text)
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", " ", text, flags=re.S)
    text = re.sub(r"<[^>]*>", " ", text, flags=re.S)
    untranslated = [word for word in re.findall(r"[A-Za-z]{3,}", text) if word not in _UNTRANSLATED]
    return untranslated + [value for value in values if value != "provider/model"]


def test_every_template_text_is_translatable() -> None:
    offenders = {
        str(path.relative_to(ROOT)): untranslated
        for path in TEMPLATES
        if (untranslated := _untranslated(path.read_text(encoding="utf-8")))
    }
    assert offenders == {}


_SENTENCE = re.compile(r"""(?<!_\()(["'`])([A-Z][a-z']+(?: [\w{}$.,;:'-]+)+)\1""")


def test_every_sentence_of_a_script_can_be_translated() -> None:
    offenders = {
        str(path.relative_to(ROOT)): sentences
        for path in (ROOT / "static/js").rglob("*.js")
        if (sentences := [text for _, text in _SENTENCE.findall(path.read_text(encoding="utf-8"))])
    }
    assert offenders == {}
    assert _SENTENCE.findall('show("It is saved")') == [('"', "It is saved")]


# Arguments of forms and messages that people read.
_TEXT_ARGUMENTS = frozenset({"label", "help_text", "empty_label"})
_MESSAGE_LEVELS = frozenset({"success", "error", "warning", "info"})


def _plain_strings(source: str) -> list[str]:
    """Return texts of forms and messages without `gettext`."""
    offenders = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        values = [item.value for item in node.keywords if item.arg in _TEXT_ARGUMENTS]
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else ""
        owner = function.value if isinstance(function, ast.Attribute) else None
        if name in _MESSAGE_LEVELS and isinstance(owner, ast.Name) and owner.id == "messages":
            values += node.args[1:]
        if name == "ValidationError":  # of `forms`; that of `jsonschema` is imported by name
            values += node.args[:1]
        offenders += [
            ast.unparse(value)
            for value in values
            if isinstance(value, ast.JoinedStr)
            or (isinstance(value, ast.Constant) and re.search("[A-Za-z]{3}", str(value.value)))
        ]
    return offenders


def test_every_text_of_a_form_or_message_can_be_translated() -> None:
    offenders = {
        str(path.relative_to(ROOT)): texts
        for path in (ROOT / "console").rglob("*.py")
        if "migrations" not in path.parts
        and (texts := _plain_strings(path.read_text(encoding="utf-8")))
    }
    assert offenders == {}
    assert _plain_strings('messages.error(request, "It failed")') == ["'It failed'"]
    assert _plain_strings('CharField(label="Name", help_text=_("A name"))') == ["'Name'"]


@pytest.mark.parametrize(
    "text",
    ["<p>Save it</p>", '<input placeholder="Your name">', "{% if a %}Yes, delete{% endif %}"],
)
def test_an_untranslated_text_is_found(text: str) -> None:
    assert _untranslated(text) != []
