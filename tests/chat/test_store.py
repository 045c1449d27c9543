"""Rows as the writer inserts them, past the ORM, are what the ORM reads."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from django.db import connection

from apps.chat.engine.record import CompletionRecord, UsageSource
from apps.chat.models import Completion
from apps.chat.store import _row, completion_get, completion_list, completions_write, message_of, usage_of
from apps.llm.wire.openai import AssembledMessage, Usage

MESSAGE = AssembledMessage(
    content='quo"te, 🦉 and \ud83e and \x00',
    reasoning_content=None,
    refusal="",
    tool_calls=({"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": '{"a": "é"}'}},),
    finish_reason="stop",
    logprobs=None,
)


def record(number: int = 1, *, usage: Usage | None = None) -> CompletionRecord:
    return CompletionRecord(
        id=f"chatcmpl-{number}",
        user_id=7,
        request_id="req_1",
        status="completed",
        provider="zai",
        model="glm",
        error_code="",
        message=MESSAGE,
        usage=usage,
        usage_source=UsageSource.NONE if usage is None else UsageSource.PROVIDER,
        cost_nano_usd=None if usage is None else 2**40,
        attempts=({"provider": "zai", "ttft_ms": 1.5, "cost": None},),
        include_usage=True,
        idempotency_key="key",
        body_sha256="00",
        created_at=1795371798.25,
        finished_at=1795371799.5,
    )


def test_every_column_is_written():
    assert set(_row(record())) == {field.name for field in Completion._meta.concrete_fields}


@pytest.mark.usefixtures("database")
def test_what_was_written_is_what_is_read():
    usage = Usage(prompt_tokens=3, completion_tokens=2**40, cached_tokens=1, reasoning_tokens=2)
    completions_write([record(1), record(2, usage=usage)])
    row, other = (completion_get(completion_id=f"chatcmpl-{number}", user_id=7) for number in (1, 2))
    assert row is not None
    assert other is not None
    assert (row.request_id, row.status, row.provider, row.model) == ("req_1", "completed", "zai", "glm")
    assert (row.include_usage, row.idempotency_key, row.body_sha256, row.error_code) == (True, "key", "00", "")
    assert row.created_at == datetime.fromtimestamp(1795371798.25, UTC)
    assert row.finished_at == datetime.fromtimestamp(1795371799.5, UTC)
    assert row.attempts == [{"provider": "zai", "ttft_ms": 1.5, "cost": None}]
    message = message_of(row)
    assert message.content == 'quo"te, 🦉 and \ufffd and \ufffd'
    assert (message.refusal, message.tool_calls, message.finish_reason) == ("", MESSAGE.tool_calls, "stop")
    assert (usage_of(row), row.cost_nano_usd) == (None, None)
    assert (usage_of(other), other.cost_nano_usd) == (usage, 2**40)


@pytest.mark.usefixtures("database")
def test_a_row_that_is_there_already_stays_and_takes_no_other_with_it():
    completions_write([record(1)])
    completions_write([record(1, usage=Usage(prompt_tokens=1, completion_tokens=1)), record(2)])
    row = completion_get(completion_id="chatcmpl-1", user_id=7)
    assert row is not None
    assert usage_of(row) is None
    assert completion_get(completion_id="chatcmpl-2", user_id=7) is not None


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("most", "count"), [(4_100, 4), (3_100, 3), (2_900, 2), (0, 1)])
def test_a_page_ends_before_it_is_too_large(most: int, count: int):
    message = msgspec.structs.replace(MESSAGE, content="é" * 600, reasoning_content="x" * 400, tool_calls=())
    completions_write([msgspec.structs.replace(record(number), message=message) for number in range(4)])
    rows, is_cut = completion_list(user_id=7, limit=4, before=None, most_characters=most)
    assert [row.id for row in rows] == [f"chatcmpl-{number}" for number in (3, 2, 1, 0)][:count]
    assert is_cut == (count < 4)


@pytest.mark.usefixtures("database")
def test_a_page_whose_rows_are_deleted_meanwhile_is_empty():
    completions_write([record(number) for number in range(2)])

    def deleted_after_the_first(run, sql, values, many, context):
        result = run(sql, values, many, context)
        if not seen:
            seen.append(sql)
            Completion.objects.all().delete()
        return result

    seen: list[str] = []
    with connection.execute_wrapper(deleted_after_the_first):
        assert completion_list(user_id=7, limit=2, before=None, most_characters=0) == ([], False)
