#!/usr/bin/env python
"""Tries the DeepSeek key, or shows that the fallback answers without one.

    python test_deepseek_ai.py

The key, DEEPSEEK_BASE_URL and DEEPSEEK_MODEL come from the environment or from .env. One line for each check; the exit
code is 0 if all passed and 1 if one failed. With a key, one short answer is paid for.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def report(passed: bool, name: str, line: str) -> bool:
    """Print one check's line."""
    print(f"{'ok  ' if passed else 'FAIL'} {name}: {line}", flush=True)
    return passed


def run_in_virtual_environment() -> int:
    """Start this script again with the Python of .venv, which has what it needs."""
    for python in (ROOT / ".venv" / "bin" / "python", ROOT / ".venv" / "Scripts" / "python.exe"):
        if python.exists() and Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
            return subprocess.call([str(python), __file__])
    report(False, "setup", "the dependencies are not installed; start with: make run (Windows: setup_deepseek.ps1)")
    return 1


if __name__ == "__main__" and importlib.util.find_spec("django") is None:
    sys.exit(run_in_virtual_environment())

from datetime import UTC, datetime

import django
from django.conf import settings

from apps.llm.errors import Failure, ProviderError
from apps.llm.price_rows import PRICES
from apps.llm.pricing import cost_nano_usd
from apps.llm.providers import DIALECTS
from apps.llm.providers.base import Call, Provider
from apps.llm.providers.mock import MockProvider
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from apps.llm.wire.openai import Usage, finish_of, parse_chunk, parse_request
from apps.llm.wire.sse import Decoder, is_done

QUESTION = {"messages": [{"role": "user", "content": "Say hello in five words."}], "stream": True, "max_tokens": 64}
LONGEST_WAIT_S = 60.0
SHOWN_CHARS = 60


class Answer:
    """A sink that keeps what one streamed answer says, and when its first content came."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._decoder = Decoder()
        self._started = time.perf_counter()
        self.first_content_ms: float | None = None
        self.text = ""
        self.usage: Usage | None = None
        self.finish_reason: str | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes of the stream. Raises ProviderError if an event says that the answer failed."""
        for event in self._decoder.feed(data):
            if is_done(event):
                continue
            chunk = parse_chunk(event)
            if chunk.error is not None:
                raise self._provider.classify_stream_error(chunk.error)
            if chunk.has_content and self.first_content_ms is None:
                self.first_content_ms = (time.perf_counter() - self._started) * 1000
            self.text += chunk.content
            self.usage = chunk.usage or self.usage
            self.finish_reason = chunk.finish_reason or self.finish_reason


async def ask(provider: Provider) -> str:
    """Stream one short answer and describe it in one line. Raises ProviderError, TimeoutError or ValueError."""
    target = provider.resolve(None)
    if target is None:
        raise ValueError(f"{provider.name} does not know its own default model")
    call = Call(
        request=parse_request(json.dumps(QUESTION).encode()),
        target=target,
        completion_id="chatcmpl-test-deepseek-ai",
        user_hash="test-deepseek-ai",
    )
    asked_at = datetime.now(UTC)
    answer = Answer(provider)
    async with asyncio.timeout(LONGEST_WAIT_S):
        await provider.run(call, answer)
    if answer.finish_reason is None:
        raise ProviderError(Failure.STREAM_CUT)
    if finish_of(answer.finish_reason) is None:
        raise ProviderError(Failure.STREAM_ERROR)
    if answer.first_content_ms is None:
        raise ProviderError(Failure.BAD_RESPONSE)
    shown = answer.text if len(answer.text) <= SHOWN_CHARS else answer.text[: SHOWN_CHARS - 1] + "…"
    parts = [f"{target.model} said {shown!r}", f"first token after {answer.first_content_ms:.0f} ms"]
    if answer.usage is None:
        return ", ".join([*parts, "tokens not counted by the provider"])
    parts.append(f"{answer.usage.prompt_tokens} + {answer.usage.completion_tokens} tokens")
    cost = cost_nano_usd(PRICES.find(target.provider, target.model, asked_at), answer.usage, asked_at)
    parts.append("price unknown" if cost is None else f"{cost / 1e9:.9f} USD")
    return ", ".join(parts)


def explain(error: ProviderError) -> str:
    """Say in one line what went wrong and what to do."""
    advice = {
        Failure.KEY_REFUSED: "the key was refused; check DEEPSEEK_API_KEY, or make a new key",
        Failure.OUT_OF_FUNDS: "the account's balance is empty; top it up",
        Failure.RATE_LIMITED: "too many requests at once for this account; try again shortly",
        Failure.MODEL_NOT_FOUND: "the model is not known; check DEEPSEEK_MODEL",
        Failure.CONNECT_FAILED: "no connection; check the network and DEEPSEEK_BASE_URL",
        Failure.CONNECT_TIMEOUT: "no connection in time; check the network and DEEPSEEK_BASE_URL",
        Failure.BAD_RESPONSE: "the answer is not a completion; check DEEPSEEK_BASE_URL",
    }
    return advice.get(error.failure, f"{error.failure}; DEEPSEEK_SETUP.md says what to do")


async def check(name: str, provider: Provider) -> bool:
    """Print one line on whether a provider answers."""
    try:
        line = await ask(provider)
    except ProviderError as error:
        return report(False, name, explain(error))
    except TimeoutError:
        return report(False, name, f"no whole answer within {LONGEST_WAIT_S:.0f} s; try again later")
    except ValueError:
        # Whatever came is no event stream. The error may quote it, so it is not shown.
        return report(False, name, "the answer is not a completion; check DEEPSEEK_BASE_URL")
    finally:
        await provider.aclose()
    return report(True, name, line)


async def check_all() -> bool:
    """Check the key's provider if there is a key, else the mock that stands in for it."""
    config = settings.PROVIDERS["deepseek"]
    if config.api_key is None:
        report(True, "key", "none in the environment or .env; DEEPSEEK_SETUP.md says how to get one")
        return await check("fallback", MockProvider())
    return await check("deepseek", OpenAICompatibleProvider(DIALECTS["deepseek"], config))


def main() -> int:
    """Run the checks and return the exit code."""
    # An answer may hold characters that the terminal's encoding does not know.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptcraft.settings")
    # With DEBUG=0 the settings would ask for what only a server needs, and leave .env unread.
    os.environ.setdefault("DEBUG", "1")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            django.setup()
    except SystemExit:
        report(False, "settings", said.getvalue().strip())
        return 1
    try:
        return 0 if asyncio.run(check_all()) else 1
    except KeyboardInterrupt:
        return 1


if __name__ == "__main__":
    sys.exit(main())
