"""Serve the simulator by hand: `python -m tests.upstream --port 9100 --scenario stall`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from itertools import groupby

from tests.upstream.catalogue import CATALOGUE, scenario_named
from tests.upstream.journal import Exchange
from tests.upstream.scenario import VENDOR_NAMES
from tests.upstream.server import UpstreamServer


def _list() -> None:
    for group, scenarios in groupby(CATALOGUE.values(), key=lambda scenario: scenario.group):
        print(f"\n{group}")
        for scenario in scenarios:
            only = "" if scenario.vendors == VENDOR_NAMES else f" [{', '.join(scenario.vendors)}]"
            print(f"  {scenario.name:38} {scenario.description}{only} -> {scenario.outcome}")
    print("\nnot scenarios but ports: refusing_port() (refused), unanswering_port() (never accepts)")


def _print(exchange: Exchange) -> None:
    print(f"{time.strftime('%H:%M:%S')} {exchange.summary()}", flush=True)


async def _serve(arguments: argparse.Namespace) -> None:
    upstream = UpstreamServer(port=arguments.port, strict=not arguments.lenient)
    upstream.log.watch(_print)
    for vendor in arguments.vendor or VENDOR_NAMES:
        upstream.script(vendor, arguments.scenario)
    async with upstream:
        for name, value in upstream.environment(api_key="any").items():
            print(f"{name}={value}")
        print(f"# {arguments.scenario}: {CATALOGUE[arguments.scenario].description}")
        print(
            "# another one for a single request: header X-Scenario, model NAME@scenario, or [[scenario]] in the prompt"
        )
        print("# a key with `wrong` in it is refused; Ctrl-C ends", flush=True)
        await asyncio.get_running_loop().create_future()


def main() -> None:
    """Parse the command line and serve until interrupted."""
    # A shell that starts this in the background, or started whoever starts it, has it ignore the interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--scenario", default="steady", help="what every vendor answers, see --list")
    parser.add_argument(
        "--vendor", action="append", choices=VENDOR_NAMES, help="only this vendor answers so; repeatable"
    )
    parser.add_argument("--lenient", action="store_true", help="answer requests that the vendor would refuse")
    parser.add_argument("--list", action="store_true", help="print every scenario and end")
    arguments = parser.parse_args()
    if arguments.list:
        _list()
        return
    try:
        scenario_named(arguments.scenario)
    except KeyError as error:
        parser.error(str(error.args[0]))
    try:
        asyncio.run(_serve(arguments))
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
