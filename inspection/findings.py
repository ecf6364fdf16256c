"""What a night finds: frozen records that the store keeps and the report and the dashboard show.

Pictures are named by paths relative to the workspace, with forward slashes. Nothing here loads torch.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import StrEnum

from fmi_engine.decision_rule import DecisionRule

# What the sets of images that judge a candidate are called.
LOGGED = "logged errors, by models that were not shown their group"
HOLDOUT = "images not in the log"
CLEAN = "clean validation images"
CHANGED = "clean validation images as the recipes change them"
OTHERS = "errors of other failure modes"
RIGHT = "parts of the log that went right"
LINE = "parts of the line, right and wrong, as the log holds them"


class ErrorKind(StrEnum):
    """How an error costs money: the two that quality people count apart, and the rest."""

    ESCAPE = "escape"  # a defect passed as good
    OVERKILL = "overkill"  # a good part rejected
    CONFUSION = "confusion"  # one defect class taken for another, or no good class is known


class Cause(StrEnum):
    """What a failure mode is put down to."""

    APPEARANCE = "appearance"  # the images changed
    NEW_LOOK = (
        "new look"  # they hold what no reference image holds: a new kind of defect, material or product
    )
    INVISIBLE = "invisible"  # they show nothing that good parts do not show: check light, optics and focus
    LABELS = "labels"  # the parts look like the predicted class: check the operators' verdicts
    UNKNOWN = "unknown"  # nothing explains them: a new kind of defect, or parts that are simply hard


class Trend(StrEnum):
    """How a failure mode goes from night to night."""

    NEW = "new"  # no earlier night of the model has it
    GROWING = "growing"  # its share of the errors rose beyond chance; so for the next
    SHRINKING = "shrinking"
    STEADY = "steady"


class NightState(StrEnum):
    """Where a night stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    UNREADABLE = "unreadable"  # the log may name errors, and none of them could be read

    @property
    def ended(self) -> bool:
        """Whether nothing goes on there: a night that failed is taken up again."""
        return self in (NightState.FINISHED, NightState.UNREADABLE)


class Judgement(StrEnum):
    """A reviewer's verdict on a failure mode."""

    CONFIRM = "confirm"  # the finding is right
    OTHER_CAUSE = "other cause"  # its recipe is left out of a retraining
    RELABEL = "relabel"  # the operators' labels are wrong: no recipe, and no image that nobody has relabelled
    NEW_DEFECT = "new kind of defect"  # or material, or product; its recipe is left out
    REMOVE = "remove"  # these images are no parts of the line: nothing of them is trained on
    INVESTIGATE = "investigate"  # cannot be said yet


# Why a row was set aside that is an error by its labels, of this model or of another.
ERRORS_LOST = ("missing_image", "unreadable_image", "hash_mismatch", "conflicting", "not_reproduced")
LOST = (*ERRORS_LOST, "malformed", "unknown_class")  # these two may have been one


