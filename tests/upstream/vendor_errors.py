"""Every error status with every vendor's body: one table row each, one scenario from each row.

Bodies are what the vendors send or, where a vendor documents nothing for a status, its usual shape.
`{key}` in a message becomes the last four characters of the key that was sent, as DeepSeek does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.upstream.framing import response
from tests.upstream.request import UpstreamRequest
from tests.upstream.scenario import Outcome, Scenario
from tests.upstream.steps import Send, Step
from tests.upstream.vendor import dumps
from tests.upstream.vendors import VENDORS

__all__ = ["ERRORS", "VendorError", "error_scenario", "status_scenario"]

_CLIENT, _NEXT, _OPEN = Outcome.CLIENTS_FAULT, Outcome.FAILS_FIRST, Outcome.OPEN
_GATEWAY_PAGE = (
    "<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center>"
    "<hr><center>edge-7.internal.example</center></body></html>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorError:
    """One way in which a vendor refuses."""

    vendor: str
    kind: str
    status: int
    error: Mapping[str, Any] | None
    """The `error` object; None for a gateway's HTML page."""
    outcome: Outcome
    failure: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Return the scenario's name."""
        return f"{self.vendor}-{self.status}-{self.kind}"

    @property
    def words(self) -> str:
        """Return a piece of the vendor's text that no client may ever see."""
        return _GATEWAY_PAGE[-60:-16] if self.error is None else str(self.error["message"]).partition("{key}")[0]

    def body(self, api_key: str = "") -> bytes:
        """Return the body as sent to the holder of a key."""
        if self.error is None:
            return _GATEWAY_PAGE.replace("{status}", str(self.status)).encode()
        return dumps({"error": self.error}).replace(b"{key}", api_key[-4:].encode())

    def wire(self, request: UpstreamRequest) -> bytes:
        """Return the whole answer."""
        kind = "text/html" if self.error is None else "application/json"
        identity = VENDORS[self.vendor].id_headers(request.number)
        return response(self.status, self.body(request.api_key), [("content-type", kind), *identity, *self.headers])


def _deepseek() -> Iterator[VendorError]:
    def row(
        status: int,
        kind: str,
        message: str,
        outcome: Outcome,
        failure: str | None = None,
        type_: str = "invalid_request_error",
        code: str = "invalid_request_error",
    ) -> VendorError:
        error = {"message": message, "type": type_, "param": None, "code": code}
        return VendorError(vendor="deepseek", kind=kind, status=status, error=error, outcome=outcome, failure=failure)

    yield row(400, "bad-request", "Invalid request: messages[0] is malformed", _CLIENT, "request_rejected")
    # A name that its vendor does not know is the operator's trouble or the client's: the status does not say.
    yield row(400, "model-not-exist", "Model Not Exist", _OPEN)
    yield row(400, "context-length", "This model's maximum context length is 1048576 tokens", _CLIENT)
    yield row(400, "content-risk", "Content Exists Risk", _CLIENT)
    yield row(
        401,
        "key",
        "Authentication Fails, Your api key: ****{key} is invalid",
        _NEXT,
        "key_refused",
        "authentication_error",
    )
    yield row(401, "governor", "Authentication Fails (governor)", _NEXT, "key_refused", "authentication_error")
    yield row(402, "insufficient-balance", "Insufficient Balance", _NEXT, "out_of_funds", "unknown_error")
    yield row(403, "forbidden", "Access denied for this account", _NEXT)
    yield row(404, "not-found", "Not Found: no such route on api-node-12", _NEXT)
    yield row(408, "timeout", "Request timed out before it was read", _NEXT)
    yield row(409, "conflict", "The request conflicts with another", _NEXT)
    yield row(413, "too-large", "Request entity over the node's bound", _CLIENT, "request_rejected")
    yield row(422, "parameters", "Invalid parameters: top_logprobs is out of range", _CLIENT, "request_rejected")
    yield row(
        429, "concurrency", "Rate limit reached: too many concurrent requests", _NEXT, "rate_limited", "rate_limit"
    )
    yield row(500, "server", "Inference fault on node ds-4411", _NEXT, "server_error", "server_error", "internal")
    yield VendorError(vendor="deepseek", kind="gateway", status=502, error=None, outcome=_NEXT)
    yield row(503, "overloaded", "The server is overloaded, node ds-4412", _NEXT, "overloaded", "server_error", "busy")
    yield VendorError(vendor="deepseek", kind="gateway", status=504, error=None, outcome=_NEXT)


