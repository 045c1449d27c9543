"""Where the service's time goes under a load: `python -m benchmarks.profile --help`.

Samples with py-spy where it is installed (it is no dependency: `pip install py-spy`, anywhere on the path); else
counts with cProfile, which slows every call down and so makes small functions look dearer than they are.
"""

from __future__ import annotations

import argparse
import os
import pstats
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.database import Databases
from benchmarks.native import LoadFailed, Native, Plan
from benchmarks.processes import CpuClock, pause, wait_until
from benchmarks.server import Server

__all__ = ["Profile", "from_cprofile", "from_folded"]

_SAMPLES_PER_S = 500
_WARM_UP = Plan(tokens=20, interval_us=1000)


@dataclass(slots=True)
class Profile:
    """CPU time in µs by function: in itself, and with what it calls."""

    own: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)

    def table(self, top: int) -> str:
        """Return the functions with the most own time, then the packages."""
        whole = sum(self.own.values()) or 1
        lines = [f"{'own':>6} {'total':>6}  function"]
        lines += [
            f"{_share(n, whole)} {_share(self.total[name], whole)}  {name}" for name, n in self.own.most_common(top)
        ]
        packages: Counter[str] = Counter()
        for name, count in self.own.items():
            packages[_package(name)] += count
        lines += ["", f"{'own':>6}  package"]
        lines += [f"{_share(n, whole)}  {name}" for name, n in packages.most_common(20)]
        return "\n".join(lines)


def from_folded(text: str, thread_cpu_s: Mapping[int, float]) -> Profile:
    """Read stacks as py-spy writes them: `thread (12): name;outer;innermost 34` a line.

    A thread's samples share out the CPU time that it used: py-spy also counts threads that only wait.
    """
    stacks: list[tuple[int, list[str], int]] = []
    samples: Counter[int] = Counter()
    for line in text.split("\n"):
        found = re.fullmatch(r"thread \((\d+)\)[^;]*;(.*) (\d+)", line)
        if found is not None:
            thread, count = int(found[1]), int(found[3])
            stacks.append((thread, found[2].split(";"), count))
            samples[thread] += count
    profile = Profile()
    for thread, frames, count in stacks:
        used_us = round(count / samples[thread] * thread_cpu_s.get(thread, 0.0) * 1e6)
        profile.own[frames[-1]] += used_us
        for frame in set(frames):
            profile.total[frame] += used_us
    return profile


def from_cprofile(path: Path) -> Profile:
    """Read a file of cProfile's."""
    profile = Profile()
    for (file, line, name), (_, _, own_s, total_s, _) in pstats.Stats(str(path)).stats.items():  # type: ignore[attr-defined]
        where = name if file == "~" else f"{name} ({_short(file)}:{line})"
        profile.own[where] += round(own_s * 1e6)
        profile.total[where] += round(total_s * 1e6)
    return profile


class _ProfiledServer(Server):
    """Started through cprofiled.py."""

    output = Path()

    def command(self) -> list[str]:
        python, _, *words = super().command()
        return [python, "-m", "benchmarks.cprofiled", str(self.output), *words]


def main() -> int:
    """Run the load, profile the server under it, print."""
    options = _arguments().parse_args()
    sampler = None if options.cprofile else options.py_spy or _py_spy()
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[-1]})
    with tempfile.TemporaryDirectory(prefix="promptcraft-profile-") as name:
        directory = Path(name)
        native = Native(directory, load_cores={allowed[-1]})
        kind = Server if sampler else _ProfiledServer
        server = kind(
            name="promptcraft",
            directory=directory,
            databases=Databases(directory),
            upstream_port=native.upstream_port,
            cores={allowed[0]},
        )
        if isinstance(server, _ProfiledServer):
            server.output = directory / "profile"
        try:
            server.start()
            native.run(server, _WARM_UP, streams=20, requests=200)
            with _loaded(native, server, options):
                cpu = CpuClock(server.pid)
                before_s = cpu.read_s()
                profile = (
                    _sampled(sampler, server, options, directory) if sampler else _counted(server, options, directory)
                )
                busy = (cpu.read_s() - before_s) / options.seconds
        except LoadFailed as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            server.stop()
            native.stop()
    how = f"py-spy, {_SAMPLES_PER_S} samples/s" if sampler else "cProfile"
    print(f"{options.load}, {options.seconds:g} s, {how}; the server used about {busy:.0%} of its core")
    print(profile.table(options.top))
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description="Profile the server under a load."
    )
    parser.add_argument("--load", choices=("paced", "request", "burst"), default="paced")
    parser.add_argument("--streams", type=int, default=100, help="of the paced load, default 100")
    parser.add_argument("--rate", type=float, default=20, help="tokens/s of each of its streams, default 20")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--top", type=int, default=30)
    parser.add_argument("--native", action="store_true", help="frames of C extensions too (py-spy only)")
    parser.add_argument("--cprofile", action="store_true", help="count with cProfile although py-spy is there")
    parser.add_argument("--py-spy", help="where it is, if not on the path")
    return parser


