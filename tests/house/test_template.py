"""What CONTRIBUTING.md shows of the template is what stands in it."""
import os
import re
from pathlib import Path

SOURCE = Path(os.environ["FOVEA_SOURCE"])


def test_every_listing_is_in_the_template():
    template = "".join(path.read_text() for path in sorted((SOURCE / "docs/template").glob("channel_gain*")))
    listings = re.findall(r"```cpp\n(.*?)```", (SOURCE / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert len(listings) == 3
    for listing in listings:
        assert listing in template, listing
