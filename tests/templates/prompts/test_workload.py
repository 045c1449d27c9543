"""Where the rules work: off the event loop until they are loaded, and for every long text."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from apps.templates.prompts.workload import QUICK_CHARACTERS, worked_out
from apps.templates.rules.preloading import preload, preload_in_background, preloaded

_FIRST_CALLS = """
import asyncio, json, threading, time
import django
django.setup()
from functools import partial
from apps.templates import mock_langchain
from apps.templates.prompts.requests import IntentRequest, OptimizeRequest
from apps.templates.prompts.workload import worked_out

PROMPT = "Write a friendly product description of a rain coat for hikers, 80 words."
threads = []

def told(work):
    threads.append(threading.current_thread() is threading.main_thread())
    return work()

async def ask(work):
    return await worked_out(partial(told, work), characters=len(PROMPT))

def processor_s(work):
    began = time.thread_time()
    work()
    return time.thread_time() - began

async def main():
    intent = partial(mock_langchain.detect_intent, IntentRequest(query=PROMPT))
    optimize = partial(mock_langchain.optimize, OptimizeRequest(prompt=PROMPT))
    await asyncio.gather(*(ask(intent) for _ in range(8)))
    first = len(threads)
    await ask(intent)
    taken = [processor_s(optimize), processor_s(intent), min(processor_s(optimize) for _ in range(5))]
    print(json.dumps({"first": threads[:first], "later": threads[first:], "taken": taken}))

asyncio.run(main())
"""


def test_the_first_ones_are_done_in_a_thread_and_load_everything():
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "promptcraft.settings"}
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_CALLS], env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    told = json.loads(done.stdout)
    assert told["first"] == [False] * 8
    assert told["later"] == [True]
    optimize_s, intent_s, settled_s = told["taken"]
    # Nothing is left to be read by the first one on the loop: it costs about as much as any.
    assert optimize_s < 10 * settled_s + 0.005, told
    assert intent_s < 10 * settled_s + 0.005, told


async def test_a_long_text_is_worked_on_in_a_thread():
    preload()

    async def on_the_loop(characters: int) -> bool:
        return await worked_out(threading.current_thread, characters=characters) is threading.main_thread()

    assert await on_the_loop(QUICK_CHARACTERS)
    assert not await on_the_loop(QUICK_CHARACTERS + 1)


async def test_the_loop_turns_while_a_text_is_worked_on():
    preload()
    began, over = threading.Event(), threading.Event()

    def work() -> str:
        began.set()
        assert over.wait(10)
        return "worked out"

    waiting = asyncio.ensure_future(worked_out(work, characters=QUICK_CHARACTERS + 1))
    await asyncio.to_thread(began.wait, 10)
    over.set()
    assert await waiting == "worked out"


def test_it_is_loaded_by_whoever_comes_first():
    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(preload) for _ in range(4)]:
            one.result(timeout=30)
    assert preloaded()
    before = threading.active_count()
    preload_in_background()
    assert threading.active_count() == before
