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
    models = json.loads(run(prefix / "bin/fovea", "models", "--json"))
    shipped = [prefix / "share/fovea/weights" / f"{model['name']}.safetensors" for model in models if model["embedded"]]
    assert len(shipped) >= 4
    for path in [*shipped, prefix / "share/fovea/labels/imagenet-1k.txt", prefix / "share/fovea/labels/fashion-mnist.txt"]:
        assert path.stat().st_size > 0


def test_source_tree_configures():
    configure(CONSUMER / "subdirectory", f"-DFOVEA_SOURCE={SOURCE}")
