"""A program that has LangChain: the workbench's steps as runnables, then LangChain's own client of this service.

It is run with the settings of a server that serves at its first argument, to the user whose token is its second.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "promptcraft.settings"

import django

django.setup()

from langchain_openai import ChatOpenAI  # type: ignore[import-not-found,unused-ignore]  # noqa: E402

from apps.accounts.identity import authenticate_token  # noqa: E402
from apps.chat.runtime import start_runtime, stop_runtime  # noqa: E402
from apps.templates.langchain_services import Course, preparation  # noqa: E402
from apps.templates.prompts.asking import Asker  # noqa: E402
from apps.templates.prompts.requests import RunRequest  # noqa: E402


async def main(base_url: str, token: Any) -> None:
    """Print what came of a query: the steps, the answer in one piece, the answer in pieces."""
    start_runtime()
    asker = Asker(caller=await authenticate_token(token), request_id="langchain-1")
    model: Any = ChatOpenAI(base_url=base_url, api_key=token, model="auto", max_retries=0)
    prompt_of: Any = lambda course: course.prompt  # noqa: E731
    steps: Any = preparation(asker)
    query = RunRequest(query="product description of a rain coat for my shop", variables={})
    course: Course = await steps.ainvoke(query)
    whole = await (steps | prompt_of | model).ainvoke(query)
    pieces = [piece.content async for piece in (steps | prompt_of | model).astream(query)]
    await stop_runtime()
    names = [type(step).__name__ for step in course.steps]
    print(json.dumps({"steps": names, "prompt": course.prompt, "whole": whole.content, "pieces": pieces}))


asyncio.run(main(sys.argv[1], sys.argv[2]))
