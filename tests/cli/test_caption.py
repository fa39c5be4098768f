"""fovea caption: the answers of transformers on the same file, JSON, sheets of words, one line of error."""
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from program import DATA, IO, SOURCE, USAGE, fovea, refused

sys.path.insert(0, str(SOURCE / "tests/captioning"))
import small_captioner  # noqa: E402

SIDE = small_captioner.SIDE


@pytest.fixture(scope="module")
def captioner(tmp_path_factory):
    """A folder of a small ViT-GPT2 with random weights, its peer and its tokenizer."""
    folder = tmp_path_factory.mktemp("captioner")
    model, tokenizer = small_captioner.save(folder)
    return folder, model, tokenizer


def peer_ids(captioner, path, prompt="", **options):
    _, model, tokenizer = captioner
    image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    x = (torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - 0.5) / 0.5
    start = [model.generation_config.eos_token_id, *tokenizer.encode(prompt, add_special_tokens=False).ids]
    if "max_new_tokens" not in options:
        options.setdefault("max_length", 20 + len(start))
    with torch.no_grad():
        found = model.generate(pixel_values=x[None], decoder_input_ids=torch.tensor([start]), **options).tolist()
    end = model.generation_config.eos_token_id
    return [ids[:1] + (ids[1:ids.index(end, 1) + 1] if end in ids[1:] else ids[1:]) for ids in found]


def answers(*arguments):
    run = fovea("caption", *arguments, "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_text_and_numbers(captioner, photographs):
    folder, _, tokenizer = captioner
    expected = [peer_ids(captioner, path)[0] for path in photographs]
    found = answers(*photographs, "--model", folder)
    assert [set(one) for one in found] == [{"image", "generated_text", "token_ids", "score"}] * len(photographs)
    assert [one["image"] for one in found] == [str(path) for path in photographs]
    assert [one["token_ids"] for one in found] == expected
    texts = [tokenizer.decode(ids).strip(" \n\t\r") for ids in expected]
    assert [one["generated_text"] for one in found] == texts
    run = fovea("caption", photographs[0], "--model", folder)
    assert run.returncode == 0 and run.stdout.startswith(f"{photographs[0]}: ") and run.stdout.count("\n") == 1


def test_beams_prompts_and_lengths(captioner, photograph):
    folder = captioner[0]
    options = dict(num_beams=3, num_return_sequences=3, max_length=12, repetition_penalty=1.3, no_repeat_ngram_size=2,
                   min_length=8)
    expected = peer_ids(captioner, photograph, "the dog", **options)
    found = answers(photograph, "--model", folder, "--beams", "3", "--n-best", "3", "--max-length", "12", "--prompt",
                    "the dog", "--repetition-penalty", "1.3", "--no-repeat-ngram", "2", "--min-length", "8")
    assert [one["token_ids"] for one in found] == expected
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    assert all(one["generated_text"].startswith("the dog") for one in found)


def test_what_the_makers_ask_for(captioner, photograph, tmp_path):
    """generation_config.json decides where the command line says nothing."""
    shutil.copytree(captioner[0], tmp_path, dirs_exist_ok=True)
    config = tmp_path / "generation_config.json"
    published = json.loads(config.read_text())
    asked = dict(num_beams=3, max_length=11, min_length=6, no_repeat_ngram_size=2, repetition_penalty=1.2,
                 length_penalty=2.0, early_stopping=True, num_return_sequences=2)
    config.write_text(json.dumps({**published, **asked, "max_new_tokens": None}))
    expected = peer_ids(captioner, photograph, **asked)
    assert [one["token_ids"] for one in answers(photograph, "--model", tmp_path)] == expected != peer_ids(captioner, photograph)
    # The command line goes before it.
    found = answers(photograph, "--model", tmp_path, "--beams", "1", "--max-length", "9")
    assert [one["token_ids"] for one in found] == peer_ids(captioner, photograph, **{
        **asked, "num_beams": 1, "max_length": 9, "num_return_sequences": 1, "early_stopping": False})
    config.write_text(json.dumps({**published, "max_new_tokens": 4, "max_length": 20}))
    (one,) = answers(photograph, "--model", tmp_path, "--prompt", "the dog")
    assert [one["token_ids"]] == peer_ids(captioner, photograph, "the dog", max_new_tokens=4, max_length=None)
    config.write_text(json.dumps({**published, "do_sample": True, "top_k": 5, "temperature": 0.7}))
    torch.manual_seed(0)
    expected = peer_ids(captioner, photograph, do_sample=True, top_k=5, temperature=0.7)
    assert [one["token_ids"] for one in answers(photograph, "--model", tmp_path)] == expected


@pytest.mark.parametrize("keys,cause", [
    ({"num_beams": 0}, "num_beams: expected 1 to"), ({"max_length": "20"}, "max_length: expected an integer"),
    ({"length_penalty": "x"}, "length_penalty: expected a number"), ({"temperature": -1}, "temperature: expected a number above 0"),
    ({"early_stopping": "soon"}, "early_stopping: expected true, false or"), ({"do_sample": 1}, "do_sample: expected true"),
    ({"num_beam_groups": 2}, "num_beam_groups: only 1 is supported, got 2"),
    ({"bad_words_ids": [[3]]}, "bad_words_ids is not supported"),
])
def test_what_cannot_be_asked_for(captioner, photograph, tmp_path, keys, cause):
    shutil.copytree(captioner[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").write_text(json.dumps(keys))
    refused(fovea("caption", photograph, "--model", tmp_path), DATA, "generation_config.json: ", cause)


def test_the_joint_file_of_transformers_5(captioner, photograph, tmp_path):
    """processor_config.json goes before preprocessor_config.json where it speaks of images."""
    shutil.copytree(captioner[0], tmp_path, dirs_exist_ok=True)
    expected = answers(photograph, "--model", captioner[0])
    theirs = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**theirs, "image_mean": [0.1, 0.9, 0.2]}))
    other = answers(photograph, "--model", tmp_path)
    assert other[0]["score"] != expected[0]["score"]
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "X"}))
    assert answers(photograph, "--model", tmp_path) == other
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": theirs}))
    assert answers(photograph, "--model", tmp_path) == expected
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": 3}))
    refused(fovea("caption", photograph, "--model", tmp_path), DATA, "image_processor: expected an object")


