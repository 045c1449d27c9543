"""What the start of the runtime sets for the whole process."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from apps.chat.runtime import _give_memory_back

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if sys.argv[1] == "set":
    _give_memory_back()
# What is freed last raises the thresholds that glibc has by default, to that size and to twice that.
bytes(30 * 1024 * 1024)
before = resident_bytes()
answers, kept = [], []
for _ in range(400):
    answers.append(b"x" * 200_000)
    # A small block behind each large one: the heap's end does not come down past it.
    kept.append(bytearray(1_000))
del answers
print(resident_bytes() - before)
"""


def kept_bytes(how: str) -> int:
    environment = {"DEBUG": "1", "DJANGO_SETTINGS_MODULE": "promptcraft.settings", "PATH": ""}
    program = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(){PROGRAM}", how],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(program.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has the two thresholds")
def test_freed_answers_are_given_back():
    assert kept_bytes("unset") > 40_000_000
    assert kept_bytes("set") < 8_000_000
