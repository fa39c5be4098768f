"""What the server answers is what the command prints."""
import json
import shutil

import pytest

from server import COAT, SAMPLES, SOURCE, Server, command, form

MODELS = ["fovea_seresnet_fashion", "fovea_cbamresnet_fashion", "fovea_vit_fashion", "fovea_swin_fashion",
          "fovea_cbamresnet_scenes", "fovea_vit_scenes"]


def same(a, b):
    """Equal but for the last bits of numbers: the server's networks are prepared to run often."""
    if isinstance(a, float) or isinstance(b, float):
        return a == pytest.approx(b, abs=2e-5, rel=1e-4)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("sample", ["coat.png", "sneaker.png"])
def test_classify(server, model, sample):
    expected = command("classify", "--json", "--model", model, "--top-k", "3", sample)
    status, raw = server.post(f"/classify?model={model}&top_k=3", SAMPLES / sample)
    assert status == 200 and same(raw, [{**expected[0], "image": "image"}])
    body, headers = form((SAMPLES / sample).read_bytes(), sample, model=model, top_k=3)
    status, _, answer = server.ask("POST", "/classify", body, headers)
    assert status == 200 and same(json.loads(answer), expected)


def test_the_first_network_is_the_usual_one(server):
    assert server.post("/classify", COAT) == server.post(f"/classify?model={MODELS[0]}", COAT)


@pytest.mark.parametrize("model", ["fovea_vit_fashion", "fovea_swin_fashion"])
def test_attention(server, model):
    expected = command("inspect", "--attention", "coat.png", "--json", "--model", model)
    status, answer = server.post(f"/attention?model={model}", COAT)
    assert status == 200 and same(answer, {**expected, "image": "image"})


def test_attention_of_a_network_without(server):
    status, answer = server.post("/attention?model=fovea_seresnet_fashion", COAT)
    assert status == 400 and "attention" in answer["error"]


@pytest.mark.parametrize("given,said", [([], ""), (["--beams", "3", "--n-best", "2"], "?beams=3&n_best=2"),
                                        (["--max-length", "6"], "?max_length=6")])
def test_captions(captioner, given, said):
    with Server("--captioner", captioner) as server:
        expected = command("caption", "--json", "--model", captioner, *given, "coat.png")
        status, answer = server.post("/caption" + said, COAT)
        assert status == 200 and same(answer, [{**one, "image": "image"} for one in expected])
        for path in ("/classify", "/attention"):
            status, answer = server.post(path, COAT)
            assert status == 404 and "--model" in answer["error"]


def test_the_shipped_captioner(server):
    assert json.loads(server.ask("GET", "/models")[2])["captioner"] == "fovea-captioner"
    status, (answer,) = server.post("/caption", COAT)
    (said,) = command("caption", "--json", "coat.png")
    assert status == 200 and answer["generated_text"] == said["generated_text"]


def test_no_captioner():
    with Server("--model", "fovea_vit_fashion") as alone:
        status, answer = alone.post("/caption", COAT)
    assert status == 404 and "--captioner" in answer["error"]


def test_view_has_what_was_asked_for(server):
    def view(query):
        status, answer = server.post("/view?" + query, COAT)
        assert status == 200
        return answer[0]

    everything = view("model=fovea_vit_fashion")
    methods = [heat["method"] for heat in everything["heats"]]
    assert len(methods) > 4 and len(everything["layers"]) == 4 and "deletion" not in everything["heats"][0]
    assert [len(view(f"model=fovea_vit_fashion&method={name}")["heats"]) for name in ("gradcam%2B%2B", "none")] == [1, 0]
    scored = view("model=fovea_vit_fashion&method=rollout&scores=1")["heats"][0]
    assert 0 < scored["deletionArea"] < 1 and len(scored["insertion"]) == 21
    assert view("model=fovea_vit_fashion&top_k=2")["predictions"] == everything["predictions"][:2]


def test_a_folder_beside_others(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(SOURCE / "datasets/weights/fovea_vit_fashion.safetensors", folder / "model.safetensors")
    names = [f"thing {i}" for i in range(10)]
    (folder / "config.json").write_text(json.dumps({"architecture": "fovea_vit_fashion", "num_classes": 10, "label_names": names}))
    with Server("--model", "fovea_swin_fashion", "--also", f"{folder}/") as server:
        offered = json.loads(server.ask("GET", "/models")[2])
        assert [one["name"] for one in offered["models"]] == ["fovea_swin_fashion", "mine"]
        assert offered["captioner"] == ""
        _, (answer,) = server.post("/classify?model=mine&top_k=1", COAT)
        assert answer["predictions"][0]["label"].startswith("thing ")
