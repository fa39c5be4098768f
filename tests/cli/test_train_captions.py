"""`fovea train` on scenes and on files of captions: a classifier of several things, and captioners that `fovea caption` opens."""
import csv
import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from program import DATA, IO, SOURCE, USAGE, fovea, refused

SMALL = ["--image-size", "32", "--pictures", "8", "--batch-size", "4", "--epochs", "2", "--test-pictures", "4",
         "--threads", "1"]
CNN = ["train", "--data", "scenes", "--model", "fovea_cbamresnet_scenes", *SMALL]
LSTM = [*CNN, "--caption", "lstm", "--decoder-width", "32"]


def finished(*arguments):
    run = fovea(*arguments)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("things") / "run"
    printed = finished(*CNN, "--output", folder)
    assert "mean average precision" in printed.splitlines()[-1]
    return folder


@pytest.fixture(scope="module")
def captioner(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("captioner") / "run"
    finished(*LSTM, "--weights", classifier / "model.safetensors", "--guided", "1", "--label-share", "0.5", "--output", folder)
    return folder


def test_the_classifier_names_things(classifier):
    config = json.loads((classifier / "config.json").read_text())
    assert config["num_classes"] == len(config["label_names"]) == 306
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    with open(classifier / "log.csv") as log:
        rows = list(csv.DictReader(log))
    assert [row["epoch"] for row in rows] == ["1", "2"] and all(0 <= float(row["test_map"]) <= 1 for row in rows)


def test_the_captioner_starts_from_the_classifier_and_writes(classifier, captioner, tmp_path):
    before, after = load_file(classifier / "model.safetensors"), load_file(captioner / "model.safetensors")
    assert {f"encoder.{name}" for name in before} == {name for name in after if name.startswith("encoder.")}
    change = np.abs(after["encoder.layer2.0.conv1.weight"] - before["layer2.0.conv1.weight"]).max()
    assert 0 < change < 0.05
    assert json.loads((captioner / "config.json").read_text())["model_type"] == "fovea-captioner"
    photograph = SOURCE / "datasets/samples/chelsea.jpg"
    answer = json.loads(finished("caption", photograph, "--model", captioner, "--json"))[0]
    assert set(answer) == {"image", "generated_text", "token_ids", "score"} and answer["token_ids"][0] == 1
    vocabulary = json.loads((captioner / "vocab.json").read_text())
    assert set(answer["generated_text"].split()) <= set(vocabulary)
    # What it wrote continues as a start of another run.
    finished(*LSTM, "--weights", captioner / "model.safetensors", "--output", tmp_path / "next", "--scheduled-sampling", "0.5")


def test_scores_are_sigmoids_also_of_what_a_captioner_sees_with(classifier, captioner, tmp_path):
    photograph = SOURCE / "datasets/samples/chelsea.jpg"

    def check(folder, weights, prefix):
        config = json.loads((folder / ("encoder.json" if prefix else "config.json")).read_text())
        assert config["problem_type"] == "multi_label_classification"
        answer = json.loads(finished("classify", photograph, "--model", folder, "--top-k", "306", "--json"))[0]["predictions"]
        # The same network under its registered name, which knows nothing of the folder.
        part = {name[len(prefix):]: tensor for name, tensor in load_file(weights).items() if name.startswith(prefix)}
        save_file(part, tmp_path / "part.safetensors")
        out = tmp_path / "features.safetensors"
        finished("features", photograph, "--model", "fovea_cbamresnet_scenes", "--image-size", "32", "--weights",
                 tmp_path / "part.safetensors", "--output", out)
        wanted = 1 / (1 + np.exp(-load_file(out)["logits"][0].astype(np.float64)))
        for row in answer:
            assert abs(row["score"] - wanted[row["index"]]) < 1e-6
            assert row["label"] == config["label_names"][row["index"]]
        assert len(answer) == 306
        return answer

    assert check(classifier, classifier / "model.safetensors", "") != check(captioner, captioner / "model.safetensors", "encoder.")


def test_a_part_starts_from_another_networks_weights(classifier, tmp_path):
    """The convolutions of a hybrid ViT, with steps so small that they stay as they were."""
    vit, given = ["train", "--data", "scenes", "--model", "fovea_vit_scenes", *SMALL], classifier / "model.safetensors"
    finished(*vit, "--lr", "1e-9", "--weights", given, "--into", "patch_embed.backbone", "--allow-unexpected",
             "--output", tmp_path / "run")
    before, after = load_file(given), load_file(tmp_path / "run/model.safetensors")
    for name in ("layer1.0.conv1.weight", "layer3.1.se.spatial.conv.conv.weight", "layer2.0.bn1.weight"):
        assert np.abs(after[f"patch_embed.backbone.{name}"] - before[name]).max() < 1e-6, name
    assert "head.weight" in after and "patch_embed.backbone.fc.weight" not in after
    refused(fovea(*vit, "--weights", given, "--into", "patch_embed.backbone", "--output", tmp_path / "a"), DATA, "fc.weight")
    refused(fovea(*vit, "--weights", given, "--into", "trunk", "--output", tmp_path / "a"), USAGE, "--into", "trunk")


def test_crowded_scenes(classifier, tmp_path):
    crowded = tmp_path / "crowded"
    finished(*CNN, "--crowded", "--output", crowded)
    assert (crowded / "model.safetensors").read_bytes() != (classifier / "model.safetensors").read_bytes()
    refused(fovea(*CNN, "--output", crowded, "--resume"), USAGE, "the run there has data")


def test_a_stopped_run_goes_on_to_the_same_bytes(captioner, classifier, tmp_path):
    again = [*LSTM, "--weights", classifier / "model.safetensors", "--guided", "1", "--label-share", "0.5"]
    output = tmp_path / "run"
    finished(*again, "--output", output, "--save-every", "1")
    whole = (captioner / "model.safetensors").read_bytes()
    assert (output / "model.safetensors").read_bytes() == whole
    # Back to an older state: the newer one is lost.
    states = sorted(output.glob("state.*"), key=lambda path: path.stat().st_mtime)
    states[-1].unlink()
    finished(*again, "--output", output, "--resume")
    assert (output / "model.safetensors").read_bytes() == whole
    refused(fovea(*again, "--output", output, "--resume", "--guided", "2"), USAGE)
    refused(fovea(*again[:-2], "--label-share", "0.4", "--output", output, "--resume"), USAGE, "the run there has loss")


@pytest.fixture
def karpathy(tmp_path):
    """Eight pictures of two colours with sentences."""
    images = []
    for i in range(8):
        Image.new("RGB", (40, 30), [(200, 30, 30), (30, 30, 200)][i % 2]).save(tmp_path / f"{i}.png")
        text = f"A {['red', 'blue'][i % 2]} picture, nothing else."
        images.append({"filename": f"{i}.png", "split": "train" if i < 6 else "test", "sentences": [{"raw": text}] * 5})
    (tmp_path / "data.json").write_text(json.dumps({"images": images}))
    return tmp_path


def test_files_of_captions(karpathy):
    file, output = karpathy / "data.json", karpathy / "run"
    printed = finished("train", "--data", file, "--images", karpathy, "--test-data", file, "--caption", "transformer",
                       "--decoder-width", "32", "--decoder-depth", "1", "--model", "fovea_vit_scenes", "--image-size", "32",
                       "--classes", "3", "--batch-size", "6", "--epochs", "150", "--lr", "0.003", "--threads", "1",
                       "--output", output)
    assert "captions right 100.00 %" in printed
    assert finished("caption", karpathy / "6.png", "--model", output).endswith(": a red picture nothing else\n")


WRONG = {
    "a teacher": ([*CNN, "--teacher", "fovea_vit_fashion"], ["--teacher"]),
    "pictures without scenes": (["train", "--data", "d", "--model", "resnet18", "--classes", "3", "--pictures", "9"],
                                ["--pictures"]),
    "images without captions": (["train", "--data", "d", "--model", "resnet18", "--classes", "3", "--images", "d"],
                                ["--caption"]),
    "unknown decoder": ([*CNN, "--caption", "gru"], ["--caption"]),
    "crowded captions": ([*LSTM, "--crowded"], ["--crowded"]),
    "depth of an LSTM": ([*LSTM, "--decoder-depth", "2"], ["--decoder-depth"]),
    "width": ([*CNN, "--caption", "transformer", "--decoder-width", "48"], ["multiple of 32"]),
    "images of scenes": ([*LSTM, "--images", "d"], ["--images"]),
    "sampling": ([*LSTM, "--scheduled-sampling", "2"], ["scheduled sampling 2"]),
    "rewards and guidance": ([*LSTM, "--self-critical", "--guided", "1"], ["self-critical"]),
    "a part of nothing": ([*CNN, "--into", "layer1"], ["--into needs --weights"]),
    "a part of a captioner": ([*LSTM, "--into", "encoder"], ["--into"]),
    "guided": ([*LSTM, "--guided", "-1"], ["--guided"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_usage(tmp_path, name):
    arguments, texts = WRONG[name]
    refused(fovea(*arguments, "--output", tmp_path / "out"), USAGE, *texts)
    assert not (tmp_path / "out").exists()


def test_damaged_data(karpathy):
    def train(data):
        return fovea("train", "--data", data, "--images", karpathy, "--caption", "lstm", "--model",
                     "fovea_cbamresnet_scenes", "--image-size", "32", "--batch-size", "4", "--output", karpathy / "run")

    refused(train(karpathy / "none.json"), IO, "none.json")
    (karpathy / "broken.json").write_text('{"images": [')
    refused(train(karpathy / "broken.json"), DATA, "broken.json")
    (karpathy / "3.png").write_bytes(b"no picture")
    refused(train(karpathy / "data.json"), DATA, "3.png")
