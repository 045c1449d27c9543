"""The provider chain: who is asked, in which order, and what may be retried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from apps.llm.breaker import Breaker, BreakerState
from apps.llm.errors import ChainFailed, Code, Forbidden, InvalidRequest, NotFound
from apps.llm.providers.base import ModelFacts, Provider, Target
from apps.llm.wire.openai import CompletionRequest

__all__ = ["MAX_ATTEMPTS", "Candidate", "Chain", "ListedModel"]

MAX_ATTEMPTS = 3
"""Upstream requests for one completion, whatever the chain's length."""
_MOST_NAMED = 8
LONGEST_WAIT_S = 5.0
"""A 429 that asks for a longer pause is not waited for."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that can serve the request, with the model it would use."""

    provider: Provider
    target: Target
    breaker: Breaker


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model as `GET models/` shows it. `available`: its provider would be asked now."""

    provider: str
    facts: ModelFacts
    available: bool


class Chain:
    """The usable providers in order, each with its breaker."""

    def __init__(self, providers: Sequence[Provider], breakers: Mapping[str, Breaker]) -> None:
        self.providers = tuple(providers)
        self.breakers = breakers

    def plan(self, request: CompletionRequest, *, allowed: Sequence[str] = ()) -> list[Candidate]:
        """Return who to ask, in order; `allowed` are the models that the caller may ask for, empty for all.

        A provider whose default is not allowed is asked for the first of its models that is, or passed over.

        Raises NotFound if the model is nobody's, InvalidRequest if no provider can serve a field that was asked for,
        Forbidden if the model is not allowed, ChainFailed if there is no usable provider at all.
        """
        if not self.providers:
            raise ChainFailed(
                "No provider is configured. Set an API key, or name `mock` in PROVIDER_CHAIN.", code=Code.NO_PROVIDER
            )
        targets = self._targets(request)
        if allowed:
            targets = self._allowed_of(targets, request.model, allowed)
        found: list[tuple[Candidate, bool]] = []
        lacking: str | None = None
        for position, (provider, target) in enumerate(targets):
            lacks = provider.lacks(request, target)
            if lacks is not None:
                lacking = lacking or lacks
                continue
            is_named = position == 0 and request.model is not None
            candidate = Candidate(provider=provider, target=target, breaker=self.breakers[provider.name])
            found.append((candidate, not is_named and provider.doubts(request, target)))
        if not found:
            raise InvalidRequest(
                f"No available model can serve `{lacking}`. Leave it out, or name a model that can.",
                code=Code.UNSUPPORTED_PARAMETER,
                param=lacking,
            )
        return _doubtful_behind(found)

    def _targets(self, request: CompletionRequest) -> list[tuple[Provider, Target]]:
        if request.model is None:
            return [(provider, _default(provider)) for provider in self.providers[: None if request.fallback else 1]]
        found = self._find(request.model)
        if found is None:
            if all(provider.mock for provider in self.providers):
                return [(provider, _default(provider)) for provider in self.providers]
            raise self.model_not_found()
        owner, named = found
        others = [provider for provider in self.providers if provider is not owner] if request.fallback else []
        return [(owner, named), *((provider, _default(provider)) for provider in others)]

    def _allowed_of(
        self, targets: list[tuple[Provider, Target]], model: str | None, allowed: Sequence[str]
    ) -> list[tuple[Provider, Target]]:
        # An alias is as good as the model that it stands for, as is the model behind a provider's name.
        found = [pair for name in allowed if (pair := self._find(name)) is not None]
        models = {(provider.name, target.model) for provider, target in found}

        def may(provider: Provider, target: Target) -> bool:
            return target.model in allowed or (provider.name, target.model) in models

        kept: list[tuple[Provider, Target]] = []
        if model in allowed and all(provider.mock for provider in self.providers):
            # It answers for any name where it is all there is.
            kept = targets
        # Another than the one that was named is no answer to it.
        elif model is None or may(*targets[0]):
            for provider, target in targets:
                if may(provider, target):
                    kept.append((provider, target))
                else:
                    kept += [pair for pair in found if pair[0] is provider][:1]
        if not kept:
            raise Forbidden(f"This API key may ask for {', '.join(allowed)} alone.", param="model")
        return kept

    def _find(self, model: str) -> tuple[Provider, Target] | None:
        """Return whose model it is: the provider's that is named before a slash, else the first's that knows it."""
        name, slash, rest = model.partition("/")
        for provider in self.providers:
            if slash and provider.name == name:
                target = provider.resolve(rest, by_name=True)
                if target is not None:
                    return provider, target
        for provider in self.providers:
            target = provider.resolve(model)
            if target is not None:
                return provider, target
        return None

    def model_not_found(self) -> NotFound:
        """Return the error for a model that no configured provider serves. It names each provider's default."""
        had = ", ".join(f"`{provider.default_model}`" for provider in self.providers[:_MOST_NAMED])
        return NotFound(
            f"No configured provider serves this model. There is {had or 'none'}; GET /api/v2/models/ lists all.",
            code=Code.MODEL_NOT_FOUND,
            param="model",
        )

    def listed(self, model: str) -> ListedModel | None:
        """Return what `GET models/{id}/` shows of an id or of `<provider>/<id>`; None if nobody serves it."""
        found = self._find(model)
        if found is None:
            return None
        provider, target = found
        facts = target.facts or ModelFacts(id=target.model, context_window_tokens=0, max_output_tokens=0, created=0)
        return self._listed(provider, facts)

    @property
    def serving(self) -> str | None:
        """The provider that the next completion would ask first."""
        for provider in self.providers:
            if self.breakers[provider.name].state is not BreakerState.OPEN:
                return provider.name
        return None

    def models(self) -> list[ListedModel]:
        """Return the catalogue of every usable provider."""
        return [self._listed(provider, facts) for provider in self.providers for facts in provider.models()]

    def _listed(self, provider: Provider, facts: ModelFacts) -> ListedModel:
        available = self.breakers[provider.name].state is not BreakerState.OPEN
        return ListedModel(provider=provider.name, facts=facts, available=available)

    async def aclose(self) -> None:
        """Close every provider."""
        for provider in self.providers:
            await provider.aclose()


def _doubtful_behind(found: Sequence[tuple[Candidate, bool]]) -> list[Candidate]:
    """Return the candidates, those that may refuse the request behind the real ones that can surely serve it."""
    sure = [index for index, (one, is_doubtful) in enumerate(found) if not is_doubtful and not one.provider.mock]
    after = sure[-1] + 1 if sure else 0
    ordered = sorted(found[:after], key=lambda one: one[1])
    return [candidate for candidate, _ in (*ordered, *found[after:])]


def _default(provider: Provider) -> Target:
    target = provider.resolve(None)
    if target is None:
        raise RuntimeError(f"{provider.name} does not know its own default model")
    return target
