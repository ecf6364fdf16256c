"""What the command line prints of a night and of a retraining, for a person."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from inspection.console import Console, Table
from inspection.errors import StoreError
from inspection.findings import Accuracy, Decision, ErrorKind, FailureMode, Night, Retraining
from inspection.nights.lines import LineState
from inspection.nights.phrases import (
    affected_in_words,
    filters_in_words,
    harm_in_words,
    moment,
    origins_in_words,
    percent,
    reasons,
    said,
)
from inspection.nights.poc import WEEKS, Poc, State, ask_in_words, command_for, steps
from inspection.nights.worth import worth_in_words, worth_of
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store

NAMED = 5  # tables that were passed over, by name


def newest_night(store: Store) -> str:
    """The newest night that has a failure mode. Raises StoreError where there is none."""
    for night in store.nights():
        if night.modes:
            return night.night_id
    raise StoreError("no night has found a failure mode yet; run `fmi night LOG` first, or name a mode")


def print_night(console: Console, night: Night, workspace: Workspace) -> None:
    """Print what a night found."""
    console.print(
        f"Night {night.night_id}: {night.errors_read} errors of {night.rows_read} rows, "
        f"{len(night.set_aside)} set aside"
    )
    for reason, count in Counter(each.reason for each in night.set_aside).most_common():
        console.print(f"  set aside: {count} {reason}")
    if night.message:
        console.print(night.message)
    for mode in night.modes:
        print_mode(console, mode)
        if mode.recipe:
            console.print(f"Recipe: {workspace.root / mode.recipe.path}")
            console.print(f"  {mode.recipe.summary}")
    if night.report_path:
        console.print(f"Report: {workspace.root / night.report_path}")


def print_line(console: Console, line: LineState) -> None:
    """Print when a line is read, what waits, and what was set aside."""
    when = f"as they come from {line.logs}"
    if line.next_firing:
        when = f"at '{line.cron}' ({line.timezone}), next {line.next_firing:%Y-%m-%d %H:%M} from {line.logs}"
    console.print(Text.assemble((f"Line {line.name}", "bold"), f": logs are read {when}"))
    for each in line.shifted:
        why = "which the clock skips" if each.skipped else "which comes twice"
        runs = f"{each.runs:%H:%M} (UTC{each.runs:%z}), once"
        console.print(f"  on {each.day} the night of {each.usually}, {why}, runs at {runs}")
    console.print(f"  {line.read} logs read, {len(line.waiting)} wait, {line.due} of them due")
    if line.trouble:
        console.print(f"  {line.trouble}", style="yellow")
    for log in line.waiting[:NAMED]:
        console.print(f"  waits: {log.path}")
    for refused in line.set_aside:
        console.print(f"  set aside: {refused.log_path}: {refused.reason.splitlines()[0]}")


def print_mode(console: Console, mode: FailureMode) -> None:
    """Print one failure mode: its errors, its cause, and the flip rates beside their controls."""
    kinds = ", ".join(f"{count} {kind.value}" for kind in ErrorKind if (count := mode.count(kind)))
    heading = (f"\nFailure mode {mode.mode_id}", "bold")
    console.print(Text.assemble(heading, f": {mode.title} ({kinds})"))
    if affected := affected_in_words(mode.affected):
        console.print(f"Affected: {affected}")
    if origin := origins_in_words(mode.errors, mode.affected):
        console.print(f"Logged: {origin}")
    console.print(said(mode.diagnosis))
    for reason in reasons(mode.diagnosis):
        console.print(f"  because {reason}")
    table = Table("layer", "filters", "flip rate", "deviation", "random", "collateral", "", box=None)
    for each in mode.flip_rates:
        table.add_row(
            each.layer,
            f"{each.k} of {each.channels}",
            *map(percent, (each.blame, each.deviation, each.random, each.collateral)),
            "withheld: does not beat its controls" if each.withheld else "",
        )
    console.print(table)
    trusted = sum(primitive.trusted for each in mode.filters for primitive in each.primitives)
    tried = sum(len(each.primitives) for each in mode.filters)
    names = ", ".join(each.name for each in mode.filters)
    console.print(f"Most blamed: {names}; {trusted} of {tried} primitives trusted")


def print_retraining(console: Console, done: Retraining) -> None:
    """Print what every arm would have given, and what the candidate achieved, before and after."""
    if done.arms:
        console.print(_arms(done))
        for each in done.arms:
            if harmed := harm_in_words(each):
                console.print(f"  {each.arm.value}: {harmed}")
    colour = {Decision.ACCEPTED: "green", Decision.REJECTED: "red", Decision.UNDECIDED: "yellow"}
    named = f"Candidate model {done.candidate_hash[:12]}: " if done.candidate_hash else "No candidate model: "
    console.print(Text.assemble(named, (done.decision.value, colour[done.decision])))
    for reason in done.reasons:
        console.print(f"  {reason}")
    if done.accuracies:
        table = Table("images", "count", "before", "after", "change (95 % interval)", box=None)
        for found in done.accuracies:
            shares = _share(found.before, found), _share(found.after, found), _gain(found)
            table.add_row(found.name, str(found.images), *shares)
        console.print(table)
    if done.calibration:
        before, after = done.calibration
        console.print(f"Expected calibration error on clean images: {before:.3f} before, {after:.3f} after")
    if done.filters:
        console.print(filters_in_words(done.filters))
    if worth := worth_of(done):
        console.print(worth_in_words(worth))
    for note in done.notes:
        console.print(f"Note: {note}")
    if done.accepted and done.candidate_hash:
        console.print(f"Next: fmi promote {done.candidate_hash[:12]} --reason '...'")


def print_poc(console: Console, poc: Poc, paper: Path) -> None:
    """Print where a plant's first month stands, and what to do next."""
    over = poc.week > WEEKS
    when = "the four weeks are over" if over else f"week {poc.week} of {WEEKS}"
    console.print(f"The first month with {poc.begun.folder}, since {poc.begun.started}: {when}")
    table = Table("week", "step", "by", "until", "state", "figures so far", box=None)
    colours = {State.DONE: "green", State.DUE: "bold", State.LATE: "red"}
    for each in steps(poc):
        state = Text(each.state.value, colours.get(each.state, ""))
        told = each.told or "none yet"
        table.add_row(str(each.week), each.title, each.who, f"{each.until}", state, told)
    console.print(table)
    for path, why in poc.logs.passed_over[:NAMED]:
        console.print(f"Not read: {path}: {why.removeprefix(f'{path}: ').splitlines()[0]}")
    if more := len(poc.logs.passed_over[NAMED:]):
        console.print(f"Not read: {more} other tables that are no defect logs")
    console.print(Text.assemble(("Next: ", "bold"), ask_in_words(poc)))
    console.print(f"To type: {command_for(poc)}")
    console.print(f"The paper: {paper}")


