"""What people have decided of a night since it finished, and what became of it: for the night's report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inspection.findings import FilterName, Night, Retraining, Verdict, night_of

if TYPE_CHECKING:
    from inspection.workspace.reader import Reader  # and DuckDB, which a page that only reads does not need


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided of a night's failure modes."""

    names: Mapping[str, Sequence[FilterName]] = field(
        default_factory=dict
    )  # of textures, by filter, newest first
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)  # the newest on each failure mode
    retrainings: Mapping[str, Sequence[Retraining]] = field(default_factory=dict)  # for each, newest first
    called: Mapping[str, str] = field(default_factory=dict)  # names of models, by their hashes
    states: Mapping[str, str] = field(default_factory=dict)  # of models: deployed, retired or candidate


UNDECIDED = Decided()


def decided_of(findings: "Reader", night: Night) -> Decided:
    """What was decided of a night until now."""
    modes = [mode.mode_id for mode in night.modes]
    verdicts = {mode_id: findings.verdicts(mode_id)[:1] for mode_id in modes}
    return Decided(
        findings.filter_names(night.model_hash),
        {mode_id: newest for mode_id, given in verdicts.items() for newest in given},
        {mode_id: findings.retrainings(mode_id) for mode_id in modes},
        {model.model_hash: model.called for model in findings.models()},
        findings.model_states(),
    )


def nights_of_models(findings: "Reader", *model_hashes: str | None) -> list[str]:
    """The nights for whose failure modes candidates were trained: their reports tell what became of these.

    None stands for no model.
    """
    made = [done for each in model_hashes if each for done in findings.retrainings(candidate=each)]
    known = findings.states()
    nights = dict.fromkeys(night_of(mode_id) for done in made for mode_id in done.mode_ids)
    return [night_id for night_id in nights if night_id in known]
