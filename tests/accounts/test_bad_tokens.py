"""Every way of a bad token that we could think of: 401, and no query before the signature holds."""

from __future__ import annotations

import hashlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.accounts.families import family_open
from apps.accounts.identity import authenticate
from apps.accounts.key_form import new_key, read_key
from apps.accounts.tokens import AccessClaims, RefreshClaims, issue_pair, verify_any
from apps.llm.errors import AuthenticationFailed
from tests.accounts.conftest import error_of
from tests.accounts.forgery import claims_of, encode, forge, good_claims, header_of
from tests.each import each

PUBLIC_KEY = b"-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----\n"


def _without_signature(token):
    return token.rsplit(".", 1)[0]


def _header(**changes):
    return {"alg": "HS256", "typ": "JWT", **changes}


def _flip_last(token):
    # The last character of 32 bytes in base64 has two bits that mean nothing: another spelling of the same signature.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


# Each makes the value of the Authorization header from a living pair.
MISSING = {
    "no header": lambda pair: None,
    "empty header": lambda pair: "",
    "scheme alone": lambda pair: "Bearer",
    "scheme and spaces": lambda pair: "Bearer    ",
    "another scheme": lambda pair: f"Token {pair.access}",
    "basic": lambda pair: "Basic YWRhOmxvdmVsYWNl",
    "no scheme": lambda pair: pair.access,
    "scheme glued on": lambda pair: f"Bearer{pair.access}",
    "scheme with a colon": lambda pair: f"Bearer: {pair.access}",
    "tab for a space": lambda pair: f"Bearer\t{pair.access}",
    "in quotes": lambda pair: f'"Bearer {pair.access}"',
}
EXPIRED = {
    "expired": lambda pair: f"Bearer {forge(good_claims(exp=int(time.time()) - 1))}",
    "expires now": lambda pair: f"Bearer {forge(good_claims(exp=int(time.time())))}",
    "expired at the epoch": lambda pair: f"Bearer {forge(good_claims(exp=0))}",
    "expired before the epoch": lambda pair: f"Bearer {forge(good_claims(exp=-1))}",
}
INVALID = {
    "alg none, no signature": lambda p: _without_signature(forge(claims_of(p.access), header=_header(alg="none"))),
    "alg none, a dot": lambda p: _without_signature(forge(claims_of(p.access), header=_header(alg="none"))) + ".",
    "alg none, signed": lambda p: forge(claims_of(p.access), header=_header(alg="none")),
    "alg None": lambda p: forge(claims_of(p.access), header=_header(alg="None")),
    "alg nOnE": lambda p: forge(claims_of(p.access), header=_header(alg="nOnE")),
    "alg empty": lambda p: forge(claims_of(p.access), header=_header(alg="")),
    "alg null": lambda p: forge(claims_of(p.access), header=_header(alg=None)),
    "alg absent": lambda p: forge(claims_of(p.access), header={"typ": "JWT"}),
    "alg a list": lambda p: forge(claims_of(p.access), header=_header(alg=["HS256"])),
    "alg an object": lambda p: forge(claims_of(p.access), header=_header(alg={"HS256": 1})),
    "alg a number": lambda p: forge(claims_of(p.access), header=_header(alg=256)),
    "alg in small letters": lambda p: forge(claims_of(p.access), header=_header(alg="hs256")),
    "HS384": lambda p: forge(claims_of(p.access), header=_header(alg="HS384"), digest=hashlib.sha384),
    "HS512": lambda p: forge(claims_of(p.access), header=_header(alg="HS512"), digest=hashlib.sha512),
    "HS512 named, SHA-256 used": lambda p: forge(claims_of(p.access), header=_header(alg="HS512")),
    "HS256 named, SHA-512 used": lambda p: forge(claims_of(p.access), digest=hashlib.sha512),
    "RS256": lambda p: forge(claims_of(p.access), header=_header(alg="RS256")),
    "RS256, a public key as secret": lambda p: forge(claims_of(p.access), header=_header(alg="RS256"), key=PUBLIC_KEY),
    "HS256, a public key as secret": lambda p: forge(claims_of(p.access), key=PUBLIC_KEY),
    "ES256": lambda p: forge(claims_of(p.access), header=_header(alg="ES256")),
    "another key": lambda p: forge(claims_of(p.access), key=b"another key of a good length, 32+ bytes"),
    "an empty key": lambda p: forge(claims_of(p.access), key=b""),
    "its own key in the header": lambda p: forge(
        claims_of(p.access), header=_header(jwk={"kty": "oct", "k": encode(b"k" * 32)}), key=b"k" * 32
    ),
    "a key id that is a path": lambda p: forge(claims_of(p.access), header=_header(kid="../../dev/null"), key=b""),
    "a key id that is no string": lambda p: forge(claims_of(p.access), header=_header(kid=["a"])),
    "unknown crit": lambda p: forge(claims_of(p.access), header=_header(crit=["exp"], exp=1)),
    "crit empty": lambda p: forge(claims_of(p.access), header=_header(crit=[])),
    "crit no list": lambda p: forge(claims_of(p.access), header=_header(crit="b64")),
    "detached payload": lambda p: forge(claims_of(p.access), header=_header(b64=False, crit=["b64"])),
    "wrong issuer": lambda p: forge({**claims_of(p.access), "iss": "someone"}),
    "no issuer": lambda p: forge(good_claims(iss=...)),
    "issuer a list": lambda p: forge(good_claims(iss=["promptcraft"])),
    "wrong audience": lambda p: forge({**claims_of(p.access), "aud": "someone"}),
    "no audience": lambda p: forge(good_claims(aud=...)),
    "audience null": lambda p: forge(good_claims(aud=None)),
    "audience an object": lambda p: forge(good_claims(aud={"promptcraft": 1})),
    "wrong type": lambda p: forge({**claims_of(p.access), "token_type": "sliding"}),
    "no type": lambda p: forge(good_claims(token_type=...)),
    "type a list": lambda p: forge(good_claims(token_type=["access"])),
    "refresh used as access": lambda p: p.refresh,
    "not before tomorrow": lambda p: forge({**claims_of(p.access), "nbf": int(time.time()) + 86_400}),
    "not before a word": lambda p: forge({**claims_of(p.access), "nbf": "never"}),
    "issued tomorrow": lambda p: forge({**claims_of(p.access), "iat": int(time.time()) + 86_400}),
    "no issue date": lambda p: forge(good_claims(iat=...)),
    "issue date a fraction": lambda p: forge(good_claims(iat=1.5)),
    "no expiry": lambda p: forge(good_claims(exp=...)),
    "expiry null": lambda p: forge(good_claims(exp=None)),
    "expiry a word": lambda p: forge(good_claims(exp="tomorrow")),
    "expiry digits": lambda p: forge(good_claims(exp="99999999999")),
    "issue date true": lambda p: forge(good_claims(iat=True)),
    "expiry a fraction": lambda p: forge(good_claims(exp=1e12 + 0.5)),
    "expiry infinite": lambda p: forge(json.dumps(good_claims(exp=0)).replace('"exp": 0', '"exp": 1e999').encode()),
    "expiry not a number": lambda p: forge(json.dumps(good_claims(exp=0)).replace('"exp": 0', '"exp": NaN').encode()),
    "no id": lambda p: forge(good_claims(jti=...)),
    "id a number": lambda p: forge(good_claims(jti=7)),
    "id not ours": lambda p: forge(good_claims(jti="7")),
    "no user": lambda p: forge(good_claims(user_id=...)),
    "user a number": lambda p: forge(good_claims(user_id=1)),
    "user a list": lambda p: forge(good_claims(user_id=["1"])),
    "user negative": lambda p: forge(good_claims(user_id="-1")),
    "user with a space": lambda p: forge(good_claims(user_id="1 ")),
    "user in other digits": lambda p: forge(good_claims(user_id="\u0661")),
    "user over 64 bits": lambda p: forge(good_claims(user_id="9" * 30)),
    "user a query": lambda p: forge(good_claims(user_id="1 OR 1=1")),
    "no family": lambda p: forge(good_claims(family=...)),
    "family with dashes": lambda p: forge(good_claims(family="b3b1c7ce-6f2e-4d0c-9b50-6f7a7c1f2f10")),
    "no credential": lambda p: forge(good_claims(credential=...)),
    "credential null": lambda p: forge(good_claims(credential=None)),
    "payload a list": lambda p: forge(b"[]"),
    "payload a string": lambda p: forge(b'"access"'),
    "payload no JSON": lambda p: forge(b"{"),
    "payload not UTF-8": lambda p: forge(b"\xff\xfe{}"),
    "payload deep": lambda p: forge(b"[" * 5_000),
    "header a list": lambda p: forge(claims_of(p.access), header=b"[]"),
    "header no JSON": lambda p: forge(claims_of(p.access), header=b"x"),
    "header deep": lambda p: forge(good_claims(), header=b'{"a":' * 900),
    "100 KB": lambda p: "a" * 100_000,
    "100 KB, well signed": lambda p: forge({**claims_of(p.access), "more": "a" * 100_000}),
    "8 KiB and a little, well signed": lambda p: forge({**claims_of(p.access), "more": "a" * 6_000}),
    "one segment": lambda p: "abc",
    "two segments": lambda p: _without_signature(p.access),
    "four segments": lambda p: p.access + ".abc",
    "dots": lambda p: "..",
    "empty header": lambda p: "." + p.access.split(".", 1)[1],
    "empty payload": lambda p: f"{p.access.split('.')[0]}..{p.access.split('.')[2]}",
    "trailing bytes": lambda p: p.access + "abcd",
    "trailing padding": lambda p: p.access + "=",
    "trailing dot": lambda p: p.access + ".",
    "trailing NUL": lambda p: p.access + "\0",
    "trailing comma": lambda p: p.access + ",",
    "in angle brackets": lambda p: f"<{p.access}>",
    "another spelling of the signature": lambda p: _flip_last(p.access),
    "signature cut": lambda p: p.access[:-2],
    "payload of another": lambda p: ".".join((*p.access.split(".")[:1], *p.refresh.split(".")[1:2], p.access[-43:])),
    "non-ASCII": lambda p: p.access[:-1] + "é",
    "fullwidth letters": lambda p: "\uff41\uff42\uff43.\uff44.\uff45",
    "two tokens": lambda p: f"{p.access} {p.access}",
    "two tokens, a comma": lambda p: f"{p.access}, Bearer {p.access}",
    "a line break inside": lambda p: p.access.replace(".", ".\n", 1),
    "a space inside": lambda p: p.access.replace(".", ". ", 1),
    "the scheme twice": lambda p: f"Bearer {p.access}",
    "null": lambda p: "null",
    "undefined": lambda p: "undefined",
}
# Each makes a bad one of a key that is well made and signed.
KEYS = {
    "a key of nobody's": lambda key: "pc-" + "a" * 43,
    "a key signed by another": lambda key: key[:-9] + ("A" if key[-9] != "A" else "B") + key[-8:],
    "a key of another user's": lambda key: key[:26] + ("A" if key[26] != "A" else "B") + key[27:],
    "a key in capitals": lambda key: key.upper(),
    "PC-": lambda key: key.replace("pc-", "PC-"),
    "pc_": lambda key: key.replace("pc-", "pc_"),
    "a key without pc-": lambda key: key.removeprefix("pc-"),
    "pc- alone": lambda key: "pc-",
    "pc- twice": lambda key: "pc-" + key,
    "a key cut": lambda key: key[:-1],
    "a key and more": lambda key: key + "A",
    "a key padded": lambda key: key + "=",
    "another spelling of a key": lambda key: _flip_last(key),
    "a key in standard base64": lambda key: "pc-" + key.removeprefix("pc-").replace(key[10], "+").replace(key[11], "/"),
    "a NUL in a key": lambda key: key[:20] + "\0" + key[21:],
    "a non-ASCII letter in a key": lambda key: key[:20] + "é" + key[21:],
    "fullwidth digits in a key": lambda key: key[:20] + "\uff11" + key[21:],
    "a key with a space": lambda key: key[:20] + " " + key[21:],
    "two keys, a comma": lambda key: f"{key},{key}",
    "a key of 100 KB": lambda key: key + "a" * 100_000,
}
CASES = [
    *((name, make, "missing_token") for name, make in MISSING.items()),
    *((name, make, "token_expired") for name, make in EXPIRED.items()),
    *((name, lambda pair, make=make: f"Bearer {make(pair)}", "invalid_token") for name, make in INVALID.items()),
    *((name, lambda pair, make=make: f"Bearer {make(new_key(1))}", "invalid_token") for name, make in KEYS.items()),
    ("scheme in other letters", lambda pair: f"bEaReR {forge(good_claims(iss='someone'))}", "invalid_token"),
]


