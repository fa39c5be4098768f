"""fovea classify: its table, its JSON, where labels and weights come from."""
import json
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from program import DATA, IO, NUMERIC, SOURCE, USAGE, fovea, refused

FASHION = (SOURCE / "datasets/labels/fashion-mnist.txt").read_text().splitlines()
SAMPLES = sorted((SOURCE / "datasets/samples").glob("*.png"))


def answers(*arguments, **options):
    run = fovea("classify", "--json", *arguments, **options)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return json.loads(run.stdout)


def test_json(photograph, trained):
    (answer,) = answers(photograph, "--model", trained, "--top-k", "10")
    assert list(answer) == ["image", "predictions"] and answer["image"] == str(photograph)
    predictions = answer["predictions"]
    assert all(list(prediction) == ["label", "index", "score"] for prediction in predictions)
    assert sorted(prediction["index"] for prediction in predictions) == list(range(10))
    assert all(prediction["label"] == FASHION[prediction["index"]] for prediction in predictions)
    scores = [prediction["score"] for prediction in predictions]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1, abs=1e-5)


def test_table_says_what_json_says(photograph, trained):
    (answer,) = answers(photograph, "--model", trained, "--top-k", "2")
    lines = fovea("classify", photograph, "--model", trained, "--top-k", "2").stdout.splitlines()
    assert lines[0] == str(photograph)
    assert lines[1:] == [f"  {100 * p['score']:6.2f} %  {p['label']}" for p in answer["predictions"]]


@pytest.mark.parametrize("given,shown", [([], 5), (["--top-k", "3"], 3), (["--top-k", "999"], 10)])
def test_top_k(photograph, trained, given, shown):
    assert len(answers(photograph, "--model", trained, *given)[0]["predictions"]) == shown


def test_shipped_networks_know_the_samples(embedded):
    """One photograph of each class from the test split; the weights are right nine times of ten."""
    assert len(SAMPLES) >= 8
    right = 0
    for sample, answer in zip(SAMPLES, answers(*SAMPLES, "--model", embedded, "--top-k", "1")):
        right += sample.stem == re.sub(r"\W", "-", answer["predictions"][0]["label"]).lower()
    assert right >= 0.7 * len(SAMPLES)


def test_the_default_is_the_first_shipped_network():
    assert answers(SAMPLES[0]) == answers(SAMPLES[0], "--model", "fovea_seresnet_fashion")


def test_the_default_says_what_it_knows():
    """Of a photograph, once for all; not of a picture such as it was trained on, nor with a network that was asked for."""
    photograph = SOURCE / "datasets/samples/chelsea.jpg"
    told = fovea("classify", photograph, SAMPLES[0], photograph).stderr
    assert told.count("\n") == 1 and "know only clothes" in told and "nlpconnect/vit-gpt2-image-captioning" in told
    assert fovea("classify", SAMPLES[0]).stderr == fovea("classify", photograph, "--model", "fovea_vit_fashion").stderr == ""


def test_many_images_are_the_same_as_each_alone(photographs, trained):
    """More than a batch, in order, through the prepared network."""
    together = answers(*photographs * 4, "--model", trained)
    assert [answer["image"] for answer in together] == [str(path) for path in photographs * 4]
    for path, answer in zip(photographs, together):
        (alone,) = answers(path, "--model", trained)
        assert [p["index"] for p in alone["predictions"]] == [p["index"] for p in answer["predictions"]]
        for one, other in zip(alone["predictions"], answer["predictions"]):
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_imagenet_names_for_a_thousand_classes(photograph, vit_tiny):
    names = (SOURCE / "datasets/labels/imagenet-1k.txt").read_text().splitlines()
    (answer,) = answers(photograph, "--model", "vit_tiny_patch16_224", "--weights", vit_tiny)
    assert all(prediction["label"] == names[prediction["index"]] for prediction in answer["predictions"])


def test_labels(photograph, trained, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"Größe {number}\r\n" for number in range(10)))
    (answer,) = answers(photograph, "--model", trained, "--labels", names)
    assert all(prediction["label"] == f"Größe {prediction['index']}" for prediction in answer["predictions"])