# Verdicts after which what was found is not believed, and no recipe made of it is used.
WITHOUT_RECIPE = (Judgement.OTHER_CAUSE, Judgement.RELABEL, Judgement.NEW_DEFECT, Judgement.REMOVE)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row of the defect log that the night could not use, and why."""

    row: int  # 1-based data row of the log
    reason: str  # one of defect_log.REASONS
    detail: str
    image_path: str | None = None

    @property
    def lost(self) -> bool:
        """Whether the row is or may be an error that the night knows nothing of."""
        return self.reason in LOST


# Of a logged time without an offset, which is taken as UTC and says what the log's clock showed.
NO_OFFSET = timezone(timedelta(0), "no offset")
# What of a log's context says where a part comes from.
ORIGINS = (
    "line",
    "station",
    "camera",
    "part_number",
    "lot",
    "shift",
    "model_version",
    "lighting",
    "exposure",
)


@dataclass(frozen=True, slots=True)
class LogContext:
    """What the defect log says of an inspection beside its image and its labels; None: it says nothing."""

    captured_at: datetime | None = None  # as logged, with its offset or NO_OFFSET; from the store in UTC
    score: float | None = None  # confidence of the predicted label, as logged
    line: str | None = None
    station: str | None = None
    camera: str | None = None
    part_number: str | None = None
    lot: str | None = None
    shift: str | None = None
    serial: str | None = None
    model_version: str | None = None
    verified_by: str | None = None
    verified_at: datetime | None = None  # UTC
    lighting: str | None = None
    exposure: str | None = None
    more: dict[str, str] = field(default_factory=dict, hash=False)  # the log's other columns, as they stand


@dataclass(frozen=True, slots=True)
class LoggedError:
    """One misclassified image that the registered model reproduces."""

    row: int  # 1-based data row of the log
    inspection_id: str
    image_path: str  # absolute
    true_label: str
    predicted_label: str
    kind: ErrorKind
    margin: float  # logits: predicted minus true, above 0
    picture: str  # thumbnail, relative to the workspace
    context: LogContext = LogContext()
    heat: str = ""  # map of where the filter most to blame for it answers, in grey; "": not drawn
    heat_filter: str = ""  # that filter, `layer:channel`


@dataclass(frozen=True, slots=True)
class FlipRate:
    """What patching the top K filters of one layer achieves, beside its controls (all shares, 0 to 1)."""

    layer: str
    k: int  # filters patched
    channels: int  # filters the layer has
    blame: float  # errors that turn right when the K most blamed filters are patched
    deviation: float  # control: the K filters whose energy deviates most
    random: float  # control: K filters drawn at random, mean over draws
    gain_lower: float  # 95 % bootstrap interval of blame minus the better control
    gain_upper: float
    collateral: float  # correct reference images that the blame patch breaks
    margin_fall: float  # logits, mean fall of the margin under the blame patch

    @property
    def better_control(self) -> float:
        """The flip rate of the stronger of the two controls."""
        return max(self.deviation, self.random)

    @property
    def withheld(self) -> bool:
        """Whether the finding fails to beat its controls and must not be claimed."""
        return self.gain_lower <= 0.0


@dataclass(frozen=True, slots=True)
class Primitive:
    """One texture primitive of a filter with the outcome of its trust test."""

    picture: str
    source_picture: str  # the image whose code the inversion started from
    seed: int
    residual: float  # ||code - target||^2 / ||target||^2 at the end
    rank: int  # of the filter's standardised energy within its layer when fed back, 1 is best
    energy: float  # that standardised energy, in sigma
    agreement: float  # AUROC: alike those of the same filter, unlike those of others
    trusted: bool
    failed: tuple[str, ...] = ()  # the parts of the trust test that failed
    layout: float | None = None  # AUROC: its pictures from shuffled and constant maps still tell the filter
    readable: float | None = None  # AUROC: who sees the filter's pictures tells the real crops that excite it
    readable_ceiling: float | None = None  # the same where other real crops of the filter are shown
    copy: float | None = None  # highest correlation with a place of a real image
    close: str = ""  # picture: where the filter answers it most, as large as a real patch; "": not drawn


@dataclass(frozen=True, slots=True)
class Pattern:
    """The pattern that a filter's primitives show, in numbers; NaN is what cannot be said."""

    wavelength: float  # pixels of the model's input: at which the strongest part comes again
    direction: float  # degrees, 0 to below 180, in which lines run: 0 across, 90 upright
    directedness: float  # 0 no direction to 1 a single one
    regularity: float  # 0 nothing repeats to 1 periodic
    polarity: float  # skewness of the brightness: above 0 bright marks on a darker ground
    peakedness: float  # kurtosis of the brightness: 3 is that of noise, more is few strong marks
    mm_per_pixel: float = 0.0  # 0: not known


@dataclass(frozen=True, slots=True)
class BlamedFilter:
    """One filter on the shortlist of a failure mode."""

    layer: str
    channel: int
    rank: int  # 1 is the most blamed of its layer
    blame: float  # logits, mean over the mode's errors
    energy_shift: float  # sigma, mean over the mode's errors
    margin_fall: float  # logits, when this filter alone is patched
    primitives: tuple[Primitive, ...] = ()
    patches: tuple[str, ...] = ()  # real image patches that excite the filter most, strongest first
    pattern: Pattern | None = None  # of its first primitive that is trusted; None: none is
    excited: str = ""  # picture: the error that excites the filter most
    answers: str = ""  # picture: where it does

    @property
    def name(self) -> str:
        """The shorthand `layer:channel`."""
        return f"{self.layer}:{self.channel}"