def _zai() -> Iterator[VendorError]:
    def row(
        status: int, code: str | int, message: str, outcome: Outcome, failure: str | None = None, suffix: str = ""
    ) -> VendorError:
        error = {"code": code, "message": message}
        return VendorError(
            vendor="zai", kind=f"{code}{suffix}", status=status, error=error, outcome=outcome, failure=failure
        )

    yield row(400, "1210", "API call parameters are incorrect", _CLIENT, "request_rejected")
    yield row(400, "1211", "Model does not exist, check the model code", _OPEN)
    yield row(400, "1214", "Field messages is illegal", _CLIENT, "request_rejected")
    yield row(400, "1231", "request_id was used before", _OPEN)
    yield row(400, "1261", "Prompt exceeds max length", _CLIENT, "context_length_exceeded")
    yield row(400, "1301", "System detected unsafe or sensitive content", _CLIENT, "content_filtered")
    for code, message in {
        "1000": "Authentication failed",
        "1001": "Authorization header not received",
        "1002": "Authorization token is illegal",
        "1003": "Authorization token has expired",
        "1004": "Authentication by this token failed",
    }.items():
        yield row(401, code, message, _NEXT, "key_refused")
    yield row(402, "1113", "Account 8831 is in arrears, please recharge", _NEXT, "out_of_funds", "-arrears")
    yield row(403, "1220", "You have no permission to access resource 77", _NEXT)
    yield row(404, "1212", "The method is not supported by /paas/v4", _NEXT)
    yield row(408, "1234", "Network error, error id 20261122a", _NEXT)
    yield row(409, "1230", "API call flow error", _NEXT)
    yield row(413, "1210", "Body over the gateway's bound", _CLIENT, "request_rejected")
    yield row(422, "1213", "Field model was not received", _CLIENT, "request_rejected")
    yield row(429, "1302", "Rate limit reached for requests", _NEXT, "rate_limited")
    yield row(429, "1113", "Insufficient balance or no resource package. Please recharge.", _NEXT, "out_of_funds")
    yield row(429, 1301, "unsafe", _CLIENT, "content_filtered", "-number")
    for code, message in {
        "1303": "Frequency of this API is too high",
        "1305": "Traffic of this API is too high",
        "1312": "This model has too much traffic now",
    }.items():
        yield row(429, code, message, _NEXT)
    for code, message in {
        "1304": "Daily call limit of account 8831 reached",
        "1308": "Usage limit reached, resets at 2026-11-23 04:00:00",
        "1309": "Your coding plan has expired",
        "1310": "Weekly limit exhausted, resets at 2026-11-28 00:00:00",
        "1311": "Your plan does not include this model",
        "1313": "Fair use policy: requests of account 8831 are throttled",
    }.items():
        yield row(429, code, message, _NEXT)
    # A code nobody has listed: the status decides.
    yield row(429, "1999", "A code of next year", _NEXT, "rate_limited")
    yield row(434, "1220", "No API permission, the beta is closed", _NEXT)
    yield row(435, "1210", "File over 100 MB", _OPEN)
    yield row(500, "500", "Internal error at glm-gw-3", _NEXT, "server_error")
    yield row(500, "1234", "Network error, error id 20261122b", _NEXT)
    yield VendorError(vendor="zai", kind="gateway", status=502, error=None, outcome=_NEXT)
    yield row(503, "1305", "Service temporarily overloaded at glm-gw-4", _NEXT)
    yield VendorError(vendor="zai", kind="gateway", status=504, error=None, outcome=_NEXT)


