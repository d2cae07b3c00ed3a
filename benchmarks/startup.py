"""What `import henderson` costs beside `import numpy`, in new processes."""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median

LIMIT = 1.5
HEAVY = ("pandas", "scipy.stats", "matplotlib", "formulaic")


def cpu_seconds(code: str) -> float:
    """User and system time of a Python process that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def describe(rounds: int = 9) -> str:
    """Both times, their paired ratio against the target, and heavy modules that got loaded."""
    pairs = [(cpu_seconds("import henderson"), cpu_seconds("import numpy")) for _ in range(rounds)]
    ours, numpy = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(a / b for a, b in pairs)
    verdict = "met" if ratio <= LIMIT else "MISSED"
    loaded = ", ".join(loaded_by_import()) or "none"
    return (
        f"`import henderson` {ours:.3f} CPU s, `import numpy` {numpy:.3f}: {ratio:.2f}x "
        f"(target <= {LIMIT}x: {verdict}); of {', '.join(HEAVY)} it loads: {loaded}."
    )


def loaded_by_import() -> list[str]:
    """The heavy modules that stand in `sys.modules` after `import henderson`."""
    code = f"import sys, henderson; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()
