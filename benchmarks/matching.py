"""How long a matching takes and how much memory, against bare scipy and OR-tools, with its results checked.

    python -m benchmarks.matching [--size 1000 5000 10000 20000] [--large] [--rounds 3] [--json]

Every measurement is a process of its own, one after the other, several rounds; medians are compared. CPU is
that of all threads of the process: on a busy machine it says more than seconds. The rows B1 to B10 are the
aims that docs/matching-engine.md lists, each asked from the size on for which it is meant; the exit code is 1
when one is missed. --large adds 50,000 and 100,000 people on a side and scipy's assignment over 20,000, which
take long and up to 7 GB.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import matching_parts as parts
from rmplugin.matching.kernels import has_numba

SIZES, LARGE = (1_000, 5_000), (50_000, 100_000)
# Up to so many on a side the optimum is asked for; above, a share of 0.1 %.
EXACT_TO = 10_000
ASSIGNMENT_TO, ASSIGNMENT_LARGE = 10_000, 20_000
FULL_GRAPH_TO = 5_000
NUMPY_TO = 20_000
SCAN_FROM = 20_000
MINUTES = 10

Row = dict[str, Any]


@dataclass(frozen=True)
class Aim:
    """One comparison: `value` must not be above `most`; below `size_from` people it is only shown."""

    name: str
    size: int
    what: str
    value: float
    most: float
    unit: str = ""
    size_from: int = 0

    @property
    def is_met(self) -> bool:
        return self.size < self.size_from or self.value <= self.most

    def __str__(self) -> str:
        met = "" if self.size < self.size_from else "ok" if self.is_met else "MISSED"
        value, most = f"{self.value:.3g} {self.unit}".strip(), f"{self.most:g} {self.unit}".strip()
        return f"{self.name:<4} {self.size:>7}  {met:<7} {value:>10}  <= {most:<8} {self.what}"


def main() -> None:
    """Measure, print the rows and the aims; exit 1 when an aim is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--large", action="store_true", help="50,000, 100,000 and scipy at 20,000, too")
    parser.add_argument("--rounds", type=int, default=3, help="measurements each, up to 20,000")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "OPTIONS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        parts.warm_up()
        print(json.dumps(getattr(parts, f"measure_{options.child[0]}")(**json.loads(options.child[1]))))
        return
    aims: list[Aim] = []
    for size in [*options.size, *(LARGE if options.large else ())]:
        rounds = options.rounds if size <= 20_000 else 1
        for aim in measure(size, rounds, options.large):
            aims.append(aim)
            if not options.json:
                print(aim, flush=True)
    if options.json:
        print(json.dumps([asdict(aim) | {"met": aim.is_met} for aim in aims]))
    sys.exit(0 if all(aim.is_met for aim in aims) else 1)


def measure(size: int, rounds: int, large: bool) -> Iterator[Aim]:
    """Measure everything about one size."""
    exact = size <= EXACT_TO
    unit = run("solve", rounds, size=size, capacities=False, exact=exact, **USUAL)
    several = run("solve", rounds, size=size, capacities=True, exact=exact, **USUAL)
    bare = run("parts", 1, size=size, capacities=True, rounds=rounds, numpy_too=size <= NUMPY_TO)
    yield from compare_parts(size, bare, several)
    yield from compare_assignment(size, rounds, large, unit)
    yield from compare_memory(size, several)
    if size <= FULL_GRAPH_TO:
        for capacities, found in ((False, unit), (True, several)):
            whole = run("full_graph", 1, size=size, capacities=capacities)
            off = abs(whole["total"] - found["total"]) + found["gap"]
            yield Aim("B8", size, f"off the flow over all {whole['edges']} pairs", off, 0)
        yield compare_answers(size, several)
    if size == EXACT_TO:
        again = run("resume", rounds, size=size, capacities=True, exact=False)
        yield Aim("B10", size, "run after 1 % changed / first run", again["cpu"] / again["first"], 0.2)


