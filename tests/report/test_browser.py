"""The page about runs, as a real browser shows it.

Needs `pip install -e '.[browser]'` and a Chromium or Chrome on the path (or in MINIRES_CHROMIUM).
"""

import io
import os
import re
import shutil

import numpy as np
import pytest

from minires.report import write_report
from tests.report.made_up import LOSSES, PNG, write_run

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'"
)
pypdf = pytest.importorskip("pypdf", reason="needs pypdf: pip install -e '.[browser]'")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = os.environ.get("MINIRES_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
if CHROMIUM is None:
    pytest.skip("needs Chromium or Chrome on the path", allow_module_level=True)

QUIET = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DRAWN = ".ready #last .main-svg"
EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *root])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with everything: seeds, an unfinished run, a picture of a probe, an odd name."""
    folder = tmp_path_factory.mktemp("browser") / "job"
    for name, loss in LOSSES.items():
        for seed in range(2):
            write_run(folder, name, loss + 0.2 * seed, seed)
    write_run(folder, "plain-20", 1.0, seed=5, finished=False)
    write_run(folder, "ResNet-110", 1.0, note=EVIL + "x" * 200)
    (folder / "probes").mkdir()
    (folder / "probes" / "lesion.png").write_bytes(PNG)
    return write_report([folder])[0]


class Seen:
    """An open page, and what it has said and asked for."""

    def __init__(self, browser, path, *, wait=DRAWN, script="", **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(script)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(wait, state="attached", timeout=100_000)

    def chart(self, chart="training"):
        """The traces that a chart draws, without bands, by name."""
        data = self.page.evaluate(
            f"document.getElementById('{chart}').data.map(t => ({{name: t.name, x: t.x, y: t.y,"
            " line: t.line, symbol: t.marker && t.marker.symbol}))"
        )
        return {trace["name"]: trace for trace in data if trace["name"] != "band"}

    def axis(self, axis, chart="training"):
        return self.page.evaluate(
            f"(({{type, title}}) => [type, title.text])(document.getElementById('{chart}')"
            f"._fullLayout.{axis})"
        )

    def choose(self, value):
        self.page.locator(f'.choice input[value="{value}"] + span').click()

    def colour_of(self, selector, what):
        value = self.page.evaluate(
            f"getComputedStyle(document.querySelector('{selector}')).getPropertyValue('{what}')"
        )
        return [int(number) for number in re.findall(r"\d+", value)[:3]]

    def overflow(self):
        """How many pixels the page, or a table in it, is wider than its place."""
        return self.page.evaluate(
            "Math.max(...[document.documentElement, ...document.querySelectorAll('.scroll')]"
            ".map(element => element.scrollWidth - element.clientWidth))"
        )


@pytest.fixture
def look(browser, report):
    """Opens the report; closed at the end of the test."""
    opened = []

    def look(path=report, **options):
        opened.append(Seen(browser, path, **options))
        return opened[-1]

    yield look
    for seen in opened:
        seen.context.close()


@pytest.fixture(scope="module")
def shared(browser, report):
    seen = Seen(browser, report, viewport={"width": 1280, "height": 900})
    yield seen
    seen.context.close()


@pytest.fixture
def desktop(shared):
    """One page for many tests, its controls as they were at first."""
    for value in ("error", "steps", "linear", "band"):
        shared.choose(value)
    for button in shared.page.locator('.legend button[aria-pressed="false"]').all():
        button.click()
    shared.page.mouse.move(0, 0)
    return shared


def test_it_loads_without_a_complaint_and_asks_for_nothing(look, report):
    seen = look(offline=True)
    assert seen.said == []
    assert seen.asked == [report.as_uri()]
    assert seen.page.locator(".still:visible").count() == 0
    assert set(seen.chart()) == {
        *LOSSES,
        "ResNet-110",
        "plain-20, seed 5 (not finished)",
    }


class TestControls:
    def test_the_legend_hides_and_shows_a_network_in_every_chart(self, desktop):
        button = desktop.page.get_by_role("button", name="plain-56")
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        for chart in ("training", "test", "first", "last"):
            assert "plain-56" not in desktop.chart(chart)
            assert "ResNet-56" in desktop.chart(chart)
        button.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        assert "plain-56" in desktop.chart()

    def test_pointing_at_a_curve_tells_its_values(self, desktop):
        chart = desktop.page.locator("#training .nsewdrag").first
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        desktop.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        hover = desktop.page.locator("#training .hoverlayer .legendtext")
        hover.first.wait_for()
        texts = hover.all_text_contents()
        assert "plain-20 : 225.0 ± 0" in texts
        assert len(texts) >= 5

    def test_epochs_and_wall_clock(self, desktop):
        steps = desktop.chart()["plain-56"]["x"]
        desktop.choose("epochs")
        assert np.allclose(desktop.chart()["plain-56"]["x"], np.array(steps) / 10)
        assert desktop.axis("xaxis") == ["linear", "epochs"]
        desktop.choose("seconds")
        assert np.allclose(desktop.chart()["plain-56"]["x"], 2.1 * np.array(steps))
        assert desktop.axis("xaxis")[1] == "training time, seconds"

    def test_loss_and_logarithmic_scale(self, desktop):
        desktop.choose("loss")
        desktop.choose("log")
        assert desktop.axis("yaxis") == ["log", "training loss, nats"]
        assert desktop.chart()["plain-56"]["y"][-1] == pytest.approx(2.5)
        assert desktop.axis("yaxis", "test") == ["log", "test loss, nats"]

    def test_each_seed(self, desktop):
        desktop.choose("each")
        assert {"plain-20, seed 0", "plain-20, seed 1"} < set(desktop.chart())
        assert "plain-20" not in desktop.chart()

    def test_zooming_out_again(self, desktop):
        desktop.page.evaluate("Plotly.relayout('training', {'xaxis.range': [10, 20]})")
        desktop.choose("epochs")
        auto = desktop.page.evaluate("document.getElementById('training').layout.xaxis.range")
        assert auto[1] > 7

    def test_the_rest_is_drawn_when_it_is_opened(self, desktop):
        desktop.page.get_by_text("Learning rate and gradient norm").click()
        chart = desktop.page.locator("#rate .main-svg").first
        desktop.page.wait_for_function(
            "document.querySelector('#rate .main-svg').getBoundingClientRect().width > 300"
        )
        assert chart.is_visible()


class TestReadable:
    def test_lines_differ_by_more_than_their_colour(self, desktop):
        lines = {k: v for k, v in desktop.chart().items() if "not finished" not in k}
        dashes = {name.split("-")[0]: line["line"]["dash"] for name, line in lines.items()}
        assert dashes["plain"] != dashes["ResNet"]
        symbols = {name: line["symbol"] for name, line in lines.items()}
        assert len(set(symbols.values())) == len(lines) == 5

    def test_text_and_lines_stand_out_from_a_light_and_a_dark_background(self, look):
        seen = look(color_scheme="light")
        assert stands_out(seen) == "light"
        tick = "getComputedStyle(document.querySelector('#training .xtick text')).fill"
        before = seen.page.evaluate(tick)
        seen.page.emulate_media(color_scheme="dark")
        seen.page.wait_for_function(f"{tick} !== '{before}'")
        assert stands_out(seen) == "dark"

    def test_a_phone_never_scrolls_sideways(self, look):
        seen = look(**PHONE, color_scheme="dark")
        for details in seen.page.locator("details > summary").all():
            details.click()
        assert EVIL in seen.page.locator(".facts").inner_text()
        assert seen.overflow() == 0
        assert seen.page.locator("#training .main-svg").first.bounding_box()["width"] <= 390


def test_on_paper_everything_is_there_opened(look):
    seen = look(color_scheme="dark")
    seen.page.emulate_media(media="print")
    pdf = pypdf.PdfReader(io.BytesIO(seen.page.pdf(format="A4", print_background=True)))
    text = " ".join(" ".join(page.extract_text().split()) for page in pdf.pages)
    for heading in ("Verdict", "Results", "Curves", "Gradient of every layer"):
        assert heading in text
    for heading in ("A look inside", "Beside the paper", "How it was made"):
        assert heading in text
    assert "learning rate" in text
    assert "plain-56-seed1" in text  # the runs, one by one
    assert "recipe: batch_size" in text  # the configuration
    assert "wall-clock" not in text  # the controls
    seen.page.emulate_media(media="screen")
    assert seen.page.locator("details[open]").count() == 0
    assert seen.page.evaluate("document.documentElement.dataset.printing") is None


class TestWithoutCharts:
    def test_without_scripts_there_are_still_pictures(self, look):
        seen = look(java_script_enabled=False, wait=".still")
        assert seen.page.locator(".still:visible").count() == 2
        assert seen.page.locator("noscript p").is_visible()
        assert not seen.page.locator(".controls").first.is_visible()

    def test_an_old_browser_is_told_so(self, look):
        seen = look(script="delete window.DecompressionStream", wait=".old:not([hidden])")
        assert seen.page.get_by_text("needs to be of 2023 or later").is_visible()
        assert seen.page.locator(".still:visible").count() == 2


def stands_out(seen):
    """Whether the page is light or dark, once text and lines can be told from the background."""
    background = seen.colour_of("body", "background-color")
    assert contrast(seen.colour_of("body", "color"), background) > 10
    assert contrast(seen.colour_of(".note", "color"), background) > 4.5
    assert contrast(seen.colour_of("#training .xtick text", "fill"), background) > 10
    for place in range(6):
        assert contrast(hex_colour(seen, f"--c{place}"), background) > 3.5
    return "dark" if sum(background) < 200 else "light"


def contrast(a, b):
    """Contrast of two sRGB colours by WCAG 2: 1 (none) to 21 (black on white)."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    value = np.array(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def hex_colour(seen, name):
    text = seen.page.evaluate(
        f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()"
    )
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]
