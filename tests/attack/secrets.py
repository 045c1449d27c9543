"""Attacks by which a secret would come to light, and on the pages of staff."""

from __future__ import annotations

import base64
import re
import stat
from urllib.parse import quote, urlencode

from tests.attack.results import Attack, NotTried, Result, attack, broken, held
from tests.attack.target import Target

__all__ = ["ATTACKS"]

_KEY = "pc-" + "aB3_x-Z9" * 5 + "qrs"
_LIST = "/admin/prompt_templates/template/"


@attack("keys in paths, queries and headers, plain and encoded")
def logged_keys(target: Target) -> Result:
    """What a client sends in the wrong place must not be in a log line."""
    if target.own is None:
        raise NotTried("the log of a server cannot be seen from outside")
    percent = "".join(f"%{byte:02x}" for byte in _KEY.encode())
    forms = [_KEY, base64.b64encode(_KEY.encode()).decode(), percent, quote(percent)]
    for form in forms:
        for path in (f"/{form}/", f"/api/v2/templates/{form}/", f"/api/v2/chat/health/?key={form}"):
            target.call("GET", path, headers={"X-Request-Id": form, "Origin": form, "Cookie": form})
    output = target.own.server.output()
    if "promptcraft.request" not in output:
        raise NotTried("the server has logged nothing")
    seen = [form for form in forms if form[:40] in output]
    return broken(f"in the log: {seen}") if seen else held(f"{len(forms)} forms of a key are in no line")


@attack("files that other users of the machine may read")
def file_modes(target: Target) -> Result:
    """The database holds prompts, answers and hashes of passwords."""
    if target.own is None:
        raise NotTried("the files of a server cannot be seen from outside")
    database = target.own.server.database
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in database.parent.glob(f"{database.name}*")}
    if not modes:
        raise NotTried("there is no SQLite file")
    wide = {name: oct(mode) for name, mode in modes.items() if mode & 0o077}
    return broken(f"{wide}") if wide else held(f"{len(modes)} files have the mode 600")


@attack("a search of 1,200 words and other oddities in the admin")
def admin_pages(target: Target) -> Result:
    """The pages of staff are served by the same processes as everything else."""
    cookies = _staff_cookies(target)
    words = "+".join(f"word{number}" for number in range(1_200))
    for query in (f"q={words}", f"q={'%22' * 1_000}", f"id__in={'1,' * 20_000}1", f"o={'.'.join('12' * 500)}", "q=%00"):
        answer = target.call("GET", f"{_LIST}?{query}", headers={"Cookie": cookies})
        if answer.status == 0 or answer.status >= 500 or answer.took_s > 5:
            return broken(f"{query[:20]}…: {answer.status} after {answer.took_s:.1f} s")
    return held("five of them are answered or refused")


def _staff_cookies(target: Target) -> str:
    """Return the cookies of a session of staff, logged in as a browser does."""
    if target.staff is None:
        raise NotTried("needs a user who is staff: --staff-user and --staff-password")
    form = target.call("GET", "/admin/login/")
    hidden = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', form.body)
    if hidden is None:
        raise NotTried(f"the admin is not served here: {form.status}")
    csrf = _cookie(form.headers.get("set-cookie", ""), "csrftoken")
    fields = {
        "csrfmiddlewaretoken": hidden[1].decode(),
        "username": target.staff.name,
        "password": target.staff.password,
        "next": "/admin/",
    }
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"csrftoken={csrf}",
        "Referer": f"{target.url}/admin/login/",
    }
    answer = target.call("POST", "/admin/login/", data=urlencode(fields).encode(), headers=headers)
    session = _cookie(answer.headers.get("set-cookie", ""), "sessionid")
    if answer.status != 302 or not session:
        raise NotTried(f"{target.staff.name} cannot enter the admin: {answer.status}")
    return f"sessionid={session}; csrftoken={csrf}"


def _cookie(header: str, name: str) -> str:
    found = re.search(rf"\b{name}=([^;,]+)", header)
    return "" if found is None else found[1]


ATTACKS: tuple[Attack, ...] = (logged_keys, file_modes, admin_pages)
