"""Targeted retraining as a Prefect flow, started from the command line or from the dashboard."""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow, task
from prefect.runtime import flow_run

from flows.progress import remark, step
from inspection.errors import InspectionError, ModelError
from inspection.findings import Arm, Retraining, night_of
from inspection.inputs.image_sets import read_image_set
from inspection.models.tracking import track
from inspection.nights import night as nights
from inspection.nights.report import rewrite_report
from inspection.retraining import retrain as retraining
from inspection.retraining.arms import Workshop, unfinished_folder
from inspection.retraining.material import RetrainingRequest, gather_material, workspace_of
from inspection.workspace.jobs import announced
from inspection.workspace.lease import lease


@task
def retrain_and_judge(root: str, line: str, request: RetrainingRequest, run: str, again: bool) -> str:
    """Let the arms compete, train and judge the candidate, and put all of it into the store.

    A run that was killed after its last step, or while another process did the same, is taken up again: what
    it has put into the store is the result, and is not made once more. So is a retraining that was made
    before, unless it is asked for again.
    """
    site = nights.open_site(root, line)
    made = retraining.retraining_id(request.name, run)
    leases = site.workspace.leases
    mine = f"retrain-{unfinished_folder(site.workspace, request.name).name}"
    with (
        lease(leases, mine, _say_who_retrains),
        announced(leases, mine, "retrain", request.targets, run),
    ):
        with step("Reading the images", None) as advance:
            material = gather_material(site.workspace, site.store, request, advance)
        workshop = Workshop.opened(site.workspace, material)
        if not site.store.retrainings(retraining_id=made):
            before = None if again else retraining.made_before(site.store, workshop)
            if before:
                remark(
                    f"This very training was made before ({before.finished_at:%Y-%m-%d %H:%M} UTC, with the "
                    "same images, recipes, settings and software): this is what it gave. --again makes it "
                    "once more."
                )
                made = before.retraining_id
            else:
                done = retraining.retrain(workshop, run, step)
                note = retraining.changed_files(site.store, done)
                done = done.noted(note) if note else done
                site.store.add_retraining(done.retraining, done.candidate, done.pictures)
                _tell_in_reports(site, done.retraining)
        retraining.forget_unfinished(workshop)
        try:
            track(site.workspace, site.store)
        except ModelError as error:
            remark(f"{error}")
    return made


def _tell_in_reports(site: nights.Site, done: Retraining) -> None:
    """Write the reports again of the nights whose failure modes it was for; it stands without them."""
    for night_id in dict.fromkeys(map(night_of, done.mode_ids)):
        try:
            rewrite_report(site.workspace, lambda: site.store, night_id)
        except InspectionError as error:
            remark(f"{error}")


def _say_who_retrains(holder: str) -> None:
    remark(f"The same is being retrained by {holder}; waiting until that has ended.")


@flow(name="retrain", validate_parameters=False)
def retrain(
    workspace: str,
    targets: Sequence[str],
    holdout: str | None = None,
    where: str | None = None,
    split: str | None = None,
    arm: str | None = None,
    again: bool = False,
) -> str:
    """Retrain for failure modes or whole nights, with their line's settings; returns the retraining's id."""
    opened = nights.open_site(workspace)
    site = workspace_of(opened.workspace, opened.store, targets)
    images = read_image_set(Path(holdout), where, split, remark, site.settings.tables) if holdout else []
    request = RetrainingRequest(tuple(targets), images, Arm(arm) if arm else None)
    return retrain_and_judge(workspace, site.line, request, str(flow_run.id), again)
