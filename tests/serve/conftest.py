import pytest

from server import Server, add_path

add_path("captioning")


@pytest.fixture(scope="session")
def server():
    with Server("--timeout", "5", "--max-upload", "2") as running:
        yield running
        assert running.alive()


@pytest.fixture(scope="session")
def captioner(tmp_path_factory):
    """The folder of a small captioner with random weights."""
    import small_captioner

    folder = tmp_path_factory.mktemp("captioner")
    small_captioner.save(folder, wordy=True)
    return folder