@dataclass(frozen=True, slots=True)
class OperationMatch:
    """How much of the observed shift one operation explains at its fitted strength.

    Of an operation that was tried on them, the shares are those of the reference images nearest to the
    errors. Of the others they are those of the mean shift, with a fitted multiple of the offset of the images
    that it makes fail.
    """

    operation: str
    family: str
    strength: float
    unit: str
    share: float  # explained share, at most 1; below 0 it is worse than nothing
    overall_share: float  # the same with every filter counting alike, at the same strength
    look_share: float  # the same of how the images themselves look, without the network
    alternative: bool = False  # within the margin of the best: cannot be distinguished from it

    @property
    def mean_share(self) -> float:
        """The mean of the three shares."""
        return (self.share + self.overall_share + self.look_share) / 3

    @property
    def amount(self) -> str:
        """The strength in its unit, in words: 1 stop, 0.5 stops."""
        number, unit = f"{self.strength:.3g}", self.unit
        if number == "1":
            unit = re.sub("^(stop|pixel|degree|doubling|bit|point)s", r"\1", unit)
        return f"{number} {unit}".rstrip()


class DoubtKind(StrEnum):
    """What speaks against an account of the errors, and what the doubt's `found` and `needed` are."""

    TOO_FEW_ERRORS = "too few errors"  # errors of the failure mode
    NO_STRENGTH = "no strength"  # it fits at no strength; no numbers
    UNCHANGED = "unchanged parts explain as much"  # explained share of what those leave; share needed
    BASELINE_ERRORS = "baseline errors explain as much"  # the same
    PLACE = "the change lies elsewhere"  # share of the patches' distance taken away; share needed
    NOT_NEARER = "too few errors nearer"  # errors nearer to changed parts, of `errors`; share needed
    HARMLESS = "the model does not fail under it"  # images like the errors that are right; too many of them
    NEW = "errors hold what is new under it, too"  # errors that do, of `errors`; share of them, at most
    BLAMED_SHARE = "blamed filters"  # explained share of the shift, weighted by blame
    OVERALL_SHARE = "all filters"  # the same, every filter counting alike
    LOOK_SHARE = "look"  # explained share of how the images look
    CHANCE = "chance"  # explained share; what logs without a change reach
    FAINT = "faint"  # fitted strength, in `unit`; least strength that is measured
    MEASURED_SHARE = "measured on the errors"  # explained share (mean of three) of the other half
    MEASURED_VIEW = "measured on the errors, in one view"  # the least of the three


