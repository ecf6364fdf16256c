"""A plant's workspace, its model, and what `fmi invert` draws of it once."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from inspection.evidence.subject import Subject, open_subject
from inspection.inputs.images import read_image
from inspection.models.registry import keep, load_model, spec_of
from inspection.pictures import filters
from inspection.pictures.filter_sheet import write_sheet
from inspection.pictures.filters import Drawn
from inspection.pictures.model import registered
from inspection.pictures.request import FilterRequest, check_request
from tests.inspection.conftest import SIZE, Plant
from tests.inspection.pictures.command import silent
from tests.inspection.tiny_network import tiny_network

DEAD = 7  # of stage 2


@pytest.fixture(scope="package")
def site(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    copy = plant.copied(tmp_path_factory.mktemp("pictures") / "workspace")
    shutil.rmtree(copy.workspace.root / "cache", ignore_errors=True)  # what other tests have kept
    return copy


@pytest.fixture(scope="package")
def known(site: Plant, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    home = site.copied(tmp_path_factory.mktemp("known") / "workspace")  # it keeps what it measures
    return open_subject(home.workspace, home.model, home.references)


@pytest.fixture(scope="package")
def classifier(site: Plant) -> Classifier:
    return load_model(site.workspace.root, site.model, "cpu")


@pytest.fixture(scope="package")
def images(site: Plant) -> list[Path]:
    return sorted((site.images / "commissioned" / "pit").glob("*.png"))[:2]


@pytest.fixture(scope="package")
def decoded(images: list[Path]) -> NDArray[np.uint8]:
    return np.stack([read_image(path, (SIZE, SIZE), 1) for path in images])


@pytest.fixture
def home(site: Plant, tmp_path: Path) -> Plant:
    """A workspace that a test may write to."""
    return site.copied(tmp_path / "workspace")


@pytest.fixture(scope="package")
def drawn(site: Plant, images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Three filters of stage 2, one of them dead, and one of stage 3, asked of a workspace."""
    root = tmp_path_factory.mktemp("drawn")
    home = site.copied(root / "workspace")
    network = tiny_network(len(site.model.class_names), 1)
    network.load_state_dict(load_model(site.workspace.root, site.model, "cpu").network.state_dict())
    for part in ("weight", "bias"):  # its batch normalisation answers 0
        network.get_parameter(f"stage2.1.{part}").data[DEAD] = 0
    record = keep(home.workspace, network, spec_of(site.model))
    home.store.add_model(record, site.references)
    model = registered(home.workspace, record.model_hash, "", None)
    request = FilterRequest(
        (f"stage2:3,5,{DEAD}", "stage3:1"), tuple(images), root / "s.png", pictures=root / "single"
    )
    check_request(request)
    drawn = filters.draw_filters(model, request, silent)
    write_sheet(drawn)
    return drawn
