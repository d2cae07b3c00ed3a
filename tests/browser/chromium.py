"""A headless Chromium, driven by the Chrome DevTools protocol over one web socket."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
# A loaded machine takes its time.
SECONDS = 180.0


def executable() -> str:
    """The browser: the environment's CHROMIUM, or the first found.

    Raises
    ------
    FileNotFoundError : there is none.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise FileNotFoundError("No Chromium: install one package, such as apt install chromium.")
    return found


class Browser:
    """Sends commands and keeps the events that come between the answers."""

    def __init__(self, address: str) -> None:
        # Debugging wants no origin, and a proxy of the environment has no say in a local socket.
        self._socket = websocket.create_connection(
            address,
            timeout=SECONDS,
            suppress_origin=True,
            http_no_proxy=["*"],
            enable_multithread=False,
        )
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The answer to one command.

        Raises
        ------
        RuntimeError : the browser refuses it.
        """
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while (answer := self._next()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def wait(self, method: str, session: str) -> None:
        """Until an event of that name has come."""
        seen = [e for e in self.events if e.get("sessionId") == session]
        while method not in {e["method"] for e in seen}:
            event = self._next()
            self.events.append(event)
            seen = [event] if event.get("sessionId") == session else []

    def _next(self) -> dict[str, Any]:
        return json.loads(self._socket.recv())

    def close(self) -> None:
        self._socket.close()


class Page:
    """One file in one tab.

    width : of the window. scripts : whether the page's own run. media : features such as
    `prefers_color_scheme="dark"`.
    """

    def __init__(
        self,
        browser: Browser,
        file: Path,
        *,
        width: int = 1100,
        scripts: bool = True,
        **media: str,
    ) -> None:
        self.browser = browser
        self.address = file.resolve().as_uri()
        self._target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=self._target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        features = [{"name": name.replace("_", "-"), "value": v} for name, v in media.items()]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.resize(width)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send("Page.navigate", url=self.address)
        browser.wait("Page.loadEventFired", self.session)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **params)

    def resize(self, width: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip

    def run(self, script: str) -> Any:
        """The value of an expression on the page (or of what it promises).

        Raises
        ------
        AssertionError : the script fails.
        """
        answer = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer.get("exceptionDetails")
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key goes down and up."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def pdf(self) -> bytes:
        import base64

        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """What has happened in this tab."""
        self.run("new Promise((done) => setTimeout(done, 50))")
        return [
            e["params"]
            for e in self.browser.events
            if e.get("sessionId") == self.session and e["method"] in methods
        ]

    def close(self) -> None:
        self.browser.send("Target.closeTarget", targetId=self._target)


@contextmanager
def running() -> Iterator[Browser]:
    """A browser with a profile of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            executable(), "--headless", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}",
            "--remote-debugging-port=0", "about:blank",
        ]  # fmt: skip
        if os.getuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium refuses its sandbox to root.
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            browser = Browser(_address(Path(profile, "DevToolsActivePort"), process))
            yield browser
            browser.close()
        finally:
            process.kill()
            process.wait()


def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the browser listens: it writes port and path into a file of its profile."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if process.poll() is not None:
            raise RuntimeError(f"Chromium ended with code {process.returncode}.")
        time.sleep(0.05)
    raise TimeoutError("Chromium did not start.")
