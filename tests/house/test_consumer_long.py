"""The source tree as a part of a foreign project: builds every library again."""
from consumer import CONSUMER, SOURCE, check_training, configure, run


def test_source_tree_builds():
    folder = CONSUMER / "subdirectory"
    configure(folder, f"-DFOVEA_SOURCE={SOURCE}")
    run("cmake", "--build", folder, "--target", "train_layer")
    check_training(folder)
