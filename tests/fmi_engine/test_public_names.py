import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fmi_engine

SOURCE = Path(fmi_engine.__file__).parent


@pytest.mark.parametrize("name", fmi_engine.__all__)
def test_every_public_name_is_that_of_one_module(name: str) -> None:
    found = getattr(fmi_engine, name)
    homes = [
        module.stem
        for module in SOURCE.glob("[a-z]*.py")
        if vars(import_module(f"fmi_engine.{module.stem}")).get(name) is found
        and getattr(found, "__module__", f"fmi_engine.{module.stem}") == f"fmi_engine.{module.stem}"
    ]
    assert len(homes) == 1 or name == "PRESETS"  # a plain dictionary knows no home
    assert name in dir(fmi_engine)


def test_the_list_is_sorted_and_holds_what_the_example_imports() -> None:
    example = next(line for line in (fmi_engine.__doc__ or "").splitlines() if "import" in line)
    names = example.partition("import ")[2].split(", ")
    assert len(names) > 3
    assert {*names} <= {*fmi_engine.__all__}
    assert fmi_engine.__all__ == sorted({*fmi_engine.__all__})


def test_a_name_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(AttributeError) as refusal:
        fmi_engine.inverse  # noqa: B018
    names = ", ".join(fmi_engine.__all__)
    assert str(refusal.value) == f"fmi_engine has no 'inverse'; it has: {names}"
    assert "invert" in names
    with pytest.raises(ImportError, match="cannot import name 'inverse' from 'fmi_engine'"):
        exec("from fmi_engine import inverse", {})


def test_modules_are_still_had_by_their_names() -> None:
    scope: dict[str, object] = {}
    exec("from fmi_engine import blame, presets", scope)
    assert scope["presets"] is import_module("fmi_engine.presets")
    assert scope["blame"] is import_module("fmi_engine.blame")


LIGHT = ["FilterRef", "Layer", "Inversion", "Trust", "EngineError", "PRESETS", "find_preset"]


@pytest.mark.parametrize("name", LIGHT)
def test_the_frozen_records_are_had_without_torch(name: str) -> None:
    script = (
        f"import sys; from fmi_engine import {name}; assert {name}; "
        "print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_works_on_networks_loads_torch_when_it_is_first_asked_for() -> None:
    script = (
        "import sys, fmi_engine; before = 'torch' in sys.modules; fmi_engine.Classifier; "
        "print(before, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False True"
