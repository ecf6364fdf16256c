"""What is measured of a model before any error, kept in its folder, so that it is measured once."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection.evidence.subject import Subject
from inspection.workspace.files import replacing

Arrays = Mapping[str, NDArray[Any]]


def kept(subject: Subject, name: str, rests_on: Sequence[object], measure: Callable[[], Arrays]) -> Arrays:
    """What was kept of a model under a name; or measure it, and keep it.

    What was kept counts where it rested on the same (what JSON can say), and the same was normal for the
    model. A file that cannot be read counts as absent.
    """
    path = subject.workspace.model_folder(subject.model.model_hash) / f"{name}.npz"
    key = hashlib.sha256(json.dumps([subject.rests_on, *rests_on]).encode()).hexdigest()
    try:
        with path.open("rb") as there, np.load(there) as held:
            if held["key"] == key:
                return {part: held[part] for part in held if part != "key"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # nothing was kept, or the file is damaged
    found = measure()
    with replacing(path, durable=False) as partial, partial.open("wb") as file:
        np.savez(file, key=np.array(key), **found)  # type: ignore[arg-type]  # NumPy's stub, as elsewhere
    return found
