"""Pathfinder pictures: what the label says is read from the pixels alone."""
import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

TOOL = Path(os.environ["FOVEA_BIN"]) / "pathfinder_tool"
LIT = 64  # of 255
REACH = 3.5  # pixels: ends of neighbouring dashes are nearer, other curves farther


def drawn(count, side=32, dashes=6, distractors=2, seed=0, first=0):
    out = subprocess.run([TOOL, *map(str, (side, dashes, distractors, seed, first, count))], check=True,
                         capture_output=True).stdout
    rows = np.frombuffer(out, np.uint8).reshape(count, 1 + side * side)
    return rows[:, 0].astype(bool), rows[:, 1:].reshape(count, side, side)


def dots(picture):
    """Middles of the two places where nearly all of 3×3 pixels are white."""
    padded = np.pad(picture.astype(float) / 255, 1)
    side = picture.shape[0]
    full = sum(padded[y:y + side, x:x + side] for y in range(3) for x in range(3))
    found = []
    for place in np.argsort(-full, axis=None):
        y, x = divmod(int(place), side)
        if full[y, x] < 7.2:
            break
        if all((y - v) ** 2 + (x - u) ** 2 > 9 for v, u in found):
            found.append((y, x))
    return found


def groups(picture):
    """A number for each lit pixel, the same for those that are joined by steps of at most REACH."""
    places = np.argwhere(picture >= LIT)
    near = ((places[:, None] - places[None]) ** 2).sum(-1) <= REACH ** 2
    group = np.arange(len(places))
    while True:
        lowest = np.where(near, group[None], len(places)).min(1)
        if (lowest == group).all():
            return {tuple(place): number for place, number in zip(places.tolist(), group)}
        group = lowest


@pytest.mark.parametrize("options", [{}, {"seed": 7, "first": 1000}, {"dashes": 4, "distractors": 4},
                                     {"side": 64, "dashes": 14, "distractors": 6}])
def test_labels_are_what_the_pixels_say(options):
    count = 200 if options.get("side", 32) == 32 else 40
    labels, pictures = drawn(count, **options)
    assert labels.sum() == count // 2
    for i, (label, picture) in enumerate(zip(labels, pictures)):
        places = dots(picture)
        assert len(places) == 2, (i, places)
        group = groups(picture)
        assert (group[places[0]] == group[places[1]]) == label, i
        curves = 2 + options.get("distractors", 2)
        assert len(set(group.values())) == curves, i


def test_pictures_are_the_same_everywhere_and_all_different():
    labels, pictures = drawn(400)
    assert hashlib.sha256(pictures.tobytes()).hexdigest() == SUM
    assert len({picture.tobytes() for picture in pictures}) == 400
    assert (drawn(3, first=200)[1] == pictures[200:203]).all()
    assert (drawn(400, seed=1)[1] != pictures).any(axis=(1, 2)).all()


def test_no_pixel_gives_the_label_away():
    """Means of both classes differ by no more than chance does; so do the light and the distance of the dots."""
    labels, pictures = drawn(2000, seed=3)
    values = pictures.reshape(len(pictures), -1) / 255
    of_joined, of_apart = values[labels], values[~labels]
    error = np.sqrt(of_joined.var(0) / len(of_joined) + of_apart.var(0) / len(of_apart)) + 1e-6
    z = (of_joined.mean(0) - of_apart.mean(0)) / error
    assert np.abs(z).max() < 4.5 and np.sqrt((z ** 2).mean()) < 1.15
    light = values.sum(1)
    assert abs(light[labels].mean() - light[~labels].mean()) < 0.02 * light.mean()
    ends = np.array([dots(picture)[:2] for picture in pictures], float)
    distance = np.hypot(*(ends[:, 0] - ends[:, 1]).T)
    counts = [np.histogram(distance[which], bins=range(0, 34, 2))[0] for which in (labels, ~labels)]
    assert np.maximum(*counts).sum() / len(labels) < 0.55  # right answers of one who sees the distance alone


def test_refusals():
    def refused(*options):
        run = subprocess.run([TOOL, *map(str, options)], capture_output=True, text=True)
        assert run.returncode == 2 and run.stderr.count("\n") == 1
        return run.stderr

    assert "no place" in refused(12, 6, 2, 0, 0, 1)
    assert "dashes 0" in refused(32, 0, 2, 0, 0, 1)
    assert "count 0" in refused(32, 6, 2, 0, 0, 0)


SUM = "8a3e1820749a04be978e36581a255b68c8ffe80d41bdc79a41f34a780f803e78"