def _openai() -> Iterator[VendorError]:
    def row(
        status: int,
        code: str,
        message: str,
        outcome: Outcome,
        failure: str | None = None,
        type_: str = "invalid_request_error",
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        suffix: str = "",
    ) -> VendorError:
        error = {"message": message, "type": type_, "param": param, "code": code}
        return VendorError(
            vendor="openai",
            kind=code.replace("_", "-") + suffix,
            status=status,
            error=error,
            outcome=outcome,
            failure=failure,
            headers=headers,
        )

    rejected = "request_rejected"
    yield row(
        400,
        "context_length_exceeded",
        "Maximum context length is 1050000 tokens",
        _CLIENT,
        "context_length_exceeded",
        param="messages",
    )
    yield row(
        400, "unsupported_parameter", "Unsupported parameter: 'max_tokens'", _CLIENT, rejected, param="max_tokens"
    )
    yield row(400, "unsupported_value", "Unsupported value: 'temperature'", _CLIENT, rejected, param="temperature")
    yield row(400, "content_filter", "The response was filtered by policy", _CLIENT, "content_filtered")
    yield row(401, "invalid_api_key", "Incorrect API key provided: sk-****{key}", _NEXT, "key_refused")
    yield row(402, "billing_hard_limit", "Billing hard limit of org-4411 reached", _NEXT, "out_of_funds", "billing")
    yield row(403, "unsupported_country_region_territory", "Country not supported", _NEXT, type_="request_forbidden")
    yield row(
        404, "model_not_found", "The model does not exist or org-4411 has no access to it", _NEXT, "model_not_found"
    )
    yield row(408, "timeout", "Request timed out at gw-eu-2", _NEXT, type_="server_error")
    yield row(409, "lock_conflict", "Resource locked by another request", _NEXT)
    yield row(413, "request_too_large", "Body over the gateway's bound", _CLIENT, rejected)
    yield row(422, "unprocessable", "Invalid schema for response_format", _CLIENT, rejected, param="response_format")
    rate_headers = (
        ("retry-after", "7"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "6.9s"),
    )
    limited = "Rate limit reached for gpt-6-luna"
    yield row(429, "rate_limit_exceeded", limited, _NEXT, "rate_limited", "requests", headers=rate_headers)
    yield row(
        429,
        "rate_limit_exceeded",
        limited + " on tokens per min",
        _NEXT,
        "rate_limited",
        "tokens",
        headers=(("retry-after-ms", "1500"), ("retry-after", "2")),
        suffix="-tokens",
    )
    yield row(
        429, "slow_down", "Slow down: request rate of org-4411 rose too fast", _NEXT, "rate_limited", "rate_limit_error"
    )
    yield row(429, "insufficient_quota", "You exceeded your current quota", _NEXT, "out_of_funds", "insufficient_quota")
    yield row(429, "credit_balance_exhausted", "Credit balance of org-4411 is 0", _NEXT, "out_of_funds", "billing")
    yield row(500, "server_error", "The server had an error, request at gw-eu-3", _NEXT, "server_error", "server_error")
    yield VendorError(vendor="openai", kind="gateway", status=502, error=None, outcome=_NEXT)
    yield row(503, "server_is_overloaded", "The engine is overloaded", _NEXT, "overloaded", "service_unavailable_error")
    yield VendorError(vendor="openai", kind="gateway", status=504, error=None, outcome=_NEXT)


ERRORS: tuple[VendorError, ...] = (*_deepseek(), *_zai(), *_openai())


def error_scenario(error: VendorError) -> Scenario:
    """Return the scenario of one row."""

    def steps(request: UpstreamRequest) -> Iterator[Step]:
        yield Send(error.wire(request))

    return Scenario(
        name=error.name,
        description=f"{error.status}: {error.body().decode()[:70]}",
        steps=steps,
        outcome=error.outcome,
        failure=error.failure,
        vendors=(error.vendor,),
        group="errors",
    )


def status_scenario(status: int) -> Scenario:
    """Return the scenario that answers a status with the first body that the vendor asked has for it."""

    def steps(request: UpstreamRequest) -> Iterator[Step]:
        yield Send(
            next(error for error in ERRORS if (error.vendor, error.status) == (request.vendor, status)).wire(request)
        )

    rows = [error for error in ERRORS if error.status == status]
    vendors = tuple(dict.fromkeys(error.vendor for error in rows))
    firsts = {next(error.outcome for error in rows if error.vendor == vendor) for vendor in vendors}
    return Scenario(
        name=f"status-{status}",
        description=f"{status} with the vendor's own body",
        steps=steps,
        outcome=firsts.pop() if len(firsts) == 1 else Outcome.OPEN,
        vendors=vendors,
        group="errors",
    )
