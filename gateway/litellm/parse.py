"""A LiteLLM file (and what it includes) -> a Config and a report of what does nothing."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.litellm.deployment import NotYet, read_deployment, referenced
from gateway.litellm.keys import SECTIONS, near
from gateway.litellm.reader import Mistake, Node, read_file
from gateway.litellm.rows import AliasRow, Config, RouteRow

MAX_INCLUDES = 32
_SHUFFLES = frozenset({"simple-shuffle"})


def read(path: str | Path) -> Config:
    """Read a configuration file. Raises Mistake naming file, line and field."""
    root = Path(path)
    config = Config(file=root.name)
    sections = _files(root)
    for node in sections:
        _environment(config, node)
    for node in sections:
        _check_keys(config, node, "")
        _models(config, node)
        _general(config, node)
    for node in sections:
        _settings(config, node)
    return config


def _files(root: Path) -> list[Node]:
    """The file and its includes, each once, the including file first."""
    seen: dict[Path, Node] = {}
    todo = [root.resolve()]
    while todo:
        path = todo.pop(0)
        if path in seen:
            raise Mistake(root.name, "include", f"includes {path.name} twice or in a circle")
        if len(seen) > MAX_INCLUDES:
            raise Mistake(root.name, "include", f"includes more than {MAX_INCLUDES} files")
        node = seen[path] = read_file(path)
        include = node.get("include")
        if include is not None:
            todo += [(path.parent / item.text()).resolve() for item in include.list()]
    return list(seen.values())


def _environment(config: Config, root: Node) -> None:
    section = root.get("environment_variables")
    if section is None:
        return
    for name, node in section.items():
        value = referenced(node)[0]
        config.environment[name] = value
        # References further down in the same file count on it.
        os.environ.setdefault(name, value)


def _check_keys(config: Config, node: Node, section: str) -> None:
    known = SECTIONS[section]
    for name, value in node.items():
        place = f"{value.place}: {value.path}"
        key = known.get(name)
        if key is None:
            guess = near(section, name)
            meant = f"; did you mean {guess}?" if guess else ""
            config.notes.append(f"{place}: unknown key{meant}")
        elif key.status != "supported":
            when = "not supported yet" if key.status == "later" else "not supported"
            config.notes.append(f"{place}: {when}: {key.why}")


def _models(config: Config, root: Node) -> None:
    models = root.get("model_list")
    if models is None:
        return
    for entry in models.list():
        _check_keys(config, entry, "model_list[]")
        name_node, params, info = (
            entry.get("model_name"),
            entry.get("litellm_params"),
            entry.get("model_info"),
        )
        if name_node is None:
            raise entry.wrong("needs a model_name")
        if params is None:
            raise entry.wrong("needs litellm_params")
        _check_keys(config, params, "litellm_params")
        if info is not None:
            _check_keys(config, info, "model_info")
        _deploy(config, name_node, params, info)


def _deploy(config: Config, name_node: Node, params: Node, info: Node | None) -> None:
    try:
        found = read_deployment(params, info)
    except NotYet as reason:
        config.notes.append(f"{params.place}: {name_node.text()} is left out: {reason}")
        return
    name = name_node.text()
    config.providers.setdefault(found.provider.name, found.provider)
    config.models.setdefault((found.provider.name, found.model.name), found.model)
    route = config.routes.setdefault(name, RouteRow(name=name, ref=name_node.place))
    route.targets.append(found.target)
    retries = params.get("max_retries")
    if retries is not None:
        route.retries = int(retries.number())
    if "*" in name:
        route.hidden = True
        config.aliases[name] = AliasRow(pattern=name, route=name, ref=name_node.place)


def _general(config: Config, root: Node) -> None:
    section = root.get("general_settings")
    if section is None:
        return
    _check_keys(config, section, "general_settings")
    node = section.get("master_key")
    if node is None:
        return
    value, variable = referenced(node)
    if variable and not value:
        raise node.wrong(f"names the environment variable {variable}, which is not set")
    config.master_key = value


def _settings(config: Config, root: Node) -> None:
    for name in ("litellm_settings", "router_settings"):
        section = root.get(name)
        if section is None:
            continue
        _check_keys(config, section, name)
        _retries_and_times(config, section)
        _fallbacks(config, section)
        _aliases(config, section)
        _strategy(config, section)
        if (node := section.get("turn_off_message_logging")) is not None and node.flag():
            for route in config.routes.values():
                route.log_bodies = False


def _retries_and_times(config: Config, section: Node) -> None:
    if (node := section.get("num_retries")) is not None:
        for route in config.routes.values():
            route.retries = int(node.number())
    if (node := section.get("cooldown_time")) is not None:
        for route in config.routes.values():
            route.cooldown_s = node.number()
    limits = {"request_timeout": "total_s", "timeout": "total_s", "stream_timeout": "first_byte_s"}
    for key, stage in limits.items():
        if (node := section.get(key)) is None:
            continue
        for provider in config.providers.values():
            provider.timeouts.setdefault(stage, node.number())
            if stage == "total_s":
                provider.timeouts.setdefault("first_byte_s", node.number())


def _fallbacks(config: Config, section: Node) -> None:
    if (node := section.get("fallbacks")) is not None:
        for item in node.list():
            for name, targets in item.items():
                _fall_back(config, targets, name)
    if (node := section.get("default_fallbacks")) is not None:
        names = [item.text() for item in node.list()]
        for route in config.routes.values():
            route.fallbacks = route.fallbacks or [n for n in names if n != route.name]


def _fall_back(config: Config, targets: Node, name: str) -> None:
    names = [item.text() for item in targets.list()]
    if name == "*":
        for route in config.routes.values():
            route.fallbacks = route.fallbacks or [n for n in names if n != route.name]
        return
    found = config.routes.get(name)
    if found is None:
        config.notes.append(f"{targets.place}: {targets.path}: there is no model_name `{name}`")
        return
    found.fallbacks = names


def _aliases(config: Config, section: Node) -> None:
    for key in ("model_group_alias", "model_alias_map"):
        if (node := section.get(key)) is None:
            continue
        for name, target in node.items():
            route = target.get("model") if isinstance(target.value, dict) else target
            if route is None:
                raise target.wrong("needs a model")
            config.aliases[name] = AliasRow(pattern=name, route=route.text(), ref=target.place)


def _strategy(config: Config, section: Node) -> None:
    if (node := section.get("routing_strategy")) is None:
        return
    if node.text() not in _SHUFFLES:
        config.notes.append(
            f"{node.place}: {node.path}: `{node.text()}` is not supported yet; "
            "targets are drawn by weight"
        )