@dataclass(frozen=True, slots=True)
class Doubt:
    """What speaks against an account of the errors, in numbers."""

    kind: DoubtKind
    named: tuple[str, ...]  # the operations of the account, or the measured change
    found: float
    needed: float
    errors: int | None = None  # that were looked at one by one
    unit: str = ""
    measured: bool = False  # the account was measured on the errors


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The cause claimed for a failure mode, or why none is claimed.

    `inspection.nights.phrases` makes the sentence and the reasons of the rest; nights keep both.
    """

    claimed: bool
    family: str | None  # of the best operation, where claimed
    operation: str | None
    strength: float | None
    unit: str | None
    share: float  # explained share of the best operation
    matches: tuple[OperationMatch, ...] = ()  # every operation tried, best first
    control_share: float | None = None  # the best share on correct images without any change
    unchanged_share: float | None = None  # the same of the unchanged reference images nearest to the errors
    nearer_share: float | None = None  # of the errors: nearer to reference images under the best account
    doubts: tuple[Doubt, ...] = ()  # what speaks against a claim
    cause: Cause = Cause.UNKNOWN
    measured: str | None = None  # what was read off the errors: the cause itself, or beside an operation
    pair: tuple[OperationMatch, ...] = ()  # two operations that explain clearly more than the best alone
    nearest_operation_share: float | None = None  # of the best operation, where the cause was measured
    meaning: str = ""  # what the operation means, in plain words
    sentence: str = ""  # for a person, in plain words
    reasons: tuple[str, ...] = ()  # why nothing is claimed, in words

    @property
    def measured_alone(self) -> bool:
        """Whether the cause was read off the errors, because no operation explains them."""
        return self.measured is not None and self.measured == self.operation

    @property
    def mean_share(self) -> float:
        """The mean of the three explained shares of the account; of a measured cause its only one."""
        account = () if self.measured_alone else self.pair or self.matches[:1]
        return account[0].mean_share if account else self.share


@dataclass(frozen=True, slots=True)
class RecipeStep:
    """One operation of a recipe, or one set of textures, with the range that its strength is drawn from."""

    operation: str
    lowest: float
    highest: float
    unit: str  # empty: times as found
    filters: tuple[str, ...] = ()  # `layer:channel` of those whose textures it lays over the images


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """The augmentation recipe written for a failure mode."""

    path: str  # relative to the workspace
    sha256: str
    summary: str  # the transforms and their ranges in words, as an earlier version left them alone
    examples: tuple[tuple[str, str], ...] = ()  # pictures (before, after), before is a reference image
    steps: tuple[tuple[RecipeStep, ...], ...] = ()  # groups that follow each other; one of each is drawn
    share: float | None = None  # of the training images that it changes; None: an earlier version's


@dataclass(frozen=True, slots=True)
class Comparison:
    """An error beside the reference image of its class that is most like it under the claimed cause."""

    error: str  # picture, relative to the workspace
    reference: str  # the same of the reference image as it is
    changed: str  # the same under the cause
    distance: float  # from error to `changed`, in times that to the nearest reference image as it is
    before: str = ""  # picture: where the error differs from reference images as they are; "": not drawn
    after: str = ""  # the same: from reference images under the cause


@dataclass(frozen=True, slots=True)
class SuspectLabel:
    """An error whose label, rather than the model, may be wrong."""

    inspection_id: str
    image_path: str  # absolute
    picture: str  # thumbnail, relative to the workspace
    true_label: str  # the operator's
    suggested_label: str  # the model's
    score: float  # 0 to 1: share of those listed down to it that is expected to be wrong


@dataclass(frozen=True, slots=True)
class Affected:
    """How many errors of a failure mode share an origin, or came since a time, beside the rest of the log."""

    origin: str  # one of ORIGINS, or captured_at: `since` instead of `value`
    value: str
    errors: int  # of the failure mode, that have it
    of_mode: int  # its errors of which the log says it
    others: int  # other rows that have it
    of_others: int  # other rows of which the log says it: errors, and parts whose verdict was right
    right_parts: int  # of `of_others`: parts whose verdict was right
    p_value: float  # of chance, corrected for every test of the night; or of a stronger claim explaining it
    claimed: bool
    since: datetime | None = None  # UTC, to the minute: the first of `errors`
    until: datetime | None = None  # UTC, to the minute: the last that the log knows of, where `since` is told
    utc_offset: int | None = None  # minutes, of the log's clock then; None: it gives none

    @property
    def all_of_mode(self) -> bool:
        """Whether every error that can be told has it."""
        return self.errors == self.of_mode


@dataclass(frozen=True, slots=True)
class FailureMode:
    """A group of a night's errors with one cause, and everything found about it."""

    mode_id: str  # "<night_id>-1"
    title: str
    errors: tuple[LoggedError, ...]
    flip_rates: tuple[FlipRate, ...]  # one per layer verified, best first
    filters: tuple[BlamedFilter, ...]
    diagnosis: Diagnosis
    recipe: RecipeFile | None
    lineage: str = ""  # its name from night to night: the mode_id of the first night that found it
    trend: Trend = Trend.NEW
    previous_errors: int | None = None  # its errors on the night before that has it
    signature: tuple[float, ...] = ()  # the direction of its shift, of unit length: it is recognised by this
    suspects: tuple[SuspectLabel, ...] = ()  # the most suspect first
    comparisons: tuple[Comparison, ...] = ()  # of some errors, from the nearest to the farthest
    affected: tuple[Affected, ...] = ()  # what was compared, by ORIGINS and then by time

    @property
    def night_id(self) -> str:
        """The night that found it."""
        return night_of(self.mode_id)

    @property
    def best(self) -> FlipRate | None:
        """The layer whose patches achieve most."""
        return self.flip_rates[0] if self.flip_rates else None

    def count(self, kind: ErrorKind) -> int:
        """How many errors of the mode are of one kind."""
        return sum(error.kind is kind for error in self.errors)


