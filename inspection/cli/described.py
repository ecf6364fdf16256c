"""A model as the options of a command describe it."""

import sys
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inspection.cli.options import names_of, normalisation_of, size_of
from inspection.errors import InspectionError

if TYPE_CHECKING:  # torch takes a second to import, and most commands do without
    from inspection.models.registry import ModelSpec


@dataclass(frozen=True, slots=True)
class DescribedModel:
    """The texts of the options; what is empty, or 0, was not given."""

    architecture: str
    checkpoint: Path | None
    classes: str  # by comma
    input_size: str  # one number, or HEIGHTxWIDTH, pixels
    channels: int
    mean: str  # by comma
    std: str  # by comma

    @property
    def given(self) -> bool:
        """Whether any of them was given."""
        return any(astuple(self))

    def weights(self) -> Path:
        """The checkpoint. Raises InspectionError where that, the architecture or the classes are missing."""
        needed = {
            "--architecture": self.architecture,
            "--checkpoint": self.checkpoint,
            "--classes": self.classes,
        }
        missing = [option for option, given in needed.items() if not given]
        if missing or self.checkpoint is None:
            raise InspectionError(
                f"{' and '.join(missing)} missing: a model in no workspace is described by --architecture, "
                "--checkpoint and --classes; without any of these the workspace's model is asked"
            )
        if ":" in self.architecture:
            sys.path.append(str(Path.cwd()))  # for the module that is named, after everything installed
        return self.checkpoint

    def completed(self) -> "DescribedModel":
        """With the usual size and channels where none were given."""
        return replace(self, input_size=self.input_size or "224", channels=self.channels or 3)

    def spec(self, good: str = "", decision: str = "", prepared: str = "") -> "ModelSpec":
        """What the texts say, read. Raises InspectionError."""
        from fmi_engine.classifier import Preprocessing
        from inspection.inputs.fitting import Fitting
        from inspection.models.registry import ModelSpec

        height, width = size_of(self.input_size)
        means, stds = normalisation_of(self.channels, self.mean, self.std)
        blue_first = Fitting.parse(prepared).blue_first
        if blue_first and not self.mean and not self.std:  # the usual ones are of RGB
            means, stds = means[::-1], stds[::-1]
        preprocessing = Preprocessing(height, width, self.channels, means, stds, blue_first)
        names = names_of(self.classes), names_of(good)
        return ModelSpec(self.architecture, *names, preprocessing, decision=decision, prepared=prepared)
