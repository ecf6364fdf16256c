"""A case: a group of errors under diagnosis, with everything that is known of them and of the model."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fmi_engine.response import blame_weights, observed_shift
from fmi_engine.types import FloatArray, Images, Screening
from inspection import tuning
from inspection.evidence.nearest import NearestReferences, find_nearest
from inspection.evidence.newness import Newness, unchanged
from inspection.evidence.responses import (
    Helpers,
    Induced,
    ResponsePath,
    ResponsePaths,
    Responses,
    left_to_measure,
    measure_change_of,
    measure_in_full,
)
from inspection.evidence.shift import Evidence, Fit, leading
from inspection.evidence.subject import Subject
from inspection.inputs.held import HeldImages
from inspection.inputs.labelled import sample
from inspection.operations.catalogue import Change
from inspection.progress import Progress
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
    progress: Progress = None  # told of every strength at which an operation is measured for them
    helpers: Helpers | None = None  # given the operations that are to be measured for them

    def __len__(self) -> int:
        return len(self.images)

    def part(self, rows: NDArray[np.int64]) -> "Case":
        """Some of the errors, by position, as a case of their own."""
        images = self.images.part(rows) if isinstance(self.images, HeldImages) else self.images[rows]
        return replace(self, screening=self.screening.subset(rows), images=images)

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

    @property
    def effects(self) -> ResponsePaths:
        """What every operation induces, for errors of these classes.

        As measured in full where it comes near the errors, coarsely where it does not.
        """
        return self._met[0]

    @property
    def fitted(self) -> Mapping[str, Fit]:
        """How much of the shift every operation explains at its best strength, by its mean shift alone."""
        return self._met[1]

    @property
    def near(self) -> Set[str]:
        """The operations that come near the errors; they are measured in full."""
        return self._met[2]

    @cached_property
    def _met(self) -> tuple[ResponsePaths, Mapping[str, Fit], Set[str]]:
        """Operations that explain most, as far as is known, are measured in full until all that do are."""
        effects = dict(self.responses.paths(self.true))
        fitted, near = self.evidence.fit_each(effects), set[str]()
        most, margin = tuning.NEAR * tuning.TRIED_ACCOUNTS, tuning.NEAR * tuning.TRIED_MARGIN
        while more := [name for name in leading(fitted, most, margin) if name not in near]:
            measured = self.in_full(more)
            effects |= measured
            fitted |= self.evidence.fit_each(measured)
            near |= measured.keys()
        return effects, fitted, near

    def in_full(self, names: Iterable[str]) -> dict[str, ResponsePath]:
        """What operations induce, for errors of these classes, measured in full."""
        asked = list(names)
        if self.helpers and (left := left_to_measure(self.subject, self.responses, asked)):
            self.helpers(left)
        return {
            name: measure_in_full(self.subject, self.responses, name, self.progress).path(self.true)
            for name in asked
        }

    def shares_beside(self, near: Set[str]) -> dict[str, float]:
        """What every operation explains, those that come near other errors measured in full, too."""
        for name in sorted(near - self.near - self._beside.keys()):
            self._beside[name] = self.evidence.fit(self.in_full([name])[name])
        fitted = {**self.fitted, **{name: self._beside[name] for name in near - self.near}}
        return {name: fit.share for name, fit in fitted.items()}

    @cached_property
    def _beside(self) -> dict[str, Fit]:
        """Fits that were asked for other errors' sake."""
        return {}

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
