"""Worker processes: start one, ask it, read its memory, end it."""

from __future__ import annotations

import os
import queue
import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

# One thread on every side: CPU time then compares work, and busy-waiting costs nobody anything.
LIBRARIES = ("OPENBLAS", "OMP", "MKL", "BLIS", "RAYON")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}


@dataclass(frozen=True)
class Reply:
    """status : done, skipped, failed, or late (no answer within the limit)."""

    status: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def why(self) -> str:
        return self.facts.get("why", self.status)


@dataclass(frozen=True)
class Limits:
    """seconds : wall time to wait for an answer. memory : bytes a worker may map."""

    seconds: float
    memory: int


class Worker:
    """A process that answers commands; dead after a late answer, a crash, or `end`."""

    def __init__(
        self,
        command: Sequence[str],
        limits: Limits,
        environment: dict[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.limits = limits
        self.spent = 0.0
        self._log = open(log or os.devnull, "ab")  # noqa: SIM115 (closed in `end`)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | ONE_THREAD | (environment or {}),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limits.memory,) * 2),
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.start = self._next()
        self.alive = self.start.status == "ready"
        if not self.alive:
            self.end()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"reply\t"):
                self._lines.put(line)
        self._lines.put(None)

    def _next(self) -> Reply:
        try:
            line = self._lines.get(timeout=self.limits.seconds)
        except queue.Empty:
            return Reply("late", {"why": f"> {self.limits.seconds:.0f} s"})
        if line is None:
            code = self.process.wait()
            return Reply("failed", {"why": f"the process ended with status {code}"})
        _, status, *pairs = line.decode().rstrip("\n").split("\t")
        return Reply(status, dict(p.split("=", 1) for p in pairs))

    def ask(self, command: str, count: int = 0) -> Reply:
        """Send a command and wait for its answer."""
        if not self.alive:
            return self.start if self.start.status != "ready" else Reply("failed")
        assert self.process.stdin is not None
        start = time.monotonic()
        try:
            self.process.stdin.write(f"{command} {count}\n".encode())
            self.process.stdin.flush()
            reply = self._next()
        except BrokenPipeError:
            reply = Reply("failed", {"why": "the process ended"})
        self.spent += time.monotonic() - start
        if reply.status == "late" or self.process.poll() is not None:
            self.end()
        return reply

    def forget_peak(self) -> None:
        """Count the peak of memory from here on (Linux; elsewhere it counts from the start)."""
        try:
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        except OSError:
            return

    def peak(self) -> float | None:
        """Largest resident memory in megabytes since `forget_peak`; None where unknown."""
        try:
            text = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        lines = [line for line in text.splitlines() if line.startswith("VmHWM")]
        return int(lines[0].split()[1]) / 1024 if lines else None

    def end(self) -> None:
        self.alive = False
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
