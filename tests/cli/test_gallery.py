"""fovea gallery: a picture for every mechanism that docs/modules.md lists, and a page that shows them."""
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from program import IO, SOURCE, USAGE, fovea, refused

WITH_OPENCV = os.environ["FOVEA_WITH_OPENCV"] == "ON"
draws = pytest.mark.skipif(not WITH_OPENCV, reason="pictures need OpenCV")
WITHOUT_PATTERN = {"regularisers", "diagnostics"}  # numbers, no weights


def rows():
    """First cell and formula of each row of the tables of mechanisms."""
    inside = False
    for line in (SOURCE / "docs/modules.md").read_text().splitlines():
        if not line.startswith("|"):
            inside = False
        elif re.match(r"\| (mechanism|name) \|", line):
            inside = True
        elif inside and not line.startswith("|---"):
            cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            yield cells[0], cells[1]


class Page(HTMLParser):
    """Articles by heading: their text and their pictures."""

    def __init__(self, text):
        super().__init__()
        self.articles, self.heading, self.tag = {}, None, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tag = tag
        if tag == "img":
            self.articles[self.heading][1].append(dict(attributes)["src"])

    def handle_data(self, data):
        if self.tag == "h3" and data.strip():
            self.heading = data
            self.articles[data] = ([], [])
        elif self.heading:
            self.articles[self.heading][0].append(data)

    def handle_endtag(self, tag):
        self.tag = None


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery") / "out"
    run = fovea("gallery", "--output", folder)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{folder}/index.html\n"
    return folder


@draws
def test_every_mechanism_has_its_formula_and_pictures(gallery):
    articles = Page((gallery / "index.html").read_text()).articles
    listed = list(rows())
    assert len(listed) > 60 and list(articles) == [name for name, _ in listed]
    for name, formula in listed:
        text, pictures = articles[name]
        assert formula in "".join(text), name
        assert bool(pictures) == (name not in WITHOUT_PATTERN), name
        for picture in pictures:
            pixels = np.asarray(Image.open(gallery / picture).convert("RGB"))
            assert min(pixels.shape[:2]) > 100, picture
            assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 30, picture  # a colour bar at least
    assert "href=\"https://arxiv.org/abs/1706.03762\"" in (gallery / "index.html").read_text()


@draws
def test_pictures_are_of_their_own(gallery):
    """No two mechanisms draw the same."""
    seen = {}
    for path in sorted(gallery.glob("[0-9]*.png")):
        content = np.asarray(Image.open(path).convert("RGB")).tobytes()
        assert content not in seen, (path.name, seen.get(content))
        seen[content] = path.name
    sheets = {path.name for path in gallery.glob("*.png")} - set(seen.values())
    assert sheets == {"attention.png", "channel.png", "spatial.png", "position.png", "sparse.png", "mixing.png"}


@draws
def test_the_same_again_and_nothing_else_replaced(gallery, tmp_path):
    again = tmp_path / "again"
    assert fovea("gallery", "--output", again).returncode == 0
    for path in gallery.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    assert fovea("gallery", "--output", again).returncode == 0  # its own files
    (again / "index.html").write_text("mine")
    refused(fovea("gallery", "--output", again), IO, "index.html", "--force")
    assert (again / "index.html").read_text() == "mine"
    assert fovea("gallery", "--output", again, "--force").returncode == 0
    refused(fovea("gallery", "--output", tmp_path / "none" / "out"), IO, "none")
    refused(fovea("gallery"), USAGE, "--output")


@pytest.mark.skipif(WITH_OPENCV, reason="pictures are drawn")
def test_a_build_without_opencv_says_so(tmp_path):
    refused(fovea("gallery", "--output", tmp_path / "out"), USAGE, "no OpenCV")
    assert not (tmp_path / "out").exists()
