import images
import pytest


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    tool = images.Tool(tmp_path_factory.mktemp("tool"))
    yield tool
    tool.close()
