"""The service as a process of its own, and a browser that looks at its page."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np

from benchmarks import live_service

CHROMIUM = next(
    (p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome") if Path(p).exists()), None
)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = {"width": 1280, "height": 900}


@contextlib.contextmanager
def served(data_dir: Path, *arguments: str) -> Iterator[str]:
    """The address, with its token, of a service that runs over ``data_dir``."""
    with live_service.served(data_dir, *arguments) as service:
        yield f"{service.url}/?token={live_service.TOKEN}"


class Page:
    """A tab that is signed in. What the page did wrong, by its own console, is in ``complaints``."""

    def __init__(self, browser, address: str, *, signed_in: bool = True, **context):
        self.base = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        self.context = browser.new_context(**{"viewport": DESK, **context})
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", self._heard)
        self.tab.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective, e.blockedURI))"
        )
        if signed_in:
            self.tab.goto(address)
            self.tab.get_by_text("Drop a CSV file here").wait_for()

    def _heard(self, message) -> None:
        # The browser itself notes every answer from 400 on; that a refusal is shown is what the tests look at.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def go(self, route: str):
        self.tab.goto(f"{self.base}/{route}")
        return self.tab

    def api(self, method: str, path: str, **given):
        answer = self.context.request.fetch(self.base + path, method=method, headers={"Origin": self.base}, **given)
        assert answer.ok, answer.text()
        return answer.json() if answer.body() else None

    def upload(self, name: str, csv: str) -> str:
        answer = self.context.request.post(
            f"{self.base}/datasets/upload?name={quote(name, safe='')}",
            data=csv,
            headers={"Content-Type": "text/csv", "Origin": self.base},
        )
        assert answer.ok, answer.text()
        return answer.json()["name"]

    def overflow(self) -> float:
        return self.tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def noisy(rows: int = 400, seed: int = 5) -> str:
    """A table without a law, so that a search of it takes the time it is given."""
    rng = np.random.default_rng(seed)
    columns = rng.uniform(0.5, 5, (rows, 4))
    y = np.sin(columns[:, 0] * columns[:, 1]) * columns[:, 2] + np.exp(-columns[:, 3]) * rng.normal(1, 0.3, rows)
    lines = [",".join(map(str, row)) for row in np.column_stack([columns, y]).tolist()]
    return "\n".join(["a,b,c,d,y", *lines])


def press_until(tab, key: str, reached: str, most: int = 60) -> None:
    """Presses a key until the focus is on what matches ``reached``; every stop on the way must show that it has the focus."""
    for _ in range(most):
        tab.keyboard.press(key)
        stop = tab.evaluate(
            """(wanted) => { const e = document.activeElement; const s = getComputedStyle(e);
            const marked = s.outlineStyle !== 'none' || getComputedStyle(e.nextElementSibling ?? e).outlineStyle !== 'none';
            return { there: e.matches(wanted), marked, tag: e.outerHTML.slice(0, 120) }; }""",
            reached,
        )
        assert stop["marked"], f"the focus does not show on {stop['tag']}"
        if stop["there"]:
            return
    raise AssertionError(f"{reached} is not reached with {key}")


def luminance(colour: str) -> float:
    r, g, b = (int(v) / 255 for v in re.findall(r"\d+", colour)[:3])
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (r, g, b)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


COLOURS = """() => {
  const texts = 'p, h1, h2, h3, a, button, label, th, td, dt, dd, code, span, summary, input, select';
  const seen = (e) => e.offsetParent && e.innerText?.trim() && !e.disabled && !e.closest('.only-read, .skip');
  const clear = (e) => getComputedStyle(e).backgroundColor === 'rgba(0, 0, 0, 0)';
  return [...document.querySelectorAll(texts)].filter(seen).map((e) => {
    let ground = e;
    while (clear(ground) && ground.parentElement) ground = ground.parentElement;
    return [getComputedStyle(e).color, getComputedStyle(ground).backgroundColor, e.outerHTML.slice(0, 100)];
  });
}"""