def night_of(mode_id: str) -> str:
    """The night that a failure mode's name belongs to."""
    return mode_id.rpartition("-")[0]


@dataclass(frozen=True, slots=True)
class KnownMode:
    """A failure mode that earlier nights of a model found, as the latest of them saw it."""

    lineage: str
    signature: tuple[float, ...]
    errors: int
    started_at: datetime  # of that night, UTC
    nights_ago: int  # 1 is the model's last finished night
    lost: int = 0  # rows of that night that are or may be errors and could not be read
    parts: int | None = None  # inspected for that night's log; None: not known
    missed: bool = False  # nights after it did not find it, and lost too many rows to call it gone


@dataclass(frozen=True, slots=True)
class RightPart:
    """A part of a defect log that the model took for what the operator says it is."""

    row: int  # 1-based data row of the log
    image_path: str  # absolute, or an address; nobody has looked whether it is there
    label: str


@dataclass(frozen=True, slots=True)
class Night:
    """One run over a defect log."""

    night_id: str
    model_hash: str
    log_path: str
    log_sha256: str
    started_at: datetime  # UTC
    finished_at: datetime | None
    state: NightState
    message: str = ""  # why it failed, or what it could not do
    rows_read: int = 0
    errors_read: int = 0  # errors that the registered model reproduces
    right_read: int = 0  # parts whose verdict was right, each image once
    settings: dict[str, object] = field(default_factory=dict)  # every setting the night ran with
    seconds: dict[str, float] = field(default_factory=dict)  # wall time by step
    report_path: str | None = None  # relative to the workspace
    set_aside: tuple[SetAside, ...] = ()
    modes: tuple[FailureMode, ...] = ()
    unclustered: tuple[LoggedError, ...] = ()  # errors that belong to no failure mode
    gone: tuple[str, ...] = ()  # lineages that the model's last finished night had and this one has not
    right: tuple[RightPart, ...] = ()  # parts whose verdict was right: some of them, which judge candidates
    of_line: str = ""  # the line whose settings it has; empty: none in particular
    parts: int | None = None  # inspected for its log, as far as that is known


@dataclass(frozen=True, slots=True)
class OldNight:
    """A night that is old enough to be removed, and what rests on it."""

    night_id: str
    started_at: datetime  # UTC
    log_path: str
    rests: str  # what rests on it, in words; empty: nothing, so it may go


@dataclass(frozen=True, slots=True)
class LogSetAside:
    """A log of a line that no night could read."""

    line: str
    log_sha256: str
    log_path: str
    reason: str
    set_aside_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reviewer's verdict on a failure mode; verdicts are only ever added."""

    mode_id: str
    judgement: Judgement
    comment: str
    reviewer: str
    given_at: datetime  # UTC
    cause: str = ""  # the operation or family that the reviewer names; empty: the one found, or none


