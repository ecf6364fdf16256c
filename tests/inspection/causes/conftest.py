"""The aged lamp beside the whole catalogue, which is measured once."""

from typing import TYPE_CHECKING

import pytest

from tests.inspection.conftest import Plant

if TYPE_CHECKING:  # torch takes a second to import
    from fmi_engine.types import Screening
    from inspection.evidence.case import Case
    from inspection.evidence.reproduced import ReproducedErrors
    from inspection.evidence.responses import Responses
    from inspection.evidence.subject import Subject


@pytest.fixture(scope="session")
def here(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> "Subject":
    """The plant's model in a workspace that may be written to."""
    from inspection.evidence.subject import open_subject

    mine = plant.copied(tmp_path_factory.mktemp("causes") / "workspace")
    return open_subject(mine.workspace, mine.model, mine.references)


@pytest.fixture(scope="session")
def responses(here: "Subject") -> "Responses":
    from inspection.evidence.responses import measure_responses

    return measure_responses(here)


@pytest.fixture(scope="session")
def lamp(
    here: "Subject", responses: "Responses", screening: "Screening", reproduced_errors: "ReproducedErrors"
) -> "Case":
    """The errors of the plant's log."""
    from inspection.evidence.case import Case

    return Case(here, responses, screening, reproduced_errors.images)
