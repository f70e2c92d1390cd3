"""The page's colours, and the page as a browser shows it."""

import html
import json
import re
import shutil
import subprocess

import pytest

from image_sweeps.report.charts.frame import LIGHT
from image_sweeps.report.page import HERE
from image_sweeps.report.write import write_report
from tests.support.untrained_sweeps import maker

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

PHONE, DESKTOP = 390, 1280

FRAME = '<iframe name="{name}" srcdoc="{page}" style="border: 0; width: {width}px; height: 900px"></iframe>'

MEASURE = """
{frames}
<script>
const measured = inner => {{
  const page = inner.contentDocument, root = page.documentElement
  const boxes = [...page.querySelectorAll("svg text, h1, h2, p, pre, summary")].map(e => e.getBoundingClientRect())
  return {{
    width: root.clientWidth,
    content: root.scrollWidth,
    cut: [...page.querySelectorAll("svg")].flatMap(svg => [...svg.querySelectorAll("text")].filter(text => {{
      const [inside, all] = [text.getBoundingClientRect(), svg.getBoundingClientRect()]
      return inside.left < all.left - 1 || inside.right > all.right + 1 || inside.bottom > all.bottom + 1
    }}).map(text => text.textContent)),
    beyond: boxes.filter(box => box.right > root.clientWidth + 1 || box.left < -1).length,
    charts: page.querySelectorAll("svg").length,
    requests: inner.contentWindow.performance.getEntriesByType("resource").map(e => e.name),
  }}
}}
addEventListener("load", () => {{
  const frames = [...document.querySelectorAll("iframe")]
  document.title = JSON.stringify(Object.fromEntries(frames.map(frame => [frame.name, measured(frame)])))
}})
</script>
"""


def schemes():
    """The colours of both schemes, by name."""
    css = (HERE / "page.css").read_text()
    light, dark = css.split("prefers-color-scheme: dark")
    return {name: dict(re.findall(r"--(\w+): (#\w{6})", part)) for name, part in (("light", light), ("dark", dark))}


def luminance(colour):
    """WCAG 2.2."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_wcag_asks_for():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for name, colours in schemes().items():
        for text in ("ink", "muted", "accent"):
            for ground in ("paper", "raised"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (name, text, ground)
        for series in (f"c{i}" for i in range(1, 9)):
            assert contrast(colours[series], colours["paper"]) >= 3, (name, series)


def test_charts_and_page_have_the_same_colours():
    light, dark = schemes().values()
    assert {name: light[name] for name in LIGHT} == LIGHT
    assert set(LIGHT) <= set(dark)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of sweeps of every kind, by a name for each."""
    make = maker(tmp_path_factory.mktemp("outputs"))
    seeds = ["0", "1", "2"]
    long = ["/data/" + "very_long_folder_name_" * 6, "a" * 80, "<script>alert(1)</script>"]
    sweeps = {
        "a grid": make(
            {
                "model": ["cnn", "cnn_batch", "mlp"],
                "optimizer.lr": ["0.01", "0.1"],
                "activation": ["relu", "tanh"],
                "seed": seeds[:2],
            },
            lambda v: 0.6 + 0.02 * int(v["seed"]) + 0.1 * (v["model"] == "cnn"),
        ),
        "long names": make(
            {"dataset.path": long, "seed": seeds}, lambda v: 0.6 + 0.02 * int(v["seed"]), class_names=long
        ),
        "failures": make({"model": ["cnn", "mlp"], "seed": seeds}, lambda v: "failed" if v["seed"] == "1" else 0.7),
        "many classes": make({"model": ["cnn", "mlp"]}, lambda _: 0.7, class_names=[f"class {k}" for k in range(60)]),
        "one cell": make({}, lambda _: 0.7),
        "nothing": make({"seed": seeds}, lambda _: "failed"),
    }
    return {name: write_report(folder, store).page.read_text() for name, (folder, store) in sweeps.items()}


def shown(pages, width, folder):
    """What a browser measures on each of the pages at this width, by name, and what it writes on its console."""
    frames = [FRAME.format(name=name, page=html.escape(page), width=width) for name, page in pages.items()]
    outer = folder / "outer.html"
    outer.write_text(f"<!doctype html><meta charset=utf-8>{MEASURE.format(frames=''.join(frames))}")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"),
        *("--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=1600,1000"),
        *("--dump-dom", outer.as_uri()),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = re.search(r"<title>(.*?)</title>", ended.stdout)
    return json.loads(html.unescape(title[1])), [line for line in ended.stderr.splitlines() if "CONSOLE" in line]


@BROWSER
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_browser_shows_it_without_a_complaint_a_request_or_a_sideways_scroll(pages, tmp_path, width):
    found, console = shown(pages, width, tmp_path)
    assert console == []
    assert list(found) == list(pages)
    for name, page in found.items():
        assert page["requests"] == [], name
        assert page["width"] <= width, name
        assert page["content"] == page["width"], name
        assert page["beyond"] == 0, name
        assert page["cut"] == [], name
        assert page["charts"] == pages[name].count("<svg"), name


@BROWSER
def test_the_browser_would_have_noticed(tmp_path):
    broken = (
        '<p style="width: 2000px">wide</p><svg width=50><text y=20>a long text</text></svg>'
        '<img src="http://127.0.0.1:9/x.png"><script>throw Error("complaint")</script>'
    )
    pages = {"fine": "<!doctype html><p>fine</p>", "broken": f"<!doctype html>{broken}"}
    found, console = shown(pages, PHONE, tmp_path)
    assert found["fine"]["content"] <= PHONE
    assert found["broken"]["content"] > PHONE
    assert found["broken"]["beyond"] == 1
    assert found["broken"]["cut"] == ["a long text"]
    assert found["broken"]["requests"] == ["http://127.0.0.1:9/x.png"]
    assert any("complaint" in line for line in console)
