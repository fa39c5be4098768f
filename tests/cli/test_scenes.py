"""`fovea scenes` writes pictures whose captions and boxes say what is in them."""
import json

from PIL import Image

from program import IO, USAGE, fovea, refused


def test_pictures_captions_and_boxes_belong_together(tmp_path):
    run = fovea("scenes", "--output", str(tmp_path), "--count", "4", "--first", "10", "--split", "test")
    assert run.returncode == 0, run.stderr
    page = json.loads((tmp_path / "captions.json").read_text())
    assert [image["id"] for image in page["images"]] == [10, 11, 12, 13]
    for image in page["images"]:
        assert image["file_name"] == f"test_{image['id']:06}.png"
        with Image.open(tmp_path / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (448, 448)
        captions = [a["caption"] for a in page["annotations"] if a["image_id"] == image["id"]]
        objects = [o for o in page["objects"] if o["image_id"] == image["id"]]
        assert len(captions) in (3, 8) and len(set(captions)) == len(captions)
        assert 1 <= len(objects) <= 4
        for thing in objects:
            left, top, width, height = thing["bbox"]
            assert 0 <= left and 0 <= top and left + width <= 448 and top + height <= 448 and width > 20 < height
            if objects.count(thing) == 1 and len({o["noun"] for o in objects}) == len(objects):
                assert all(thing["noun"] in caption for caption in captions)


def test_the_same_number_is_the_same_picture(tmp_path):
    for folder in ("a", "b"):
        assert fovea("scenes", "--output", str(tmp_path / folder), "--count", "2").returncode == 0
    for name in ("train_000001.png", "captions.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_refuses_what_cannot_be(tmp_path):
    refused(fovea("scenes", "--output", str(tmp_path), "--split", "nonesuch"), USAGE, "nonesuch")
    refused(fovea("scenes", "--output", str(tmp_path), "--count", "0"), USAGE, "--count")
    refused(fovea("scenes", "--output", str(tmp_path), "--font", str(tmp_path / "no.ttf")), IO, "no.ttf: no such font")
    (tmp_path / "captions.json").write_text("mine")
    refused(fovea("scenes", "--output", str(tmp_path), "--count", "1"), IO, "captions.json")
    assert (tmp_path / "captions.json").read_text() == "mine"
