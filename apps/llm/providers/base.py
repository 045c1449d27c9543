"""What the engine asks of a provider, and the facts a vendor's file states.

A provider turns one `CompletionRequest` into one upstream exchange and hands the raw bytes of its event
stream to a sink. It parses nothing of the stream: splitting, stamping and accounting are the engine's, the
same for every provider and for the mock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import msgspec

from apps.llm.errors import ProviderError
from apps.llm.wire.openai import CompletionRequest
from apps.llm.wire.shaping import Shaping

__all__ = ["Call", "ModelFacts", "Provider", "ProviderConfig", "Sink", "Target", "TransportKind"]

TransportKind = Literal["push", "httpx"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """What an operator sets for one vendor. Its repr does not show the key.

    Raises ValueError, in words that hold neither value, if the key or the base URL cannot be used.
    """

    api_key: str | None = field(repr=False)
    """None: a vendor is not configured and the chain skips it; a configured provider is asked without one."""
    base_url: str | None = None
    """None: the vendor's own. `/chat/completions` is added to its path, with or without a slash at its end."""
    model: str | None = None
    """The default model; None: the vendor's file says."""
    connect_timeout_s: float = 5.0
    transport: TransportKind = "push"
    """What carries the requests: the project's own transport, or httpx's as the way back from it."""

    def __post_init__(self) -> None:
        """Refuse what would fail, or show itself in an error, at the first request."""
        if self.api_key is not None and not re.fullmatch(r"[\x21-\x7e]+", self.api_key):
            raise ValueError("an API key is printable ASCII without spaces")
        if self.base_url is not None:
            try:
                parts = urlsplit(self.base_url)
                usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("a base URL has the form https://host/path")
            if parts.username is not None or parts.password is not None:
                raise ValueError("a base URL holds no user name or password")
            if parts.fragment:
                raise ValueError("a base URL holds no fragment")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """One model of a vendor's catalogue. Prices live in `pricing.py`."""

    id: str
    context_window_tokens: int
    """0 if unknown, as `max_output_tokens`: a configured model that the catalogue does not know."""
    max_output_tokens: int
    created: int
    """Unix seconds of the model's release, as `GET /models` shows it; 0 if unknown."""
    tools: bool = True
    json_mode: bool = True
    images: bool = False
    reasoning: bool = False
    """Whether the model can think before it answers."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a provider, as one attempt will ask for it."""

    provider: str
    model: str
    facts: ModelFacts | None
    """None for a model that the catalogue does not know: everything is assumed possible, its price unknown."""
    thinking: bool | None = None
    """What an alias of a retired id implies; None leaves it to the request and the vendor's default."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: what to ask, of which model, for whom."""

    request: CompletionRequest
    target: Target
    completion_id: str
    user_hash: str
    """A salted hash of the user's id: providers isolate tenants by it, it identifies nobody."""
    scenario: str | None = None
    """`X-Mock-Scenario`; read by the mock alone."""


class Sink(Protocol):
    """Where a provider's bytes go: the engine's completion."""

    def feed(self, data: bytes) -> None:
        """Take bytes of the event stream, cut anywhere.

        Raises ProviderError when the stream shows that the attempt has failed; the provider lets it pass
        through, closing its connection.
        """


class Provider(Protocol):
    """One upstream, with its key. One instance for each event loop; `aclose` when the loop ends."""

    name: str
    mock: bool
    """Whether its answers are labelled as degraded."""
    default_model: str

    def resolve(self, model: str | None, *, by_name: bool = False) -> Target | None:
        """Return the target for a model name or alias, for the default if None; None if it is not ours.

        `by_name`: the client names this provider too, so that a model without a catalogue entry may be meant.
        """

    def models(self) -> tuple[ModelFacts, ...]:
        """Return the catalogue, the configured default included."""

    def lacks(self, request: CompletionRequest, target: Target) -> str | None:
        """Name the first request field that the target cannot serve, None if it can serve them all."""

    def doubts(self, request: CompletionRequest, target: Target) -> bool:
        """Whether the target may refuse what the request needs, though nobody says so for certain.

        It is asked after those that can surely serve it, or first if the client names it.
        """

    def ignored(self, request: CompletionRequest, target: Target) -> tuple[str, ...]:
        """Name the fields of the request that have no effect on the target's answer, and that nothing is lost by."""

    def shaping(self, request: CompletionRequest, target: Target) -> Shaping | None:
        """Say what is to be done with the target's answer to make it what was asked for; None for nothing."""

    def price_percent(self, request: CompletionRequest) -> int | None:
        """Return how much of the listed price the request costs by what it asks for; None if that is not known."""

    def classify_stream_error(self, error: Mapping[str, Any]) -> ProviderError:
        """Say what the `error` object of an event inside a 200 means. A fault that names no cause is STREAM_ERROR."""

    async def run(self, call: Call, sink: Sink) -> None:
        """Ask upstream and feed the sink until the stream ends; close the connection on every way out.

        Raises ProviderError if upstream refuses, breaks off or does not answer with an event stream, and
        whatever the sink raises. Cancelling it closes the connection at once.
        """

    async def aclose(self) -> None:
        """Close pooled connections."""
