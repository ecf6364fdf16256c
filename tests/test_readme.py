"""The README stays short, and the engine's examples in the guide run.

That what either names exists: inspection/test_guide.py.
"""

import re
from typing import Any

import numpy as np
import torch

from fmi_engine.classifier import Classifier, Preprocessing, build_network
from fmi_engine.response import match
from inspection.guide import topic
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LONGEST = 240  # lines: what is longer belongs into the guide
MOST_WORDS = 3000


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= LONGEST
    assert len(README.split()) <= MOST_WORDS


def test_own_data_takes_five_lines() -> None:
    (block,) = (
        each for each in re.findall(r"^```bash\n(.*?)^```", README, re.M | re.S) if "fmi init" in each
    )
    assert len(block.splitlines()) == 5


def test_the_examples_of_the_engine_run() -> None:
    torch.manual_seed(0)
    network = build_network("inspection.networks:small_resnet", 2, 1)
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 1), np.uint8)
    labels = Classifier(network, "ab", Preprocessing(32, 32, 1, (0.5,), (0.5,))).predict(images).argmax(1)
    names: dict[str, Any] = {
        "network": network,
        "class_names": ("a", "b"),
        "images": images,
        "labels": labels,
        "errors": images[:4],
        "true_classes": 1 - labels[:4],
    }
    blocks = re.findall(r"^```python\n(from fmi_engine .*?)^```", topic("primitives").text, re.M | re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(block.replace("128, 128", "32, 32"), names)
    assert {each.filter.channel for each in names["primitives"]} == {3, 17}
    assert names["match"] is match
