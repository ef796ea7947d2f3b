"""The page in a browser: two pictures, many, errors beside the picture, keyboard, and what axe finds."""

import base64
import time
from pathlib import Path

import pytest

from browser import Browser

pytestmark = pytest.mark.slow

GIVE = """
const [id, files] = arguments;
const transfer = new DataTransfer();
for (const [name, text] of files) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
}
const input = document.getElementById(id);
input.files = transfer.files;
input.dispatchEvent(new Event("change"));
"""
STATES = "return [...document.querySelectorAll('#queue .state')].map(e => e.textContent)"


@pytest.fixture
def page(browser, served):
    browser.visit(served.address + "/")
    browser.console()
    yield browser
    assert [
        line for line in browser.console() if "/v1/fuse" not in line
    ] == []  # refused pairs are told there


def give(page: Browser, side: str, files: list[Path], names: list[str] | None = None) -> None:
    named = zip(names or [file.name for file in files], files)
    page.run(GIVE, side, [[name, base64.b64encode(file.read_bytes()).decode()] for name, file in named])


def fused(page: Browser, count: int) -> list[str]:
    """Press the button, and wait until nothing waits any more; a bounded number of looks."""
    page.run("document.getElementById('start').click()")
    for _ in range(600):
        states = page.run(STATES)
        if len(states) == count and not {"ready", "waiting", "fusing…"} & set(states):
            return states
        time.sleep(0.05)
    raise AssertionError(f"still {states}")


def test_two_pictures_give_what_the_service_gives(page, served, client, pairs):
    give(page, "first", [pairs / "ir" / "0.png"])
    give(page, "second", [pairs / "vis" / "0.png"])
    assert page.run("return document.getElementById('status').textContent") == "1 pair is ready"
    assert fused(page, 1) == ["done"]
    fetch = """const answer = await fetch(document.getElementById('save').href);
    return btoa(String.fromCharCode(...new Uint8Array(await answer.arrayBuffer())));"""
    got = base64.b64decode(page.run(f"return (async () => {{ {fetch} }})()"))
    assert got == served.fuse(client, pairs / "ir" / "0.png", pairs / "vis" / "0.png").content
    assert page.run("return document.getElementById('save').download") == "0-fused.png"
    settings = page.run(
        "return (async () => (await fetch(document.getElementById('settings').href)).json())()"
    )
    assert settings["infrared"] == "0.png" and settings["options"]["color"] == "auto"
    assert settings["model"] == "fsidfusion-light" and "fuse;dur=" in settings["timing"]
    shown = page.run("return document.getElementById('under').naturalWidth")
    assert shown == 128


def test_the_slider_moves_by_keyboard_and_pointer(page, pairs):
    give(page, "first", [pairs / "ir" / "0.png"])
    give(page, "second", [pairs / "vis" / "0.png"])
    fused(page, 1)
    split = "return getComputedStyle(document.getElementById('stage')).getPropertyValue('--split').trim()"
    page.run("document.getElementById('split').focus()")
    page.press("\ue014", 3)  # arrow right
    assert page.run(split) == "53%"
    box = page.run("const b = document.getElementById('stage').getBoundingClientRect();"
                   "window.scrollTo(0, 0); return [b.left, b.top, b.width, b.height]")  # fmt: skip
    middle = box[1] + box[3] / 2
    page.drag((box[0] + box[2] * 0.5, middle), (box[0] + box[2] * 0.25, middle))
    assert page.run(split) in ("25%", "24%", "26%")


def test_many_pictures_are_a_queue_and_errors_stand_beside_the_pair(page, pairs, tmp_path):
    (tmp_path / "IR_bad.png").write_bytes(b"no picture")
    first = [*(pairs / "ir" / f"{number}.png" for number in range(3)), tmp_path / "IR_bad.png"]
    second = [*(pairs / "vis" / f"{number}.png" for number in range(3)), pairs / "vis" / "0.png"]
    give(page, "first", first, ["IR_0.png", "IR_1.png", "IR_2.png", "IR_bad.png"])
    give(page, "second", second, ["VIS_0.jpg", "VIS_1.png", "VIS_2.png", "VIS_bad.png"])
    assert fused(page, 4) == ["done", "done", "done", "failed"]
    why = page.run("return document.querySelector('#queue .failed .why').textContent")
    assert why.startswith("Infrared: IR_bad.png is not a picture of a known kind")
    page.run("document.querySelector('#queue .failed').click()")
    assert page.run("return document.getElementById('error').textContent") == why
    assert page.run("return document.querySelector('.slot.wrong').dataset.side") == "0"
    assert page.run("return document.getElementById('status').textContent") == "3 of 4 fused, 1 failed"
    assert not page.run("return document.getElementById('all').hidden")


DROP = """
const transfer = new DataTransfer();
for (const [name, text] of arguments[0])
  transfer.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
"""


def test_pictures_dropped_on_the_page_find_their_sides(page, pairs):
    names = {
        "VIS_b.png": "vis/1.png",
        "IR_a.png": "ir/0.png",
        "VIS_a.png": "vis/0.png",
        "IR_b.png": "ir/1.png",
    }
    content = [(name, base64.b64encode((pairs / file).read_bytes()).decode()) for name, file in names.items()]
    page.run(DROP, content)
    assert fused(page, 2) == ["done", "done"]
    told = "return ['first-told', 'second-told'].map(id => document.getElementById(id).textContent)"
    assert page.run(told) == ["2 pictures", "2 pictures"]


def test_what_has_no_partner_is_told(page, pairs):
    give(page, "first", [pairs / "ir" / "0.png", pairs / "ir" / "1.png"])
    give(page, "second", [pairs / "vis" / "0.png", pairs / "vis" / "2.png"])
    told = page.run("return document.getElementById('unpaired').textContent")
    assert told == "Without a partner of the same name: 1.png, 2.png."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, pairs, axe, scheme):
    page.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    give(page, "first", [pairs / "ir" / "0.png"])
    give(page, "second", [pairs / "vis" / "0.png"])
    for state in ("ready", "fused", "failed"):
        if state == "fused":
            fused(page, 1)
        if state == "failed":
            give(page, "second", [pairs / "vis" / "1.png"])
            assert fused(page, 1) == ["failed"]
        page.run(axe + ";window.axe = axe;")
        found = page.run(
            "return axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join()))"
        )
        assert found == [], state


def test_a_phone_shows_all_without_scrolling_sideways(page, pairs):
    page.emulate("setDeviceMetricsOverride", width=375, height=720, deviceScaleFactor=1, mobile=True)
    try:
        give(page, "first", [pairs / "ir" / "0.png"])
        give(page, "second", [pairs / "vis" / "0.png"])
        fused(page, 1)
        assert page.run("return document.documentElement.scrollWidth") <= 375
        small = page.run(
            "return [...document.querySelectorAll('button, select, .button')].filter(e => e.offsetParent)"
            ".filter(e => e.getBoundingClientRect().height < 40).map(e => e.id)"
        )
        assert small == []
    finally:
        page.emulate("clearDeviceMetricsOverride")
