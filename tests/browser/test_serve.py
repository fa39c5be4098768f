"""The page of `fovea serve` in a real browser: a picture goes up, networks and methods are chosen, errors are shown."""
import base64
import os
import sys
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from page import control, pixels, played_words, says

TESTS = Path(os.environ["FOVEA_SOURCE"]) / "tests"
sys.path += [str(TESTS / "serve"), str(TESTS / "captioning")]
import small_captioner  # noqa: E402
from server import SAMPLES, Server  # noqa: E402

COAT, CAT = SAMPLES / "coat.png", SAMPLES / "chelsea.jpg"
SHOTS = os.environ.get("FOVEA_SCREENSHOTS")  # a folder for what a person shall look at


@pytest.fixture(scope="module")
def server():
    with Server("--max-upload", "1") as running:
        yield running


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A small captioner with random weights beside a network that classifies."""
    folder = tmp_path_factory.mktemp("captioner")
    small_captioner.save(folder, wordy=True)
    with Server("--captioner", folder, "--model", "fovea_vit_fashion") as running:
        yield running


def open_page(browser, server, width=1280):
    browser.set_window_size(width, 900)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(server.address)
    WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#look option"))


def at(browser, name):
    return browser.find_element(By.ID, name)


def wait(browser, condition):
    return WebDriverWait(browser, 40, poll_frequency=0.1).until(condition)


def answered(browser):
    wait(browser, lambda b: at(b, "state").text.endswith(" s"))
    wait(browser, lambda b: says(b))


def upload(browser, path):
    at(browser, "file").send_keys(str(path))
    answered(browser)


def choose(browser, name, text):
    browser.execute_script("document.getElementById('state').textContent = ''")
    Select(at(browser, name)).select_by_visible_text(text)
    answered(browser)


def shoot(browser, name):
    if SHOTS:
        browser.execute_script("scrollTo(0, 0)")
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        (Path(SHOTS) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def test_a_picture_goes_up_and_is_explained(browser, server):
    open_page(browser, server)
    upload(browser, COAT)
    article = browser.find_element(By.CSS_SELECTOR, "article")
    assert article.find_element(By.TAG_NAME, "h2").text == "coat.png"
    assert article.find_elements(By.CSS_SELECTOR, "table")[0].find_elements(By.TAG_NAME, "tr")[1].text.startswith("Coat ")
    assert browser.get_log("browser") == []  # the policy of the page lets everything through that it needs


def test_networks_and_methods(browser, server):
    open_page(browser, server)
    networks = [option.text for option in Select(at(browser, "model")).options]
    assert networks == ["fovea_seresnet_fashion", "fovea_cbamresnet_fashion", "fovea_vit_fashion", "fovea_swin_fashion",
                        "fovea_cbamresnet_scenes", "fovea_vit_scenes"]
    upload(browser, COAT)
    seen = {pixels(browser)}
    choose(browser, "model", "fovea_vit_fashion")
    assert says(browser) == "attention, blocks.3.attn, mean of 3 heads, view of CLS"
    seen.add(pixels(browser))
    methods = [option.text for option in Select(at(browser, "look")).options]
    assert methods[0] == "all of them" and methods[-1] == "attention alone" and len(methods) > 6
    for method in methods[1:-1]:
        choose(browser, "look", method)
        assert says(browser).split(",")[0] in method.replace("-", " ")
        seen.add(pixels(browser))
    assert len(seen) == len(methods)
    choose(browser, "look", "attention alone")
    assert len(Select(control(browser, "method")).options) == 1
    assert "deletion" not in browser.find_element(By.TAG_NAME, "main").text
    choose(browser, "look", "rollout: attention followed through all layers")
    browser.execute_script("document.getElementById('state').textContent = ''")
    at(browser, "scores").click()
    answered(browser)
    assert "deletion" in browser.find_element(By.TAG_NAME, "main").text
    # A method that the next network lacks is left.
    choose(browser, "model", "fovea_seresnet_fashion")
    assert Select(at(browser, "look")).first_selected_option.text == "all of them"
    assert browser.get_log("browser") == []


def test_a_click_and_keys_ask_where_a_place_looks(browser, server):
    open_page(browser, server)
    Select(at(browser, "model")).select_by_visible_text("fovea_vit_fashion")
    upload(browser, COAT)
    before, canvas = pixels(browser), control(browser, "canvas")
    browser.execute_script("arguments[0].scrollIntoView()", canvas)
    ActionChains(browser).move_to_element(canvas).click().perform()
    assert says(browser).endswith("view of the patch in row 4, column 4 of 7×7")
    assert pixels(browser) != before
    canvas.send_keys(Keys.ARROW_UP)
    assert says(browser).endswith("row 3, column 4 of 7×7")
    canvas.send_keys(Keys.ESCAPE)
    assert pixels(browser) == before


def test_everything_is_reached_by_keyboard(browser, server):
    open_page(browser, server)
    reached = []
    browser.execute_script("document.body.focus()")
    for _ in range(4):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.append(browser.switch_to.active_element.get_attribute("id"))
    assert reached == ["file", "model", "look", "scores"]  # no captioner, so no captions
    for node in browser.find_elements(By.CSS_SELECTOR, "form input, form select"):
        if node.is_displayed():
            assert node.accessible_name, node.get_attribute("id")


DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), c => c.charCodeAt(0)), data = new DataTransfer();
data.items.add(new File([bytes], arguments[1], {type: "image/png"}));
if (arguments[2] === "paste") document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
else document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
"""


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_drop_and_paste(browser, server, way):
    open_page(browser, server)
    browser.execute_script(DROP, base64.b64encode(COAT.read_bytes()).decode(), "<b>dropped.png", way)
    answered(browser)
    assert browser.find_element(By.CSS_SELECTOR, "article h2").text == "<b>dropped.png"


