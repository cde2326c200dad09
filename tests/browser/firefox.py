"""Debian's Firefox, spoken to by its own Marionette protocol, so that no driver has to be installed."""

import contextlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

FIREFOX = "/usr/bin/firefox-esr"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# What Firefox calls: cookies of other sites in a jar per site; those only when Partitioned; none at all.
REGIMES = {
    "partitioned jar": {"network.cookie.cookieBehavior": 5},
    "partitioned only when asked for": {
        "network.cookie.cookieBehavior": 5,
        "network.cookie.cookieBehavior.optInPartitioning": True,
    },
    "third-party blocked": {"network.cookie.cookieBehavior": 1},
}
START = """
for (const name of ["cookieBehavior", "cookieBehavior.optInPartitioning"]) {
  Services.prefs.clearUserPref(`network.cookie.${name}`);
}
for (const [name, value] of Object.entries(arguments[0])) {
  if (typeof value === "number") Services.prefs.setIntPref(name, value);
  else Services.prefs.setBoolPref(name, value);
}
Services.cookies.removeAll();
"""


class Firefox:
    """One headless Firefox with a profile of its own.

    :param folder: empty; becomes profile and home
    """

    def __init__(self, folder: Path) -> None:
        self._number = 0
        (folder / "user.js").write_text('user_pref("marionette.port", 0);\n')
        command = [FIREFOX, "--headless", "--marionette", "--remote-allow-system-access", "--no-remote"]
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [*command, "--profile", str(folder)],
            env={**os.environ, "HOME": str(folder)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._socket = self._connect(folder / "MarionetteActivePort")
            self._lines = self._socket.makefile("rb")
            self._receive()
            self.ask("WebDriver:NewSession", capabilities={"alwaysMatch": {"pageLoadStrategy": "normal"}})
        except BaseException:
            self.close()
            raise

    def _connect(self, port: Path) -> socket.socket:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, ValueError):
                return socket.create_connection(("127.0.0.1", int(port.read_text())), timeout=60)
            assert time.monotonic() < until, Path(self._log.name).read_text()[-2000:]
            assert self._process.poll() is None, Path(self._log.name).read_text()[-2000:]
            time.sleep(0.1)

    def _receive(self) -> Any:
        length = b""
        while (byte := self._lines.read(1)) != b":":
            assert byte, "Firefox has gone away"
            length += byte
        return json.loads(self._lines.read(int(length)))

    def ask(self, command: str, **parameters: Any) -> Any:
        """Run one command of the protocol and give its value."""
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._receive()
        if error is not None:
            raise LookupError(f"{command}: {error['error']}: {error['message']}")
        return result.get("value") if isinstance(result, dict) else result

    def start(self, regime: str) -> None:
        """Begin anew: one empty tab, no cookies, the given cookie regime."""
        handles = self.ask("WebDriver:GetWindowHandles")
        for handle in handles[1:]:
            self.ask("WebDriver:SwitchToWindow", handle=handle)
            self.ask("WebDriver:CloseWindow")
        self.ask("WebDriver:SwitchToWindow", handle=handles[0])
        self.ask("Marionette:SetContext", value="chrome")
        self.ask("WebDriver:ExecuteScript", script=START, args=[REGIMES[regime]])
        self.ask("Marionette:SetContext", value="content")

    def go(self, url: str) -> None:
        self.ask("WebDriver:Navigate", url=url)

    def find(self, xpath: str, seconds: float = 20) -> dict[str, str]:
        """Wait for an element of the tab or frame that has been switched to."""
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(LookupError):
                return self.ask("WebDriver:FindElement", using="xpath", value=xpath)
            assert time.monotonic() < until, f"{xpath} is not on: {self.says()}"
            time.sleep(0.1)

    def click(self, xpath: str) -> None:
        # While style sheets come in, what is clicked may move away from under the pointer.
        complete = "return document.readyState === 'complete'"
        self.find(xpath)
        while not self.ask("WebDriver:ExecuteScript", script=complete, args=[]):
            time.sleep(0.05)
        self.ask("WebDriver:ElementClick", id=self.find(xpath)[ELEMENT])

    def enter_frame(self, xpath: str) -> None:
        self.ask("WebDriver:SwitchToFrame", element=self.find(xpath)[ELEMENT])

    def enter_newest_tab(self) -> None:
        until = time.monotonic() + 20
        while len(handles := self.ask("WebDriver:GetWindowHandles")) < 2:
            assert time.monotonic() < until, "no tab was opened"
            time.sleep(0.1)
        self.ask("WebDriver:SwitchToWindow", handle=handles[-1])

    def says(self) -> str:
        script = "return document.body ? document.body.innerText.slice(0, 2000) : ''"
        return str(self.ask("WebDriver:ExecuteScript", script=script, args=[]))

    def close(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        for name in ("_lines", "_socket", "_log"):
            if hasattr(self, name):
                getattr(self, name).close()
