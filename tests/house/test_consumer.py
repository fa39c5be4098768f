"""A foreign project finds the installed package, links a layer, trains it; README's example compiles."""
import json
import re
import shutil

from consumer import BUILD, CONSUMER, SOURCE, check_training, configure, run


def readme_example():
    blocks = re.findall(r"^```cpp\n(.*?)^```", (SOURCE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert blocks, "README.md shows no C++ example"
    return blocks[0]


def test_installed_package():
    shutil.rmtree(CONSUMER / "prefix", ignore_errors=True)
    run("cmake", "--install", BUILD, "--prefix", CONSUMER / "prefix")
    example = CONSUMER / "readme_example.cpp"
    text = readme_example()
    if not example.exists() or example.read_text() != text:
        example.write_text(text)
    configure(CONSUMER / "build", f"-DCMAKE_PREFIX_PATH={CONSUMER / 'prefix'}", f"-DREADME_EXAMPLE={example}")
    run("cmake", "--build", CONSUMER / "build")
    check_training(CONSUMER / "build")


def test_installed_program_comes_with_its_files():
    """It looks beside itself before it looks into the source tree."""
    prefix = CONSUMER / "prefix"
    assert run(prefix / "bin/fovea", "--version").startswith("fovea ")
    models = {model["name"] for model in json.loads(run(prefix / "bin/fovea", "models", "--json")) if model["embedded"]}
    weights = prefix / "share/fovea/weights"
    # A file each, or the folder of a captioner, which says what network is inside.
    here = {path.stem for path in weights.glob("*.safetensors") if path.stat().st_size > 0}
    for folder in weights.glob("fovea_*_scenes"):
        assert all((folder / name).stat().st_size > 0 for name in ("config.json", "vocab.json", "model.safetensors"))
        here.add(json.loads((folder / "encoder.json").read_text())["architecture"])
    assert here == models and len(models) == 6
    for labels in ("imagenet-1k.txt", "fashion-mnist.txt"):
        assert (prefix / "share/fovea/labels" / labels).stat().st_size > 0
    assert run(prefix / "bin/fovea", "caption", SOURCE / "datasets/samples/bag.png").startswith(str(SOURCE))


def test_source_tree_configures():
    configure(CONSUMER / "subdirectory", f"-DFOVEA_SOURCE={SOURCE}")
