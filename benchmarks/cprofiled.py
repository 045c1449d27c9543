"""Runs a module's command line with cProfile at hand: SIGUSR1 begins, SIGUSR2 ends and writes the file.

python -m benchmarks.cprofiled FILE MODULE [ARGUMENT ...]
"""

from __future__ import annotations

import cProfile
import runpy
import signal
import sys


def main() -> None:
    """Take the file and the module off the command line and run the module."""
    path, module = sys.argv[1:3]
    profiler = cProfile.Profile()
    signal.signal(signal.SIGUSR1, lambda *_: profiler.enable())

    def end(*_: object) -> None:
        profiler.disable()
        profiler.dump_stats(path)

    signal.signal(signal.SIGUSR2, end)
    sys.argv = [module, *sys.argv[3:]]
    sys.path.insert(0, "")
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
