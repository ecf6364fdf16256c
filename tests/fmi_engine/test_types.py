import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from fmi_engine.errors import UnknownLayerError
from fmi_engine.types import Failure, FilterRef, Screening, Trust, TrustPart, Verification


@pytest.mark.parametrize(
    ("text", "layer", "channel"),
    [
        ("layer2:17", "layer2", 17),
        ("features.3:0", "features.3", 0),
        ("layer1.0.relu:063", "layer1.0.relu", 63),
        ("odd:name:5", "odd:name", 5),
    ],
)
def test_a_filter_is_read_from_layer_and_channel(text: str, layer: str, channel: int) -> None:
    assert FilterRef.parse(text) == FilterRef(layer, channel)


def test_a_filter_writes_itself_as_it_is_read() -> None:
    assert str(FilterRef("layer2", 17)) == "layer2:17"
    assert FilterRef.parse(str(FilterRef("features.3", 4))) == FilterRef("features.3", 4)


@pytest.mark.parametrize(
    "text", ["layer2", ":3", "layer2:", "layer2:-1", "layer2:1.5", "layer2: 3", "", "a:²"]
)
def test_what_is_no_filter_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UnknownLayerError) as refusal:
        FilterRef.parse(text)
    assert str(refusal.value) == f"{text!r} is no filter; expected layer:channel, for example layer2:17"


def test_filters_are_ordered_by_layer_then_channel_as_a_number() -> None:
    filters = [FilterRef("layer2", 1), FilterRef("layer1", 10), FilterRef("layer1", 9)]
    assert [str(each) for each in sorted(filters)] == ["layer1:9", "layer1:10", "layer2:1"]


def test_records_are_frozen() -> None:
    wanted = FilterRef("layer2", 17)
    with pytest.raises(FrozenInstanceError):
        wanted.channel = 3  # type: ignore[misc]


def test_a_subset_takes_the_same_errors_from_every_field() -> None:
    rows = np.arange(4, dtype=np.float32)
    screening = Screening(
        blame={"a": np.stack([rows, rows + 10], 1)},
        energy={"a": rows[:, None] * 100},
        margin=rows + 0.5,
        predicted=np.array([1, 0, 2, 3]),
        true=np.array([0, 1, 1, 2]),
    )
    picked = screening.subset(np.array([3, 1]))
    assert picked.blame["a"].tolist() == [[3, 13], [1, 11]]
    assert picked.energy["a"].tolist() == [[300], [100]]
    assert picked.margin.tolist() == [3.5, 1.5]
    assert picked.predicted.tolist() == [3, 0]
    assert picked.true.tolist() == [2, 1]


def test_rates_are_the_means_over_the_errors() -> None:
    verification = Verification(
        layer="a",
        filters=(3, 1),
        flips=np.array([True, True, True, False]),
        deviation_flips=np.array([False, True, True, False]),
        random_flips=np.array([0.25, 0.5, 0.0, 0.25], np.float32),
        margin_fall=np.zeros(4, np.float32),
        collateral=0.0,
    )
    assert (verification.flip_rate, verification.deviation_rate, verification.random_rate) == (
        0.75,
        0.5,
        0.25,
    )


def test_a_primitive_is_trusted_where_nothing_failed() -> None:
    assert Trust(1, 8, 3.0, 0.2, 0.9).trusted
    doubted = Trust(1, 8, 3.0, 0.2, 0.5, (Failure(TrustPart.AGREEMENT, 0.5, 0.8),))
    assert not doubted.trusted
    assert [part for part in TrustPart if doubted.fails(part)] == [TrustPart.AGREEMENT]


def test_the_records_load_without_torch() -> None:
    script = "import sys, fmi_engine.types; print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
