"""Two commits of henderson side by side; fails when a case got slower.

    python benchmarks/compare.py BASE [HEAD]      HEAD: a commit, or "." for the working tree
    python benchmarks/compare.py BASE HEAD --case insteval_3 --allowed 1.2

Both are built into directories of their own, kernels included, and fit the same data in turn. A
case counts as slower when the median over rounds of head's CPU time over base's is above `allowed`.
Git's state and the environment are left as they are.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import columns
import layout
import machine
from cases import CASES, Case
from results import significant
from worker import Limits, Worker

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILT_FROM = ("src", "pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE", "DATA_LICENSE.md")


@dataclass(frozen=True)
class Pair:
    """CPU seconds of base and head, one a round; `why` when one of them gave no answer."""

    case: str
    base: tuple[float, ...]
    head: tuple[float, ...]
    why: str = ""

    @property
    def ratio(self) -> float | None:
        """Median over rounds of head's time over base's."""
        pairs = zip(self.base, self.head, strict=True)
        return median(h / b for b, h in pairs) if self.base else None

    def row(self, allowed: float) -> list[str]:
        if self.ratio is None:
            return [self.case, "", "", "", self.why]
        verdict = "SLOWER" if self.ratio > allowed else "ok"
        times = [significant(median(self.base)), significant(median(self.head))]
        return [self.case, *times, f"{self.ratio:.2f}", verdict]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    cases = [c for c in CASES if (c.name in options.case if options.case else c.quick)]
    limits = Limits(options.limit, machine.total_memory() * 4 // 5)
    with tempfile.TemporaryDirectory() as scratch:
        sites = [
            build(commit, Path(scratch) / f"{i}")
            for i, commit in enumerate((options.base, options.head))
        ]
        sys.path.insert(0, str(sites[1]))  # the bundled tables are head's
        pairs = [compare(case, sites, limits, options.rounds, Path(scratch)) for case in cases]
    head = ("case", options.base, options.head, "head / base", "verdict")
    print(layout.table(head, [p.row(options.allowed) for p in pairs]))
    return exit_code(pairs, options.allowed)


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("base", help="a commit")
    out.add_argument("head", nargs="?", default="HEAD", help='a commit, or "."')
    out.add_argument("--case", action="append", choices=[c.name for c in CASES])
    out.add_argument("--rounds", type=int, default=15)
    out.add_argument("--allowed", type=float, default=1.2, help="head / base that still passes")
    out.add_argument("--limit", type=float, default=120.0, help="wall seconds for one answer")
    return out


def exit_code(pairs: Sequence[Pair], allowed: float) -> int:
    """1 when a case got slower, 2 when nothing could be compared, otherwise 0."""
    ratios = [p.ratio for p in pairs if p.ratio is not None]
    if not ratios:
        return 2
    return int(max(ratios) > allowed)


def build(commit: str, folder: Path) -> Path:
    """Install a commit's henderson, without dependencies, below `folder`; returns where."""
    source, site = folder / "source", folder / "site"
    source.mkdir(parents=True)
    if commit == ".":
        copy_tree(source)
    else:
        unpack(commit, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--target", str(site), str(source)], check=True)
    return site


def unpack(commit: str, to: Path) -> None:
    """A commit's files; git itself is only read."""
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", commit]
    done = subprocess.run(command, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(to, filter="data")


def copy_tree(to: Path) -> None:
    """What a build needs of the working tree, without what was compiled in place."""
    for name in BUILT_FROM:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        elif path.exists():
            shutil.copy(path, to / name)


def compare(case: Case, sites: Sequence[Path], limits: Limits, rounds: int, scratch: Path) -> Pair:
    """Base and head in turn, the one that begins changing from round to round."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    columns.write(case.make(), folder)
    workers = [start(case, site, folder, limits) for site in sites]
    times: list[list[float]] = [[], []]
    try:
        for k in range(rounds + 1):
            for i in (0, 1) if k % 2 else (1, 0):
                reply = workers[i].ask(case.operation, case.count)
                if reply.status != "done":
                    return Pair(case.name, (), (), f"{reply.status}: {reply.why}")
                times[i].append(float(reply.facts["seconds"]))
            if sum(w.spent for w in workers) > limits.seconds and k >= 3:
                break
    finally:
        for worker in workers:
            worker.end()
        shutil.rmtree(folder)
    return Pair(case.name, tuple(times[0][1:]), tuple(times[1][1:]))


def start(case: Case, site: Path, folder: Path, limits: Limits) -> Worker:
    """A worker that imports henderson from `site`, and from nowhere else."""
    command = [sys.executable, str(HERE / "ours.py"), str(folder), case.formula]
    worker = Worker(command, limits, {"PYTHONPATH": str(site)})
    file = worker.ask("versions").facts.get("file", "")
    if not Path(file).is_relative_to(site):
        worker.end()
        raise SystemExit(
            "henderson was imported from elsewhere than its build: "
            "uninstall an editable installation first."
        )
    return worker


if __name__ == "__main__":
    raise SystemExit(main())