def test_draws(captioner, photograph):
    folder = captioner[0]
    torch.manual_seed(3)
    expected = peer_ids(captioner, photograph, do_sample=True, top_p=0.8, top_k=0, temperature=0.9)
    (one,) = answers(photograph, "--model", folder, "--top-p", "0.8", "--temperature", "0.9", "--seed", "3")
    assert one["token_ids"] == expected[0]
    several = answers(photograph, "--model", folder, "--top-p", "0.95", "--n-best", "4")
    assert len({tuple(draw["token_ids"]) for draw in several}) > 1


def test_a_failed_image_among_others(captioner, photograph, tmp_path):
    folder = captioner[0]
    (tmp_path / "text.png").write_text("no picture")
    paths = [tmp_path / "missing.png", photograph, tmp_path / "text.png"]
    run = fovea("caption", *paths, "--model", folder, "--json")
    found = json.loads(run.stdout)
    assert run.returncode == IO and run.stderr.count("error: ") == 2
    assert [sorted(one) for one in found] == [["error", "image"], sorted(["generated_text", "image", "score", "token_ids"]),
                                              ["error", "image"]]
    assert fovea("caption", *paths, "--model", folder, "--keep-going").returncode == 0


def test_sheets_of_words(captioner, photographs, tmp_path):
    folder = captioner[0]
    run = fovea("caption", *photographs, "--model", folder, "--maps", tmp_path / "out", "--beams", "2")
    if os.environ["FOVEA_WITH_OPENCV"] != "ON":
        refused(run, USAGE, "no OpenCV")
        return
    assert run.returncode == 0, run.stderr
    for path in photographs:
        sheet = np.array(Image.open(tmp_path / "out" / f"{path.stem}.words.png").convert("RGB")).astype(int)
        original = Image.open(path)
        # The first small picture is the photograph itself, the others have heat over it.
        scale = 224 / max(original.size)
        small = np.array(original.convert("RGB").resize((round(original.width * scale), round(original.height * scale)),
                                                        Image.Resampling.BOX)).astype(int)
        differences = [np.abs(sheet[top:top + small.shape[0], left:left + small.shape[1]] - small).mean()
                       for top in range(20, min(120, sheet.shape[0] - small.shape[0])) for left in range(8, 40)]
        assert min(differences) < 4, min(differences)
        assert sheet.shape[1] > 2 * small.shape[1]
    # Its own file is replaced, a foreign one only on demand.
    target = tmp_path / "out" / f"{photographs[0].stem}.words.png"
    again = ["caption", photographs[0], "--model", folder, "--maps", tmp_path / "out"]
    assert fovea(*again).returncode == 0
    Image.new("RGB", (4, 4)).save(target)
    run = fovea(*again)
    assert run.returncode == IO and "--force replaces it" in run.stderr
    assert fovea(*again, "--force").returncode == 0


