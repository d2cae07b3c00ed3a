"""The Python end of a conversation: one command a line in, one line of facts out.

A worker process reads a table once and then answers commands, so that the fits of two sides can
alternate and nothing but the fit is on the clock.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

Facts = dict[str, float | str]


class Unavailable(Exception):
    """This side cannot do what is asked; the message says why."""


def timed(call: Callable[[], Any], least: float = 0.05) -> tuple[float, Any]:
    """CPU seconds (user + system) of one call, the mean of as many as fill `least` seconds."""
    total, count = 0.0, 0
    while True:
        start = time.process_time()
        result = call()
        total += time.process_time() - start
        count += 1
        if total >= least:
            return total / count, result


def serve(commands: dict[str, Callable[[int], Facts]]) -> None:
    """Answer commands "name count" from standard input until it closes."""
    reply("ready", {})
    for line in sys.stdin:
        name, count = line.split()
        try:
            reply("done", commands[name](int(count)))
        except Unavailable as error:
            reply("skipped", {"why": str(error)})
        except Exception as error:
            traceback.print_exc()
            reply("failed", {"why": f"{type(error).__name__}: {error}"})


def reply(status: str, facts: Facts) -> None:
    """One line: the status and name=value pairs, separated by tabs."""
    clean = [f"{k}={' '.join(str(v).split())}" for k, v in facts.items()]
    print("\t".join(["reply", status, *clean]), flush=True)
