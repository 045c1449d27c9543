"""`python -m benchmarks.search`: how well and how fast templates are found, on SQLite and on PostgreSQL.

Each database is measured in a process of its own, which is told of it by DATABASE_URL. Both are thrown away.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from benchmarks.processes import ENVIRONMENT, ROOT

_ROUNDS = 3
_MOST_OF_ONE = 2_000
_LOADS = {
    "common words": ("email", "text", "the", "write a text", "customer data text email", "template for marketing"),
    "typos": ("emial", "custmer", "newsleter", "sumary of meting", "negociation leter", "wriet"),
    "half words": ("em", "su", "cust", "summ", "mark", "data an"),
    "phrases": ('"plain language"', '"product description"', '"the text"', '"action items" meeting'),
}
"""Beside the judged queries, which are the load `judged`."""


def main() -> int:
    """Measure and print; `--here` measures the database of DATABASE_URL alone and prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=main.__doc__)
    parser.add_argument("--templates", type=int, default=10_000, help="for the times; default 10000")
    parser.add_argument("--others", type=int, default=10_000, help="private templates of others beside; default 10000")
    parser.add_argument("--own", type=int, default=2_000, help="private templates of the caller's beside; default 2000")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="default both")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(_measure(options.templates, options.others, options.own)))
        return 0
    results: dict[str, dict[str, dict[str, float]]] = {}
    if options.only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="promptcraft-search-") as directory:
            results["sqlite"] = _in_process(f"sqlite:///{directory}/search.sqlite3", options)
    if options.only != "sqlite":
        # The tests' own way to a throw-away cluster; it asks for PostgreSQL's programs.
        from tests.operations.postgres import postgres_url

        with postgres_url() as url:
            results["postgresql"] = _in_process(url, options)
    _print(results, options)
    return 0


def _in_process(url: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    environment = {
        **ENVIRONMENT,
        "DJANGO_SETTINGS_MODULE": "promptcraft.settings",
        "DATABASE_URL": url,
        "SECRET_KEY": "for-the-bench-only-" + "b3nCh" * 12,
        "DEBUG": "0",
    }
    numbers = [f"--{name}={getattr(options, name)}" for name in ("templates", "others", "own")]
    command = [sys.executable, "-m", "benchmarks.search", "--here", *numbers]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, dict[str, float]] = json.loads(done.stdout)
    return measured


def _measure(templates: int, others: int, own: int) -> dict[str, dict[str, float]]:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    from apps.accounts.identity import Caller
    from apps.templates.models import Template
    from apps.templates.search import rebuild_index, template_search
    from benchmarks.search.generated import store_generated, store_library, store_private
    from benchmarks.search.relevance import judge, read_judged

    call_command("migrate", verbosity=0, interactive=False)
    caller = Caller(user_id=User.objects.create(username="caller").pk, username="caller")
    judged = read_judged()

    def slugs(query: str) -> list[str]:
        return [found.slug for found in template_search(caller=caller, query=query, limit=10)]

    def timed_ms(query: str) -> float:
        began = time.perf_counter()
        template_search(caller=caller, query=query)
        return (time.perf_counter() - began) * 1000

    store_library()
    measured: dict[str, dict[str, float]] = {}
    for name, queries in (
        ("tuned on", [query for query in judged if not query.is_held_out]),
        ("held out", [query for query in judged if query.is_held_out]),
        ("all", judged),
    ):
        quality = judge(queries, slugs)
        measured[name] = {"queries": quality.queries, "NDCG@10": quality.ndcg, "MRR": quality.mrr}
    Template.objects.all().delete()
    rebuild_index()
    began = time.perf_counter()
    store_generated(templates)
    stored_s = time.perf_counter() - began

    def times_of(where: str) -> None:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
        for name, load in {"judged": tuple(query.query for query in judged), **_LOADS}.items():
            for query in load:
                timed_ms(query)
            times = sorted(timed_ms(query) for _ in range(_ROUNDS) for query in load)
            measured[f"{name}{where}"] = {
                "p50 ms": times[len(times) // 2],
                "p95 ms": times[min(len(times) - 1, int(len(times) * 0.95))],
                "max ms": times[-1],
            }

    times_of("")
    for number in range(0, others, _MOST_OF_ONE):
        other = User.objects.create(username=f"other-{number}")
        store_private(min(_MOST_OF_ONE, others - number), other.pk, seed=1 + number)
    times_of(", others")
    store_private(own, caller.user_id, seed=others + 2)
    times_of(", others, own")
    measured["stored and indexed"] = {"ms a template": stored_s * 1000 / templates}
    return measured


def _print(results: dict[str, dict[str, dict[str, float]]], options: argparse.Namespace) -> None:
    print(
        f"load average {os.getloadavg()[0]:.2f}; times over {options.templates:,} generated public templates, "
        f"then beside {options.others:,} private ones of others, then beside {options.own:,} of the caller's too"
    )
    for database, rows in results.items():
        for row, figures in rows.items():
            text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
            print(f"{database:<12}{row:<32}{text}")


if __name__ == "__main__":
    sys.exit(main())