def compare_parts(size: int, bare: Row, several: Row) -> Iterator[Aim]:
    """Compare the scan and the flow with bare ones, and a whole run with both."""
    most = 2.5 if has_numba() else 12
    ratio = bare["one side"] / bare["bare product"]
    yield Aim("B1", size, "scan of one side / bare product", ratio, most, size_from=SCAN_FROM)
    if "one side, numpy" in bare:
        ratio = bare["one side, numpy"] / bare["bare product"]
        yield Aim("B1", size, "the same without numba", ratio, 12, size_from=SCAN_FROM)
    ratio = bare["solve step"] / bare["bare flow"]
    yield Aim("B2", size, "flow, ties and prices / bare flow", ratio, 2, size_from=5_000)
    if size > EXACT_TO:
        floor = bare["bare product"] + bare["bare flow"]
        yield Aim("B3", size, "whole run / (bare product + bare flow)", several["cpu"] / floor, 10)
        yield Aim("B3", size, "gap of it in %", 100 * several["gap"], 0.1)


def compare_assignment(size: int, rounds: int, large: bool, unit: Row) -> Iterator[Aim]:
    """Compare with scipy's solver over the whole matrix, which has to find the same total."""
    if size > (ASSIGNMENT_LARGE if large else ASSIGNMENT_TO):
        return
    dense = run("assignment", rounds if size <= ASSIGNMENT_TO else 1, size=size)
    if size <= EXACT_TO:
        yield Aim(
            "B5",
            size,
            "whole exact run / scipy's assignment",
            unit["cpu"] / dense["cpu"],
            0.6,
            size_from=EXACT_TO,
        )
        yield Aim("B5", size, "points off its total", abs(unit["total"] - dense["total"]), 0)
        return
    yield Aim("B4", size, "run to 0.1 % / scipy's assignment", unit["cpu"] / dense["cpu"], 0.2)
    exact = run("solve", 1, size=size, capacities=False, exact=True, **USUAL)
    yield Aim("B4", size, "exact run / scipy's assignment", exact["cpu"] / dense["cpu"], 0.4)
    yield Aim("B4", size, "points off its total", abs(exact["total"] - dense["total"]), 0)


def compare_memory(size: int, several: Row) -> Iterator[Aim]:
    """Look at the highest memory of a run, and at the time of the largest one."""
    most = 512 if size <= 20_000 else 1536
    yield Aim("B6", size, "peak memory of the whole process", several["peak_mb"], most, "MB")
    if size == max(LARGE):
        yield Aim("B7", size, "minutes of the whole run", several["wall"] / 60, MINUTES)
        yield Aim("B7", size, "gap of it in %", 100 * several["gap"], 0.1)


def compare_answers(size: int, several: Row) -> Aim:
    """Count the ways to compute that give other pairs than the usual one."""
    ways = [USUAL | {"shuffled": True}, *(USUAL | {"threads": count} for count in (1, 4))]
    ways += [USUAL | {"kernel": kernel} for kernel in ("numpy", "numba") if kernel == "numpy" or has_numba()]
    found = [run("solve", 1, size=size, capacities=True, exact=size <= EXACT_TO, **way) for way in ways]
    other = sum(one["digest"] != several["digest"] for one in found)
    what = f"of {len(ways)} other orders, threads and kernels that gave other pairs"
    return Aim("B9", size, what, other, 0)


USUAL: Row = {"kernel": "auto", "threads": None, "shuffled": False}


def run(what: str, times: int, **options: Any) -> Row:
    """Measure one thing in processes of its own, and give the medians; what is no number must not differ."""
    command = [sys.executable, "-m", "benchmarks.matching", "--child", what, json.dumps(options)]
    found = []
    for _ in range(times):
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(answer.stdout.splitlines()[-1]))
        shown = {
            name: round(value, 4) if isinstance(value, float) else value for name, value in found[-1].items()
        }
        print(what, json.dumps(options), json.dumps(shown), file=sys.stderr, flush=True)
    fixed = {name: value for name, value in found[0].items() if not isinstance(value, float)}
    assert all(one[name] == value for one in found for name, value in fixed.items()), found
    numbers = {name: statistics.median(one[name] for one in found) for name in found[0].keys() - fixed.keys()}
    return fixed | numbers


if __name__ == "__main__":
    main()
