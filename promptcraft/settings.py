"""The only reader of the environment. docs/configuration.md lists every variable.

A missing or malformed value stops the start with one line that names it.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, NoReturn
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

import dj_database_url
from environs import Env, EnvError
from marshmallow import ValidationError
from marshmallow.validate import OneOf, Range

from apps.core.private_files import PrivateConnection, keep_private
from apps.core.store_bounds import LOCK_S
from apps.llm.pricing import usd
from apps.llm.providers import VENDOR_NAMES, ProviderConfig, dialect_of, variable_of
from promptcraft.redaction import hide
from promptcraft.version import VERSION

BASE_DIR = Path(__file__).resolve().parent.parent

ENVIRONMENT = (
    "SECRET_KEY",
    "JWT_SIGNING_KEY",
    "DEBUG",
    "ALLOWED_HOSTS",
    "CORS_ALLOWED_ORIGINS",
    "TRUSTED_PROXIES",
    "DATABASE_URL",
    "REDIS_URL",
    "PROVIDER_CHAIN",
    *(f"{name.upper()}_{part}" for name in VENDOR_NAMES for part in ("API_KEY", "BASE_URL", "MODEL")),
    "CHAT_RATE_LIMIT",
    "WORKBENCH_RATE_LIMIT",
    "MAX_STREAMS_PER_USER",
    "MAX_STREAMS",
    "UPSTREAM_TRANSPORT",
    "CONNECT_TIMEOUT",
    "FIRST_TOKEN_TIMEOUT",
    "GAP_TIMEOUT",
    "TOTAL_TIMEOUT",
    "HEADER_HOLD",
    "KEEPALIVE_INTERVAL",
    "DISCONNECT_GRACE",
    "STREAM_RETENTION",
    "BREAKER_FAILURES",
    "BREAKER_COOLDOWN",
    "DRAIN_TIMEOUT",
    "LEGACY_WEBSOCKETS",
    "SSE_ROLLOUT_PHASE",
    "SSE_ROLLOUT_PERCENT",
    "REGISTRATION_OPEN",
    "SENTRY_DSN",
    "METRICS_TOKEN",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "PORT",
    "WEB_CONCURRENCY",
)


# uvicorn starts a worker that left with any other code again, and again.
_STARTUP_FAILED = 3

# HS256 signs with 256 bits (RFC 7518, section 3.2).
_LEAST_KEY_BYTES = 32
# As many different ones as Django's own check asks for.
_LEAST_KEY_CHARACTERS = 5


def _stop(problem: str) -> NoReturn:
    print(f"promptcraft: {problem}", file=sys.stderr)
    raise SystemExit(_STARTUP_FAILED)


def _is_set(name: str) -> bool:
    # Process managers and CI systems write "unset" as an empty string, and so does a bare line of .env.
    return bool(env.str(name, ""))


def _read(read: Callable[..., Any], name: str, default: Any, **options: Any) -> Any:
    if not _is_set(name):
        return default
    try:
        return read(name, default, **options)
    except EnvError as error:
        _stop(re.sub(r"\['(.*)'\]$", r"\1", str(error)))


def _seconds(name: str, default: float) -> float:
    seconds: float = _read(env.float, name, default)
    if not math.isfinite(seconds) or seconds <= 0:
        _stop(f'Environment variable "{name}" invalid: Not a positive number of seconds.')
    return seconds


def _count(name: str, default: int) -> int:
    value: int = _read(env.int, name, default, validate=Range(min=1, error="Must be at least 1."))
    return value


def _flag(name: str, default: bool) -> bool:
    value: bool = _read(env.bool, name, default)
    return value


def _list(name: str, default: str) -> list[str]:
    text: str = _read(env.str, name, default)
    return [item.strip() for item in text.split(",") if item.strip()]


def _url(name: str, schemes: tuple[str, ...]) -> str | None:
    text: str = _read(env.str, name, "")
    if not text:
        return None
    try:
        parts = urlsplit(text)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        _stop(f'Environment variable "{name}" invalid: Not a URL of the form {schemes[0]}://host.')
    return text


def _redis_url(name: str) -> str | None:
    """Read redis://host, rediss://host or unix:///path, with what the client knows and we mean it to be told."""
    text: str = _read(env.str, name, "")
    if not text:
        return None
    known = {"db", "username", "password"}
    try:
        parts = urlsplit(text)
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        database = (options.get("db") or [parts.path.strip("/") if parts.scheme != "unix" else ""])[0]
        if parts.scheme == "rediss":
            known |= {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
        place = parts.path.startswith("/") and len(parts.path) > 1 if parts.scheme == "unix" else bool(parts.hostname)
        valid = parts.scheme in ("redis", "rediss", "unix") and place and parts.port != 0 and not parts.fragment
        valid = valid and set(options) <= known and re.fullmatch(r"[0-9]{0,5}", database) is not None
    except ValueError:
        valid = False
    if not valid:
        _stop(
            f'Environment variable "{name}" invalid: Not a URL such as redis://host/0, rediss://host/0, unix:///path.'
        )
    return text


def _redis_secrets(url: str | None) -> list[str]:
    """Return the passwords in a Redis URL, as they are written there and as they are."""
    parts = urlsplit(url or "")
    written = [parts.password or "", *re.findall(r"(?:^|&)password=([^&]*)", parts.query)]
    return [form for text in written for form in (text, unquote(text), unquote_plus(text))]


def _rate(name: str, default: str) -> str:
    def check(text: str) -> None:
        if not re.fullmatch(r"[1-9][0-9]{0,5}/([1-9][0-9]{0,4})?[smhd]", text):
            raise ValidationError("Not a rate such as 5/m.")

    text: str = _read(env.str, name, default, validate=check)
    return text


env = Env()
# An explicit DEBUG=0 says that this is no development machine.
if os.environ.get("DEBUG", "").strip().lower() not in {"0", "false", "no", "off", "f", "n"}:
    keep_private(BASE_DIR / ".env")
    env.read_env(str(BASE_DIR / ".env"), recurse=False)

# --- Django

DEBUG = _flag("DEBUG", False)
SECRET_KEY: str = _read(env.str, "SECRET_KEY", "")
if not SECRET_KEY:
    if not DEBUG:
        _stop('Environment variable "SECRET_KEY" not set (DEBUG=1 starts without one, for development only).')
    SECRET_KEY = "django-insecure-development-key-never-used-with-debug-off"
JWT_SIGNING_KEY: str = _read(env.str, "JWT_SIGNING_KEY", SECRET_KEY)
for _name, _key in (("SECRET_KEY", SECRET_KEY), ("JWT_SIGNING_KEY", JWT_SIGNING_KEY)):
    if not DEBUG and (len(_key.encode()) < _LEAST_KEY_BYTES or len(set(_key)) < _LEAST_KEY_CHARACTERS):
        _stop(
            f'Environment variable "{_name}" invalid: Too easy to guess. '
            f"Set {_LEAST_KEY_BYTES} random characters or more, such as: openssl rand -base64 48"
        )
ALLOWED_HOSTS = _list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
ROOT_URLCONF = "promptcraft.urls"
ASGI_APPLICATION = "promptcraft.asgi.application"
INSTALLED_APPS = [
    # First, so that `runserver` is daphne's; for nothing else, because it imports Twisted, a quarter of the start.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    # Its site is imported by name, in promptcraft.urls: nothing is to be looked for in every app.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.accounts",
    "apps.chat",
    "apps.templates",
]
# All of these run on the event loop: one sync-only layer would cost a thread for each request.
MIDDLEWARE = [
    "promptcraft.middleware.RequestContextMiddleware",
    "promptcraft.middleware.CrossOriginMiddleware",
    "promptcraft.middleware.RefusalMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_HANDLERS: list[str] = []
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# The cookies of the admin, the only ones there are. They go to its paths alone.
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/admin/"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_AGE = 12 * 60 * 60
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_FAILURE_VIEW = "apps.templates.curation.site.forgery_refused"
# TLS ends at the proxy in front, so that a page's own origin looks like another's.
CSRF_TRUSTED_ORIGINS = [
    f"https://{host.replace('.', '*.', 1) if host[0] == '.' else host}" for host in ALLOWED_HOSTS if host != "*"
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SILENCED_SYSTEM_CHECKS = [
    # The headers of SecurityMiddleware and XFrameOptionsMiddleware, both of which hop threads, are set by
    # promptcraft.middleware; TLS and its redirect belong to the proxy in front.
    "security.W001",
    "security.W002",
    # No cookie carries authority but on the admin's forms, which bring a guard of their own.
    "security.W003",
    # The admin's views have these three around them, and no other view has (apps.templates.curation.site).
    "admin.E408",
    "admin.E409",
    "admin.E410",
]


def _database() -> dict[str, Any]:
    url: str = _read(env.str, "DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, KeyError):
        _stop('Environment variable "DATABASE_URL" invalid: Not a URL such as postgres://user:password@host/name.')
    if database["ENGINE"] not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        _stop('Environment variable "DATABASE_URL" invalid: Not a URL of SQLite (sqlite:///path) or PostgreSQL.')
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": LOCK_S,
            "factory": PrivateConnection,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        # The driver is not to be imported for SQLite.
        from apps.core.postgresql.connection import BoundedConnection, connect_again

        database["ENGINE"] = "apps.core.postgresql"
        database["OPTIONS"] = {
            # The shortest that libpq knows. Only the pool's own threads wait for it.
            "connect_timeout": 2,
            # A machine that is gone says nothing; the kernel notices within 20 s.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 10_000,
            **database.get("OPTIONS", {}),
            # A pool connects in threads of its own, so that a request does not wait for as long as that may take.
            "pool": {
                "connection_class": BoundedConnection,
                "min_size": 1,
                # As many as there are threads that use the database: nobody waits for another's.
                "max_size": 14,
                "reconnect_timeout": 0.2,
                "reconnect_failed": connect_again,
            },
        }
    return database


DATABASES = {"default": _database()}

# --- REST framework, tokens, schema

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "apps.chat.envelope.drf_exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "ISSUER": "promptcraft",
    "AUDIENCE": "promptcraft",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    "LEEWAY": 0,
}
REGISTRATION_OPEN = _flag("REGISTRATION_OPEN", False)


def _networks(name: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(item, strict=False) for item in _list(name, ""))
    except ValueError:
        _stop(f'Environment variable "{name}" invalid: Not a list of networks such as 10.0.0.0/8.')


TRUSTED_PROXIES = _networks("TRUSTED_PROXIES")


def _origins(name: str) -> list[str]:
    origins = _list(name, "")
    for origin in origins:
        if not re.fullmatch(r"https?://[a-z0-9._-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", origin):
            _stop(f'Environment variable "{name}" invalid: Not a list of origins such as https://app.example.org.')
    return origins


_LOCAL_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?\Z")


def local_origins(debug: bool) -> list[re.Pattern[str]]:
    """Return patterns of the developer's machine: a page that is being written is served from any port of it."""
    return [_LOCAL_ORIGIN] if debug else []


CORS_ALLOWED_ORIGINS = _origins("CORS_ALLOWED_ORIGINS")
CORS_ALLOWED_ORIGIN_REGEXES = local_origins(DEBUG)
CORS_ALLOW_HEADERS = (
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "x-mock-scenario",
    "x-request-id",
    # What OpenAI's client for JavaScript says of itself.
    "openai-organization",
    "openai-project",
    *(
        f"x-stainless-{name}"
        for name in (
            *("arch", "async", "custom-poll-interval", "helper-method", "lang", "os", "package-version"),
            *("poll-helper", "retry-count", "runtime", "runtime-version", "timeout"),
        )
    ),
)
CORS_EXPOSE_HEADERS = (
    "Idempotent-Replay",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Traceparent",
    "WWW-Authenticate",
    "X-PromptCraft-Completion-Id",
    "X-PromptCraft-Fallback-Count",
    "X-PromptCraft-Ignored",
    "X-PromptCraft-Model",
    "X-PromptCraft-Provider",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
    "X-Should-Retry",
)

# --- Providers

CONNECT_TIMEOUT_S = _seconds("CONNECT_TIMEOUT", 5)
UPSTREAM_TRANSPORT: Literal["push", "httpx"] = _read(
    env.str, "UPSTREAM_TRANSPORT", "push", validate=OneOf(("push", "httpx"))
)


def _provider(name: str) -> ProviderConfig:
    base_url = _url(variable_of(name, "BASE_URL"), ("https", "http"))
    api_key: str | None = _read(env.str, variable_of(name, "API_KEY"), None)
    model: str | None = _read(env.str, variable_of(name, "MODEL"), None)
    if name not in VENDOR_NAMES:
        for part, value in (("BASE_URL", base_url), ("MODEL", model)):
            if value is None:
                _stop(f'Environment variable "{variable_of(name, part)}" not set: PROVIDER_CHAIN names {name}.')
    try:
        config = ProviderConfig(
            api_key=api_key,
            base_url=base_url,
            model=model,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            transport=UPSTREAM_TRANSPORT,
        )
        dialect_of(name, config)
    except ValueError as error:
        part = "MODEL" if "model" in str(error) else "API_KEY" if "key" in str(error) else "BASE_URL"
        _stop(f'Environment variable "{variable_of(name, part)}" invalid: {error}.')
    return config


_PRICE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)/([0-9]{1,6}(?:\.[0-9]{1,9})?)")


def _price(name: str) -> tuple[int, int] | None:
    """Read what a provider takes for a million tokens, input and output, in nano-USD."""
    variable = variable_of(name, "PRICE")
    text: str = _read(env.str, variable, "")
    if not text:
        return None
    price = _PRICE.fullmatch(text)
    if price is None:
        _stop(f'Environment variable "{variable}" invalid: Not input/output in USD for 1M tokens, such as 0.5/1.5.')
    return usd(price[1]), usd(price[2])


# No underscore: two names would share a variable.
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MOST_NAME_CHARACTERS = 32
PROVIDER_CHAIN_NAMED = _is_set("PROVIDER_CHAIN")
PROVIDER_CHAIN = tuple(_list("PROVIDER_CHAIN", ",".join((*VENDOR_NAMES, "mock"))))
if not PROVIDER_CHAIN or len(set(PROVIDER_CHAIN)) < len(PROVIDER_CHAIN):
    _stop('Environment variable "PROVIDER_CHAIN" invalid: Not a list of providers, each at most once.')
if not all(len(name) <= _MOST_NAME_CHARACTERS and _PROVIDER_NAME.fullmatch(name) for name in PROVIDER_CHAIN):
    _stop(
        'Environment variable "PROVIDER_CHAIN" invalid: A name is 1 to 32 of a-z, 0-9 and single hyphens inside, '
        "a letter first."
    )
_CONFIGURED = tuple(name for name in PROVIDER_CHAIN if name not in (*VENDOR_NAMES, "mock"))
PROVIDERS = {name: _provider(name) for name in (*VENDOR_NAMES, *_CONFIGURED)}
PROVIDER_PRICES = {name: price for name in _CONFIGURED if (price := _price(name)) is not None}

# --- The completions service

CHAT_RATE_LIMIT = _rate("CHAT_RATE_LIMIT", "5/m")
WORKBENCH_RATE_LIMIT = _rate("WORKBENCH_RATE_LIMIT", "60/m")
MAX_STREAMS_PER_USER = _count("MAX_STREAMS_PER_USER", 5)
MAX_STREAMS = _count("MAX_STREAMS", 4096)
FIRST_TOKEN_TIMEOUT_S = _seconds("FIRST_TOKEN_TIMEOUT", 60)
GAP_TIMEOUT_S = _seconds("GAP_TIMEOUT", 45)
TOTAL_TIMEOUT_S = _seconds("TOTAL_TIMEOUT", 600)
HEADER_HOLD_S = _seconds("HEADER_HOLD", 8)
KEEPALIVE_INTERVAL_S = _seconds("KEEPALIVE_INTERVAL", 15)
DISCONNECT_GRACE_S = _seconds("DISCONNECT_GRACE", 30)
STREAM_RETENTION_S = _seconds("STREAM_RETENTION", 600)
BREAKER_FAILURES = _count("BREAKER_FAILURES", 5)
BREAKER_COOLDOWN_S = _seconds("BREAKER_COOLDOWN", 30)
DRAIN_TIMEOUT_S = _seconds("DRAIN_TIMEOUT", 25)
LEGACY_WEBSOCKETS = _flag("LEGACY_WEBSOCKETS", False)
LEGACY_WEBSOCKETS_DEPRECATED = date(2026, 11, 22)
LEGACY_WEBSOCKETS_SUNSET = date(2027, 6, 30)
SSE_ROLLOUT_PHASE: Literal["off", "shadow", "percentage", "on"] = _read(
    env.str, "SSE_ROLLOUT_PHASE", "on", validate=OneOf(("off", "shadow", "percentage", "on"))
)
if SSE_ROLLOUT_PHASE != "on" and not LEGACY_WEBSOCKETS:
    _stop('Environment variable "SSE_ROLLOUT_PHASE" invalid: Sends clients to WebSockets; set LEGACY_WEBSOCKETS=1 too.')
SSE_ROLLOUT_PERCENT: int = _read(
    env.int, "SSE_ROLLOUT_PERCENT", 0, validate=Range(min=0, max=100, error="Must be from 0 to 100.")
)

# --- The process

REDIS_URL = _redis_url("REDIS_URL")
METRICS_TOKEN: str | None = _read(env.str, "METRICS_TOKEN", None)
PORT: int = _read(env.int, "PORT", 8000, validate=Range(min=1, max=65535, error="Not a port."))
WEB_CONCURRENCY = _count("WEB_CONCURRENCY", 1)
LOG_LEVEL: str = _read(
    lambda *read, **options: env.str(*read, **options).upper(),
    "LOG_LEVEL",
    "INFO",
)
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    _stop('Environment variable "LOG_LEVEL" invalid: Must be one of: DEBUG, INFO, WARNING, ERROR, CRITICAL.')
LOG_FORMAT: str = _read(env.str, "LOG_FORMAT", "console" if DEBUG else "json", validate=OneOf(("console", "json")))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "console": {"()": "promptcraft.logs.ConsoleFormatter"},
        "json": {"()": "promptcraft.logs.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "promptcraft": {"level": LOG_LEVEL},
        # Their lines carry paths and header values of requests; ours say what is needed.
        "django": {"handlers": [], "level": "WARNING", "propagate": True},
        # Says again what the request's own line says; faults of ours are logged where they are mapped.
        "django.request": {"level": "CRITICAL"},
        "django.security": {"level": "CRITICAL"},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        # Whatever set them up before: their lines are to be as ours are, and the access log is ours.
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.access": {"handlers": [], "propagate": False},
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # What goes wrong with connections is said by promptcraft.database, once and not for each attempt.
        "psycopg": {"level": "ERROR"},
    },
}
SENTRY_DSN = _url("SENTRY_DSN", ("https", "http"))
hide(
    [
        SECRET_KEY,
        JWT_SIGNING_KEY,
        METRICS_TOKEN,
        SENTRY_DSN,
        DATABASES["default"].get("PASSWORD"),
        *_redis_secrets(REDIS_URL),
        *(provider.api_key for provider in PROVIDERS.values()),
    ]
)
if SENTRY_DSN:
    from promptcraft.sentry import start_sentry

    try:
        start_sentry(dsn=SENTRY_DSN, release=VERSION, environment="development" if DEBUG else "production")
    except ValueError:
        _stop('Environment variable "SENTRY_DSN" invalid: Not a DSN such as https://key@sentry.example.org/1.')

SPECTACULAR_SETTINGS = {
    "TITLE": "PromptCraft",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    # As urls.py has them.
    "SORT_OPERATIONS": False,
    "POSTPROCESSING_HOOKS": ["promptcraft.schema.document.complete"],
}