@pytest.mark.parametrize("name,content,said", [
    ("page.png", b"<!doctype html>", "not an image (starts with '<!do')"),
    ("half.png", COAT.read_bytes()[:300], "PNG"),
    ("empty.png", b"", "empty body: send an image"),
    ("large.png", bytes(1_500_000), "a body of over 1 MB (--max-upload)"),
])
def test_errors_are_shown(browser, server, tmp_path, name, content, said):
    open_page(browser, server)
    upload(browser, COAT)
    bad = tmp_path / name
    bad.write_bytes(content)
    at(browser, "file").send_keys(str(bad))
    wait(browser, lambda b: at(b, "error").text)
    assert said in at(browser, "error").text and at(browser, "state").text == ""
    shoot(browser, f"error-{name}")
    upload(browser, COAT)
    assert at(browser, "error").text == ""


def test_a_server_that_is_gone(browser):
    with Server("--model", "fovea_vit_fashion") as server:
        open_page(browser, server)
        server.stop()
        at(browser, "file").send_keys(str(COAT))
        wait(browser, lambda b: at(b, "error").text == "The server does not answer; is it still running?")


def test_captions_play(browser, writer):
    open_page(browser, writer)
    upload(browser, COAT)
    buttons = browser.find_elements(By.CSS_SELECTOR, ".words button")
    play = buttons[-1]
    assert len(buttons) > 3 and play.text == "▶ play"
    buttons[1].click()
    assert says(browser) == f'caption, where "{buttons[1].text}" was read'
    order, count = played_words(browser)
    assert order == list(range(count))
    shoot(browser, "words")
    browser.execute_script("document.getElementById('state').textContent = ''")
    at(browser, "captions").click()
    answered(browser)
    assert not browser.find_elements(By.CSS_SELECTOR, ".words")
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off(browser, writer, server, width):
    for name, running, picture in (("writer", writer, CAT), ("server", server, COAT)):
        open_page(browser, running, width)
        shoot(browser, f"empty-{name}-{width}")
        Select(at(browser, "model")).select_by_visible_text("fovea_vit_fashion")
        upload(browser, picture)
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        for node in browser.find_elements(By.CSS_SELECTOR, "canvas, select, input, table, svg, button, #drop"):
            if node.is_displayed():
                assert node.rect["x"] >= 0 and node.rect["x"] + node.rect["width"] <= width + 0.5
        shoot(browser, f"page-{name}-{width}")


def test_dark(browser, server):
    open_page(browser, server)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 26)"
    upload(browser, COAT)
    shoot(browser, "dark")
