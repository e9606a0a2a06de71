"""The commands of docs/deployment.md run without root, container images and a cluster.

The programs are real: docker (with a recording daemon), helm, kubectl, pip, systemd. `SYSTEM`
below has the replacements for missing parts of a machine.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.documentation_blocks import blocks
from tests.fakes.docker import LOGS, docker_daemon
from tests.test_helm import CUSTOM, VERSIONS
from tests.test_package import build_wheel, clean_environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = [block for block in blocks() if block.page == "docs/deployment.md"]
needs_uv = pytest.mark.skipif(not shutil.which("uv"), reason="needs uv: pip install uv")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def require_program(program: str, package: str) -> pytest.MarkDecorator:
    """Skip a test if a program is not installed."""
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is of {package}")


def block(start: str) -> str:
    """Return the only block of the page that begins with this text."""
    (matching_block,) = [block.code for block in PAGE if block.code.startswith(start)]
    return matching_block


def run(code: str, folder: Path, **variables: str) -> str:
    """Run a script and return its output; asserts that it succeeds."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env={**clean_environment(), "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{code}\n--- prints\n{done.stdout}{done.stderr}"
    return done.stdout


@require_program("docker", "Debian's docker-cli or docker.io")
def test_docker_builds_the_image_and_starts_a_confined_container() -> None:
    with docker_daemon() as daemon:
        # BuildKit is a plugin of its own; the arguments are the same.
        variables = {"DOCKER_HOST": daemon.url, "DOCKER_BUILDKIT": "0"}
        printed = run(block("docker build"), ROOT, OPENAI_API_KEY="sk-a", **variables)
    assert LOGS.decode() in printed
    context = daemon.images["dragoman"]
    assert {"manage.py", "gateway/cli.py", "static/css/tokens.css"} <= context
    assert not [name for name in context if name.startswith(("tests/", ".git/", "var/"))]
    container = daemon.containers["dragoman"]
    assert container["State"] == "running"
    assert "OPENAI_API_KEY=sk-a" in container["Env"]
    host = container["HostConfig"]
    assert host["Binds"] == ["dragoman:/data"]
    assert host["PortBindings"] == {"4000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}]}
    assert (host["ReadonlyRootfs"], host["Tmpfs"]) == (True, {"/tmp": ""})
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])


# Debian 12 has no `docker compose`: it reads the files as Compose does, and starts nothing.
COMPOSE = """
import argparse, re, sys
from pathlib import Path
import compose_spec

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--env-file", required=True)
parser.add_argument("-f", dest="file", required=True)
commands = parser.add_subparsers(required=True, dest="command")
commands.add_parser("up").add_argument("-d", action="store_true", required=True)
commands.add_parser("logs").add_argument("service")
arguments = parser.parse_args()
values = dict(re.findall(r"^([A-Z_]+)=(.+)$", Path(arguments.env_file).read_text(), re.M))
text = Path(arguments.file).read_text()
text = re.sub(r"[$][{]([A-Z_]+):[?][^}]*[}]", lambda match: values[match[1]], text)
options = compose_spec.PyOptions()
options.apply_merge = True
compose = options.from_yaml(text)
compose.validate()
if arguments.command == "logs":
    assert arguments.service in compose.service_names()
print(arguments.command, *sorted(compose.service_names()))
"""


def test_compose_finds_each_file_and_variable(tmp_path: Path) -> None:
    pytest.importorskip("compose_spec", reason="uv sync --group manifests")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "compose.py").write_text(COMPOSE)
    copy, *others = block("cp deploy/stack.env.example").splitlines()
    fill_in = "sed -i 's/=$/=secret/' deploy/stack.env"
    function = f'docker() {{ [ "$1" = compose ]; shift; "{sys.executable}" compose.py "$@"; }}'
    printed = run("\n".join((function, copy, fill_in, *others)), tmp_path)
    names = "dragoman grafana postgres prometheus redis"
    assert printed.splitlines() == [f"up {names}", f"logs {names}"]
    assert (tmp_path / "deploy/stack.env").stat().st_mode & 0o777 == 0o600


