"""A case: a group of errors under diagnosis, with everything that is known of them and of the model."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import blame_weights, observed_shift
from fmi_engine.types import FloatArray, Images, Screening
from inspection import tuning
from inspection.evidence.nearest import NearestReferences, find_nearest
from inspection.evidence.newness import Newness, unchanged
from inspection.evidence.responses import Induced, ResponsePaths, Responses, measure_change_of
from inspection.evidence.shift import Evidence, Fit
from inspection.evidence.subject import Subject
from inspection.inputs.held import HeldImages
from inspection.inputs.labelled import sample
from inspection.operations.catalogue import Change
from inspection.workspace.settings import MatchingSettings


@dataclass(frozen=True)
class Case:
    """The errors of a group, and what they are compared with; each view of them is measured once, when asked.

    `images` are those of the screening, in order.
    """

    subject: Subject
    responses: Responses
    screening: Screening
    images: Images  # (errors, height, width, channel)

    def __len__(self) -> int:
        return len(self.images)

    def part(self, rows: NDArray[np.int64]) -> "Case":
        """Some of the errors, by position, as a case of their own."""
        images = self.images.part(rows) if isinstance(self.images, HeldImages) else self.images[rows]
        return Case(self.subject, self.responses, self.screening.subset(rows), images)

    @property
    def true(self) -> NDArray[np.int64]:
        """The classes of the errors (errors,), as the operator has them."""
        return self.screening.true

    @property
    def settings(self) -> MatchingSettings:
        """What a claim asks for."""
        return self.subject.settings.matching

    @cached_property
    def examined(self) -> NDArray[np.int64]:
        """Positions of the errors that are looked at one by one: a sample of many, plenty for a mean."""
        return sample(len(self), tuning.EXAMINED_ERRORS, self.subject.settings.compute.seed)

    @cached_property
    def observed(self) -> FloatArray:
        """The observed shift (filters + entries of the look,), in sigma."""
        looks = self.subject.looks.standardise(self.images[self.examined], self.true[self.examined])
        filters = observed_shift(self.screening, self.subject.reference, self.subject.layer_names)
        return np.concatenate([filters, looks.mean(0)])

    @cached_property
    def evidence(self) -> Evidence:
        """The observed shift with the weights under which a change is to explain it."""
        weights = blame_weights(self.screening, self.subject.layer_names)
        return Evidence(self.observed, weights, self.subject.looks.weights)

    @cached_property
    def effects(self) -> ResponsePaths:
        """What every operation induces, for errors of these classes."""
        return self.responses.paths(self.true)

    @cached_property
    def fitted(self) -> dict[str, Fit]:
        """How much of the shift every operation explains at its best strength, by its mean shift alone."""
        return self.evidence.fit_each(self.effects)

    @cached_property
    def nearest(self) -> NearestReferences:
        """The reference images nearest to the errors that are looked at one by one."""
        few = self.screening.subset(self.examined)
        return find_nearest(self.subject, self.responses, self.evidence, few, self.images[self.examined])

    def induced_by(self, change: Change) -> Induced:
        """What any change of images does, for errors of these classes."""
        return measure_change_of(self.subject, self.responses, change, self.true)

    def new_beside(self, *changes: Change) -> NDArray[np.bool_]:
        """Which errors hold patches that no reference image has, of those whose patches are looked at.

        Reference images as they are, and under changes.
        """
        subject, errors = self.subject, self.nearest.places.errors
        if changes:
            return Newness.among(subject, subject.correct, changes).tells(errors)
        newness = unchanged(subject, tuple(range(len(subject.model.class_names))))
        return newness.tells(errors) if newness else np.zeros(len(errors), bool)