@dataclass(frozen=True, slots=True)
class Relabel:
    """What a reviewer says that a logged image shows; the newest on an image counts."""

    mode_id: str
    row: int  # 1-based data row of the log
    label: str | None  # a class of the model; None: nothing to train on
    reviewer: str
    given_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class FilterName:
    """What an expert calls the texture that a filter answers to; names are only ever added.

    A model has the filters of the one that it was retrained from: they are called the same.
    """

    model_hash: str  # of the model on whose failure mode it was given
    layer: str
    channel: int
    name: str  # for example "roller marks"; empty: what it was called before is taken back
    author: str
    given_at: datetime  # UTC

    @property
    def filter(self) -> str:
        """The shorthand `layer:channel`."""
        return f"{self.layer}:{self.channel}"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many of a set of images a model gets right, before and after retraining."""

    name: str  # for example "clean validation" or "holdout"
    images: int
    before: int  # images right
    after: int
    fixed: int  # wrong before, right after
    broken: int  # right before, wrong after
    p_value: float  # exact McNemar test, two-sided
    gain_lower: float  # 95 % interval of the change in accuracy
    gain_upper: float
    per_class: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # images, before, after
    escapes: tuple[int, int] | None = None  # defects passed as good, before and after; None: no class is good
    overkills: tuple[int, int] | None = None  # good parts rejected, likewise


class Arm(StrEnum):
    """A way of mending a model; the cheapest first."""

    FIRST_AID = "first aid"  # normalisation statistics re-estimated on images of the line; nothing is trained
    RECIPES = "recipes"  # of all claimed failure modes
    LOGGED = "logged images"  # with the operators' labels
    BOTH = "recipes and logged images"


class Decision(StrEnum):
    """What the gate says of a candidate model."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNDECIDED = "undecided"  # nothing speaks against it, and there are too few images to accept it


class CheckKind(StrEnum):
    """What the gate asks of a candidate model."""

    REPAIR = "repair"  # errors of the failure modes fall
    CONTROL = "control"  # they fall more than by further training alone, whose right images are `before`
    ACCURACY = "accuracy"  # over all images of a set
    CLASS = "class"  # of one class of a set
    ESCAPES = "escapes"  # defects passed as good: before and after count these, not images right
    OVERKILLS = "overkills"  # good parts rejected: likewise


# Share of a class's right parts: who keeps less has lost the class, though the deployed model took every
# part for it. On dimmed and on dusty steel right recipes kept 0.7 to 0.9 of such a class on unseen parts, and
# logged images, with right labels or wrong ones, 0.01 to 0.4.
LEAST_KEPT = 0.5


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check of the gate, in numbers; `inspection.nights.phrases` says it."""

    kind: CheckKind
    images_of: str  # the name of the set of images
    images: int
    before: int  # right, or for ESCAPES passed as good
    after: int
    passed: bool | None  # None: cannot be told of so few images
    class_name: str = ""  # of CLASS
    p_value: float = 1.0  # exact McNemar test, two-sided: that as many were fixed as broken
    by_chance: bool = False  # the p-value decides; else a margin, and chance alone may have failed it
    needed: float = 0.0  # the p-value to reach, or the share that may be lost; of ESCAPES that may pass
    more_images: int | None = None  # that would decide it, were they as these; of those not passed


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm made of images that it was not shown, by cross-validation over groups of logged errors."""

    arm: Arm
    logged_images: int  # that joined the training set in all
    folds: int  # trainings; 1: it was shown no logged image, and judged by all
    seconds: float  # that it took
    accuracies: tuple[Accuracy, ...]  # of the logged errors first
    checks: tuple[GateCheck, ...]  # of harm

    significance: float = 0.05  # p-value at which harm is more than chance

    @property
    def harm(self) -> tuple[GateCheck, ...]:
        """The checks of harm that speak against it beyond chance."""
        failed = (check for check in self.checks if check.passed is False)
        return tuple(check for check in failed if check.p_value <= self.significance)


class Outcome(StrEnum):
    """What became of an image under the candidate model."""

    FIXED = "fixed"  # wrong before, right after
    UNCHANGED = "unchanged"
    REGRESSED = "regressed"  # right before, wrong after


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """One image that judged a candidate model."""

    images_of: str  # the name of the set of images
    image_path: str  # absolute
    image_sha256: str  # of the file
    true_label: str
    before: str  # the deployed model's label
    after: str  # the candidate's; of a cross-validated set that of the model that was not shown its group
    mode_id: str | None = None  # of a logged error

    @property
    def outcome(self) -> Outcome:
        """Fixed, unchanged or regressed."""
        right = self.before == self.true_label, self.after == self.true_label
        return {(False, True): Outcome.FIXED, (True, False): Outcome.REGRESSED}.get(right, Outcome.UNCHANGED)


