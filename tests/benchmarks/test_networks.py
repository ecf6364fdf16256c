"""The benchmark of models: each of its forms is registered as it is, or refused with a message."""

from pathlib import Path

import pytest

from tests.benchmarks.networks import PLAIN, cases, main, outcomes, state_dict
from tests.benchmarks.networks import Case as Model

pytestmark = pytest.mark.numeric


def of(*kinds: str) -> list[Model]:
    return [case for case in cases() if case.kind in kinds]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of what is read here
def test_nothing_is_wrong_in_silence() -> None:
    found = list(outcomes(of("odd network", "checkpoint", "ONNX")))
    assert [(each.name, each.told) for each in found if each.unexpected] == []
    works = {each.name for each in found if each.works}
    assert {"plain", "in place", "data dependent"} <= {name.replace("_", " ") for name in works}
    assert {"of lightning", "as safetensors", "as a file, plain"} <= works
    refused = {each.name: each.told for each in found if not each.works}
    assert {"compiled", "scripted", "dropping", "beside an average", "a whole network"} <= set(refused)
    assert all(len(told) > 40 for name, told in refused.items() if name != "no file")


def test_what_no_user_may_see_is_wrong(tmp_path: Path) -> None:
    def failing(*_: object) -> Path:
        raise KeyError("nobody's")

    broken = Model("odd network", "broken", PLAIN, 32, failing)
    whole = Model("odd network", "whole", PLAIN, 32, state_dict)
    found = [(each.works, each.unexpected) for each in outcomes([broken, whole])]
    assert found == [(False, True), (True, False)]
    assert main(["--only", "nothing of it", "--json", f"{tmp_path / 'none.json'}"]) == 0