@contextmanager
def _loaded(native: Native, server: Server, options: argparse.Namespace) -> Iterator[None]:
    """Keep a load on the server inside the `with` block."""
    if options.load == "paced":
        plan = Plan(tokens=int((options.seconds + 120) * options.rate), interval_us=round(1e6 / options.rate))
        with native.held(server, plan, streams=options.streams, hold=1, limit_s=300):
            yield
        return
    # Longer than the profile, which begins a little after it.
    seconds = options.seconds + 3.0
    load: Callable[[], object] = (
        (lambda: native.run(server, Plan(tokens=1, interval_us=2000), streams=16, seconds=seconds))
        if options.load == "request"
        else (lambda: native.run(server, Plan(tokens=500), streams=32, seconds=seconds))
    )
    thread = threading.Thread(target=load)
    thread.start()
    pause(1.0)
    try:
        yield
    finally:
        thread.join()


def _py_spy() -> str | None:
    return shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))


def _sampled(sampler: str, server: Server, options: argparse.Namespace, directory: Path) -> Profile:
    output = directory / "stacks"
    command = [sampler, "record", "--pid", str(server.pid), "--duration", str(round(options.seconds))]
    command += ["--rate", str(_SAMPLES_PER_S), "--function", "--threads", "--format", "raw"]
    command += ["--output", str(output)]
    if options.native:
        command.append("--native")
    assert server.pid is not None
    before = _thread_cpu_s(server.pid)
    done = subprocess.run(command, capture_output=True, text=True)
    used = {thread: cpu_s - before.get(thread, 0.0) for thread, cpu_s in _thread_cpu_s(server.pid).items()}
    if done.returncode:
        raise LoadFailed(f"py-spy failed (it may need root, or --cprofile):\n{done.stderr[-1000:]}")
    return from_folded(output.read_text(), used)


def _thread_cpu_s(pid: int) -> dict[int, float]:
    return {
        int(path.parent.name): int(path.read_text().split()[0]) / 1e9
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    }


def _counted(server: Server, options: argparse.Namespace, directory: Path) -> Profile:
    output = directory / "profile"
    assert server.pid is not None
    os.kill(server.pid, signal.SIGUSR1)
    pause(options.seconds)
    os.kill(server.pid, signal.SIGUSR2)
    if not wait_until(output.exists, timeout_s=10):
        raise LoadFailed("cProfile wrote nothing")
    pause(0.2)
    return from_cprofile(output)


def _share(count: int, whole: int) -> str:
    return f"{count / whole:6.1%}"


def _package(function: str) -> str:
    found = re.search(r"\(([^()]*?)(?::\d+)?\)$", function)
    if found is None:
        return "C"
    parts = found[1].split("/")
    return "/".join(parts[:2]) if parts[0] in ("apps", "promptcraft") else parts[0]


def _short(file: str) -> str:
    """Shorten a path to what comes after the library's or the project's directory."""
    for marker in ("site-packages/", "/lib/python3"):
        _, found, rest = file.rpartition(marker)
        if found:
            return rest.partition("/")[2] if marker.startswith("/lib") else rest
    return file.removeprefix(f"{Path.cwd()}/")


if __name__ == "__main__":
    sys.exit(main())
