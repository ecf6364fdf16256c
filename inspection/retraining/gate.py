"""The gate: what accepts a candidate model, rejects it, or says how many images are missing to tell."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fmi_engine.chance import Changes, as_fallen, holm
from inspection.findings import LEAST_KEPT, CheckKind, Decision, GateCheck
from inspection.models.comparison import Judged, called, good_mask, mcnemar
from inspection.workspace.settings import AcceptanceSettings

FURTHEST = 100  # times the images at hand: whether more than so many would decide it is not looked for


@dataclass(frozen=True, slots=True)
class Gate:
    """What is asked of a candidate: the classes, those that mean good, and the margins."""

    class_names: tuple[str, ...]
    good_classes: tuple[str, ...]
    settings: AcceptanceSettings

    def repair(self, failing: Judged) -> GateCheck:
        """Whether the errors fall, beyond chance, on images that it was not shown."""
        return self._better(failing, CheckKind.REPAIR)

    def beyond_control(self, failing: Judged, control: NDArray[np.int64]) -> GateCheck:
        """Whether they fall, beyond chance, more than under further training alone.

        Of many errors that stand near the boundary some turn right whatever a network is trained on.
        `control` are the answers of a model that was trained as long on its own images.
        """
        return self._better(replace(failing, before=control), CheckKind.CONTROL)

    def _better(self, failing: Judged, kind: CheckKind) -> GateCheck:
        before, after = failing.right
        p = mcnemar(failing.fixed, failing.broken)
        passed: bool | None = failing.fixed > failing.broken and p <= self.settings.significance
        more = None
        if not passed and (failing.fixed > failing.broken or not len(failing)):
            passed, more = None, self._more_images(failing.fixed, failing.broken, len(failing))
        return GateCheck(
            kind,
            failing.name,
            len(failing),
            before,
            after,
            passed,
            p_value=p,
            by_chance=True,
            needed=self.settings.significance,
            more_images=more,
        )

    def harm(
        self, clean: Judged, mended: Judged | None = None, shifted: Sequence[Judged] = ()
    ) -> tuple[GateCheck, ...]:
        """Whether anything is harmed that has to stay as it is.

        `clean` images are those that the deployed model was made for: accuracy may fall by the margins, over
        all and in every class. `mended` are errors of other failure modes, which earlier retrainings may have
        mended. `shifted` are sets under the new condition, where it fails already: no class may be known
        less, and no more defects may pass as good than before, beyond chance. A model that takes most good
        parts for defects lets few pass and is no measure: then the share that passes of clean images is.
        And no larger share of good parts may be rejected than before or of clean images.
        """
        checks = [*self._margins(clean)]
        if mended is not None:
            checks.append(self._margin(mended, CheckKind.ACCURACY, self.settings.class_margin))
        for judged in shifted:
            checks += self._falls(judged)
        checks += self._escapes(clean)
        for judged in (*([mended] if mended is not None else []), *shifted):
            checks += self._more_escapes(judged, clean)
        for judged in shifted:
            checks += self._more_overkills(judged, clean)
        return tuple(checks)

    def enough_went_right(self, judged: Judged) -> GateCheck | None:
        """That too few images show what becomes of the parts that go right today; None where enough do.

        A log of errors alone is one-sided. Solar cells of another kind: the model took all of them for
        defective, the log held 159 good ones and 20 others, and a candidate that was shown them mended 87 %
        of these and let 61 of 80 defects pass that it had found before. Enough are so many that one of them
        is within the margin of a class.
        """
        right = judged.subset(judged.before == judged.labels)
        needed = round(1 / self.settings.class_margin) if self.settings.class_margin else 0
        if len(right) >= needed:
            return None
        check = self._margin(right, CheckKind.ACCURACY, self.settings.class_margin)
        return replace(check, passed=None, more_images=needed - len(right))

    def _margins(self, judged: Judged) -> Iterator[GateCheck]:
        yield self._margin(judged, CheckKind.ACCURACY, self.settings.clean_margin)
        for name, mine in self._by_class(judged):
            yield self._margin(mine, CheckKind.CLASS, self.settings.class_margin, name)

    def _margin(self, judged: Judged, kind: CheckKind, margin: float, class_name: str = "") -> GateCheck:
        """One image alone is no evidence of harm, and no image at all is no evidence of none."""
        (before, after), n = judged.right, len(judged)
        lost = before - after > max(1.0, margin * n)
        passed, more = self._told(lost, judged.fixed, judged.broken, n)
        if not n:
            passed, more = None, round(1 / margin) if margin else None
        p = mcnemar(judged.fixed, judged.broken)
        return GateCheck(
            kind, judged.name, n, before, after, passed, class_name, p, needed=margin, more_images=more
        )

    def _told(self, lost: bool, fixed: int, broken: int, n: int) -> tuple[bool | None, int | None]:
        """Whether a check of harm is passed, and how many more images would tell where it cannot be told.

        What is lost beyond a margin and not beyond chance may be neither called harm nor accepted.
        """
        if not lost:
            return True, None
        if mcnemar(fixed, broken) <= self.settings.significance:
            return False, None
        return None, self._more_images(fixed, broken, n)

    def _falls(self, judged: Judged) -> Iterator[GateCheck]:
        """No class may be known less, and of none may half be lost, however it was right before.

        Harm is what is beyond chance among so many classes; what would be of one class alone cannot be told.
        """
        tested = [(i, name, mine) for i, (name, mine) in enumerate(self._by_class(judged)) if len(mine)]
        alone = [self._fall(judged, i, mine) for i, _, mine in tested]
        significance = self.settings.significance
        for (i, name, mine), p, corrected in zip(tested, alone, holm(alone), strict=True):
            passed = p > significance or (False if corrected <= significance else None)
            yield GateCheck(
                CheckKind.CLASS,
                judged.name,
                len(mine),
                *mine.right,
                passed=passed,
                class_name=name,
                p_value=corrected,
                by_chance=True,
                needed=significance,
                more_images=self._more_of_class(judged, i, len(tested)) if passed is None else None,
            )

    def _fall(self, judged: Judged, label: int, mine: Judged) -> float:
        (before, after), p = mine.right, less_known(judged, label)
        return min(p, mcnemar(mine.fixed, mine.broken)) if after < LEAST_KEPT * before else p

    def _more_of_class(self, judged: Judged, label: int, classes: int) -> int | None:
        """How many more images of a class, and of the others as many times more, would tell among so many."""
        own, others = changes_of(judged, label)
        for size in range(own.of + 1, FURTHEST * own.of + 1):
            grown = [Changes(*(round(count * size / own.of) for count in each)) for each in (own, others)]
            if as_fallen(*grown) <= self.settings.significance / classes:
                return size - own.of
        return None

    def _escapes(self, clean: Judged) -> Iterator[GateCheck]:
        """One escape alone is no evidence, and neither are the few that a margin allows."""
        (before, after), defects = self._passed(clean)
        if defects:
            rises = after.sum() - before.sum() > max(1.0, self.settings.clean_margin * defects)
            gone, new = int((before & ~after).sum()), int((after & ~before).sum())
            passed, more = self._told(bool(rises), gone, new, defects)
            yield GateCheck(
                CheckKind.ESCAPES,
                clean.name,
                defects,
                int(before.sum()),
                int(after.sum()),
                passed,
                p_value=mcnemar(gone, new),
                needed=self.settings.clean_margin,
                more_images=more,
            )

    def _more_escapes(self, judged: Judged, clean: Judged) -> Iterator[GateCheck]:
        """More of them than passed before; where the model rejected blindly, than pass of clean images.

        Blindly: it took fewer than half of the good parts for good. Who rejects every part lets none escape.
        """
        (before, after), defects = self._passed(judged)
        passed, escaped = int(before.sum()), int(after.sum())
        if not defects:
            return
        p, usual = mcnemar(int((before & ~after).sum()), int((after & ~before).sum())), passed / defects
        if self._rejects_blindly(judged):
            p, usual = _beyond((escaped, defects), (passed, defects), _share(self._passed(clean)))
        elif escaped <= passed:
            p = 1.0
        kind, needed = CheckKind.ESCAPES, self.settings.significance
        yield GateCheck(
            kind, judged.name, defects, passed, escaped, p > needed, p_value=p, by_chance=True, needed=usual
        )

    def _rejects_blindly(self, judged: Judged) -> bool:
        """Whether most good parts were rejected before; also where there is none to say it by."""
        good = good_mask(self.class_names, self.good_classes)
        parts = judged.subset(good[judged.labels])
        accepted = int(called(parts.before, good).sum())
        return accepted < LEAST_KEPT * len(parts) or not len(parts)

    def _more_overkills(self, judged: Judged, clean: Judged) -> Iterator[GateCheck]:
        """Mending escapes may cost some good parts, and no larger share than was rejected or is when clean.

        Of 80 arms and poisoned candidates on paper, ball screws and cells three were beyond that, one of them
        accepted until then. By each fewer unseen parts were right than before.
        """
        (_, after), parts = counted = self._rejected(judged)
        if parts:
            found, was = (int(after.sum()), parts), _share(counted)
            p, usual = _beyond(found, was, _share(self._rejected(clean)))
            kind, needed = CheckKind.OVERKILLS, self.settings.significance
            yield GateCheck(
                kind,
                judged.name,
                parts,
                was[0],
                found[0],
                p > needed,
                p_value=p,
                by_chance=True,
                needed=usual,
            )

    def _passed(self, judged: Judged) -> "_Counted":
        """Which images are escapes, before and after, and how many are defects; 0 where no class is good."""
        good = good_mask(self.class_names, self.good_classes)
        return judged.passed(good), int((~good[judged.labels]).sum()) if good.any() else 0

    def _rejected(self, judged: Judged) -> "_Counted":
        """Which images are overkills, before and after, and how many parts are good."""
        good = good_mask(self.class_names, self.good_classes)
        return judged.rejected(good), int(good[judged.labels].sum())

    def _by_class(self, judged: Judged) -> Iterator[tuple[str, Judged]]:
        for i, name in enumerate(self.class_names):
            yield name, judged.subset(judged.labels == i)

    def _more_images(self, fixed: int, broken: int, n: int) -> int | None:
        """How many more images would tell, beyond chance, were they as the n at hand."""
        if not n:  # were all of them mended
            return 1 + (self._more_images(1, 0, 1) or 0)
        for size in range(n + 1, FURTHEST * n + 1):
            if mcnemar(round(fixed * size / n), round(broken * size / n)) <= self.settings.significance:
                return size - n
        return None


_Counted = tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], int]  # which before, which after, of how many


def _share(counted: _Counted) -> tuple[int, int]:
    """How many there were before, of how many."""
    (before, _), count = counted
    return int(before.sum()), count


def _beyond(found: tuple[int, int], *usual: tuple[int, int]) -> tuple[float, float]:
    """The p-value that a share, given as (found, of how many), is no larger than usual, and the usual one."""
    from scipy.stats import fisher_exact  # half a second, which no night should wait for

    before, of = max(usual, key=lambda pair: pair[0] / max(1, pair[1]))
    table = np.array([[found[0], found[1] - found[0]], [before, of - before]])
    return float(fisher_exact(table, "greater").pvalue), before / max(1, of)


def less_known(judged: Judged, label: int) -> float:
    """The p-value that a class is told from the others no worse than before.

    What counts is the class's informedness (Youden's J: the share of its parts that are taken for it, less
    the share of other parts that are): a model that takes every part for one class under a new light is right
    on that class and does not know it. It falls where fewer of the class's own parts are taken for it, beside
    those of the others. 1 where nothing changed. Youden, Index for rating diagnostic tests, 1950.
    """
    own, others = changes_of(judged, label)
    return as_fallen(own, others) if own.of and others.of else 1.0


def changes_of(judged: Judged, label: int) -> tuple[Changes, Changes]:
    """How many of a class's own parts and of the others came to be taken for it, and ceased to be."""
    before, after, own = judged.before == label, judged.after == label, judged.labels == label

    def of(group: NDArray[np.bool_]) -> Changes:
        gained, lost = int((group & after & ~before).sum()), int((group & before & ~after).sum())
        return Changes(gained, lost, int(group.sum()))

    return of(own), of(~own)


def decide(checks: Iterable[GateCheck]) -> Decision:
    """Rejected where one check fails, else undecided where one cannot be told, else accepted."""
    passed = [check.passed for check in checks]
    if False in passed:
        return Decision.REJECTED
    return Decision.UNDECIDED if None in passed else Decision.ACCEPTED
