from __future__ import annotations

import time

from apps.llm.tokens import estimate_prompt_tokens, estimate_tokens
from tests.each import each
from tests.llm.providers.asking import request_of


@each(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("fours", 2),
        ("the quick brown fox jumps", 7),
        # 8 characters of 0.7.
        ("灯塔有多高？海洋", 6),
        # 6 of 0.4.
        ("привет", 3),
        ("🦉", 2),
        # 4 of 0.25 and one of 0.4: 1.4.
        ("caféx", 2),
        ("\ud83e", 1),
    ],
)
def test_estimates(text, tokens):
    assert estimate_tokens(text) == tokens


def test_longer_text_is_never_fewer_tokens():
    text = "a灯éя🦉 "
    estimates = [estimate_tokens(text * count) for count in range(50)]
    assert estimates == sorted(estimates)


def test_a_megabyte_takes_no_time():
    text = "灯塔 lighthouse 🦉" * 60_000
    started_s = time.process_time()
    estimate_tokens(text)
    assert time.process_time() - started_s < 1


def test_prompts_count_texts_calls_tools_and_images():
    bare = estimate_prompt_tokens(request_of(messages=[{"role": "user", "content": "abcd"}]))
    assert bare == 5
    parts = [{"type": "text", "text": "abcd"}, {"type": "image_url", "image_url": {"url": "https://a.test/x"}}]
    assert estimate_prompt_tokens(request_of(messages=[{"role": "user", "content": parts}])) == bare + 800
    tool = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
    with_tools = request_of(messages=[{"role": "user", "content": "abcd"}], tools=[tool])
    assert estimate_prompt_tokens(with_tools) > bare + 10
    calls = [{"id": "c", "type": "function", "function": {"name": "tide", "arguments": "{}"}}]
    history = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "content": "high"},
    ]
    assert estimate_prompt_tokens(request_of(messages=history)) > 20