@dataclass(frozen=True, slots=True)
class FilterAfter:
    """How far a blamed filter's energy lies from normal on the mode's errors, before and after."""

    mode_id: str
    layer: str
    channel: int
    before: float  # sigma, mean over the mode's errors: of the deployed model's normal
    after: float  # likewise, of the candidate's


@dataclass(frozen=True, slots=True)
class Retraining:
    """One targeted retraining: the arms that competed, and the candidate model with its measurements."""

    retraining_id: str
    mode_ids: tuple[str, ...]  # the failure modes that it is to mend
    model_hash: str  # the deployed model it started from
    candidate_hash: str | None  # None: no arm mended anything without harm, so none was trained in full
    started_at: datetime  # UTC
    finished_at: datetime
    decision: Decision
    reasons: tuple[str, ...]  # what decided it, in words
    accuracies: tuple[Accuracy, ...]
    settings: dict[str, object] = field(default_factory=dict)
    logged_images: int = 0  # logged images that joined the training set
    arm: Arm | None = None  # the one trained in full; None: none, or an earlier version's retraining
    arms: tuple[ArmResult, ...] = ()  # that competed, the cheapest first; none where one was asked for
    checks: tuple[GateCheck, ...] = ()
    filters: tuple[FilterAfter, ...] = ()  # the blamed filters of its failure modes
    calibration: tuple[float, float] | None = (
        None  # expected calibration error on clean images, before, after
    )
    notes: tuple[str, ...] = ()  # what was left out, and what else a reader should know
    identity: str = ""  # hash of all that decides it: the same training twice has the same

    @property
    def accepted(self) -> bool:
        """Whether the gate accepted the candidate."""
        return self.decision is Decision.ACCEPTED


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model that the workspace knows, by the hash of its weights."""

    model_hash: str  # SHA-256 of the weights and, where there is one, of the rule, hexadecimal
    architecture: str  # a torchvision name, timm:NAME, onnx:FILE or module:function, with #PART of its answer
    class_names: tuple[str, ...]  # between which it decides
    good_classes: tuple[str, ...]  # classes that mean "this part is good"
    channels: int  # 1 or 3
    height: int  # pixels
    width: int  # pixels
    mean: tuple[float, ...]  # per channel, of values in 0 to 1
    std: tuple[float, ...]
    weights_path: str  # relative to the workspace
    registered_at: datetime  # UTC
    parent_hash: str | None = None  # of the model that it was retrained from; None: a plant's own
    note: str = ""
    bit_depth: int | None = None  # that its 16-bit images use; None: never measured
    name: str = ""  # that all models of a line share; the store gives a new one its workspace's
    version: int = 0  # among the models of that name, from 1; 0: the store has not given it yet
    decision: str = ""  # the plant's rule, as `DecisionRule.parse` reads it; empty: the largest logit
    described: tuple[str, ...] = ()  # the class names that the rule speaks of; empty: those above
    prepared: str = ""  # how an image fills the input, as `Fitting.parse` reads it; empty: stretched

    @property
    def rule(self) -> DecisionRule:
        """How it decides."""
        return DecisionRule.parse(self.decision, self.described or self.class_names)

    @property
    def called(self) -> str:
        """Its name and version: `line1 v3`."""
        return f"{self.name} v{self.version}"


class PromotionKind(StrEnum):
    """How a model came to be the deployed one."""

    REGISTERED = "registered"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True)
class Promotion:
    """One entry of the audit trail: since when a model is the deployed one, who decided it, and why."""

    model_hash: str
    previous_hash: str | None  # the model deployed until then
    kind: PromotionKind
    author: str
    reason: str
    decided_at: datetime  # UTC
    decision: Decision | None = None  # the gate's on the model then; None: it was not judged


@dataclass(frozen=True, slots=True)
class ReferenceImage:
    """A labelled image that the model was trained ('train') or validated ('val') on."""

    image_path: str  # absolute
    label: str
    split: str
