import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import browser
from fsidfusion.evaluation.sets import published_layout
from fsidfusion.studies.quality.gallery import build_gallery
from fsidfusion.studies.quality.report import build_report
from fsidfusion.studies.quality.scores import Quality, open_models, shown_models


@pytest.fixture(scope="module")
def page(rendered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality")
    models = open_models(["laplacian", "maximum"])
    results = Quality(published_layout([rendered]), models, folder).run()
    gallery = build_gallery(results, shown_models(models), folder / "pictures")
    path = folder / "quality.html"
    path.write_text(build_report(results, models, gallery), "utf-8")
    return path


class Outline(HTMLParser):
    """Checks that elements nest, and collects text by element and all attributes."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] == "h2":
            self.headings.append(text)


def test_the_page_is_whole_and_fetches_nothing(page):
    text = page.read_text("utf-8")
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.headings == ["Cells won", "MSRS", "TNO", "MRI_PET"]
    assert "{{" not in text
    sources = [value for _, name, value in outline.attributes if name in ("src", "href")]
    assert all(value.startswith(("data:", "#")) for value in sources)
    assert "url(" not in text
    assert "@import" not in text
    assert "neighbouring slices" in text
    pictures = re.findall(r"data:image/webp;base64,([^\"]+)", text)
    assert len(pictures) >= 12
    assert all(base64.b64decode(picture)[8:12] == b"WEBP" for picture in pictures)


def test_names_are_escaped(rendered, tmp_path):
    sets = published_layout([rendered], ["TNO"])
    models = open_models(["mean"])
    results = Quality(sets, models, tmp_path).run()
    strange = replace(sets[0], name="<script>alert(1)</script>")
    results = [replace(results[0], pairs=strange)]
    assert "<script>alert" not in build_report(results, models, [])


@pytest.fixture(scope="module")
def opened(page):
    if browser.find() is None:
        pytest.skip("no chromium with chromedriver is installed")
    with browser.Browser() as driven:
        driven.open(page)
        yield driven


@pytest.fixture
def viewer(opened):
    """The viewer on the first pair, and how to measure it."""
    opened.run("document.querySelector('.pair').click()")
    yield opened
    opened.run("document.querySelector('#close').click()")


def split(driven) -> int:
    return int(driven.run("return document.querySelector('#divider').getAttribute('aria-valuenow')"))


def middle_of(driven, selector) -> tuple[float, float]:
    box = driven.run(
        "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]",
        selector,
    )
    return box[0], box[1]


def width_of_left(driven) -> float:
    """How many pixels of the stage the left picture covers."""
    clip = driven.run("return getComputedStyle(document.querySelector('.left')).clipPath")
    stage = driven.run("return document.querySelector('#stage').clientWidth")
    assert clip.startswith("inset(0")
    right = driven.run(
        "const left = document.querySelector('.left'), probe = document.createElement('i');"
        "probe.style.cssText = 'position:absolute;left:var(--split)'; left.append(probe);"
        "const x = probe.offsetLeft; probe.remove(); return x"
    )
    return right / stage


def scale_of(driven) -> float:
    return driven.run("return new DOMMatrix(document.querySelector('.left img').style.transform).a")


def test_every_picture_loads_and_nothing_else(opened):
    opened.console()
    assert opened.run("return [...document.querySelectorAll('.pair img')].every(i => i.naturalWidth > 0)")
    fetched = opened.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert all(name.startswith("data:") for name in fetched)
    assert opened.console() == []


def test_the_divider_follows_the_mouse_and_the_keys(viewer):
    assert split(viewer) == 50
    x, y = middle_of(viewer, "#divider")
    width = viewer.run("return document.querySelector('#stage').clientWidth")
    viewer.drag((x, y), (x - width / 4, y))
    assert abs(split(viewer) - 25) <= 1
    assert abs(width_of_left(viewer) - 0.25) < 0.02
    viewer.run(
        "document.querySelector('#divider').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
    )
    assert abs(split(viewer) - 27) <= 1
    viewer.drag(middle_of(viewer, "#divider"), (x, y), kind="touch")
    assert abs(split(viewer) - 50) <= 1
    assert viewer.console() == []


def test_both_pictures_zoom_and_move_together(viewer):
    before = scale_of(viewer)
    for _ in range(3):
        viewer.run("document.querySelector('#in').click()")
    assert scale_of(viewer) == pytest.approx(before * 1.5**3)
    transforms = "return [...document.querySelectorAll('.stage img')].map(i => i.style.transform)"
    still = viewer.run(transforms)
    x, y = middle_of(viewer, "#stage")
    viewer.drag((x + 150, y + 50), (x + 50, y))
    moved = viewer.run(transforms)
    assert moved[0] == moved[1] != still[0]
    assert split(viewer) == 50
    viewer.run("document.querySelector('#fit').click()")
    assert scale_of(viewer) == pytest.approx(before)


def test_any_two_pictures_can_be_compared(viewer):
    labels = viewer.run("return [...document.querySelector('#left').options].map(o => o.text)")
    assert labels == ["infrared", "visible", "laplacian", "maximum"]
    viewer.run(
        "const left = document.querySelector('#left'); left.selectedIndex = 3;"
        "left.dispatchEvent(new Event('change'))"
    )
    assert viewer.run("return document.querySelector('.stage .tag').textContent") == "maximum"
    same = "return document.querySelector('.left img').src === document.querySelectorAll('.pair img')[3].src"
    assert viewer.run(same)


def test_it_fits_a_phone_and_follows_the_dark_theme(opened):
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = opened.run(paper)
    opened.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = opened.run(paper)
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (light, dark)]
    assert brightness[0] > 600
    assert brightness[1] < 150
    opened.emulate("setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    assert opened.run("return document.documentElement.scrollWidth <= innerWidth")
    assert opened.console() == []
