"""The page in a real browser: Debian's Chromium, driven by Playwright, from file://."""

import io
import shutil
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.repository import Repository

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, built: Repository, width: int = 1440) -> Page:
    """The page, which must load without a word on the console and without a request that leaves the folder."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.on("request", lambda request: None if request.url.startswith(f"file://{built.root}/report/") else said.append(request.url))
    page.goto(f"file://{built.root}/report/index.html")
    page.wait_for_load_state("networkidle")
    assert said == []
    return page


def stage(page: Page) -> NDArray[np.uint8]:
    page.wait_for_function("[...document.querySelectorAll('#stage img')].every(image => image.complete && image.naturalWidth)")
    return np.asarray(Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB"))


def test_every_picture_and_link_resolves(browser: Browser, built: Repository) -> None:
    page = opened(browser, built)
    broken = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"
    assert page.evaluate(broken) == []
    links = page.evaluate("[...document.links].map(link => link.getAttribute('href'))")
    assert len(links) == 9
    for link in links:
        assert page.locator(f"h2{link}").count() == 1, link
    page.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_no_sideways_scrolling(browser: Browser, built: Repository, width: int) -> None:
    page = opened(browser, built, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_works_on_dark_screens_and_paper(browser: Browser, built: Repository) -> None:
    page = opened(browser, built)
    ground = "getComputedStyle(document.documentElement).colorScheme"
    assert page.evaluate(ground) == "light dark"
    page.emulate_media(media="print")
    assert not page.locator("#stage").is_visible()
    assert page.locator("#findings").is_visible()
    page.close()


def test_no_serious_fault_for_a_screen_reader(browser: Browser, built: Repository) -> None:
    page = opened(browser, built)
    found = Axe().run(page).response["violations"]
    serious = [(fault["id"], fault["nodes"][0]["html"]) for fault in found if fault["impact"] in ("serious", "critical")]
    assert serious == []
    page.close()


def test_the_line_moves_and_layers_change(browser: Browser, built: Repository) -> None:
    """All left is one picture, all right the other; at the middle each half is its own."""
    page = opened(browser, built)
    page.select_option("#left", "bicubic")
    page.select_option("#right", "HR")
    shots = {}
    for split in ("0", "50", "100"):
        page.fill("#split", split)
        shots[split] = stage(page).astype(int)
    half = shots["50"].shape[1] // 2
    assert np.abs(shots["0"] - shots["100"]).mean() > 1
    assert np.abs(shots["50"][:, : half - 4] - shots["100"][:, : half - 4]).max() <= 2
    assert np.abs(shots["50"][:, half + 4 : -4] - shots["0"][:, half + 4 : -4]).max() <= 2
    page.close()


def test_zoom_pan_and_keys(browser: Browser, built: Repository) -> None:
    page = opened(browser, built)
    before = stage(page)
    page.focus("#stage")
    page.keyboard.press("+")
    zoomed = stage(page)
    assert page.input_value("#zoom") == "2"
    assert not np.array_equal(before, zoomed)
    box = page.locator("#stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 130)
    page.mouse.up()
    moved = stage(page)
    assert np.abs(moved[40:400, 70:400].astype(int) - zoomed[10:370, 10:340]).mean() < 3
    page.keyboard.press("ArrowRight")
    assert page.input_value("#split") == "52"
    page.click("#reset")
    assert np.array_equal(stage(page), before)
    page.close()


def test_a_link_to_every_state(browser: Browser, built: Repository) -> None:
    page = opened(browser, built)
    page.select_option("#picture", "rocket")
    page.select_option("#right", "edsr")
    page.fill("#zoom", "3")
    address = page.url
    assert parse_qs(urlsplit(address).fragment)["picture"] == ["rocket"]
    shown = stage(page)
    other = browser.new_page(viewport={"width": 1440, "height": 900})
    other.goto(address)
    assert other.input_value("#picture") == "rocket"
    assert np.array_equal(stage(other), shown)
    other.close()
    page.close()


def test_the_gallery_sorts(browser: Browser, built: Repository) -> None:
    import pandas as pd

    page = opened(browser, built)
    table = pd.read_csv(built.root / "results" / "edsr" / "images.csv").set_index("image")
    page.select_option("#left", "edsr")
    for metric in ("psnr_benchmark_y", "ssim_ntire_rgb"):
        page.select_option("#sort", metric)
        assert page.locator("#gallery button").all_inner_texts() == table[metric].sort_values().index.tolist()
    page.locator("#gallery button").last.click()
    assert page.locator("#gallery button[aria-pressed=true]").count() == 1
    page.close()