def print_models(console: Console, store: Store) -> None:
    """Print the models, newest first, and the audit trail of which was deployed."""
    trail, table = (
        store.promotions(),
        Table("model", "state", "hash", "gate", "from", "registered", "", box=None),
    )
    known = {each.model_hash: each for each in store.models()}
    judged = {each.candidate_hash: each.decision.value for each in reversed(store.retrainings())}
    states = store.model_states()
    for model in known.values():
        parent = known[model.parent_hash].called if model.parent_hash in known else ""
        said = judged.get(model.model_hash, "")
        when = moment(model.registered_at)
        told = "; ".join(filter(None, [model.note, model.decision, model.prepared]))
        table.add_row(model.called, states[model.model_hash], model.model_hash[:12], said, parent, when, told)
    console.print(table if known else "No model yet: fmi register or fmi train makes the first.")
    for entry in trail:
        named = known[entry.model_hash].called if entry.model_hash in known else entry.model_hash[:12]
        gate = f", which the gate had {entry.decision.value}" if entry.decision else ""
        reason = f": {entry.reason}" if entry.reason else ""
        console.print(
            f"{moment(entry.decided_at)}  {named} {entry.kind.value} by {entry.author}{gate}{reason}"
        )


def _arms(done: Retraining) -> Table:
    """What each arm would have given on images that it was not shown."""
    table = Table("arm", "logged errors mended", "clean images right", "seconds", "", box=None)
    for each in done.arms:
        mended, clean = each.accuracies[0], each.accuracies[1]
        said = "trained in full" if each.arm is done.arm else "harms" if each.harm else ""
        table.add_row(
            each.arm.value,
            f"{mended.after} of {mended.images}",
            f"{clean.after} of {clean.images} (before {clean.before})",
            f"{each.seconds:.0f}",
            said,
        )
    return table


def _share(right: int, accuracy: Accuracy) -> str:
    return f"{right / accuracy.images:.1%}" if accuracy.images else "-"


def _gain(accuracy: Accuracy) -> str:
    if not accuracy.images:
        return "-"
    change = (accuracy.after - accuracy.before) / accuracy.images
    return f"{change:+.1%} ({accuracy.gain_lower:+.1%} to {accuracy.gain_upper:+.1%})"


def _readability(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each stage and preset."""
    table = Table(title="Readability, by preset", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("stage")
    table.add_column("preset")
    for name in ("readable", "real", "way", "network", "real", "transfer", "first", "copy", "bound"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        for name, found in row["presets"].items():
            figures = (
                "readable",
                "readable_ceiling",
                "share",
                "by_network",
                "by_network_ceiling",
                "transfer",
            )
            cells = [
                f"{found[figure]:.2f}" for figure in (*figures, "first_rank", "nearest_copy", "copy_bound")
            ]
            table.add_row(f"{row['network']} {row['layer']}", name, *cells)
    return table


def print_paper(console: Console, results: Mapping[str, Any]) -> None:
    """Print what `fmi bench paper` measured: a row for each stage, then the claims that hold and do not."""
    title = f"Every filter extracts a specific texture: {results['images']}"
    table = Table(title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False)  # 80 columns hold it
    table.add_column("stage")
    for name in ("filters", "AUROC", "trusted", "rank", "agree", "layout", "untrained", "pictures", "dead"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in results["layers"]:
        parts, control = row["parts"], row["untrained_parts"]
        shares = (row["trusted_share"], parts["rank"], parts["agreement"], parts["layout"])
        controls = (row["untrained_trusted_share"], control["pictures"], row["dead_trusted_share"])
        table.add_row(
            f"{row['network']} {row['layer']}",
            f"{row['filters']}/{row['channels']}",
            f"{row['auroc']:.3f}",
            *(f"{share:.0%}" for share in (*shares, *controls)),
        )
    console.print(table)
    console.print(_readability(results["layers"]))
    console.print(
        "readable: AUROC with which an observer without a network, shown the primitives, tells a filter's "
        "real crops; real: shown other real crops; network: through a network of another seed. transfer: "
        "how far that network's counterpart leads its layer, chance 0.5. copy: likest place of a real image."
    )
    console.print(
        "filters: inverted, of the layer. rank, agree, layout: live ones that pass this part by itself."
    )
    console.print(
        "untrained: trusted ones of an untrained network; pictures: were its pictures all that is asked."
    )
    for sentence in results["verdicts"]:
        console.print(f"- {sentence}")
