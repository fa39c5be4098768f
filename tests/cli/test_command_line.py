"""Command lines that cannot work, and those that look as if they could not."""
import os

import pytest

from program import DATA, IO, USAGE, fovea, refused

COMMANDS = ["classify", "overlay", "features", "bench", "models", "train"]


def test_help_and_version():
    for command in ([], *([name] for name in COMMANDS), ["bench", "model"]):
        run = fovea(*command, "--help")
        assert run.returncode == 0 and run.stderr == "" and "Usage" in run.stdout
    run = fovea("--help")
    assert all(f"\n  {name} " in run.stdout for name in COMMANDS)
    assert fovea("--version").stdout.startswith("fovea ")


WRONG = {
    "nothing": ([], ["a command is missing", "classify"]),
    "unknown command": (["clasify", "x.png"], ["unknown command clasify", "nearest is classify"]),
    "no image": (["classify"], ["IMAGE"]),
    "unknown flag": (["classify", "x.png", "--topk", "3"], ["unknown option --topk", "nearest is --top-k"]),
    "unknown flag with a value": (["classify", "x.png", "--lables=a"], ["--lables", "nearest is --labels"]),
    "unknown flag before the command": (["--jsno", "classify", "x.png"], ["unknown option --jsno"]),
    "no value": (["classify", "x.png", "--top-k"], ["--top-k"]),
    "twice": (["classify", "x.png", "--top-k", "1", "--top-k", "2"], ["--top-k"]),
    "a word for a number": (["classify", "x.png", "--top-k", "five"], ["--top-k: expected an integer of 1", "got five"]),
    "a tail": (["classify", "x.png", "--top-k", "5x"], ["got 5x"]),
    "a fraction": (["classify", "x.png", "--top-k", "1.5"], ["got 1.5"]),
    "zero": (["classify", "x.png", "--top-k", "0"], ["got 0"]),
    "below zero": (["classify", "x.png", "--top-k", "-1"], ["got -1"]),
    "too large": (["classify", "x.png", "--top-k", "99999999999999999999"], ["got 99999999999999999999"]),
    "empty number": (["classify", "x.png", "--top-k", ""], ["--top-k"]),
    "no threads": (["classify", "x.png", "--threads", "0"], ["--threads"]),
    "many threads": (["classify", "x.png", "--threads", "1000000"], ["--threads"]),
    "no pixels": (["classify", "x.png", "--max-pixels", "0"], ["--max-pixels"]),
    "unknown type": (["classify", "x.png", "--dtype", "int8"], ["--dtype", "int8"]),
    "unknown device": (["classify", "x.png", "--device", "gpu"], ["--device", "gpu"]),
    "unknown GPU": (["classify", "x.png", "--device", "cuda:x"], ["--device", "got x"]),
    "unknown method": (["overlay", "x.png", "--output", "o", "--method", "magic"], ["--method", "magic"]),
    "no output": (["overlay", "x.png"], ["--output"]),
    "a head of gates": (["overlay", "x.png", "--output", "o", "--method", "channel", "--head", "1"], ["takes no --head"]),
    "a layer of rollout": (["overlay", "x.png", "--output", "o", "--method", "rollout", "--layer", "1"], ["takes no --layer"]),
    "head below zero": (["overlay", "x.png", "--output", "o", "--head", "-1"], ["--head"]),
    "no batch": (["bench", "model", "--model", "resnet18", "--batch", "0"], ["--batch"]),
    "unknown network": (["bench", "model", "--model", "resnet_18"], ["unknown model", "resnet18"]),
    "no data": (["train", "--model", "resnet18", "--output", "o"], ["--data"]),
    "unknown network to train": (["train", "--data", "d", "--model", "resnet_18", "--output", "o", "--classes", "3"],
                                 ["unknown model"]),
    "unknown classes": (["train", "--data", "d", "--model", "resnet18", "--output", "o"], ["--classes"]),
    "wrong classes": (["train", "--data", "d", "--model", "fovea_vit_fashion", "--output", "o", "--classes", "3"],
                      ["10 classes"]),
    "resume and force": (["train", "--data", "d", "--model", "fovea_vit_fashion", "--output", "o", "--resume", "--force"],
                         ["contradict"]),
    **{f"train {option} {value}": (["train", "--data", "d", "--model", "fovea_vit_fashion", "--output", "o", option, value],
                                   [option, value])
       for option, values in {"--lr": ["nan", "inf", "0", "-1", "1,5", "1e999"], "--epochs": ["0", "-1", "x"],
                              "--batch-size": ["0"], "--seed": ["-1"], "--save-every": ["0"]}.items() for value in values},
}


@pytest.mark.parametrize("name", WRONG)
def test_usage(tmp_path, name):
    arguments, texts = WRONG[name]
    refused(fovea(*arguments, cwd=tmp_path), USAGE, *texts)
    assert os.listdir(tmp_path) == []


def test_no_gpu(photograph):
    for device in ("cuda", "cuda:7"):
        run = fovea("classify", photograph, "--device", device)
        if run.returncode == 0 and device == "cuda":
            pytest.skip("there is a GPU")
        refused(run, IO, "CUDA not available")


@pytest.mark.parametrize("language", ["tr_TR.UTF-8", "de_DE.UTF-8", "C", "xx"])
def test_language_of_the_user(photograph, trained, language):
    environment = {**os.environ, "LC_ALL": language, "LANG": language}
    plain = fovea("classify", photograph, "--model", trained, "--json").stdout
    assert fovea("classify", photograph, "--model", trained, "--json", env=environment).stdout == plain
    run = fovea("train", "--data", "d", "--model", "fovea_vit_fashion", "--output", "o", "--lr", "0,1", env=environment)
    refused(run, USAGE, "--lr")


def test_numbers_are_decimal(photograph, trained):
    run = fovea("classify", photograph, "--model", trained, "--top-k", "010")
    assert run.returncode == 0 and len(run.stdout.splitlines()) == 11


def test_words_that_mean_something_else_elsewhere(photograph, trained, tmp_path):
    """Image files named as a command or like an option."""
    for name in ("train", "-leading.png", "models"):
        (tmp_path / name).write_bytes(photograph.read_bytes())
        run = fovea("classify", "--model", trained, "--", name, cwd=tmp_path)
        assert run.returncode == 0 and run.stdout.splitlines()[0] == name


def test_verbose_says_more(photograph, trained):
    run = fovea("classify", photograph, "--model", trained, "--verbose")
    assert run.returncode == 0 and "model.safetensors" in run.stderr


def test_train_outputs(data, tmp_path):
    def train(output):
        return fovea("train", "--data", data, "--model", "fovea_vit_fashion", "--output", output, "--epochs", "1",
                     "--batch-size", "20")

    refused(train(tmp_path / "no" / "out"), IO, "No such file or directory")
    (tmp_path / "file").write_text("")
    refused(train(tmp_path / "file"), IO)
    refused(fovea("train", "--data", tmp_path, "--model", "fovea_vit_fashion", "--output", tmp_path / "out"), IO)
    refused(fovea("train", "--data", data, "--model", "fovea_vit_fashion", "--output", tmp_path / "out",
                  "--batch-size", "41"), USAGE)
