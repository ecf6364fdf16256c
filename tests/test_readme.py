"""The README says what the code does: its settings are the code's, its commands exist."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer

from fmi_engine.classifier import Classifier, Preprocessing, build_network
from fmi_engine.response import match
from inspection.cli.app import app
from inspection.workspace.settings import settings_table

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_the_one_that_the_code_gives() -> None:
    _, _, rest = README.partition("<!-- settings -->")
    table, _, _ = rest.partition("<!-- /settings -->")
    assert table.strip() == settings_table()


def test_every_command_of_the_readme_exists() -> None:
    group = typer.main.get_command(app)
    named = set(re.findall(r"\bfmi ([a-z]+)", README))
    assert {"demo", "init", "register", "night", "serve", "retrain", "sql"} <= named
    assert named - {"is"} <= set(group.commands)  # type: ignore[attr-defined]


def test_every_option_of_the_readme_exists() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {option for each in commands.values() for parameter in each.params for option in parameter.opts}
    blocks = "\n".join(re.findall(r"^fmi (?:.*\\\n)*.*", README, re.M))
    used = set(re.findall(r"(?<!\S)--[a-z-]+", blocks))
    assert {"--architecture", "--reference"} <= used
    assert used <= known


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
    blocks = re.findall(r"^```python\n(from fmi_engine .*?)^```", README, re.M | re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(block.replace("128, 128", "32, 32"), names)
    assert {each.filter.channel for each in names["primitives"]} == {3, 17}
    assert names["match"] is match
