"""The registry as the hot path reads it: one immutable, indexed value.

Compiled by `gateway.store.load_snapshot` and swapped by one assignment, so a
request that took its reference sees one registry from start to end.
"""

from __future__ import annotations

import fnmatch
import math
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

from gateway.canon import model_names
from gateway.canon.traits import Traits
from gateway.guardrails.guardrail import Guardrail
from gateway.prompts.prompt import Prompt
from gateway.providers.capabilities import declared_traits, edits_for, traits_for
from gateway.providers.catalog import PRESETS
from gateway.providers.catalog.litellm_names import match_prefix
from gateway.providers.catalog.openrouter_names import native_name, split_author
from gateway.providers.known_models import UNLISTED_PROVIDERS, VENDORS, find_vendor
from gateway.providers.masks import Mask
from gateway.providers.network import Network
from gateway.providers.parameters import refused_parameters
from gateway.providers.prices import price_for
from gateway.providers.profile import Edit, Price, Secret
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.end_users import END_USER_HEADERS, EndUser
from gateway.routing.limits import Budget, Limits
from gateway.routing.route_spec import RouteOptions, StepOptions, TargetOptions


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds allowed for each stage of one attempt."""

    connect_s: float = 10.0
    first_byte_s: float = 120.0
    idle_s: float = 120.0
    total_s: float = 900.0


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream endpoint.

    Attributes:
        name: its unique name, the part before the slash in `provider/model`.
        preset: the catalog row it follows (`openai`, `deepseek`, `custom`, ...).
        dialect: a key of DIALECTS.
        base_url: without a trailing slash; the dialect's path is appended.
        auth: how the credential is sent, a key of `auth.AUTH_SCHEMES`.
        edits: changes to every request.
        query: parameters appended to every URL (Azure's api-version).
        paths: verb -> path template with `{model}`, where it differs from the dialect's.
        model_in_path: the verbs for which only the path names the model.
        body: fields added to every request body.
        passthrough: whether requests of clients in the same dialect may pass through.
        drop_params: whether parameters that a model is known to reject are removed, and
            reported, from requests that pass through.
        client_credential: whether a client's own credential is sent instead of this provider's.
        markup: factor from cost to charge, where neither key nor team has one.
        network: its own proxy and certificates; None for those of the process.
    """

    id: int
    name: str
    preset: str
    dialect: str
    base_url: str
    auth: str = "bearer"
    credential: Secret = Secret("")
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    paths: dict[str, str] = {}
    model_in_path: tuple[str, ...] = ()
    body: dict[str, Any] = {}
    passthrough: bool = True
    edits: tuple[Edit, ...] = ()
    timeouts: Timeouts = Timeouts()
    drop_params: bool = True
    client_credential: bool = False
    limits: Limits = Limits()
    budget: Budget = Budget()
    markup: Decimal | None = None
    network: Network | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One model at one provider; `name` is the upstream's id of it.

    Attributes:
        declared_traits: names of the traits that are known for this model; others are defaults.
    """

    id: int
    provider: Provider
    name: str
    traits: Traits = Traits()
    declared_traits: frozenset[str] = frozenset()
    price: Price = Price()
    edits: tuple[Edit, ...] = ()

    @cached_property
    def label(self) -> str:
        """`provider/model`, as in the log and in look-ups."""
        return f"{self.provider.name}/{self.name}"

    @cached_property
    def has_one_dialect(self) -> bool:
        """Whether all requests to it are in its provider's dialect, whatever they contain."""
        traits = self.traits
        return not (
            traits.responses
            or traits.built_in_tools_in_responses
            or traits.completions != "none"
            or "fim" in self.provider.paths
        )

    @cached_property
    def refused_parameters(self) -> dict[str, frozenset[str]]:
        """Dialect -> the fields of a passthrough body that the model is known to reject."""
        return refused_parameters(self.traits, self.declared_traits)


class Target(TargetOptions, frozen=True, kw_only=True):
    """A model as a target of a route. Lower `order` first; `weight` divides equals."""

    id: int
    model: Model
    order: int = 1
    timeouts: Timeouts | None = None
    edits: tuple[Edit, ...] = ()


class RouteStep(StepOptions, frozen=True, kw_only=True):
    """The targets of one `order` as a step."""

    order: int

    @property
    def depends_on_content(self) -> bool:
        """Whether the step depends on the content of a request."""
        return bool(
            self.require_capabilities
            or self.requires
            or self.excludes
            or self.min_context is not None
            or self.max_context is not None
        )