@each(("make", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_tokens_are_refused_without_a_query(make, code, pair, me, django_assert_num_queries):
    header = make(pair)

    with django_assert_num_queries(0):
        response = me(header)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert error_of(response)["code"] == code
    assert error_of(response)["type"] == "authentication_error"


@each(("make", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_async_views_refuse_the_same(make, code):
    class Pair:
        access = forge(good_claims())
        refresh = forge(good_claims(token_type="refresh"))

    # No database in this test at all: a query would raise another error.
    with pytest.raises(AuthenticationFailed) as caught:
        await authenticate(make(Pair))
    assert caught.value.code == code


@each("spelling", ["Bearer {}", "bearer {}", "BEARER {}", "bEaReR {}", "Bearer   {}", " Bearer {} "])
def test_the_scheme_has_no_case_and_spaces_are_free(spelling, pair, me):
    assert me(spelling.format(pair.access)).status_code == 200


def test_the_forger_itself_makes_good_tokens(pair, me):
    assert me(f"Bearer {forge(claims_of(pair.access), header=header_of(pair.access))}").status_code == 200


def test_the_keys_were_good_ones():
    assert read_key(new_key(1)).user_id == 1


def test_well_signed_tokens_of_nobody_are_refused(user, pair, me):
    claims = claims_of(pair.access)
    other = type(user).objects.create_user("bob")
    for change in (
        {"user_id": str(other.pk)},
        {"user_id": "999999999999999999"},
        {"family": "0" * 32},
        {"credential": "0" * 16},
        {"credential": ""},
        {"credential": "\u00e9" * 16},
    ):
        response = me(f"Bearer {forge({**claims, **change})}")
        assert (response.status_code, error_of(response)["code"]) == (401, "invalid_token"), change


def test_no_token_in_the_query_string(pair, api):
    for name in ("token", "access", "access_token", "authorization"):
        assert api.get(f"/api/v2/auth/me/?{name}={pair.access}").status_code == 401


def test_the_pair_of_a_row_is_always_the_same(user):
    pair = family_open(user=user)
    record = user.refresh_families.get().tokens.get()
    assert issue_pair(user, record) == pair
    claims = claims_of(pair.refresh)
    assert (claims["iat"], claims["exp"]) == (record.issued_at.timestamp(), record.expires_at.timestamp())
    assert set(header_of(pair.access).items()) == {("alg", "HS256"), ("typ", "JWT")}


def test_claims_of_a_living_pair(user, pair, settings):
    access, refresh = verify_any(pair.access), verify_any(pair.refresh)
    assert isinstance(access, AccessClaims)
    assert isinstance(refresh, RefreshClaims)
    assert access.user_id == refresh.user_id == user.pk
    assert access.family_id == refresh.family_id == user.refresh_families.get().pk
    assert access.jti != refresh.jti
    assert access.expires_at_s - access.issued_at_s == 15 * 60
    assert refresh.expires_at_s - refresh.issued_at_s == 7 * 86_400
    assert user.password not in str(claims_of(pair.access))


def test_another_signing_key_ends_every_token(pair, settings):
    settings.SIMPLE_JWT = {**settings.SIMPLE_JWT, "SIGNING_KEY": "another key of a good length, 32+ bytes"}
    with pytest.raises(AuthenticationFailed):
        verify_any(pair.access)


_WORD = st.text("-_aZ09\u00e9\u0661", min_size=1)


@hypothesis_settings(max_examples=100)
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")) | st.tuples(_WORD, _WORD, _WORD).map(".".join))
def test_any_text_is_refused_in_the_same_way(text):
    with pytest.raises(AuthenticationFailed):
        verify_any(text)


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)


@hypothesis_settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([*good_claims(), "nbf", "sub"]), _JSON), st.binary(max_size=40))
def test_any_well_signed_claims_are_read_or_refused(changes, header):
    for token in (forge({**good_claims(), **changes}), forge(good_claims(), header=header)):
        try:
            claims = verify_any(token)
        except AuthenticationFailed:
            continue
        assert isinstance(claims, AccessClaims | RefreshClaims)
        assert isinstance(claims.expires_at_s, int)
