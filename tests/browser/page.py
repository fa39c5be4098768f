"""The view of one picture, which report and server share."""
from selenium.webdriver.common.by import By


def says(browser):
    return browser.find_element(By.ID, "image0-say").text


def pixels(browser):
    return browser.execute_script("return document.getElementById('image0-canvas').toDataURL()")


def control(browser, name):
    return browser.find_element(By.ID, f"image0-{name}")


def slide(browser, name, value):
    browser.execute_script("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
                           control(browser, name), value)
