"""The samples in deploy/ are right as they stand."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from gateway.config import settings
from gateway.management.commands.up import Command

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["dragoman.service", "Dockerfile", "compose.yml"])
def test_the_command_has_only_options_that_exist(name: str) -> None:
    text = (DEPLOY / name).read_text()
    (line,) = re.findall(r"^ *(?:ExecStart=|CMD |command: ).*", text, re.M)
    arguments = re.findall(r"[^\s\[\]\",]+", line)
    options = (
        Command()
        .create_parser("manage.py", "up")
        .parse_args(arguments[arguments.index("up") + 1 :])
    )
    assert options.port == 4000


def test_the_image_holds_every_package_that_the_wheel_needs() -> None:
    """Each path of the wheel is copied into the build, and nothing that is not there."""
    copied = set(" ".join(re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.M)).split())
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = wheel["targets"]["wheel"]
    assert set(wheel["packages"]) | set(wheel["force-include"]) <= copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_every_setting_of_the_samples_exists() -> None:
    known = (ROOT / "docs/settings.md").read_text()
    for sample in DEPLOY.iterdir():
        for name in re.findall(r"\bDRAGOMAN_[A-Z_]+[A-Z]\b", sample.read_text()):
            assert f"`{name.removesuffix('_FILE')}`" in known, (sample.name, name)


def test_the_composed_node_keeps_its_data_and_has_time_to_drain() -> None:
    node = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]["dragoman"]
    assert node["volumes"] == ["data:/data"]
    assert "VOLUME /data" in DOCKERFILE
    (wait,) = re.findall(r"DRAGOMAN_DRAIN_WAIT=(\d+)$", DOCKERFILE, re.M)
    assert int(node["stop_grace_period"].removesuffix("s")) > settings.DRAIN_S + int(wait)


def test_the_service_manager_waits_longer_than_a_drain() -> None:
    unit = (DEPLOY / "dragoman.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    (wait,) = re.findall(r"DRAGOMAN_DRAIN_WAIT=(\d+)$", unit, re.M)
    assert int(seconds) > settings.DRAIN_S + int(wait)


def test_no_idle_connection_of_the_proxy_outlives_the_wait_before_a_drain() -> None:
    (kept,) = re.findall(r"keepalive_timeout (\d+)s;", (DEPLOY / "nginx.conf").read_text())
    for name in ("dragoman.service", "Dockerfile"):
        (wait,) = re.findall(r"DRAGOMAN_DRAIN_WAIT=(\d+)$", (DEPLOY / name).read_text(), re.M)
        assert int(kept) < int(wait)


def test_the_proxy_takes_as_large_a_body_as_the_gateway() -> None:
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", (DEPLOY / "nginx.conf").read_text())
    largest = max(settings.MAX_BODY_BYTES, settings.MAX_UPLOAD_BYTES)
    assert int(megabytes) * 1024 * 1024 == largest


@pytest.mark.skipif(not shutil.which("nginx"), reason="apt-get install nginx-light")
def test_nginx_takes_the_sample(tmp_path: Path) -> None:
    sample = (DEPLOY / "nginx.conf").read_text()
    # Certificates are the operator's; the rest is read as it is.
    sample = re.sub(r"^\s*ssl_certificate.*\n", "", sample, flags=re.M).replace("443 ssl", "8443")
    (tmp_path / "site.conf").write_text(sample)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind}; "
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}\n"
        f"http {{ access_log off; {temporary} include {tmp_path}/site.conf; }}\n"
    )
    command = ["nginx", "-t", "-e", str(tmp_path / "log"), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
