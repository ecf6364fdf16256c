"""How a plant turns a network's answer into a class: the largest logit, thresholds, groups, an unknown band.

A rule is text, as the plant would say it:

    defect > 0.2                                defect where its probability (softmax) is above .2
    scratch > 0.2, dent > 0.4                   whichever is furthest above its threshold; else another class
    sigmoid(defect) > 0.3                       a network with one output for each class that the rule names
    logit(defect) > -1.2                        the same, by the output itself
    NG = scratch + dent                         several outputs are one class: that of the largest logit
    NG = scratch + dent > 0.3                   ... by the sum of their probabilities
    unknown = 0.3 < defect < 0.7                between the two a person decides
    unknown = largest < 0.8                     where no class is likely enough a person decides

What it makes of a network's outputs is in `fmi_engine.decision`. Nothing here loads torch.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fmi_engine.errors import ClassifierError

ODD = frozenset("()<>=+")  # signs of a rule, which no class name that it speaks of may hold
LARGEST = "largest"  # in a band: whichever class is likeliest
EXAMPLES = (
    '"defect > 0.2", "sigmoid(defect) > 0.3" (one output), "NG = scratch + dent > 0.3", '
    '"unknown = 0.3 < defect < 0.7"'
)
_WIDE = str.maketrans("＞＜＝＋（），．", "><=+(),.")  # signs as a Japanese keyboard writes them
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TERM = r"(?:(?P<by>sigmoid|logit)\s*\(\s*(?P<inner>[^()<>=+]+?)\s*\)|(?P<name>[^()<>=+]+?))"
_BAND = re.compile(rf"(?P<band>[^()<>=+]+?)\s*=\s*(?P<low>{_NUMBER})\s*<\s*{_TERM}\s*<\s*(?P<high>{_NUMBER})")
_DOUBT = re.compile(rf"(?P<band>[^()<>=+]+?)\s*=\s*{LARGEST}\s*<\s*(?P<least>{_NUMBER})")
_GROUP = re.compile(
    rf"(?P<group>[^()<>=+]+?)\s*=\s*(?P<members>[^()<>=]+?)(?:\s*>=?\s*(?P<above>{_NUMBER}))?"
)
_THRESHOLD = re.compile(rf"{_TERM}\s*>=?\s*(?P<above>{_NUMBER})")


@dataclass(frozen=True, slots=True)
class Band:
    """Where a person decides: between two probabilities of a class, or below one of whichever is largest."""

    name: str  # what the plant calls parts that nobody has decided
    place: int | None  # of the class, in `DecisionRule.classes`; None: of the likeliest
    low: float  # logits: of a probability p, log(p / (1 - p))
    high: float


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """A plant's rule, from the outputs of its network to the classes that its log names."""

    text: str  # the rule as given; empty: the largest logit
    described: tuple[str, ...]  # the class names as the model was described with them
    classes: tuple[str, ...]  # between which it decides
    outputs: tuple[str, ...]  # of the network, in their order
    members: tuple[tuple[int, ...], ...]  # of each class: its outputs; none: it is what is left over
    thresholds: tuple[float | None, ...]  # of each class: logits above which it is called
    exclusive: bool = True  # softmax over the outputs; else each has a sigmoid of its own
    band: Band | None = None

    @classmethod
    def plain(cls, classes: Sequence[str]) -> "DecisionRule":
        """The class of the largest logit."""
        names = tuple(classes)
        return cls("", names, names, names, tuple((i,) for i in range(len(names))), (None,) * len(names))

    @classmethod
    def parse(cls, text: str, described: Sequence[str]) -> "DecisionRule":
        """The rule that a text says for a model described with these class names; empty: the plain one.

        Raises ClassifierError saying what cannot be read, or fits no class.
        """
        text = " ".join(text.translate(_WIDE).split())
        return _Parsed(text, tuple(described)).decision() if text else cls.plain(described)

    @property
    def names(self) -> tuple[str, ...]:
        """What a decision may be: the classes, then the band's name where there is one."""
        return (*self.classes, self.band.name) if self.band else self.classes

    @property
    def undecided(self) -> str:
        """What the plant calls parts that a person has to decide; empty where none are."""
        return self.band.name if self.band else ""

    def class_of(self, label: str) -> str | None:
        """The class that a label means: its own name, or that of the group that it belongs to."""
        if label in self.classes:
            return label
        if label in self.outputs:
            place = self.outputs.index(label)
            return next(name for name, mine in zip(self.classes, self.members, strict=True) if place in mine)
        return None


@dataclass(frozen=True, slots=True)
class _Clause:
    kind: str  # band, doubt, group or threshold
    found: re.Match[str]

    def __getitem__(self, name: str) -> str:
        return (self.found.groupdict().get(name) or "").strip()

    @property
    def term(self) -> str:
        """The class that it speaks of."""
        return self["inner"] or self["name"]