# More frequent health checks cost more than they reveal.
MIN_HEALTH_CHECK_INTERVAL_S = 10.0


class Route(RouteOptions, frozen=True, kw_only=True, dict=True):
    """The public name of a model, and the targets behind it.

    Attributes:
        strategy: a key of STRATEGIES (`ordered`, `weighted`), for a route without steps.
        steps: options of its groups of targets; empty is a plain route.
        limits: limits of all callers together; `key_limits` are the limits of each key.
        cache: the policy of its response cache; None is no cache.
        cache_generation: cached responses of an earlier generation are no longer valid.
        alternate_name: the name that the client sent, if it is a bare model name, or
            `prefix/model` with another name of the provider; a key's `routes` may name either.
    """

    id: int
    name: str
    targets: tuple[Target, ...]
    strategy: str = "ordered"
    steps: tuple[RouteStep, ...] = ()
    limits: Limits = Limits()
    key_limits: Limits = Limits()
    cache: CachePolicy | None = None
    cache_generation: int = 0
    alternate_name: str = ""

    @cached_property
    def depends_on_content(self) -> bool:
        """Whether the route's candidates depend on the content of a request."""
        return self.require_capabilities or any(step.depends_on_content for step in self.steps)

    @cached_property
    def depends_on_caller(self) -> bool:
        """Whether the route's candidates depend on the caller and the time."""
        return (
            self.depends_on_content
            or bool(self.strategies & {"sticky", "split"})
            or any(target.tags for target in self.targets)
            or any(step.tags or step.active_hours for step in self.steps)
        )

    @cached_property
    def strategies(self) -> frozenset[str]:
        """Strategies of all of its steps."""
        step_strategies = {step.strategy for step in self.steps}
        step_orders = {step.order for step in self.steps}
        if not step_orders.issuperset(target.order for target in self.targets):
            step_strategies.add(self.strategy)
        return frozenset(step_strategies)


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A group of keys that share a budget and limits.

    A team with a `parent` is a project of that team, and subject to all of its limits.
    `guardrails` are names of guardrails, which the compiled keys of the team have too.
    """

    id: int
    name: str
    budget: Budget = Budget()
    limits: Limits = Limits()
    parent: Team | None = None
    markup: Decimal | None = None
    guardrails: tuple[str, ...] = ()

    @property
    def with_ancestors(self) -> tuple[Team, ...]:
        """The team and its ancestors, itself first."""
        return (self,) if self.parent is None else (self, *self.parent.with_ancestors)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A client credential; `digest` is the keyed hash it is looked up by.

    `routes` are the route names it may use (fnmatch patterns); empty means all. `tags` are
    added to each of its requests. `expires_at` is unix seconds or None. During the grace
    period after a rotation the old secret is a second value of the same `id`, with its
    own digest and expiry: everything is counted by `id`. `markup` is its own or
    else its team's: the factor from cost to charge. `guardrails` are names of guardrails,
    its own and its teams'. `end_user_limits` and `end_user_budget` are those of each of its end
    users.
    """

    id: int
    prefix: str
    name: str
    digest: bytes
    routes: tuple[str, ...] = ()
    expires_at: float | None = None
    log_bodies: bool | None = None
    budget: Budget = Budget()
    limits: Limits = Limits()
    team: Team | None = None
    tags: tuple[str, ...] = ()
    guardrails: tuple[str, ...] = ()
    end_user_limits: Limits = Limits()
    end_user_budget: Budget = Budget()
    markup: Decimal | None = None


def may_use(key: ApiKey, route: Route) -> bool:
    """Whether the key may use this route."""
    if not key.routes:
        return True
    names = (route.name, route.alternate_name) if route.alternate_name else (route.name,)
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in key.routes for name in names)


class RowWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was omitted from the snapshot or is used only in part, and why."""

    row: str
    reason: str


def model_of(provider: Provider, name: str, *, id: int = 0) -> Model:  # noqa: A002
    """A model with what the tables know about it: traits, price, edits."""
    return Model(
        id=id,
        provider=provider,
        name=name,
        traits=traits_for(provider.preset, name),
        declared_traits=declared_traits(provider.preset, name),
        price=price_for(provider.preset, name),
        edits=edits_for(provider.preset, name),
    )


def _renamed_model(model: Model, name: str) -> Model:
    """The model of a wildcard under its real name.

    What an operator set on the wildcard stays; what came from the tables is looked up
    again under the real name, for which they know more.
    """
    if name == model.name:
        return model
    before = model_of(model.provider, model.name)
    after = model_of(model.provider, name, id=model.id)
    declared = model.declared_traits
    return Model(
        id=model.id,
        provider=model.provider,
        name=name,
        traits=after.traits if model.traits in (before.traits, Traits()) else model.traits,
        declared_traits=after.declared_traits
        if declared in (before.declared_traits, frozenset())
        else declared,
        price=after.price if model.price in (before.price, Price()) else model.price,
        edits=after.edits if model.edits in (before.edits, ()) else model.edits,
    )


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The whole registry, as compiled by `gateway.store.load_snapshot`.

    Attributes:
        version: the registry version it was compiled from.
        routes: by name.
        aliases: exact alias -> route name.
        wildcards: (fnmatch pattern, route name), most specific first.
        models: by `provider/model`.
        providers: by name.
        keys: by digest.
        known_models: whether a model name without a provider is resolved to the provider that
            has the model.
        reserved_names: names of routes and aliases that exist but cannot be used, such as
            disabled ones; `reserved_patterns` are patterns of such aliases. They are not
            resolved as model names.
        open: whether any client key is accepted (loopback without a master key).
        log_bodies: the global setting.
        masks: what must be masked in stored bodies.
        markup: factor from cost to charge, where neither key, team nor provider has one.
        limits: limits of all requests together; `budget` is their budget.
        end_user_limits: limits of each end user of all keys together; `end_user_budget` is the
            budget of each.
        end_users: by name, those with limits or a budget of their own, or blocked.
        end_user_headers: headers that name the end user, in lower case; the first one counts.
        tag_headers: headers whose values become tags, in lower case.
        guardrails: enabled guardrails by name; `disabled_guardrails` are the names of others.
        prompts: stored prompts by name.
    """

    version: int
    routes: dict[str, Route] = {}
    aliases: dict[str, str] = {}
    wildcards: tuple[tuple[str, str], ...] = ()
    models: dict[str, Model] = {}
    providers: dict[str, Provider] = {}
    keys: dict[bytes, ApiKey] = {}
    known_models: bool = False
    reserved_names: frozenset[str] = frozenset()
    reserved_patterns: tuple[str, ...] = ()
    open: bool = False
    log_bodies: bool = True
    masks: tuple[Mask, ...] = ()
    markup: Decimal | None = None
    limits: Limits = Limits()
    budget: Budget = Budget()
    end_user_limits: Limits = Limits()
    end_user_budget: Budget = Budget()
    end_users: dict[str, EndUser] = {}
    end_user_headers: tuple[str, ...] = END_USER_HEADERS
    tag_headers: tuple[str, ...] = ()
    guardrails: dict[str, Guardrail] = {}
    disabled_guardrails: frozenset[str] = frozenset()
    prompts: dict[str, Prompt] = {}
    warnings: tuple[RowWarning, ...] = ()

    @cached_property
    def has_markups(self) -> bool:
        """Whether any charge differs from its cost."""
        markups = [self.markup]
        markups += [key.markup for key in self.keys.values()]
        markups += [provider.markup for provider in self.providers.values()]
        return any(markup is not None for markup in markups)

    @cached_property
    def uses_guardrails(self) -> bool:
        """Whether there are guardrails, or names of some that are gone."""
        if self.guardrails or any(route.guardrails for route in self.routes.values()):
            return True
        return any(key.guardrails for key in self.keys.values())

    @cached_property
    def limits_end_users(self) -> bool:
        """Whether any key, or the gateway, has limits or a budget for each end user."""
        none = Limits(), Budget()
        if self.end_users or (self.end_user_limits, self.end_user_budget) != none:
            return True
        return any((k.end_user_limits, k.end_user_budget) != none for k in self.keys.values())

    def key_with_id(self, key_id: int) -> ApiKey | None:
        """The key with this row id, and its newest secret; None if it is revoked.

        It looks at every key: not for the path of clients' requests.
        """
        keys = [key for key in self.keys.values() if key.id == key_id]
        # During the grace period of a rotation, the old secret is valid for a shorter time.
        return max(keys, key=lambda key: key.expires_at or math.inf, default=None)

    def guardrails_for(self, route: Route | None, key: ApiKey | None) -> tuple[Guardrail, ...]:
        """The guardrails of a request: of its route, of its key and those for all, in order."""
        names = {
            *(route.guardrails if route is not None else ()),
            *(key.guardrails if key is not None else ()),
        }
        active_guardrails = [g for g in self.guardrails.values() if g.everywhere or g.name in names]
        # A guardrail that is gone must not open the route: it fails, as one that is invalid.
        active_guardrails += [
            Guardrail(name=name, fault="it does not exist", check_responses=True)
            for name in names
            if name not in self.guardrails and name not in self.disabled_guardrails
        ]
        return tuple(
            sorted(active_guardrails, key=lambda guardrail: (guardrail.position, guardrail.name))
        )

    def route(self, name: str) -> Route | None:
        """The route for a client's `model`: route, alias, wildcard, provider/model, bare model.

        None also for a name that must not be sent upstream (`model_names.find_name_fault`).
        """
        if not name.isascii():
            name = model_names.normalize_model_name(name)
        route = self.routes.get(name)
        if route is not None:
            return route
        alias = self.aliases.get(name)
        if alias is not None:
            return self.routes.get(alias)
        if model_names.find_name_fault(name) is not None:
            return None
        for pattern, route_name in self.wildcards:
            if fnmatch.fnmatchcase(name, pattern):
                return self._wildcard_route(self.routes.get(route_name), pattern, name)
        return self._direct_route(name) or self._bare_route(name) or self._author_route(name)

    def _wildcard_route(self, route: Route | None, pattern: str, name: str) -> Route | None:
        """The route of a wildcard; `*` in a target's model is what the client's `*` matched."""
        if route is None or not any("*" in t.model.name for t in route.targets):
            return route
        text = model_names.text_of_wildcard(pattern, name)
        if any(model_names.find_name_fault(t.model.name.replace("*", text)) for t in route.targets):
            return None
        targets = tuple(
            msgspec.structs.replace(
                t, model=_renamed_model(t.model, t.model.name.replace("*", text))
            )
            for t in route.targets
        )
        return msgspec.structs.replace(route, name=name, targets=targets)

    def _provider_of(self, name: str) -> tuple[Provider, str] | None:
        """The provider in `provider/model` and the provider's id of the model.

        A LiteLLM prefix resolves to the provider that is named after its preset.
        """
        prefix, _, model_name = name.partition("/")
        if not model_name:
            return None
        provider = self.providers.get(prefix)
        resolution = match_prefix(prefix, model_name)
        if provider is not None:
            has_same_preset = resolution is not None and resolution.preset.name == provider.preset
            return (
                provider,
                resolution.model if has_same_preset and resolution is not None else model_name,
            )
        if resolution is None or (provider := self.providers.get(resolution.preset.name)) is None:
            return None
        return provider, resolution.model

    def _direct_route(self, name: str) -> Route | None:
        """A one-target route for `provider/model`, whether or not the model has a row.

        Its name is the model's label, whatever spelling the client sent, so that key rules,
        limits and the log use one name per model.
        """
        model, alternate_name = self.models.get(name), ""
        if model is None:
            provider_and_name = self._provider_of(name)
            if (
                provider_and_name is None
                or model_names.find_name_fault(provider_and_name[1]) is not None
            ):
                return None
            provider, model_name = provider_and_name
            model = self._model_by_name(provider, model_name)
            prefix = name.partition("/")[0]
            if native_name(provider.preset, model_name) == model.name != model_name:
                alternate_name = name
            elif prefix != provider.name:
                alternate_name = f"{prefix}/{model.name}"
        target = Target(id=0, model=model)
        return Route(id=0, name=model.label, alternate_name=alternate_name, targets=(target,))

    def _model_by_name(self, provider: Provider, name: str) -> Model:
        """The model with this name, which may be OpenRouter's name of it."""
        model = self._model_row(provider, name)
        if model is not None:
            return model
        if provider.base_url == PRESETS[provider.preset].base_url:
            name = native_name(provider.preset, name)
        return self._model_row(provider, name) or model_of(provider, name)

    def _author_route(self, name: str) -> Route | None:
        """A one-target route for OpenRouter's `author/model`, at the author's own provider."""
        author = split_author(name) if self.known_models and not self._is_reserved(name) else None
        provider = self._provider_of_vendor(author[0]) if author is not None else None
        if author is None or provider is None:
            return None
        model = self._model_by_name(provider, author[1])
        target = Target(id=0, model=model)
        return Route(id=0, name=model.label, alternate_name=name, targets=(target,))

    def _bare_route(self, name: str) -> Route | None:
        """A one-target route for a model name without a provider; None if no provider has it.

        The vendor's own provider comes first, then providers with a row of that model, by name.
        Its name is the model's label, as for `provider/model`.
        """
        if not self.known_models or self._is_reserved(name):
            return None
        model = self._model_of_vendor(name)
        if model is None:
            prefix, slash, _ = name.partition("/")
            # The name of a provider that is not there must not select another provider.
            if slash and match_prefix(prefix, name) is not None:
                return None
            model = self._rows_by_bare_name.get(_folded_name(name))
        if model is None:
            return None
        target = Target(id=0, model=model)
        return Route(id=0, name=model.label, alternate_name=name, targets=(target,))

    def _is_reserved(self, name: str) -> bool:
        return name in self.reserved_names or any(
            fnmatch.fnmatchcase(name, pattern) for pattern in self.reserved_patterns
        )

    def _model_of_vendor(self, name: str) -> Model | None:
        """The model at its vendor's own provider."""
        vendor = find_vendor(name)
        provider = self._provider_of_vendor(vendor.presets) if vendor is not None else None
        if provider is None:
            return None
        return self._model_row(provider, name) or model_of(provider, name)

    def _provider_of_vendor(self, presets: tuple[str, ...]) -> Provider | None:
        """The first provider with one of these presets that is the vendor's own.

        A provider with another base URL is the vendor's only if it is named after the preset.
        """
        for preset in presets:
            by_name = self.providers.get(preset)
            if by_name is not None and by_name.preset in presets:
                return by_name
            for _, provider in sorted(self.providers.items()):
                if provider.preset == preset and provider.base_url == PRESETS[preset].base_url:
                    return provider
        return None

    @cached_property
    def known_names(self) -> tuple[str, ...]:
        """Names of models that need no route: the vendors' current models, and rows' labels.

        Wildcards, the demo provider and names that a route or alias has are omitted.
        """
        if not self.known_models:
            return ()
        names = [
            name
            for vendor in VENDORS
            if self._provider_of_vendor(vendor.presets) is not None
            for name in vendor.models
        ]
        names += [
            label
            for label, model in self.models.items()
            if "*" not in model.name and model.provider.preset not in UNLISTED_PROVIDERS
        ]
        return tuple(
            name
            for name in names
            if name not in self.routes
            and name not in self.aliases
            and not self._is_reserved(name)
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern, _ in self.wildcards)
        )

    @cached_property
    def _rows_by_bare_name(self) -> dict[str, Model]:
        """Models with rows by folded name; of several, the one whose provider sorts first."""
        models: dict[str, Model] = {}
        for _, model in sorted(self.models.items()):
            if "*" not in model.name and model.provider.preset not in UNLISTED_PROVIDERS:
                models.setdefault(_folded_name(model.name), model)
        return models

    def _model_row(self, provider: Provider, name: str) -> Model | None:
        """The model with a row that an upstream would resolve `name` to.

        Providers ignore case (Azure's deployments, Ollama), the collection `models/`
        (Google) or the tag `:latest` (Ollama): the row's price applies to each spelling.
        """
        label = f"{provider.name}/{name}"
        row = self.models.get(label)
        return row if row is not None else self._rows_by_folded_label.get(_folded_label(label))

    @cached_property
    def _rows_by_folded_label(self) -> dict[str, Model]:
        """Models with rows by folded label; those that differ only in spelling are omitted."""
        models: dict[str, Model] = {}
        ambiguous = set[str]()
        for label, model in self.models.items():
            key = _folded_label(label)
            if key in models:
                ambiguous.add(key)
            models[key] = model
        return {key: model for key, model in models.items() if key not in ambiguous}


def _folded_label(label: str) -> str:
    """A `provider/model` label without the parts of a model name that upstreams ignore."""
    provider, _, name = label.partition("/")
    return f"{provider}/{_folded_name(name)}"


def _folded_name(name: str) -> str:
    """A model name without the parts that upstreams ignore."""
    return name.casefold().removeprefix("models/").removesuffix(":latest")
