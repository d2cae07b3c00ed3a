"""henderson beside lme4 and the Python peers: same data, one thread, alternating, CPU time.

    python benchmarks/run.py                      every case (about half an hour with R)
    python benchmarks/run.py --quick              the small ones (under two minutes)
    python benchmarks/run.py --case insteval_2    one case; may be repeated
    python benchmarks/run.py --write docs/benchmarks.md

What is on the clock is the call alone, user and system time of its process: formula and data frame
in, fitted model out. Sides that are not installed (R, the peers) are left out and said to be.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import columns
import layout
import machine
import startup
from cases import ALL_PEERS, CASES, Case
from results import Result, Side, missed
from worker import Limits, Reply, Worker

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
# A side whose answers to one case have taken this share of the limit is not asked again.
PATIENCE = 0.1
# What asks for the numeric part of an operation.
NUMERIC = {"fit": "numeric", "correlation": "correlation-numeric"}
# Megabytes to bytes that may be mapped: libraries map more than they use.
MAPPED = 2**20


@dataclass(frozen=True)
class Setup:
    """Which sides there are, and how long they may take."""

    limits: Limits
    rscript: str | None
    r_packages: frozenset[str]
    peers_python: str
    peers: tuple[str, ...]
    log: Path


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    cases = chosen(options)
    results, versions, shapes = [], {}, machine.load()
    with tempfile.TemporaryDirectory() as scratch:
        setup = prepare(options, Path(scratch))
        for case in cases:
            result = measure(case, setup, versions, Path(scratch))
            results.append(result)
            print(layout.one_line(result), flush=True)
        if options.log and setup.log.exists():
            shutil.copy(setup.log, options.log)
    text = report(results, versions, setup, shapes)
    print("\n" + text)
    if options.write:
        write_between_marks(options.write, text)
    return 0


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--quick", action="store_true", help="the small cases only")
    out.add_argument("--case", action="append", choices=[c.name for c in CASES])
    out.add_argument("--limit", type=float, default=240.0, help="wall seconds for one answer")
    out.add_argument("--memory", type=float, help="megabytes a process may map (4/5 of all)")
    out.add_argument("--peers-python", default=sys.executable, help="Python that has the peers")
    out.add_argument("--no-peers", action="store_true", help="leave the Python peers out")
    out.add_argument("--no-r", action="store_true", help="leave R out")
    out.add_argument("--write", type=Path, help="put the tables between the marks of this file")
    out.add_argument("--log", type=Path, help="keep what the workers say on standard error")
    return out


def chosen(options: argparse.Namespace) -> list[Case]:
    if options.case:
        return [c for c in CASES if c.name in options.case]
    return [c for c in CASES if c.quick or not options.quick]


def prepare(options: argparse.Namespace, scratch: Path) -> Setup:
    memory = int(options.memory * MAPPED) if options.memory else machine.total_memory() * 4 // 5
    rscript = None if options.no_r else shutil.which("Rscript")
    peers = () if options.no_peers else installed_peers(options.peers_python)
    limits = Limits(options.limit, memory)
    packages = r_packages(rscript) if rscript else frozenset()
    return Setup(limits, rscript, packages, options.peers_python, peers, scratch / "log.txt")


def r_packages(rscript: str) -> frozenset[str]:
    """Which of the packages that we compare with R has."""
    code = 'cat(Filter(function(p) requireNamespace(p, quietly = TRUE), strsplit("%s", " ")[[1]]))'
    names = "lme4 nlme lmerTest pbkrtest"
    done = subprocess.run(
        [rscript, "--vanilla", "-e", code % names], capture_output=True, text=True, check=False
    )
    return frozenset(done.stdout.split())


def installed_peers(python: str) -> tuple[str, ...]:
    """Which of the peers this Python has."""
    code = "import importlib.util as u, sys; print(*[p for p in sys.argv[1:] if u.find_spec(p)])"
    command = [python, "-c", code, *ALL_PEERS]
    return tuple(subprocess.run(command, capture_output=True, text=True).stdout.split())


def measure(case: Case, setup: Setup, versions: dict[str, str], scratch: Path) -> Result:
    """Write the table, start the workers, let them take turns."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    table = case.make()
    n = columns.rows(table)
    columns.write(table, folder)
    del table
    (folder / "formula.txt").write_text(case.formula + "\n", "utf-8")
    workers = start(case, setup, folder)
    try:
        result = take_turns(case, n, workers)
        for worker in workers.values():
            note_versions(worker, versions)
    finally:
        for worker in workers.values():
            worker.end()
        shutil.rmtree(folder)
    return result