class _Parsed:
    """A rule's clauses, checked against the class names that a model was described with."""

    def __init__(self, text: str, described: tuple[str, ...]) -> None:
        self.text, self.described = text, described
        self.clauses = [self._clause(part.strip()) for part in text.split(",")]

    def error(self, why: str) -> ClassifierError:
        return ClassifierError(
            f"the decision '{self.text}': {why}. The model's classes are: {', '.join(self.described)}; "
            f"expected, for example, {EXAMPLES}, or nothing for the class of the largest logit"
        )

    def _clause(self, part: str) -> _Clause:
        kinds = {"band": _BAND, "doubt": _DOUBT, "group": _GROUP, "threshold": _THRESHOLD}
        for kind, pattern in kinds.items():
            if found := pattern.fullmatch(part):
                return _Clause(kind, found)
        odd = sorted({each for name in self.described for each in ODD & set(name) if name in part})
        why = (
            f"; {' and '.join(odd)} in a class name is read as a sign: name the classes without"
            if odd
            else ""
        )
        raise self.error(f"'{part}' cannot be read{why}")

    def of(self, *kinds: str) -> list[_Clause]:
        return [clause for clause in self.clauses if clause.kind in kinds]

    def decision(self) -> DecisionRule:
        by = {clause["by"] for clause in self.of("band", "threshold")}
        exclusive = by <= {""}
        if not exclusive and "" in by:
            raise self.error(
                "some classes go by sigmoid or logit and others by softmax; a network has one kind"
            )
        classes, members = self._groups() if exclusive else self._single()
        bounds = self._thresholds(classes)
        return DecisionRule(
            self.text,
            self.described,
            classes,
            self.described
            if exclusive
            else tuple(each for each in self.described if each in self._single_outputs()),
            members,
            bounds,
            exclusive,
            self._band(classes, bounds),
        )

    def _groups(self) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        """The classes with their outputs: groups, in the place of their first member, and what is in none."""
        group_of: dict[str, str] = {}
        for clause in self.of("group"):
            for member in map(str.strip, clause["members"].split("+")):
                self._check_class(member, self.described)
                if member in group_of:
                    raise self.error(f"'{member}' stands in two groups")
                group_of[member] = clause["group"]
        for name in set(group_of.values()) & set(self.described):
            if group_of.get(name) != name:
                raise self.error(f"a group has the name of '{name}', which is a class and not in it")
        members: dict[str, list[int]] = {}
        for i, name in enumerate(self.described):
            members.setdefault(group_of.get(name, name), []).append(i)
        if len(members) < 2:
            raise self.error("all classes are in one group, and nothing is left to decide")
        return tuple(members), tuple(map(tuple, members.values()))

    def _single_outputs(self) -> list[str]:
        return [clause.term for clause in self.of("band", "threshold")]

    def _single(self) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        """The classes of a network with an output for each that the rule names."""
        if self.of("group", "doubt"):
            raise self.error("groups and 'largest' go by softmax, not by sigmoid or logit")
        named = self._single_outputs()
        for name in named:
            self._check_class(name, self.described)
        outputs = [name for name in self.described if name in named]
        if len(outputs) != len(self.described) - 1:
            rest = [name for name in self.described if name not in named]
            raise self.error(
                "by sigmoid or logit, one class is what is left where no other is called, and the rule names "
                f"all others; it leaves {', '.join(rest) or 'none'}"
            )
        return self.described, tuple((outputs.index(n),) if n in named else () for n in self.described)

    def _thresholds(self, classes: tuple[str, ...]) -> tuple[float | None, ...]:
        found: dict[str, float] = {}
        for clause in self.of("group", "threshold"):
            name = clause["group"] or clause.term
            self._check_class(name, classes)
            if clause["above"]:
                if name in found:
                    raise self.error(f"'{name}' has two thresholds")
                found[name] = self._bound(clause["above"], clause["by"])
        if len(found) == len(classes):
            raise self.error("every class has a threshold; leave one without, for parts that pass none")
        return tuple(found.get(name) for name in classes)

    def _band(self, classes: tuple[str, ...], thresholds: tuple[float | None, ...]) -> Band | None:
        clauses = self.of("band", "doubt")
        if not clauses:
            return None
        if len(clauses) > 1 or any(each is not None for each in thresholds):
            raise self.error("a band stands alone: it holds the threshold of its class, and needs no other")
        clause, name = clauses[0], clauses[0]["band"]
        if name in (*classes, *self.described):
            raise self.error(f"the band has the name of the class '{name}'")
        if clause.kind == "doubt":
            least = self._bound(clause["least"], "")
            if float(clause["least"]) <= 1 / len(classes):
                raise self.error(f"of {len(classes)} classes the largest is never below {clause['least']}")
            return Band(name, None, least, least)
        self._check_class(clause.term, classes)
        low, high = (self._bound(clause[end], clause["by"]) for end in ("low", "high"))
        if low >= high:
            raise self.error(f"the band from {clause['low']} to {clause['high']} is empty")
        return Band(name, classes.index(clause.term), low, high)

    def _check_class(self, name: str, classes: Sequence[str]) -> None:
        if name not in classes:
            raise self.error(f"'{name}' is no class")

    def _bound(self, text: str, by: str) -> float:
        """In logits."""
        value = float(text)
        if by == "logit" and math.isfinite(value):
            return value
        if not 0 < value < 1:
            raise self.error(f"{text} is no probability between 0 and 1")
        return math.log(value / (1 - value))
