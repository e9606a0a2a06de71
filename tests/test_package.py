"""The wheel works without the repository: console, styles, first response, few dependencies."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port, is_ready
from tests.waits import wait_until

ROOT = Path(__file__).resolve().parent.parent
UV = shutil.which("uv")
MAX_PACKAGES, MAX_MB = 45, 100
CSS = 'text/css; charset="utf-8"'

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(UV is None, reason="needs uv: pip install uv"),
]


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """Return the environment without variables of this checkout or its databases."""
    foreign = ("DRAGOMAN_", "DJANGO_", "VIRTUAL_ENV", "PYTHON", "DATABASE_URL", "REDIS_URL")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


def build_wheel(directory: Path) -> Path:
    """Build the wheel of this checkout below a directory and return its path."""
    # Built from a copy: a build leaves files beside the sources.
    source = directory / "source"
    for name in ("gateway", "console", "templates", "static"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = run(UV, "build", "--wheel", "--out-dir", directory, cwd=source)
    assert built.returncode == 0, built.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with the wheel and its dependencies."""
    directory = tmp_path_factory.mktemp("package")
    wheel = build_wheel(directory)
    environment = directory / "environment"
    for command in (
        [UV, "venv", "--python", sys.executable, environment],
        # Compiled here: the first start would otherwise compile every dependency before it serves.
        [UV, "pip", "install", "--compile-bytecode", "--python", environment / "bin/python", wheel],
    ):
        done = run(*command, cwd=directory)
        assert done.returncode == 0, done.stderr
    return environment / "bin"


def test_the_wheel_requires_few_packages(installed: Path, tmp_path: Path) -> None:
    installed_packages = run(UV, "pip", "list", "--python", installed / "python", cwd=tmp_path)
    packages = installed_packages.stdout.splitlines()[2:]
    assert len(packages) <= MAX_PACKAGES, packages
    files = (path for path in installed.parent.joinpath("lib").rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files if path.suffix != ".pyc")
    assert size / 1e6 <= MAX_MB


@pytest.mark.parametrize("program", [["dragoman"], ["python", "-m", "dragoman"]])
@pytest.mark.wide(every=2)
def test_the_installed_package_serves_without_the_repository(
    installed: Path, tmp_path: Path, program: list[str]
) -> None:
    port = free_port()
    home = tmp_path / "home"
    with subprocess.Popen(
        [installed / program[0], *program[1:], "up", "--port", str(port)],
        cwd=tmp_path,
        env={**clean_environment(), "HOME": str(home), "XDG_DATA_HOME": str(home / "data")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            # The first start creates the database: on a busy machine that needs more time.
            wait_until(lambda: is_ready(port), within_s=120)
            assert (home / "data/dragoman").is_dir()
            banner = output_until(process, "curl")
            (setup,) = re.findall(r"Console +(\S+)", banner)
            page = httpx.get(setup, follow_redirects=True)
            assert page.status_code == 200
            style = re.findall(r'href="(/static/[^"]+\.css)"', page.text)[0]
            assert httpx.get(httpx.URL(setup).join(style)).headers["content-type"] == CSS
            (line,) = re.findall(r"curl .*", banner)
            done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True)
            assert json.loads(done.stdout)["choices"][0]["message"]["content"]
        finally:
            process.terminate()
            process.wait(60)


def output_until(process: subprocess.Popen[str], word: str) -> str:
    """Return the output of the program up to the first line with this word."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            break
    return "".join(lines)


@pytest.mark.parametrize(
    ("variable", "value", "extra"),
    [
        ("DATABASE_URL", "postgres://postgres@127.0.0.1/none", "postgres"),
        ("REDIS_URL", "redis://127.0.0.1:6379/0", "redis"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318", "otel"),
    ],
)
def test_a_missing_extra_is_named(
    installed: Path, tmp_path: Path, variable: str, value: str, extra: str
) -> None:
    directory = {"DRAGOMAN_DATA_DIR": str(tmp_path / "data")}
    done = run(installed / "dragoman", "check", cwd=tmp_path, **directory, **{variable: value})
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"Configuration error: {variable} needs a package that is not installed: "
        f"pip install 'dragoman[{extra}]'"
    )


def test_the_checkouts_command_installs_what_the_project_names() -> None:
    """`uv run manage.py` reads its own header, which must equal the project's dependencies."""
    header = [
        line[2:] if line.startswith("# ") else ""
        for line in (ROOT / "manage.py").read_text().partition("# ///")[2].splitlines()[1:]
    ]
    script = tomllib.loads("\n".join(header[: header.index("///")]))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert script["requires-python"] == project["project"]["requires-python"]
    assert script["tool"]["uv"]["exclude-newer"] == project["tool"]["uv"]["exclude-newer"]
    (requirement,) = script["dependencies"]
    extras = set(requirement.partition("[")[2].rstrip("]").split(","))
    assert extras == set(project["project"]["optional-dependencies"]) - {"tokens", "presidio"}


def test_the_installed_command_prints_its_version(installed: Path, tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = run(installed / "dragoman", "--version", cwd=tmp_path)
    assert done.stdout == f"dragoman {project['version']}\n"


def test_bash_completes_commands(installed: Path, tmp_path: Path) -> None:
    script = (
        'eval "$(dragoman completion bash)"; COMP_WORDS=(dragoman rout); COMP_CWORD=1; '
        '_dragoman_completion dragoman; echo "${COMPREPLY[@]}"'
    )
    path = f"{installed}:{os.environ['PATH']}"
    done = run("bash", "-c", script, cwd=tmp_path, PATH=path, DRAGOMAN_DATA_DIR=str(tmp_path / "d"))
    assert done.stdout.split() == ["routes"], done.stderr