@require_program("helm", ".ci/run")
@require_program("kubectl", ".ci/run")
def test_helm_and_kubectl_make_objects_that_kubernetes_accepts(tmp_path: Path) -> None:
    """Without a cluster it is a dry run; the pods find their variables in the secret."""
    validator = pytest.importorskip("kubernetes_validate", reason="uv sync --group manifests")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "values.yaml").write_text(block("image: {repository"))
    dry_runs = (
        'helm() { command helm "$@" --dry-run=client --output yaml; echo; echo ---; }\n'
        'kubectl() { command kubectl "$@" --dry-run=client --output yaml; }\n'
    )
    installs = run(dry_runs + block("helm install"), tmp_path)
    releases = [release for release in yaml.safe_load_all(installs) if release]
    assert [release["name"] for release in releases] == ["llm", "llm"]
    secret = yaml.safe_load(run(dry_runs + block("kubectl create secret"), tmp_path))
    objects = [
        value
        for release in releases
        for text in (release["manifest"], *(hook["manifest"] for hook in release.get("hooks", ())))
        for value in yaml.safe_load_all(text)
        if value
    ]
    kinds = {value["kind"] for value in objects}
    assert {"Deployment", "Job", "Ingress", "ServiceMonitor", "NetworkPolicy"} <= kinds
    for value in (secret, *objects):
        if value["kind"] not in CUSTOM:
            for version in VERSIONS:
                validator.validate(value, version, strict=True)
    required_names = {"DATABASE_URL", "DRAGOMAN_SECRET_KEY", "DRAGOMAN_ADMIN_KEY"}
    assert secret["data"].keys() == required_names | {"DRAGOMAN_ENCRYPTION_KEYS"}
    assert (
        len(base64.urlsafe_b64decode(base64.b64decode(secret["data"]["DRAGOMAN_ENCRYPTION_KEYS"])))
        == 32
    )
    (job,) = [value for value in objects if value["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]


# systemd as process 1, its log and root are what a test has not. `$MACHINE` is the root of a
# machine: units are verified and enabled there by systemd's own programs. A transient unit
# becomes a unit file that systemd verifies, and its command runs with its environment.
SYSTEM = r"""
systemctl() {
  case "$1" in
    daemon-reload) systemd-analyze verify --man=no "$MACHINE"/etc/systemd/system/*.service ;;
    enable) [ "$2" = --now ]; command systemctl --root="$MACHINE" enable "$3" ;;
  esac
}
journalctl() { [ "$1 $2" = "-u dragoman" ]; }
systemd-run() {
  local variables=() unit="$MACHINE/etc/systemd/system/transient.service"
  printf '[Service]\n' > "$unit"
  while [ "${1#-}" != "$1" ]; do
    case "$1" in
      --pty) shift ;;
      -p) echo "$2" >> "$unit"; shift 2 ;;
      -E) variables+=("$2"); shift 2 ;;
    esac
  done
  echo "ExecStart=$*" >> "$unit"
  systemd-analyze verify --man=no "$unit"
  rm "$unit"
  env "${variables[@]}" "$@"
}
"""


# pip installs the package and all that it requires.
@pytest.mark.wide(every=0)
@needs_uv
@require_program("systemd-analyze", "Debian's systemd")
def test_systemd_enables_the_installed_program(tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    for folder in ("etc/systemd/system", "opt", "var/lib/dragoman"):
        (machine / folder).mkdir(parents=True)
    wheel = build_wheel(tmp_path)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")

    def relocated(code: str) -> str:
        code = re.sub(r"(?<![\w.])/(opt|etc|var)/", rf"{machine}/\1/", code)
        # The wheel of this checkout, which no index has.
        return code.replace(
            "'dragoman[postgres,redis]'", f"'dragoman[postgres,redis] @ file://{wheel}'"
        )

    install, run_check = block("python3 -m venv /opt"), block("systemd-run")
    unit = machine / "etc/systemd/system/dragoman.service"
    # The unit's paths are the machine's too.
    install = relocated(install).replace(
        "systemctl daemon-reload",
        f"sed -i 's|=/opt|={machine}/opt|' {unit}; systemctl daemon-reload",
    )
    run(SYSTEM + install, tmp_path, MACHINE=str(machine))
    unit_link = machine / "etc/systemd/system/multi-user.target.wants/dragoman.service"
    assert unit_link.readlink() == Path("/etc/systemd/system/dragoman.service")
    printed = run(SYSTEM + relocated(run_check), tmp_path, MACHINE=str(machine))
    assert "System check identified" in printed
