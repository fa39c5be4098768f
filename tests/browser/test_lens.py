"""The page of fovea lens in a real browser: it computes what the program computes."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

FOVEA = Path(os.environ["FOVEA_BIN"]) / "fovea"
PHOTO = Path(os.environ["FOVEA_SOURCE"]) / "datasets/photographs/chelsea.jpg"


def lens(*arguments):
    run = subprocess.run([FOVEA, "lens", PHOTO, "--json", *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lens")
    answer = lens("--page", "--output", folder)
    path = folder / f"{PHOTO.stem}.lens.html"
    assert answer["pictures"] == [str(folder / f"{PHOTO.stem}.lens.png"), str(path)]
    assert path.stat().st_size < 2_000_000
    return path


def open_page(browser, page, width=1280):
    browser.set_window_size(width, 900)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    WebDriverWait(browser, 20).until(lambda b: b.find_element(By.ID, "say").text)


def strongest(browser):
    rows = browser.find_elements(By.CSS_SELECTOR, "#strongest tr")
    cells = [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in rows]
    return [(*map(int, place.split(", ")), float(weight)) for place, weight in cells]


def slide(browser, name, value):
    browser.execute_script("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
                           browser.find_element(By.ID, name), value)


def click(browser, x, y):
    """At these shares of the photograph."""
    canvas = browser.find_element(By.ID, "photo")
    browser.execute_script("arguments[0].scrollIntoView()", canvas)
    width, height = canvas.size["width"], canvas.size["height"]
    ActionChains(browser).move_to_element_with_offset(canvas, (x - .5) * width, (y - .5) * height).click().perform()


def check(browser, *arguments):
    """The five places of the page are those of the program, with their weights."""
    answer = lens(*arguments)
    expected = answer["heads"][0]["strongest"]
    found = strongest(browser)
    assert [weight for *_, weight in found] == pytest.approx([place["weight"] for place in expected], rel=2e-3)
    assert found[0][:2] == (expected[0]["x"], expected[0]["y"])
    entropy = float(browser.find_element(By.ID, "say").text.split("entropy ")[1].split()[0])
    assert entropy == pytest.approx(answer["heads"][0]["entropy"], rel=5e-3)


def test_it_says_what_the_program_says(browser, page, tmp_path):
    open_page(browser, page)
    assert browser.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    addresses = {message["params"]["request"]["url"] for message in asked if message["method"] == "Network.requestWillBeSent"}
    assert all(address.startswith(("file:", "data:")) for address in addresses), addresses
    check(browser, "--output", tmp_path)
    slide(browser, "temperature", -3)
    check(browser, "--output", tmp_path, "--temperature", "0.001")
    slide(browser, "window", 5)
    assert browser.find_element(By.ID, "reach").text == "11×11"
    check(browser, "--output", tmp_path, "--temperature", "0.001", "--window", "5")


def test_a_click_asks_another_place(browser, page, tmp_path):
    open_page(browser, page)
    before = browser.execute_script("return document.getElementById('photo').toDataURL()")
    click(browser, 0.37, 0.41)
    x, y = strongest(browser)[0][:2]  # a place is most like itself
    check(browser, "--output", tmp_path, "--point", f"{x},{y}")
    assert browser.execute_script("return document.getElementById('photo').toDataURL()") != before
    photo = browser.find_element(By.ID, "photo")
    photo.send_keys(Keys.ARROW_RIGHT)
    right = strongest(browser)[0][:2]
    assert right[1] == y and 0 < right[0] - x < 12
    photo.send_keys(Keys.SHIFT + Keys.ARROW_DOWN)
    assert strongest(browser)[0][1] - y > 30


def test_narrow_and_by_keyboard(browser, page):
    open_page(browser, page, width=390)
    assert browser.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    reached = set()
    for _ in range(8):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.add(browser.switch_to.active_element.get_attribute("id"))
    assert {"photo", "temperature", "window", "opacity"} <= reached
    assert all(browser.execute_script("return arguments[0].labels.length", browser.find_element(By.ID, name)) == 1
               for name in ("temperature", "window", "opacity"))
