"""The summary of a night that a script reads."""

from collections import Counter
from dataclasses import asdict

from inspection.findings import Affected, ErrorKind, FailureMode, Night
from inspection.nights.phrases import all_errors, origins
from inspection.workspace.folder import Workspace


def summary(night: Night, workspace: Workspace) -> dict[str, object]:
    """What `fmi night --json` prints: plain values, paths absolute."""
    kinds = Counter(error.kind for error in all_errors(night))
    return {
        "night_id": night.night_id,
        "state": night.state.value,
        "message": night.message,
        "model": night.model_hash,
        "rows_read": night.rows_read,
        "errors_read": night.errors_read,
        "errors_by_kind": {kind.value: kinds[kind] for kind in ErrorKind},
        "unclustered": len(night.unclustered),
        "gone": list(night.gone),
        "rows_set_aside": len(night.set_aside),
        "set_aside_reasons": dict(Counter(each.reason for each in night.set_aside)),
        "failure_modes": [_mode_summary(mode, workspace) for mode in night.modes],
        "report": str(workspace.root / night.report_path) if night.report_path else None,
        "seconds": night.seconds,
    }


def _mode_summary(mode: FailureMode, workspace: Workspace) -> dict[str, object]:
    diagnosis = mode.diagnosis
    return {
        "mode_id": mode.mode_id,
        "title": mode.title,
        "errors": len(mode.errors),
        "logged": origins(mode.errors),
        "affected": [_affected_summary(each) for each in mode.affected],
        "lineage": mode.lineage,
        "trend": mode.trend.value,
        "previous_errors": mode.previous_errors,
        "filters": [
            {
                "filter": each.name,
                "blame": each.blame,
                "energy_shift": each.energy_shift,
                "margin_fall": each.margin_fall,
                "trusted_primitives": sum(primitive.trusted for primitive in each.primitives),
                "primitives": len(each.primitives),
            }
            for each in mode.filters
        ],
        "flip_rates": [
            {
                "layer": each.layer,
                "k": each.k,
                "flip_rate": each.blame,
                "control_deviation": each.deviation,
                "control_random": each.random,
                "gain_interval": [each.gain_lower, each.gain_upper],
                "collateral": each.collateral,
                "withheld": each.withheld,
            }
            for each in mode.flip_rates
        ],
        "cause": diagnosis.cause.value,
        "claimed": diagnosis.claimed,
        "family": diagnosis.family,
        "operation": diagnosis.operation,
        "strength": diagnosis.strength,
        "unit": diagnosis.unit,
        "explained_share": diagnosis.share,
        "overall_share": diagnosis.matches[0].overall_share if diagnosis.matches else None,
        "look_share": diagnosis.matches[0].look_share if diagnosis.matches else None,
        "control_share": diagnosis.control_share,
        "unchanged_share": diagnosis.unchanged_share,
        "nearer_share": diagnosis.nearer_share,
        "alternatives": [each.operation for each in diagnosis.matches if each.alternative],
        "measured": diagnosis.measured,
        "pair": [
            {"operation": each.operation, "strength": each.strength, "unit": each.unit}
            for each in diagnosis.pair
        ],
        "suspects": len(mode.suspects),
        "sentence": diagnosis.sentence,
        "reasons": list(diagnosis.reasons),
        "recipe": str(workspace.root / mode.recipe.path) if mode.recipe else None,
    }


def _affected_summary(affected: Affected) -> dict[str, object]:
    times = {"since": affected.since, "until": affected.until}
    return asdict(affected) | {name: time.isoformat() if time else None for name, time in times.items()}
