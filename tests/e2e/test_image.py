"""The steps of deploy/Dockerfile run in a folder, without a container engine.

The resulting gateway also runs behind the Caddy site of deploy/.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.sites import caddy
from tests.ports import free_port, is_ready
from tests.test_package import ROOT, clean_environment
from tests.waits import wait_until

DEPLOY = ROOT / "deploy"
UV = shutil.which("uv")
# Directories of the image that the steps write, which are below the test's folder here.
PATHS = ("/opt/dragoman", "/requirements.txt", "/wheel", "/source", "/data")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(UV is None, reason="needs uv: pip install uv"),
]


def instructions() -> list[tuple[str, str]]:
    """Return instruction and argument of each step of the Dockerfile, in order."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines if line]


class Image:
    """The file system of the image, below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = clean_environment()
        self.steps = instructions()

    def path(self, text: str) -> str:
        """Return the text with the image's directories below the folder."""
        return re.sub(rf"(?<![\w.])({'|'.join(PATHS)})\b", rf"{self.root}\1", text)

    def build(self) -> None:
        """Run the steps of the build stage."""
        directory = self.root
        stage = 0
        for name, argument in self.steps:
            stage += name == "FROM"
            if name == "ENV":
                for setting in shlex.split(argument):
                    key, _, value = self.path(setting).partition("=")
                    value = value.replace("$PATH", self.environment["PATH"])
                    self.environment[key] = value
                # These save time at each start of the image, and cost it once here.
                for key in ("UV_COMPILE_BYTECODE", "UV_LINK_MODE", "PYTHONDONTWRITEBYTECODE"):
                    self.environment.pop(key, None)
            elif name == "WORKDIR":
                directory = Path(self.path(argument))
                directory.mkdir(parents=True)
            elif name == "COPY" and not argument.startswith("--from"):
                *sources, target = argument.split()
                for source in sources:
                    copy(ROOT / source, directory / target)
            elif name == "RUN" and stage == 1 and not argument.startswith("pip install"):
                self.run(argument, directory)

    def run(self, command: str, directory: Path) -> None:
        done = subprocess.run(
            ["sh", "-ec", self.path(command)],
            cwd=directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def last(self, name: str) -> str:
        return [argument for step, argument in self.steps if step == name][-1]


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    built = Image(tmp_path_factory.mktemp("image"))
    built.build()
    # Nothing outside the image's own directory is needed from here on.
    shutil.rmtree(built.root / "source")
    return built


@pytest.fixture(scope="module")
def gateway(image: Image) -> Iterator[str]:
    """Run ENTRYPOINT and CMD with another port; yield the base URL."""
    port = free_port()
    data = Path(image.environment["DRAGOMAN_DATA_DIR"])
    # VOLUME keeps the owner and mode that `install -d` gave it.
    data.mkdir(mode=0o700)
    image.environment |= {"DRAGOMAN_PORT": str(port), "DRAGOMAN_DRAIN_WAIT": "0"}
    image.environment["DRAGOMAN_TRUSTED_PROXIES"] = "127.0.0.1"
    command = [*arguments(image.last("ENTRYPOINT")), *arguments(image.last("CMD"))]
    output = image.root / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            command, cwd="/", env=image.environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        # The first start compiles every module.
        wait_until(lambda: is_ready(port), within_s=120)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(60) == 0, output.read_text()


def arguments(text: str) -> list[str]:
    """Return the arguments of the JSON form of ENTRYPOINT and CMD."""
    return re.findall(r'"((?:[^"\\]|\\.)*)"', text)


def gateway_key(image: Image) -> str:
    (key,) = re.findall(r"sk-dgm-\w+", (image.root / "output.txt").read_text())[:1]
    return str(key)


def test_the_image_contains_the_program_and_no_secret(image: Image) -> None:
    bin_ = Path(image.environment["PATH"].partition(":")[0])
    done = subprocess.run(
        [bin_ / "dragoman", "--version"], env=image.environment, capture_output=True, check=True
    )
    assert done.stdout.startswith(b"dragoman ")
    assert list((image.root / "opt").rglob("*_key")) == []


def test_the_health_check_follows_the_port(image: Image, gateway: str) -> None:
    name, command = image.last("HEALTHCHECK").split("CMD", 1)
    command_arguments = [word.replace('\\"', '"') for word in arguments(command)]
    for port, status in ((gateway.rpartition(":")[2], 0), (str(free_port()), 1)):
        environment = {**image.environment, "DRAGOMAN_PORT": port}
        done = subprocess.run(command_arguments, env=environment, capture_output=True, check=False)
        assert (done.returncode == 0) == (status == 0), (name, done.stderr)


def test_probes_and_scrapes_need_no_known_host_name(image: Image, gateway: str) -> None:
    """Kubernetes and Prometheus address pods by IP."""
    pod = {"host": "10.1.2.3:4000"}
    for path in ("live", "ready"):
        assert httpx.get(f"{gateway}/health/{path}", headers=pod).status_code == 200
    key = (Path(image.environment["DRAGOMAN_DATA_DIR"]) / "admin_key").read_text()
    scrape = {**pod, "x-forwarded-for": "10.1.2.4"}
    assert httpx.get(f"{gateway}/metrics", headers=scrape).status_code in {401, 403}
    scrape["authorization"] = f"Bearer {key}"
    assert "dragoman_build_info" in httpx.get(f"{gateway}/metrics", headers=scrape).text


@pytest.mark.skipif(not shutil.which("caddy"), reason="apt-get install caddy")
def test_a_stream_passes_caddy_chunk_by_chunk(image: Image, gateway: str, tmp_path: Path) -> None:
    body = {"model": "demo/demo@50ms", "stream": True}
    body["messages"] = [{"role": "user", "content": "Hello"}]
    headers = {"authorization": f"Bearer {gateway_key(image)}"}
    with caddy(tmp_path, gateway) as url:
        assert httpx.get(f"{url}/metrics").status_code == 404
        arrivals = []
        with httpx.stream(
            "POST", f"{url}/v1/chat/completions", json=body, headers=headers
        ) as response:
            assert response.status_code == 200
            for line in response.iter_lines():
                if line.startswith("data:"):
                    arrivals.append(time.monotonic())
        assert len(arrivals) > 5
        # Buffered, all would arrive at once at the end.
        assert arrivals[-1] - arrivals[0] > 0.05 * (len(arrivals) - 2) / 2
