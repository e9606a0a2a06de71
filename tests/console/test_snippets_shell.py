"""Generated shell commands and programs send exactly the shown values."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console import shell
from console.pages.connect.clients import panels
from console.pages.requests import curl
from console.playground import code
from console.playground.plan import Column
from gateway.canon.request import Text, Turn
from tests.each import each

HOSTILE = [
    "`touch pwned`",
    "$(touch pwned)",
    '"; touch pwned; "',
    "'; touch pwned; '",
    "\\'; touch pwned #",
    "x\ntouch pwned\n",
    "x\r\ntouch pwned",
    "\x1b[201~\ntouch pwned\n",
    "\u009b201~",
    "${IFS}touch${IFS}pwned",
    "!!",
    "@/etc/passwd",
    "--output=pwned",
    "é\u2028\U0001f600",
    "{a,b}[1-3]",
    "\\u0027; touch pwned",
]
# Stands in for curl: writes its arguments, each ended by NUL.
_FAKE = '#!/bin/bash\nprintf "%s\\0" "$@" > args\n'


def _run(tmp_path: Path, command: str) -> list[str]:
    """Return the arguments that curl receives when bash runs the command."""
    (tmp_path / "curl").write_text(_FAKE)
    (tmp_path / "curl").chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "DRAGOMAN_API_KEY": "K",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["/bin/bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["args", "curl"]
    return (tmp_path / "args").read_bytes().decode().split("\0")[:-1]


@each("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_logged_request_as_curl_runs_nothing_else(tmp_path: Path, text: str) -> None:
    headers = {
        f"x-{text}": "v",
        f"a-key-{text}": curl.MASK,
        text: curl.MASK,
        "x-note": text,
        "authorization": curl.MASK,
    }
    command = curl.command(f"https://gw.test/{text}", headers, text, "DRAGOMAN_API_KEY")
    texts = _run(tmp_path, command)
    texts = [word for word in texts if word != "-g"]
    assert texts[0] == f"https://gw.test/{text}"
    assert texts[texts.index("--data-raw") + 1] == text
    curl_headers = [word for index, word in enumerate(texts) if texts[index - 1] == "-H"]
    assert curl_headers == [
        "content-type: application/json",
        "authorization: Bearer K",
        f"x-note: {text}",
    ]
    assert all(char.isprintable() or char in "\n\t" for char in command)


def _column(text: str) -> Column:
    """Return a column whose model and message are the text."""
    turns = (Turn(role="user", parts=(Text(text=text),)),)
    return Column(id="A", model=text, turns=turns)


@each("text", HOSTILE, ids=range(len(HOSTILE)))
@each("dialect", ["openai_chat", "gemini", "anthropic_messages"])
def test_the_playgrounds_curl_runs_nothing_else(tmp_path: Path, text: str, dialect: str) -> None:
    column = _column(text)
    texts = _run(tmp_path, code.render_code("curl", "http://gw.test", dialect, column))
    assert text in json.dumps(json.loads(texts[texts.index("-d") + 1]), ensure_ascii=False) or (
        text in str(json.loads(texts[texts.index("-d") + 1]))
        or json.dumps(text)[1:-1] in json.dumps(json.loads(texts[texts.index("-d") + 1]))
    )


@each("text", HOSTILE, ids=range(len(HOSTILE)))
@each("lang", [name for name in code.RENDERERS if name.startswith("python")])
def test_the_playgrounds_python_snippet_calls_nothing_else(text: str, lang: str) -> None:
    def calls(name: str) -> list[str]:
        column = _column(name)
        tree = ast.parse(code.render_code(lang, "http://gw.test", "openai_chat", column))
        return [ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)]

    assert calls(text) == calls("plain")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_playgrounds_javascript_quotes_texts_as_values(tmp_path: Path) -> None:
    """One program contains all texts; what it would send is compared with the request."""
    stub = "class OpenAI { chat = { completions: { create: async (b) => { out.push(b); return []; }"
    stub += " } }; responses = { create: async (b) => { out.push(b); return []; } }; }\n"
    programs = []
    for lang in ("javascript", "javascript-responses"):
        for text in HOSTILE:
            column = _column(text)
            written = code.render_code(lang, "http://gw.test", "openai_chat", column)
            body = written.partition("\n")[2]
            programs.append(f"await (async () => {{\n{body}\n}})();")
    text = f"const out = [];\n{stub}{chr(10).join(programs)}\n"
    text += "console.log(JSON.stringify(out.map((b) => b.model)));"
    (tmp_path / "all.mjs").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [shutil.which("node") or "", "all.mjs"], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == HOSTILE * 2
    assert not (tmp_path / "pwned").exists()


@each("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_clients_text_sends_the_routes_name(tmp_path: Path, text: str) -> None:
    (panel,) = [guide for guide in panels("http://gw.test", text) if guide.id == "curl"]
    texts = _run(tmp_path, panel.text)
    assert json.loads(texts[texts.index("-d") + 1])["model"] == text
    for guide in panels("http://gw.test", text):
        if guide.language == "python":
            values = [
                n.value for n in ast.walk(ast.parse(guide.text)) if isinstance(n, ast.Constant)
            ]
            assert text in values, guide.id


@settings(max_examples=30)
@given(text=st.text(max_size=40))
def test_a_shell_quoted_text_is_one_argument(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("quoted")
    assert _run(path, f"curl {shell.quote(text)}") == [text.replace("\0", "")]
