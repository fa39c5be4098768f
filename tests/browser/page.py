"""The view of one picture, which report and server share."""
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait


def says(browser):
    return browser.find_element(By.ID, "image0-say").text


def pixels(browser):
    return browser.execute_script("return document.getElementById('image0-canvas').toDataURL()")


def control(browser, name):
    return browser.find_element(By.ID, f"image0-{name}")


def slide(browser, name, value):
    browser.execute_script("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
                           control(browser, name), value)


def played_words(browser):
    """Plays a caption to its end; the words that were pressed, in their order, and the number of all."""
    # The page itself takes down each word that is pressed: a poll from outside may come too late for one.
    browser.execute_script("""
        const words = document.querySelector(".words"), buttons = [...words.querySelectorAll("button")];
        window.order = [];
        new MutationObserver(changes => changes.forEach(({target}) => {
            const word = buttons.indexOf(target);
            if (target.getAttribute("aria-pressed") === "true" && order[order.length - 1] !== word) order.push(word);
        })).observe(words, {attributeFilter: ["aria-pressed"], subtree: true});
    """)
    *words, play = browser.find_elements(By.CSS_SELECTOR, ".words button")
    play.click()
    assert play.text == "■ stop"
    WebDriverWait(browser, 120).until(lambda _: play.text == "▶ play")
    return browser.execute_script("return window.order"), len(words)