def start(case: Case, setup: Setup, folder: Path) -> dict[str, Worker]:
    ours = [sys.executable, str(HERE / "ours.py"), str(folder), case.formula]
    workers = {"ours": Worker(ours, setup.limits, log=setup.log)}
    if case.against in setup.r_packages:
        command = [str(setup.rscript), "--vanilla", str(HERE / "peers.R"), str(folder)]
        workers["R"] = Worker(command, setup.limits, log=setup.log)
    for name in case.peers:
        if name in setup.peers:
            script = [setup.peers_python, str(HERE / "peers.py"), name, str(folder), case.formula]
            workers[name] = Worker(script, setup.limits, log=setup.log)
    return workers


def take_turns(case: Case, n: int, workers: dict[str, Worker]) -> Result:
    """Rounds in which every side that still has time fits once; ours first, then the others."""
    sides = {name: Side(name) for name in workers}
    numeric = Side("numeric")
    if case.repeats >= 5:  # off the record: small fits are timed warm
        for worker in workers.values():
            worker.ask(case.operation, case.count)
    for worker in workers.values():
        worker.forget_peak()
    for _ in range(case.repeats):
        for name, worker in workers.items():
            one_turn(case, worker, sides[name])
        if case.operation in NUMERIC and not sides["ours"].outcome:
            record(workers["ours"].ask(NUMERIC[case.operation]), numeric)
    r = sides.get("R")
    if r is None and case.against is not None:
        r = Side("R", outcome="not installed")
    peers = [sides[p] for p in case.peers if p in sides]
    return Result(case, n, sides["ours"], numeric, r, peers)


def one_turn(case: Case, worker: Worker, side: Side) -> None:
    if side.outcome or (side.seconds and worker.spent > PATIENCE * worker.limits.seconds):
        return
    record(worker.ask(case.operation, case.count), side)
    side.peak = worker.peak() if worker.alive else side.peak


def record(reply: Reply, side: Side) -> None:
    if reply.status != "done":
        side.outcome = reply.why if reply.status == "late" else f"{reply.status}: {reply.why}"
        return
    side.seconds.append(float(reply.facts["seconds"]))
    side.facts = reply.facts


def note_versions(worker: Worker, versions: dict[str, str]) -> None:
    if worker.alive:
        found = worker.ask("versions").facts
        found.pop("file", None)
        versions.update(found)


def report(results: list[Result], versions: dict[str, str], setup: Setup, load: str) -> str:
    """Everything that was measured, as Markdown."""
    today = datetime.date.today().isoformat()
    peers = layout.peers_table(results) if any(r.peers for r in results) else ""
    parts = [
        f"Measured on {today}: {machine.describe()}; load average at the start {load}. "
        f"One thread on every side; at most {setup.limits.seconds:.0f} s for one answer and "
        f"{setup.limits.memory / MAPPED:.0f} MB mapped by a process.",
        ", ".join(f"{name} {value}" for name, value in versions.items()) + ".",
        layout.main_table(results),
        "\n".join(layout.df_lines(results)),
        peers and "The Python peers: CPU s (times ours; criterion, theirs - ours)\n\n" + peers,
        "Targets\n\n" + layout.targets_table(results),
        "\n".join(layout.reasons(results)),
        startup.describe(),
        f"{len(missed(results))} missed." if missed(results) else "None missed.",
        slow_blas(versions),
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def slow_blas(versions: dict[str, str]) -> str:
    """A warning where R runs on its reference BLAS, which flatters us."""
    blas = versions.get("BLAS", "openblas").lower() + versions.get("LAPACK", "").lower()
    if any(name in blas for name in ("openblas", "mkl", "blis", "accelerate")):
        return ""
    return "R runs on its reference BLAS here, which slows lme4 down: install OpenBLAS to compare."


def write_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the marks; a file without them is written anew."""
    old = path.read_text("utf-8") if path.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    if BEGIN not in old or END not in old:
        raise SystemExit(f"{path} has no lines '{BEGIN}' and '{END}': add them where tables go.")
    before, rest = old.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
