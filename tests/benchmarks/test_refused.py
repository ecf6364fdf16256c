"""No kind of request that the benchmark knows is let in."""

from pathlib import Path

import pytest

from tests.benchmarks.refused import measure


@pytest.mark.usefixtures("cheap_passwords")
def test_every_kind_is_refused(tmp_path: Path) -> None:
    found = measure(tmp_path)
    assert [each for each in found if not each.refused] == []
    assert len(found) == 40
