"""The report in a real browser: every control, by mouse and by keyboard, at two widths, in light and in dark."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

FOVEA = Path(os.environ["FOVEA_BIN"]) / "fovea"
sys.path.insert(0, str(Path(os.environ["FOVEA_SOURCE"]) / "tests/captioning"))
import small_captioner  # noqa: E402

from page import control, pixels, played_words, says, slide  # noqa: E402

SAMPLES = Path(os.environ["FOVEA_SOURCE"]) / "datasets/samples"


def write_report(folder, model):
    path = folder / f"{model}.html"
    images = [SAMPLES / name for name in ("coat.png", "sneaker.png")]
    run = subprocess.run([FOVEA, "report", *images, "--model", model, "--output", path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{path}\n"
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    return {name: write_report(folder, f"fovea_{name}_fashion") for name in ("vit", "swin", "cbamresnet")}


def open_page(browser, path, width=1280):
    browser.set_window_size(width, 900)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(path.as_uri())
    WebDriverWait(browser, 20).until(lambda b: all(node.text for node in b.find_elements(By.CSS_SELECTOR, "[role=status]")))


def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(browser, pages):
    for path in pages.values():
        open_page(browser, path)
        assert browser.get_log("browser") == []
        asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        addresses = {message["params"]["request"]["url"] for message in asked
                     if message["method"] == "Network.requestWillBeSent"}
        assert all(address.startswith(("file:", "data:")) for address in addresses), addresses
        assert path.stat().st_size < 5_000_000


def test_methods_layers_and_heads_change_the_picture(browser, pages):
    open_page(browser, pages["vit"])
    assert says(browser) == "attention, blocks.3.attn, mean of 3 heads, view of CLS"
    seen = {pixels(browser)}
    slide(browser, "layer", 0)
    assert says(browser) == "attention, blocks.0.attn, mean of 3 heads, view of CLS"
    seen.add(pixels(browser))
    Select(control(browser, "head")).select_by_visible_text("head 2")
    assert "head 2" in says(browser)
    seen.add(pixels(browser))
    method = Select(control(browser, "method"))
    for option in range(1, len(method.options)):
        method.select_by_index(option)
        assert says(browser).split(",")[0] in method.options[option].text.replace("-", " ")
        assert not control(browser, "layer").is_displayed()
        seen.add(pixels(browser))
    assert len(seen) == 3 + len(method.options) - 1
    before = pixels(browser)
    for name, change in (("opacity", lambda: slide(browser, "opacity", 0.1)),
                         ("colour", lambda: Select(control(browser, "colour")).select_by_visible_text("jet")),
                         ("cells", lambda: Select(control(browser, "cells")).select_by_visible_text("cells as they are"))):
        change()
        assert pixels(browser) != before, name
        before = pixels(browser)
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("model,grid", [("vit", (7, 7)), ("swin", (4, 4))])
def test_a_click_asks_where_a_place_looks(browser, pages, model, grid):
    open_page(browser, pages[model])
    canvas = control(browser, "canvas")
    browser.execute_script("arguments[0].scrollIntoView()", canvas)
    before, width, height = pixels(browser), canvas.rect["width"], canvas.rect["height"]
    rows, columns = grid
    x, y = (columns - 0.5) / columns * width - width / 2, 0.5 / rows * height - height / 2
    ActionChains(browser).move_to_element_with_offset(canvas, round(x), round(y)).click().perform()
    assert says(browser).endswith(f"view of the patch in row 1, column {columns} of {rows}×{columns}")
    assert pixels(browser) != before
    control(browser, "back").click()
    assert pixels(browser) == before


def test_keyboard(browser, pages):
    open_page(browser, pages["vit"])
    before = pixels(browser)
    canvas = control(browser, "canvas")
    browser.execute_script("arguments[0].focus()", canvas)
    canvas.send_keys(Keys.ENTER)
    assert "row 4, column 4 of 7×7" in says(browser)
    canvas.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_UP)
    assert "row 2, column 5 of 7×7" in says(browser)
    canvas.send_keys("-")
    assert says(browser).startswith("attention, blocks.2.attn") and control(browser, "layer").get_attribute("value") == "2"
    canvas.send_keys("+", Keys.ESCAPE)
    assert pixels(browser) == before
    for _ in range(9):
        canvas.send_keys(Keys.ARROW_LEFT)
    assert "column 1 of 7×7" in says(browser)
    # Every control is reached by Tab in the order it is seen.
    reached = []
    for _ in range(8):
        reached.append(browser.switch_to.active_element.get_attribute("id").removeprefix("image0-"))
        browser.switch_to.active_element.send_keys(Keys.TAB)
    assert reached[:7] == ["canvas", "method", "layer", "opacity", "colour", "cells", "back"]  # head: not with a point


def test_the_whole_answer_is_there_for_screen_readers(browser, pages):
    open_page(browser, pages["cbamresnet"])
    article = browser.find_element(By.CSS_SELECTOR, "article")
    rows = article.find_elements(By.CSS_SELECTOR, "table")[0].find_elements(By.TAG_NAME, "tr")
    assert len(rows) == 6 and re.fullmatch(r"Coat \d+\.\d %", rows[1].text)
    assert article.find_element(By.TAG_NAME, "canvas").accessible_name.startswith("coat.png: gradcam")
    for node in article.find_elements(By.CSS_SELECTOR, ".controls select, .controls input"):
        if node.is_displayed():
            assert node.accessible_name, node.get_attribute("id")
    assert "deletion" in article.text and article.find_element(By.TAG_NAME, "svg").accessible_name


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off(browser, pages, width, tmp_path):
    for path in pages.values():
        open_page(browser, path, width)
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        for node in browser.find_elements(By.CSS_SELECTOR, "canvas, select, input, table, svg"):
            if node.is_displayed():
                assert node.rect["x"] >= 0 and node.rect["x"] + node.rect["width"] <= width + 0.5
    browser.save_screenshot(str(tmp_path / "page.png"))


def test_light_and_dark(browser, pages):
    colours = {}
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        open_page(browser, pages["vit"])
        colours[scheme] = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 22, 26)"}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """The report of a small captioner with random weights, which writes a few words."""
    folder = tmp_path_factory.mktemp("captioner")
    small_captioner.save(folder, wordy=True)
    path = folder / "words.html"
    run = subprocess.run([FOVEA, "report", SAMPLES / "coat.png", "--captioner", folder, "--output", path],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return path


def test_each_word_shows_where_it_was_read(browser, words):
    open_page(browser, words)
    buttons = browser.find_elements(By.CSS_SELECTOR, ".words button")
    assert len(buttons) > 3 and buttons[-1].text == "▶ play"
    assert browser.find_element(By.CSS_SELECTOR, ".words").accessible_name.startswith("Caption by ")
    assert not browser.find_elements(By.TAG_NAME, "meter") and not control(browser, "method").is_displayed()
    seen = set()
    for button in buttons[:-1]:
        button.click()
        pressed = [node for node in buttons if node.get_attribute("aria-pressed") == "true"]
        assert pressed == [button]
        assert says(browser) == f'caption, where "{button.text}" was read'
        seen.add(pixels(browser))
    assert len(seen) > 1
    before = pixels(browser)
    slide(browser, "opacity", 0.1)
    assert pixels(browser) != before
    buttons[1].send_keys(Keys.ENTER)  # by keyboard
    assert buttons[1].get_attribute("aria-pressed") == "true"
    assert browser.get_log("browser") == []


def test_words_play_one_after_the_other(browser, words):
    open_page(browser, words)
    buttons = browser.find_elements(By.CSS_SELECTOR, ".words button")
    play = buttons[-1]
    buttons[2].click()
    order, count = played_words(browser)
    assert order == list(range(count))
    play.click()
    play.click()
    assert play.text == "▶ play"  # stopped by hand


@pytest.mark.parametrize("width", [1280, 390])
def test_words_are_not_cut_off(browser, words, width):
    open_page(browser, words, width)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    for node in browser.find_elements(By.CSS_SELECTOR, ".words button"):
        assert node.rect["x"] >= 0 and node.rect["x"] + node.rect["width"] <= width + 0.5