def test_numbers_where_classes_have_no_names(photograph, trained, tmp_path):
    folder = tmp_path / "nameless"
    shutil.copytree(trained, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["label_names"]
    (folder / "config.json").write_text(json.dumps(config))
    (answer,) = answers(photograph, "--model", folder)
    assert all(prediction["label"] == str(prediction["index"]) for prediction in answer["predictions"])


def test_wrong_labels(photograph, trained, tmp_path):
    names = tmp_path / "names.txt"
    for text, cause in (("a\nb\n", "2 labels, but the model has 10 classes"), ("", "empty file"),
                        ("a\n\nb\n", "line 2 is empty"), ("a\nb\0\n", "line 2 is no printable UTF-8")):
        names.write_text(text)
        refused(fovea("classify", photograph, "--model", trained, "--labels", names), DATA, f"{names}: {cause}")
    names.write_bytes(b"\xff\n" * 10)
    refused(fovea("classify", photograph, "--model", trained, "--labels", names), DATA, "no printable UTF-8: \\xff")
    refused(fovea("classify", photograph, "--model", trained, "--labels", tmp_path / "no"), IO, "No such file")


def test_a_name_needs_weights(photograph):
    refused(fovea("classify", photograph, "--model", "vit_tiny_patch16_224"), USAGE, "needs --weights")
    refused(fovea("classify", photograph, "--weights", "x"), USAGE, "--weights needs --model")
    refused(fovea("classify", photograph, "--model", "vit_tinny_patch16_224", "--weights", "x"), USAGE,
            "the nearest name is vit_tiny_patch16_224")


def test_nan_is_an_error_of_its_own_kind(photograph, trained, tmp_path):
    weights = load_file(trained / "model.safetensors")
    weights["head.bias"][3] = np.nan
    path = tmp_path / "nan.safetensors"
    save_file(weights, path)
    run = fovea("classify", photograph, "--model", trained, "--weights", path, "--allow-non-finite")
    refused(run, NUMERIC, f"{photograph}: the network answers with NaN")


def test_configs(photograph, trained, tmp_path):
    folder = tmp_path / "vit"
    shutil.copytree(trained, folder)
    good = json.loads((folder / "config.json").read_text())

    def config(text):
        (folder / "config.json").write_text(text if isinstance(text, str) else json.dumps(text))
        return fovea("classify", photograph, "--model", folder)

    assert config(good).returncode == 0
    assert config({**good, "unknown": {"x": [None]}}).returncode == 0
    for text, cause in (
            ("", "empty file"), ("{", "no valid JSON"), ("[]", "expected an object"), ("null", "expected an object"),
            ('{"architecture": "x", "architecture": "y"}', "duplicate key architecture"), ('{"a": 1,}', "no valid JSON"),
            ('{"a": 1e400}', "no valid JSON"), ("{}", "architecture is missing"), ('{"a":' * 100, "nested deeper"),
            ({**good, "architecture": 3}, "architecture: expected a string, got 3"),
            ({**good, "num_classes": "10"}, "num_classes: expected an integer, got string"),
            ({**good, "num_classes": 1.5}, "num_classes: expected an integer, got 1.5"),
            ({**good, "num_classes": 0}, "num_classes: expected 1 to"),
            ({**good, "num_classes": 2**64}, "num_classes: expected"),
            ({**good, "num_classes": 11}, "num_classes is 11, but there are 10 label_names"),
            ({**good, "label_names": [1]}, "label_names: expected a string"),
            ({**good, "pretrained_cfg": []}, "pretrained_cfg: expected an object"),
            ({**good, "pretrained_cfg": {"input_size": [3, 0, 28]}}, "input_size: expected 1 to"),
            ({**good, "pretrained_cfg": {"input_size": [1, 28, 28]}}, "input_size: expected 3 channels"),
            ({**good, "pretrained_cfg": {"std": [1, 0, 1]}}, "std: expected numbers above 0"),
            ({**good, "pretrained_cfg": {"mean": [1, 0]}}, "mean: expected three numbers"),
            ({**good, "pretrained_cfg": {"interpolation": "lanczos"}}, 'interpolation: "lanczos" is not supported'),
    ):
        refused(config(text), DATA, f"{folder}/config.json: ", cause)
    refused(config({**good, "architecture": "vit_huge"}), USAGE, "unknown model")


def test_folders(photograph, trained, tmp_path):
    refused(fovea("classify", photograph, "--model", tmp_path), IO, f"{tmp_path}/config.json: No such file")
    shutil.copy(trained / "config.json", tmp_path)
    refused(fovea("classify", photograph, "--model", tmp_path), IO, f"{tmp_path}/model.safetensors: No such file")


def test_number_types(photograph, trained):
    (exact,) = answers(photograph, "--model", trained, "--top-k", "10")
    (rough,) = answers(photograph, "--model", trained, "--top-k", "10", "--dtype", "bfloat16")
    score = {prediction["index"]: prediction["score"] for prediction in exact["predictions"]}
    for prediction in rough["predictions"]:
        assert prediction["score"] == pytest.approx(score[prediction["index"]], abs=0.05)
    assert exact != rough
    refused(fovea("classify", photograph, "--dtype", "float16", "--device", "cpu"), USAGE, "use --dtype bfloat16")


def test_threads_change_nothing_but_time(photograph, trained):
    one, two = (answers(photograph, "--model", trained, "--threads", number)[0]["predictions"] for number in "12")
    for left, right in zip(one, two):
        assert left["index"] == right["index"] and left["score"] == pytest.approx(right["score"], abs=1e-6)
