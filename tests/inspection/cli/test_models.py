"""models, promote, rollback, export: what each does, says and leaves behind."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Answer, Diagnosed
from tests.inspection.cli.test_bad_input import refused
from tests.inspection.workspace.records import a_retraining

Fmi = Callable[..., Answer]


@pytest.fixture
def mended(site: Diagnosed) -> Diagnosed:
    """With an accepted candidate, whose weights are the deployed model's."""
    model = site.plant.model
    candidate = replace(model, model_hash="bb" * 32, parent_hash=model.model_hash, note="both, for n-1")
    done = replace(a_retraining("r1", "n-1"), model_hash=model.model_hash, candidate_hash="bb" * 32)
    site.store.add_retraining(done, candidate)
    return site


def test_the_models_are_listed_with_who_deployed_them(fmi: Fmi, mended: Diagnosed) -> None:
    promoted = fmi("promote", "--reason", "mends the lamp", "--by", "Aoki", "-w", mended.root)
    assert (promoted.returncode, promoted.stderr) == (0, "")
    assert "model v2 (bbbbbbbbbbbb) is the deployed model now, by Aoki." in promoted.stdout
    said = fmi("models", "-w", mended.root)
    assert (said.returncode, said.stderr) == (0, "")
    rows = [" ".join(line.split()) for line in said.stdout.splitlines()]
    assert rows[1].startswith("model v2 deployed bbbbbbbbbbbb accepted model v1")
    assert rows[2].startswith(f"model v1 retired {mended.plant.model.model_hash[:12]}")
    assert rows[-1].endswith("model v2 promoted by Aoki, which the gate had accepted: mends the lamp")
    told = json.loads(fmi("models", "--json", "-w", mended.root).stdout)
    assert [each["version"] for each in told["models"]] == [2, 1]
    assert [each["kind"] for each in told["promotions"]] == ["registered", "promoted"]


def test_back_again(fmi: Fmi, mended: Diagnosed) -> None:
    fmi("promote", "v2", "--reason", "mends the lamp", "-w", mended.root)
    said = fmi("rollback", "--reason", "it did not", "--by", "Sato", "-w", mended.root)
    assert (said.returncode, said.stderr) == (0, "")
    assert (
        f"model v1 ({mended.plant.model.model_hash[:12]}) is the deployed model again, by Sato."
        in said.stdout
    )
    assert mended.store.model().model_hash == mended.plant.model.model_hash
    refused(fmi("rollback", "--reason", "further", "-w", mended.root), "nothing to roll back to")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("promote",), "give --reason in a sentence"),
        (("rollback",), "give --reason in a sentence"),
        (("promote", "v9", "--reason", "x"), "no model 'v9'"),
        (("promote", "v1", "--reason", "x"), "is the deployed model already"),
        (("export", "v9"), "no model 'v9'"),
    ],
)
def test_what_cannot_be_done_says_why(
    fmi: Fmi, mended: Diagnosed, command: tuple[str, ...], words: str
) -> None:
    refused(fmi(*command, "-w", mended.root), words)
    assert len(mended.store.promotions()) == 1


def test_nothing_waits_to_be_promoted(fmi: Fmi, site: Diagnosed) -> None:
    refused(fmi("promote", "--reason", "x", "-w", site.root), "no accepted candidate waits", "fmi retrain")


def test_the_deployed_model_is_exported(fmi: Fmi, site: Diagnosed, tmp_path: Path) -> None:
    said = fmi("export", "--out", tmp_path / "line", "-w", site.root)
    assert (said.returncode, said.stderr) == (0, "")
    names = {path.name for path in (tmp_path / "line").iterdir()}
    assert names == {"weights.pt", "load_model.py", "model.onnx", "MODEL_CARD.md"}
    assert "ONNX Runtime agrees with torch within" in said.stdout
    refused(
        fmi("export", "--out", site.plant.log, "-w", site.root), "cannot be written", "give another --out"
    )
