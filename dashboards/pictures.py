"""Single errors as large as they were logged, and where the filter most to blame for them answers."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from dashboards.desk import AtDesk, Desk, Findings, known
from inspection.errors import ImageError
from inspection.findings import LoggedError, night_of
from inspection.language import gettext as _
from inspection.nights.report import PICTURE_TYPE
from inspection.workspace.reader import Reader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 1600  # pixels of the longer side that are sent: more than a screen shows, and some 5 MB as PNG
DECODED_AT_ONCE = threading.Semaphore(2)  # originals may be of any size that [images] allows

router = APIRouter()


@router.get("/modes/{mode_id}/errors/{row}/original.png")
def original(mode_id: str, row: int, desk: AtDesk, findings: Findings) -> Response:
    """Send an error's image as it was logged, at most 1,600 pixels on a side."""
    error = _the_error(findings, mode_id, row)
    with DECODED_AT_ONCE:
        return _sent(_read(desk, findings, mode_id, error))


@router.get("/modes/{mode_id}/errors/{row}/heat.png")
def heat(mode_id: str, row: int, desk: AtDesk, findings: Findings) -> Response:
    """Send the same in grey, red where the filter answers that is most to blame for the error."""
    from inspection.inputs.heat import heated
    from inspection.inputs.images import read_image

    error = _the_error(findings, mode_id, row)
    folder, _slash, name = error.heat.partition("/")
    file = desk.pages.picture(name) if folder == desk.pages.artifacts.name else None
    if file is None:
        raise HTTPException(404, _("There is no heat map of this error."))
    with DECODED_AT_ONCE:
        answer = read_image(file, None, 1)[:, :, 0].astype("float32")
        return _sent(heated(_read(desk, findings, mode_id, error, fitted=True), answer, 255.0))


def _the_error(findings: Reader, mode_id: str, row: int) -> LoggedError:
    with known(_("row {row} in failure mode {id}").format(row=row, id=mode_id)):
        return findings.error(mode_id, row)


def _read(
    desk: Desk, findings: Reader, mode_id: str, error: LoggedError, fitted: bool = False
) -> "NDArray[np.uint8]":
    """The image of an error, or of it what the network sees; answers 404 where it cannot be read any more."""
    from inspection.inputs.images import read_image, reading, shrunk

    night = findings.overview(night_of(mode_id))
    model, settings = findings.model(night.model_hash), desk.workspace.of_line(night.of_line).settings
    how = reading(settings.images, model.bit_depth, model.prepared)
    try:
        size = (model.height, model.width) if fitted and model.prepared else None
        image = read_image(Path(error.image_path), size, 3, how)
    except ImageError as reason:
        gone = _("The logged image cannot be read any more: {reason}")
        raise HTTPException(404, gone.format(reason=reason)) from None
    return shrunk(image, LARGEST)


def _sent(image: "NDArray[np.uint8]") -> Response:
    from inspection.inputs.images import as_png

    kept = {"Cache-Control": "private, max-age=3600"}
    return Response(as_png(image), media_type=PICTURE_TYPE, headers=kept)
