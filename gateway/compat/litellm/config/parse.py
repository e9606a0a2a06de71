"""Parses a LiteLLM file and its includes into a Config and a report of ignored keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.compat.litellm.config import complexity_router
from gateway.compat.litellm.config.certificates import check_names_no_file
from gateway.compat.litellm.config.defaults import LIMITS
from gateway.compat.litellm.config.deployment import (
    MAX_NAME,
    WEIGHT_FIELDS,
    Deployment,
    read_deployment,
)
from gateway.compat.litellm.config.endpoint import FORWARD_CREDENTIALS, label
from gateway.compat.litellm.config.guardrails import attach_guardrails, read_guardrails
from gateway.compat.litellm.config.inference import UnsupportedEntry, families
from gateway.compat.litellm.config.limits import note_key_limits
from gateway.compat.litellm.config.model_names import find_route
from gateway.compat.litellm.config.reader import (
    ConfigError,
    File,
    Node,
    UnsetVariable,
    read_file,
    resolve_variables,
)
from gateway.compat.litellm.config.redis import find_redis_url
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import AliasRow, Config, RouteRow, TargetRow
from gateway.compat.litellm.config.settings import MAX_RETRIES, read_settings
from gateway.providers.catalog.litellm_names import patterns_of_prefix

MAX_INCLUDES = 32


def read(
    path: str | Path, environ: Mapping[str, str] | None = None, *, uploaded: bool = False
) -> Config:
    """Read a configuration file. Raises ConfigError naming file, line and field.

    `os.environ/NAME` is looked up in `environ`, then in the file's own
    `environment_variables`. An `uploaded` file cannot name files of the server.
    """
    root = Path(path)
    variables = dict(os.environ if environ is None else environ)
    return read_files(root.name, _included_files(root), variables, uploaded=uploaded)


def read_files(
    name: str, files: list[File], environ: Mapping[str, str], *, uploaded: bool = False
) -> Config:
    """Read parsed files as one configuration. Raises ConfigError."""
    config = Config(file=name)
    report = Report()
    config.environment = _read_variables(files, environ, report)
    sections = [resolve_variables(file.root, {**config.environment, **environ}) for file in files]
    parser = _Parser(config, {**config.environment, **environ}, report, uploaded=uploaded)
    for file in files:
        for node in file.repeated:
            parser.report.add(node, "is a duplicate key; only the last one counts")
    for section in sections:
        parser.report.keys(section, "")
        parser.read_shared_settings(section)
    for section in sections:
        parser.models(section)
    parser.finish()
    read_settings(config, sections, environ, parser.report)
    read_guardrails(config, sections, parser.report)
    attach_guardrails(config, parser.report)
    config.redis_url = find_redis_url(sections, {**config.environment, **environ}, report)
    config.remarks = parser.report.remarks()
    return config


def _included_files(root: Path) -> list[File]:
    """Return the file and its includes, each once, the including file first."""
    files_by_path: dict[Path, File] = {}
    todo = [root.resolve()]
    while todo:
        path = todo.pop(0)
        if path in files_by_path:
            raise ConfigError(root.name, "include", f"includes {path.name} twice or in a circle")
        if len(files_by_path) > MAX_INCLUDES:
            raise ConfigError(root.name, "include", f"includes more than {MAX_INCLUDES} files")
        files_by_path[path] = read_file(path)
        include = files_by_path[path].root.get("include")
        if include is not None:
            todo += [(path.parent / item.text()).resolve() for item in include.list()]
    return list(files_by_path.values())


def _read_variables(
    files: list[File], environ: Mapping[str, str], report: Report
) -> dict[str, str]:
    """Return what `environment_variables` sets, with references looked up."""
    variables: dict[str, str] = {}
    for file in files:
        section = file.root.get("environment_variables")
        for name, node in (
            resolve_variables(section, environ).items() if section is not None else ()
        ):
            if node.value is not None:
                value = report.attempt(node, _variable_text)
                if value is not None:
                    variables[name] = value
    return variables


def _variable_text(node: Node) -> str:
    return str(node.boolean()) if isinstance(node.value, bool) else node.text()


class _Parser:
    """One pass over model_list."""

    def __init__(
        self, config: Config, environ: Mapping[str, str], report: Report, *, uploaded: bool
    ) -> None:
        self.report = report
        self._uploaded = uploaded
        self._config = config
        self._environ = environ
        self._all_entries: list[tuple[Node, Node, Node | None]] = []
        self._routers: list[tuple[Node, Node]] = []
        self._credentials: dict[str, Node] = {}
        self._default_params: Node | None = None
        self._library: dict[str, Node] = {}

    def read_shared_settings(self, root: Node) -> None:
        """Read what entries inherit: credentials, default parameters, some litellm_settings."""
        credential_nodes = root.get("credential_list")
        for item in credential_nodes.list() if credential_nodes is not None else ():
            name, values = item.get("credential_name"), item.get("credential_values")
            if name is None or values is None:
                raise item.error("needs a credential_name and credential_values")
            self.report.keys(values, "litellm_params")
            self._credentials.setdefault(name.text(), values)
        router = root.get("router_settings")
        usual = router.get("default_litellm_params") if router is not None else None
        if usual is not None and self._default_params is None:
            self.report.keys(usual, "litellm_params")
            self._default_params = usual
        library = root.get("litellm_settings")
        for key in ("drop_params", "ssl_verify", "ssl_certificate"):
            setting = library.get(key) if library is not None else None
            if setting is not None:
                self._library.setdefault(key, setting)
        for section in ("general_settings", "litellm_settings"):
            node = root.get(section)
            setting = node.get(FORWARD_CREDENTIALS) if node is not None else None
            if setting is not None:
                self._library.setdefault(FORWARD_CREDENTIALS, setting)

    def models(self, root: Node) -> None:
        models = root.get("model_list")
        for entry in models.list() if models is not None else ():
            try:
                self._read_model(entry)
            except ConfigError as mistake:
                self.report.add_mistake(mistake, "this entry is skipped")

    def _read_model(self, entry: Node) -> None:
        self.report.keys(entry, "model_list[]")
        name, params = entry.get("model_name"), entry.get("litellm_params")
        if name is None:
            raise entry.error("needs a model_name")
        if params is None:
            raise entry.error("needs litellm_params")
        info = entry.get("model_info")
        self.report.keys(params, "litellm_params")
        params = self._with_credential(params)
        if self._uploaded:
            check_names_no_file(params)
        if info is not None:
            self.report.keys(info, "model_info")
        self._read_entry(name, params, info)

    def _with_credential(self, params: Node) -> Node:
        """Return an entry with inherited values; its own take precedence."""
        merged_params = dict(params.items())
        credential_name = params.get("litellm_credential_name")
        if credential_name is not None:
            credential = self._credentials.get(credential_name.text())
            if credential is not None:
                merged_params = {**dict(credential.items()), **merged_params}
            else:
                self.report.add_skipped(
                    credential_name, f"there is no `{credential_name.text()}` in credential_list"
                )
        if self._default_params is not None:
            merged_params = {**dict(self._default_params.items()), **merged_params}
        # As in LiteLLM, true for all means true for each: an entry cannot disable it.
        drop_params = self._library.get("drop_params")
        if drop_params is not None and drop_params.boolean():
            merged_params["drop_params"] = drop_params
        merged_params = {**self._library, **merged_params}
        return msgspec.structs.replace(params, value=merged_params)

    def _read_entry(self, name: Node, params: Node, info: Node | None) -> None:
        if _is_catch_all(params):
            self._all_entries.append((name, params, info))
            return
        model = params.get("model")
        if model is not None and str(model.value).startswith(complexity_router.PREFIX):
            self._routers.append((name, params))
            return
        # A block of YAML (`>`) ends in a line break.
        model_name = name.text(max_length=MAX_NAME).strip()
        if not model_name.isprintable():
            raise name.error("must not contain unprintable characters")
        self._try_deployment(model_name, name, params, info)
        # A wildcard stands for several APIs of a cloud, which the names of the models select.
        prefix, _, text = str(model.value).partition("/") if model is not None else ("", "", "")
        if text == "*" and model_name.endswith("*"):
            for pattern in patterns_of_prefix(prefix):
                pattern_name = f"{model_name.removesuffix('*')}{pattern}"
                model_params = _with_model(params, f"{prefix}/{pattern}")
                self._try_deployment(pattern_name, name, model_params, info)

    def _try_deployment(self, model_name: str, name: Node, params: Node, info: Node | None) -> None:
        """Add one deployment; one that cannot be used is reported."""
        try:
            self._add_deployment(model_name, name, params, info)
        except UnsupportedEntry as reason:
            self.report.add_skipped(name, f"{model_name} is skipped: {reason}")
        except UnsetVariable as mistake:
            self.report.add_skipped(name, f"{model_name} is skipped: {mistake.reason}")
        except ConfigError as mistake:
            self.report.add_mistake(mistake, f"{model_name} is skipped")

    def _add_deployment(
        self, model_name: str, name_node: Node, params: Node, info: Node | None
    ) -> None:
        """Add one deployment. Raises ConfigError or UnsupportedEntry before anything is added."""
        deployment = read_deployment(model_name, params, info, self._environ, self.report)
        if not model_name:
            raise name_node.error("must not be empty")
        options = RouteRow(name=model_name, ref=name_node.location)
        if (retries := params.get("num_retries", "max_retries")) is not None:
            options.retries = retries.integer(max_value=MAX_RETRIES)
        if (cooldown := params.get("cooldown_time")) is not None:
            options.cooldown_s = cooldown.number()
        if (limit := params.get(*LIMITS)) is not None:
            options.default_max_output = limit.integer()
        if (points := params.get("cache_control_injection_points")) is not None:
            options.policy["prompt_cache"] = _prompt_cache(points)
        note_key_limits(options, params)
        route = self._config.routes.setdefault(
            model_name, RouteRow(name=model_name, ref=options.ref)
        )
        self._add_provider_and_model(deployment, params)
        route.targets.append(deployment.target)
        if info is not None and (identifier := info.get("id")) is not None:
            deployments = self._config.deployments
            deployments.setdefault(identifier.text(), (model_name, deployment.target))
        if (guardrails := params.get("guardrails")) is not None:
            route.guardrail_nodes += guardrails.list()
        _merge_options(route, options)
        if "*" in model_name:
            route.hidden = True
            alias = AliasRow(pattern=model_name, route=model_name, ref=options.ref)
            self._config.aliases[model_name] = alias

    def _add_provider_and_model(self, deployment: Deployment, params: Node) -> None:
        config, provider = self._config, deployment.provider
        if provider.identity not in config.names:
            name = label(provider)
            if name in config.providers:
                name = f"{name}-{provider.identity[:6]}"
            config.names[provider.identity] = name
            config.providers[name] = provider
        key = (provider.identity, deployment.model.name)
        model = config.models.setdefault(key, deployment.model)
        is_changed = (model.traits, model.prices) != (
            deployment.model.traits,
            deployment.model.prices,
        )
        if is_changed and (deployment.model.traits or deployment.model.prices):
            self.report.add(
                params,
                f"differs from {model.ref} in prices or capabilities of {deployment.model.name}; "
                f"{model.ref} applies",
            )

    def finish(self) -> None:
        for entry in self._all_entries:
            self._add_family_routes(*entry)
        for route in self._config.routes.values():
            route.targets = _with_computed_weights(route.targets)
        for name, params in self._routers:
            try:
                complexity_router.add_router(self._config, name, params, self.report)
            except (UnsupportedEntry, ConfigError) as reason:
                self.report.add_skipped(name, f"{name.text()} is skipped: {reason}")
        for identifier in self._config.deployments:
            if len(identifier) <= MAX_NAME and identifier.isprintable() and "*" not in identifier:
                find_route(self._config, identifier)

    def _add_family_routes(self, name: Node, params: Node, info: Node | None) -> None:
        """Add routes for the bare model `*`: one per family of names without a route.

        LiteLLM infers the provider of such a request from its model name. `provider/model`
        needs no route for this here.
        """
        configured_families = families(self._environ)
        if not configured_families:
            self.report.add_skipped(name, "is skipped: no key of a provider is in the environment")
        for prefix, pattern in configured_families:
            if pattern not in self._config.routes:
                model = _with_model(params, f"{prefix}/{pattern}")
                self._add_deployment(pattern, name, model, info)


def _merge_options(route: RouteRow, options: RouteRow) -> None:
    """Merge the options of an entry into its route: the highest retries, the longest cooldown."""
    if options.retries is not None:
        route.retries = max(route.retries or 0, options.retries)
    if options.cooldown_s is not None:
        route.cooldown_s = max(route.cooldown_s or 0.0, options.cooldown_s)
    if options.default_max_output is not None:
        route.default_max_output = options.default_max_output
    for name, count in options.key_limits.items():
        route.key_limits[name] = min(count, route.key_limits.get(name, count))
    route.policy |= options.policy


def _prompt_cache(points: Node) -> str:
    """The TTL of the route's cache breakpoints: an hour if one of these points has it."""
    controls = [point.get("control") for point in points.list()]
    ttls = [control.get("ttl") for control in controls if control is not None]
    return "1h" if any(ttl is not None and ttl.text() == "1h" for ttl in ttls) else "5m"


def _is_catch_all(params: Node) -> bool:
    """Whether the model is `*` without a provider, endpoint or key."""
    model = params.get("model")
    endpoint_keys = params.get("api_key", "api_base", "base_url", "custom_llm_provider")
    return model is not None and model.value == "*" and endpoint_keys is None


def _with_model(params: Node, model: str) -> Node:
    model_node = msgspec.structs.replace(params.value["model"], value=model, raw=model)
    return msgspec.structs.replace(params, value={**params.value, "model": model_node})


def _with_computed_weights(targets: list[TargetRow]) -> list[TargetRow]:
    """Return the targets with weights as simple-shuffle computes them.

    The first deployment decides the basis: weight, rpm or tpm. As in LiteLLM, a deployment
    without that value gets weight 0, and is called only when the others fail.
    """
    share_name = next((name for name in WEIGHT_FIELDS if name in targets[0].shares), None)
    if share_name is None:
        return targets
    return [
        msgspec.structs.replace(target, weight=target.shares.get(share_name, 0.0))
        for target in targets
    ]
