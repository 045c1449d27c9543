"""setup_deepseek.ps1 by its syntax tree: there is no PowerShell to run it with on most machines."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from tests.project.tree import ROOT

SOURCE = (ROOT / "setup_deepseek.ps1").read_bytes()
PARSER = Parser(Language(tree_sitter_powershell.language()))
# Where the plain key may appear: as a parameter, where it is read, checked, passed on and written to the file.
KEY_VARIABLE = re.compile(r"\$\{?(?:key|secure|pointer)\b", re.IGNORECASE)
PRINTING = re.compile(
    r"Write-(?:Host|Output|Error|Warning|Verbose|Debug|Information|Progress)|Out-|Console|throw|echo|Tee-|Set-Clipboard",
    re.IGNORECASE,
)


def nodes(source: bytes) -> Iterator[Node]:
    waiting = [PARSER.parse(source).root_node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def text(node: Node) -> str:
    return SOURCE[node.start_byte : node.end_byte].decode()


def commands(name: str) -> list[Node]:
    return [
        node
        for node in nodes(SOURCE)
        if node.type == "command" and text(node).lower().startswith((f"{name.lower()} ", f"& {name.lower()}"))
    ]


def broken(source: bytes) -> list[int]:
    return [node.start_point[0] + 1 for node in nodes(source) if node.is_error or node.is_missing]


def test_it_parses():
    assert broken(SOURCE) == []


@pytest.mark.parametrize("cut", [b"}\nexit $exitCode", b"finally {"])
def test_the_parser_sees_broken_syntax(cut):
    assert cut in SOURCE
    assert broken(SOURCE.replace(cut, b"", 1))


def test_it_is_ascii():
    # Windows PowerShell 5.1 reads a file without a byte order mark in the machine's own code page.
    assert SOURCE.isascii()


def test_strict_mode_comes_before_any_work():
    assert commands("Set-StrictMode")
    assert commands("Set-StrictMode")[0].start_byte == min(
        node.start_byte for node in nodes(SOURCE) if node.type == "command"
    )
    assert b"$ErrorActionPreference = 'Stop'" in SOURCE


def test_the_key_is_read_without_echo():
    reads = commands("Read-Host")
    assert reads
    for read in reads:
        assert "-AsSecureString" in text(read)


def test_no_printing_line_mentions_the_key():
    lines = SOURCE.decode().split("\n")
    telling = [line.strip() for line in lines if PRINTING.search(line) and KEY_VARIABLE.search(line)]
    # A command's or an exception's text may run over several lines.
    telling += [
        text(node)
        for node in nodes(SOURCE)
        if node.type in {"command", "flow_control_statement", "invokation_expression"}
        and PRINTING.match(text(node).lstrip("&[ "))
        and KEY_VARIABLE.search(text(node))
    ]
    assert telling == []


@pytest.mark.parametrize("line", ['Write-Host "key is $key"', "throw $Key", "[Console]::WriteLine($key)"])
def test_the_pattern_sees_a_printed_key(line):
    assert PRINTING.search(line)
    assert KEY_VARIABLE.search(line)


def test_the_key_is_written_to_the_env_file_alone():
    writes = [text(node) for node in nodes(SOURCE) if node.type == "invokation_expression" and "WriteAll" in text(node)]
    assert len(writes) == 1
    assert "$envFile" in writes[0]
    assert not commands("Set-Content") + commands("Add-Content") + commands("Out-File") + commands("Export-Clixml")


def test_the_file_is_restricted_before_the_key_is_in_it():
    body = next(
        text(node) for node in nodes(SOURCE) if node.type == "function_statement" and "Save-Key" in text(node)[:40]
    )
    assert body.index("Protect-EnvFile") < body.index("WriteAllText")
    assert "UTF8Encoding($false)" in body
    assert '"`n"' in body


def test_it_starts_what_make_run_starts():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    served = re.search(r"manage\.py serve.*", makefile)
    assert served
    assert served[0].encode() in SOURCE
    assert b"--require-hashes" in SOURCE
    assert b"(3, 11)" in SOURCE
