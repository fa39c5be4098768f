"""fovea evaluate of captions against figures counted here: scores of files, what is right on scenes, where words point."""
import json
import os
import random
import re
import sys
from collections import Counter

import numpy as np
import pytest
import timm
import tokenizers
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import models, pre_tokenizers

from program import DATA, IO, SOURCE, USAGE, fovea, refused

sys.path.insert(0, str(SOURCE / "tests/captioning"))
import captioner_peers  # noqa: E402
from test_metrics import reference_bleu, reference_cider, reference_rouge  # noqa: E402

COUNT = 60
NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4}
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink"]
RELATIONS = {"to the left of": 0, "left of": 0, "to the right of": 1, "right of": 1, "above": 2, "over": 2, "below": 3,
             "under": 3}
OPPOSITE = [1, 0, 3, 2]
NOUNS = re.findall(r'\{(?:0x[0-9a-f]+|0), "([^"]+)"(?:, "([^"]+)")?\}',
                   (SOURCE / "datasets/scenes/nouns.cpp").read_text())


def evaluate(*arguments):
    run = fovea("evaluate", *arguments, "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


class Scenes:
    """Pictures that `fovea scenes` drew, with what its captions.json says of them."""

    def __init__(self, folder, split="test", count=COUNT):
        run = fovea("scenes", "--output", folder, "--split", split, "--count", str(count))
        assert run.returncode == 0, run.stderr
        self.folder = folder
        page = json.loads((folder / "captions.json").read_text())
        self.files = [image["file_name"] for image in page["images"]]
        self.captions = [[a["caption"] for a in page["annotations"] if a["image_id"] == i] for i in range(count)]
        self.objects = [[o for o in page["objects"] if o["image_id"] == i] for i in range(count)]
        self.forms = {}  # how a noun is said → the noun
        for noun, plural in NOUNS:
            self.forms.update({noun: noun, plural or noun + "s": noun})

    def groups(self, index):
        """[(noun, colour, number)] in the order they were drawn."""
        return [(noun, colour, number) for (noun, colour), number in
                Counter((o["noun"], o.get("colour")) for o in self.objects[index]).items()]

    def read(self, text):
        """[(noun, colour, number, place of the noun)], and the relation between the first two."""
        forms = "|".join(map(re.escape, sorted(self.forms, key=len, reverse=True)))
        found = list(re.finditer(rf"(?:(?<!\S)({'|'.join(NUMBERS)}) )?(?:(?<!\S)({'|'.join(COLOURS)}) )?(?<!\S)({forms})(?!\S)",
                                 text))
        relation = RELATIONS.get(text[found[0].end():found[1].start()].strip()) if len(found) > 1 else None
        return [(self.forms[m[3]], m[2], NUMBERS.get(m[1], 0), m.span(3)) for m in found], relation


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return Scenes(tmp_path_factory.mktemp("scenes"))


def plain(text):
    return " ".join(text.lower().split()).rstrip(". ")


def spoil(rng, text, forms):
    """A caption as a network may write it: often right, often a little wrong."""
    kind = rng.randrange(8)
    if kind == 0:
        return text.upper() + " ."
    if kind == 1:
        return text.replace("left", "right").replace("above", "below")
    if kind == 2:
        return re.sub("|".join(COLOURS), rng.choice(COLOURS), text)
    if kind == 3:
        return re.sub(r"\b(an?|two|three)\b", "four", text, count=1)
    if kind == 4:
        return re.split(" to the | left of| right of| above| below| over| under", text)[0]
    if kind == 5:
        return f"{text} {rng.choice(['and', 'under'])} a {rng.choice(forms)}"
    if kind == 6:
        return " ".join(rng.sample(text.split(), len(text.split()) - 1)) + " the of"
    return text


def expected_on_scenes(scenes, texts):
    right = {key: [0, 0] for key in ("captions", "nouns", "said", "counts", "colours", "relations")}
    invented = 0
    omitted = Counter()

    def count(key, good):
        right[key][0] += bool(good)
        right[key][1] += 1
    for index, text in enumerate(texts):
        groups, (phrases, relation) = scenes.groups(index), scenes.read(plain(text))
        count("captions", plain(text) in scenes.captions[index])
        nouns = [group[0] for group in groups]
        said = [phrase[0] for phrase in phrases]
        for noun, colour, number in groups:
            count("said", noun in said)
            if noun in said:
                first = phrases[said.index(noun)]
                count("counts", first[2] == number)
                count("colours", first[1] == colour)
            else:
                omitted[noun] += 1
        both = sum(noun in said for noun in nouns)
        right["nouns"][0] += both
        right["nouns"][1] += max(len(nouns), len(said))
        invented += sum(noun not in nouns for noun in said)
        if len(nouns) == 2 and both == 2 and len(said) == 2:
            _, truth = scenes.read(scenes.captions[index][0])
            in_order = scenes.read(scenes.captions[index][0])[0][0][0] == said[0]
            count("relations", relation == (truth if in_order else OPPOSITE[truth]))
    return right, invented, omitted


def test_what_is_right_on_scenes(drawn, tmp_path):
    rng = random.Random(0)
    forms = sorted({o["noun"] for objects in drawn.objects for o in objects})
    texts = [spoil(rng, rng.choice(captions), forms) for captions in drawn.captions]
    rows = [{"image": str(drawn.folder / file), "generated_text": text} for file, text in zip(drawn.files, texts)]
    (tmp_path / "captions.json").write_text(json.dumps(rows))
    answer = evaluate("--data", "scenes:test", "--count", str(COUNT), "--captions", tmp_path / "captions.json")
    (result,) = answer["results"]
    right, invented, omitted = expected_on_scenes(drawn, texts)
    found = result["scenes"]
    assert {key: [found[key]["right"], found[key]["of"]] for key in right} == right
    assert min(good for good, _ in right.values()) > 5 and all(good < of for good, of in right.values())
    assert found["invented"] == invented > 3
    assert {row["noun"]: row["omitted"] for row in found["most_omitted"]}.items() <= omitted.items()
    assert sum(row["omitted"] for row in found["most_omitted"]) >= min(10, sum(omitted.values()))
    assert "perplexity" not in result and "pointing" not in result
    # Several captions of an image: the first counts. One that failed has none.
    several = [{"image": rows[0]["image"], "error": "no"}]
    for row in rows[1:]:
        several += [row, dict(row, generated_text="nothing")]
    (tmp_path / "captions.json").write_text(json.dumps(several))
    (other,) = evaluate("--data", "scenes:test", "--count", str(COUNT), "--captions", tmp_path / "captions.json")["results"]
    assert (other["pictures"], other["without_caption"]) == (COUNT - 1, 1)
    assert other["scenes"]["captions"]["right"] == right["captions"][0] - (plain(texts[0]) in drawn.captions[0])


def coco_page(files, captions):
    return {"images": [{"id": 7 * i, "file_name": file} for i, file in enumerate(files)],
            "annotations": [{"id": j, "image_id": 7 * i, "caption": text} for i, texts in enumerate(captions)
                            for j, text in enumerate(texts)]}


REFERENCES = [["A dog runs on the grass.", "a brown dog running in grass", "the dog is running"],
              ["two men on a boat", "Men sit in a small boat on water", "a boat with two men"],
              ["a red bus on the street", "a bus drives down a street"]]
CANDIDATES = ["a dog a dog runs on the beach", "two men in a boat", "a man on the street in a man on the street"]


def test_scores_of_a_file(tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(coco_page(["a.jpg", "b.jpg", "c.jpg"], REFERENCES)))
    rows = [{"image": f"photos/{name}.jpg", "generated_text": text} for name, text in zip("abc", CANDIDATES)]
    (tmp_path / "made.json").write_text(json.dumps(rows))
    (result,) = evaluate("--data", tmp_path / "coco.json", "--captions", tmp_path / "made.json")["results"]
    pairs = [(text.split(), [plain(reference).split() for reference in references])
             for text, references in zip(CANDIDATES, REFERENCES)]
    assert result["bleu"] == pytest.approx(reference_bleu(pairs), abs=1e-9)
    assert result["rouge_l"] == pytest.approx(reference_rouge(pairs), abs=1e-9)
    assert result["cider_d"] == pytest.approx(reference_cider(pairs), abs=1e-9)
    errors = result["errors"]
    assert errors["length"] == pytest.approx(np.mean([len(c) for c, _ in pairs]))
    assert errors["reference_length"] == pytest.approx(np.mean([len(r) for _, references in pairs for r in references]))
    assert errors["stutters"] == pytest.approx(1 / 3)  # "a dog a dog"
    assert errors["repeats"] == pytest.approx(1 / 3)  # "man on the", "on the street"
    # Expected: dog run grass; two men boat; red bus street drive. Of these the captions leave out grass, red, bus, drive.
    assert errors["omitted"] == pytest.approx(4 / 10)
    assert {row["word"] for row in errors["most_omitted"]} == {"grass", "red", "bu", "drive"}
    assert errors["invented"] == pytest.approx(2 / 8)  # beach; man
    assert [band["words"] for band in errors["by_length"]] == [[5, 8], [9, 12]]
    assert [band["captions"] for band in errors["by_length"]] == [2, 1]
    mean = sum(band["cider_d"] * band["captions"] for band in errors["by_length"]) / 3
    assert mean == pytest.approx(result["cider_d"])
    # The same as Karpathy's file.
    page = {"images": [{"filename": f"{name}.jpg", "split": split, "sentences": [{"raw": text} for text in texts]}
                       for name, split, texts in zip("abc", ["test", "val", "train"], REFERENCES)]}
    (tmp_path / "karpathy.json").write_text(json.dumps(page))
    arguments = ["--data", tmp_path / "karpathy.json", "--captions", tmp_path / "made.json"]
    assert evaluate(*arguments)["results"][0]["pictures"] == 1
    assert evaluate(*arguments, "--split", "test,val,train")["results"][0]["cider_d"] == result["cider_d"]
    # As a table.
    run = fovea("evaluate", *arguments)
    assert run.returncode == 0 and "CIDEr-D" in run.stdout and "says something twice at once" in run.stdout


@pytest.fixture(scope="module")
def captioner(drawn, tmp_path_factory):
    """A random ViT-GPT2 that writes the words of the first scenes, saved as transformers does."""
    words = sorted({word for captions in drawn.captions[:12] for text in captions for word in text.split()})
    vocabulary = {word: index for index, word in enumerate(["<unk>", *words, "<|endoftext|>"])}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    folder = tmp_path_factory.mktemp("captioner")
    model = captioner_peers.vit_gpt2(tokenizer, 5, encoder={"image_size": 48})
    captioner_peers.save(model, tokenizer, folder)
    processor = {"size": {"height": 48, "width": 48}, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    config = json.loads((folder / "generation_config.json").read_text())
    config["no_repeat_ngram_size"] = 1  # so that it names many nouns
    (folder / "generation_config.json").write_text(json.dumps(config))
    return folder, model, tokenizer


def pixels(path):
    image = np.array(Image.open(path).convert("RGB").resize((48, 48), Image.Resampling.BILINEAR))
    return ((torch.from_numpy(image).permute(2, 0, 1) / 255 - 0.5) / 0.5)[None]


def peer_maps(model, x, tokens):
    model.set_attn_implementation("eager")
    with torch.no_grad():
        maps = model(pixel_values=x, decoder_input_ids=tokens, output_attentions=True).cross_attentions
    return torch.stack(maps).mean((0, 2))[0]  # [n,37]


def test_a_network_on_scenes(drawn, captioner, tmp_path):
    folder, model, tokenizer = captioner
    count = 12
    answer = evaluate("--data", "scenes:test", "--count", str(count), "--model", folder, "--max-length", "12", "--output",
                      tmp_path / "results.json", "--shuffled")
    plainly, shuffled = answer["results"]
    texts, likely, tokens_in_all, pointed, chance = [], 0.0, 0, [], 0.0
    end = tokenizer.token_to_id("<|endoftext|>")
    for index, file in enumerate(drawn.files[:count]):
        x = pixels(drawn.folder / file)
        with torch.no_grad():
            ids = model.generate(pixel_values=x, max_length=12, do_sample=False, no_repeat_ngram_size=1)[0].tolist()
        made = ids[1:ids.index(end, 1)] if end in ids[1:] else ids[1:]
        texts.append(tokenizer.decode(made))
        for reference in drawn.captions[index]:
            sequence = torch.tensor([[end, *tokenizer.encode(reference, add_special_tokens=False).ids, end]])
            with torch.no_grad():
                logits = model(pixel_values=x, decoder_input_ids=sequence[:, :-1]).logits
            likely += torch.log_softmax(logits.double(), -1).gather(2, sequence[:, 1:, None]).sum().item()
            tokens_in_all += sequence.shape[1] - 1
        maps = peer_maps(model, x, torch.tensor([[end, *made]]))[:-1, 1:].view(-1, 6, 6)
        done = set()
        for noun, _, _, (first, last) in drawn.read(texts[-1])[0]:
            boxes = [o["bbox"] for o in drawn.objects[index] if o["noun"] == noun]
            if not boxes or noun in done:
                continue
            done.add(noun)
            spaces = texts[-1][:first].count(" ")
            heat = maps[spaces:spaces + texts[-1][first:last].count(" ") + 1].mean(0)
            hits = [any(left <= (column + 0.5) * 448 / 6 < left + width and top <= (row + 0.5) * 448 / 6 < top + height
                        for left, top, width, height in boxes) for row in range(6) for column in range(6)]
            pointed.append(hits[heat.argmax().item()])
            chance += np.mean(hits)
    right, _, _ = expected_on_scenes(drawn, texts)
    assert {key: [plainly["scenes"][key]["right"], plainly["scenes"][key]["of"]] for key in right} == right
    assert plainly["perplexity"] == pytest.approx(np.exp(-likely / tokens_in_all), rel=1e-4)
    assert len(pointed) > 2, "the test tells nothing"
    assert [plainly["pointing"]["right"], plainly["pointing"]["of"]] == [sum(pointed), len(pointed)]
    assert plainly["pointing"]["shuffled"] == pytest.approx(chance / len(pointed))
    # Attention out of order: other captions of the same network, told apart by name.
    assert shuffled["data"] == "scenes:test shuffled" and "pointing" not in shuffled
    assert shuffled["perplexity"] != plainly["perplexity"]
    # What was written is what was judged, and can be judged again without the network.
    page = json.loads((tmp_path / "results.json").read_text())
    assert [row["generated_text"] for row in page["results"][0]["captions"]] == texts
    page["results"] = page["results"][:1]
    (tmp_path / "again.json").write_text(json.dumps(page))
    (again,) = evaluate("--data", "scenes:test", "--count", str(count), "--captions", tmp_path / "again.json")["results"]
    assert again["cider_d"] == plainly["cider_d"] and again["scenes"] == plainly["scenes"]
    # The same pictures and captions as files.
    (tmp_path / "coco.json").write_text(json.dumps(coco_page(drawn.files[:count], drawn.captions[:count])))
    files = evaluate("--data", tmp_path / "coco.json", "--images", drawn.folder, "--model", folder, "--max-length", "12")
    assert files["results"][0]["perplexity"] == pytest.approx(plainly["perplexity"], rel=1e-6)
    assert files["results"][0]["bleu"] == plainly["bleu"]


def test_seen_against_unseen(drawn, captioner, tmp_path):
    unseen = Scenes(tmp_path / "unseen", "unseen", 20)
    rows = []
    for index, file in enumerate(drawn.files[:20]):
        rows.append({"image": file, "generated_text": drawn.captions[index][0] if index % 2 else "a thing"})
    for index, file in enumerate(unseen.files):
        rows.append({"image": file, "generated_text": unseen.captions[index][0] if index % 4 == 0 else "a thing"})
    (tmp_path / "captions.json").write_text(json.dumps(rows))
    answer = evaluate("--data", "scenes", "--count", "20", "--captions", tmp_path / "captions.json")
    assert [result["data"] for result in answer["results"]] == ["scenes:test", "scenes:unseen"]
    assert answer["unseen_of_seen"]["captions"] == pytest.approx(5 / 10)


def photo_of(path):
    image = Image.open(path).convert("RGB").resize((248, 248), Image.Resampling.BICUBIC).crop((12, 12, 236, 236))
    return ((torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - 0.5) / 0.5)[None]


def test_labels_of_scenes(drawn, tmp_path):
    """The mean average precision of a random network is that of timm's on the same pictures."""
    torch.manual_seed(1)
    nouns = [noun for noun, _ in NOUNS]
    classes = len(nouns)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=classes).eval()
    with torch.no_grad():
        model.head.weight.normal_()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224", "num_classes": classes}))
    run = fovea("evaluate", "--data", "scenes:test", "--count", "8", "--model", tmp_path, "--json")
    assert run.returncode == 0, run.stderr
    (result,) = json.loads(run.stdout)["results"]
    x = torch.cat([photo_of(drawn.folder / file) for file in drawn.files[:8]])
    with torch.no_grad():
        scores = model(x).double().numpy()
    precisions = []
    for column, noun in enumerate(nouns):
        there = [any(o["noun"] == noun for o in objects) for objects in drawn.objects[:8]]
        hits = np.array(there)[np.argsort(-scores[:, column])]
        if any(there):
            precisions.append(np.mean([hits[:rank + 1].mean() for rank in range(8) if hits[rank]]))
    assert result["pictures"] == 8 and len(precisions) > 8
    assert result["mean_average_precision"] == pytest.approx(np.mean(precisions), abs=1e-9)
    refused(fovea("evaluate", "--data", "scenes:test", "--model", "fovea_vit_fashion"), DATA, "10 classes")


@pytest.mark.parametrize("arguments,code,cause", [
    (["--data", "scenes:nowhere", "--captions", "{rows}"], USAGE, "--data: expected one of train, test, unseen, crowded, got nowhere"),
    (["--data", "{coco}", "--model", "{model}", "--captions", "{rows}"], USAGE, "take no --model"),
    (["--data", "{coco}", "--model", "{model}"], USAGE, "--images DIR is required"),
    (["--data", "{coco}", "--captions", "{rows}", "--shuffled"], USAGE, "--shuffled needs a network"),
    (["--data", "{coco}", "--captions", "{empty}"], DATA, "empty.json: expected captions"),
    (["--data", "{coco}", "--captions", "{coco}"], DATA, "coco.json: expected captions"),
    (["--data", "{coco}", "--captions", "{others}"], DATA, "no caption of a picture of"),
    (["--data", "{coco}", "--captions", "{twins}"], DATA, "two pictures of the name a.jpg"),
    (["--data", "{coco}", "--captions", "{rows}", "--explain", "gradcam"], USAGE, "--explain needs --data of labelled"),
    (["--data", "{coco}", "--captions", "{rows}", "--output", "{coco}"], IO, "coco.json: exists and was not written by"),
    (["--data", "{folder}", "--captions", "{rows}"], USAGE, "--captions needs --data of captions"),
    (["--data", "{folder}/none.json", "--captions", "{rows}"], IO, "none.json"),
])
def test_refusals(captioner, tmp_path, arguments, code, cause):
    files = {"coco": coco_page(["a.jpg"], [["a dog"]]), "rows": [{"image": "a.jpg", "generated_text": "a dog"}],
             "empty": [], "others": [{"image": "b.jpg", "generated_text": "a dog"}],
             "twins": [{"image": f"{folder}/a.jpg", "generated_text": "a dog"} for folder in "xy"]}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    places = {name: tmp_path / f"{name}.json" for name in files} | {"model": captioner[0], "folder": tmp_path}
    refused(fovea("evaluate", *(argument.format(**places) for argument in arguments)), code, cause)


def test_results_are_replaced_by_their_own_command_alone(tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(coco_page(["a.jpg"], [["a dog"]])))
    (tmp_path / "rows.json").write_text(json.dumps([{"image": "a.jpg", "generated_text": "a dog"}]))
    command = ["evaluate", "--data", tmp_path / "coco.json", "--captions", tmp_path / "rows.json", "--output",
               tmp_path / "out.json"]
    for _ in range(2):
        assert fovea(*command).returncode == 0
    (tmp_path / "out.json").write_text("mine")
    refused(fovea(*command), IO, "out.json: exists and was not written by this command")
    assert fovea(*command, "--force").returncode == 0
    assert json.loads((tmp_path / "out.json").read_text())["program"] == "fovea evaluate"
    assert os.listdir(tmp_path).count("out.json") == 1