def test_preview_shows_the_picture_in_half_blocks(captioner, tmp_path):
    # Four flat quarters: what a terminal shows is known but for the seam.
    picture = np.zeros((96, 96, 3), np.uint8)
    colours = {(0, 0): (200, 30, 40), (0, 1): (20, 180, 60), (1, 0): (10, 60, 220), (1, 1): (250, 240, 30)}
    for (row, column), colour in colours.items():
        picture[48 * row:48 * row + 48, 48 * column:48 * column + 48] = colour
    Image.fromarray(picture).save(tmp_path / "quarters.png")
    run = fovea("caption", tmp_path / "quarters.png", "--model", captioner[0], "--preview")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 25 and ": " in lines[-1]  # 48 characters wide, half as many lines, then the words
    for number, line in enumerate(lines[:24]):
        cells = re.findall("\x1b\\[38;2;(\\d+);(\\d+);(\\d+);48;2;(\\d+);(\\d+);(\\d+)m▀", line)
        assert len(cells) == 48 and line.endswith("\x1b[0m")
        for column, cell in enumerate(cells):
            if column in (23, 24) or number in (11, 12):
                continue
            above, below = tuple(map(int, cell[:3])), tuple(map(int, cell[3:]))
            assert above == below == colours[number // 12, column // 24]
    refused(fovea("caption", tmp_path / "quarters.png", "--model", captioner[0], "--preview", "--json"), USAGE, "--preview")


@pytest.mark.parametrize("arguments,cause", [
    (["--weights", "w"], "--weights needs --model"), (["--beams", "0"], "--beams: expected an integer of 1"),
    (["--model", "{file}"], "is no folder"), (["--model", "{folder}", "--n-best", "2"], "--n-best 2 needs --beams"),
    (["--model", "{folder}", "--top-p", "0.5", "--beams", "2"], "--top-p draws captions; leave --beams out"),
    (["--model", "{folder}", "--top-p", "1.5"], "--top-p: expected a number of 0 to 1, got 1.5"),
    (["--model", "{folder}", "--top-p", "nan"], "--top-p: expected a number above 0, got nan"),
    (["--model", "{folder}", "--temperature", "2"], "--temperature needs --top-p"),
    (["--model", "{folder}", "--prompt", "a b c d", "--max-length", "3"], "--prompt: its "),
    (["--model", "{folder}", "--prompt", b"\xff\xfe"], "--prompt: text: byte 0 (0xFF) is no UTF-8"),
    (["--model", "{folder}", "--max-length", "99999999999999999999"], "--max-length: expected an integer"),
])
def test_usage(captioner, photograph, arguments, cause):
    places = {"folder": captioner[0], "file": photograph}
    filled = [argument.format(**places) if isinstance(argument, str) else argument for argument in arguments]
    refused(fovea("caption", photograph, *filled), USAGE, cause)


def test_folders_that_are_none(photograph, captioner, tmp_path):
    refused(fovea("caption", photograph, "--model", tmp_path / "nothing"), IO, "config.json: No such file")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    refused(fovea("caption", photograph, "--model", tmp_path), DATA, 'model_type: "vit" is no captioner')
    (tmp_path / "config.json").write_text((captioner[0] / "config.json").read_text())
    refused(fovea("caption", photograph, "--model", tmp_path), IO, "has no tokenizer")


def test_two_images_of_one_name(captioner, photograph, tmp_path):
    (tmp_path / photograph.name).write_bytes(photograph.read_bytes())
    refused(fovea("caption", photograph, tmp_path / photograph.name, "--model", captioner[0], "--maps", tmp_path / "out"),
            USAGE, "would both be written to")


def test_no_word_sees_later_words(captioner):
    run = fovea("inspect", "--audit", "--model", captioner[0], "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["leaks"] == []
    run = fovea("inspect", "--audit", "--model", captioner[0])
    assert run.returncode == 0 and run.stdout.endswith("no position depends on a later token\n")
