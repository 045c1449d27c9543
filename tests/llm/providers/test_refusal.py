from __future__ import annotations

from apps.llm.errors import BreakerVerdict, Failure
from apps.llm.providers import DIALECTS
from apps.llm.providers.refusal import failure_of_status, known_field, read_refusal
from tests.each import each


@each(
    ("status", "failure"),
    [
        (400, "request_rejected"),
        (401, "key_refused"),
        (402, "out_of_funds"),
        (403, "key_refused"),
        (404, "model_not_found"),
        (408, "server_error"),
        (409, "server_error"),
        (413, "request_rejected"),
        (422, "request_rejected"),
        (429, "rate_limited"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "overloaded"),
        (504, "server_error"),
        (529, "overloaded"),
        (599, "server_error"),
        (302, "bad_response"),
        (405, "bad_response"),
        (451, "bad_response"),
    ],
)
def test_statuses(status, failure):
    assert failure_of_status(status) == failure


@each(
    ("document", "code", "message"),
    [
        ({"error": {"code": 1113, "message": "Arrears"}}, "1113", "arrears"),
        ({"error": {"code": "1302"}}, "1302", ""),
        ({"code": 500, "msg": "404 NOT_FOUND", "success": False}, "500", "404 not_found"),
        ({"error": "Insufficient Balance"}, "", "insufficient balance"),
        ([{"error": {"code": "slow_down"}}], "slow_down", ""),
        ({"error": {"code": None, "message": None}}, "", ""),
        ({"error": {"code": True, "message": ["x"]}}, "", ""),
        (None, "", ""),
        (7, "", ""),
        ([], "", ""),
    ],
)
def test_error_bodies_of_any_shape_are_read(document, code, message):
    refusal = read_refusal(document, status=400)
    assert (refusal.code, refusal.message) == (code, message)


def test_messages_are_bounded_and_hidden():
    refusal = read_refusal({"error": {"message": "Your key ****abcd " * 10_000, "code": "c" * 999}}, status=400)
    assert len(refusal.message) <= 4096
    assert len(refusal.code) <= 64
    assert "abcd" not in repr(refusal)


@each(
    ("param", "known"),
    [
        ("messages", "messages"),
        ("messages.[2].role", "messages"),
        ("messages[0].content", "messages"),
        ("tools[0].function.parameters", "tools"),
        ("max_completion_tokens", "max_completion_tokens"),
        ("safety_identifier", None),
        ("user_id", None),
        ("messages_of_org_1234", None),
        ("sk-1234", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_only_our_own_fields_are_named(param, known):
    assert known_field(param) == known


@each(
    ("vendor", "error", "failure"),
    [
        ("zai", {"code": "1113"}, "out_of_funds"),
        ("zai", {"code": 1301}, "content_filtered"),
        ("zai", {"code": "1302"}, "rate_limited"),
        ("zai", {"code": "1234"}, "stream_error"),
        ("zai", {"code": 500}, "stream_error"),
        ("zai", {"code": "1261"}, "context_length_exceeded"),
        ("deepseek", {"code": "invalid_request_error", "message": "Content Exists Risk"}, "content_filtered"),
        ("deepseek", {"message": "Insufficient Balance"}, "out_of_funds"),
        ("openai", {"code": "invalid_prompt"}, "content_filtered"),
    ],
)
def test_vendor_codes_mean_the_same_in_a_stream(vendor, error, failure):
    assert DIALECTS[vendor].classify(read_refusal(error, status=None)).failure == failure


def test_phrases_do_not_overrule_a_clear_status():
    refusal = read_refusal({"error": {"message": "model not exist, maximum context length"}}, status=503)
    assert DIALECTS["deepseek"].classify(refusal).failure is Failure.OVERLOADED


@each(
    ("vendor", "status", "error", "verdict"),
    [
        ("zai", 429, {"code": "1113"}, BreakerVerdict.OPEN_NOW),
        ("zai", 429, {"code": "1302"}, BreakerVerdict.NOTHING),
        ("zai", 429, {"code": 1301}, BreakerVerdict.NOTHING),
        ("openai", 429, {"type": "insufficient_quota"}, BreakerVerdict.OPEN_NOW),
        ("openai", 400, {"code": "unsupported_value"}, BreakerVerdict.NOTHING),
        ("deepseek", 402, {"code": "invalid_request_error"}, BreakerVerdict.OPEN_NOW),
        ("deepseek", 500, {}, BreakerVerdict.FAILURE),
        ("openai", 401, {"code": "invalid_api_key"}, BreakerVerdict.FAILURE),
        # A filter may have looked at what a client wrote.
        ("openai", 403, {"code": "unsupported_country_region_territory"}, BreakerVerdict.NOTHING),
        ("zai", 403, {}, BreakerVerdict.NOTHING),
        ("deepseek", 403, {"code": 403, "message": "your input was flagged"}, BreakerVerdict.NOTHING),
    ],
)
def test_what_the_breaker_makes_of_it(vendor, status, error, verdict):
    failed = DIALECTS[vendor].classify(read_refusal({"error": error}, status=status))
    assert failed.breaker_verdict is verdict
