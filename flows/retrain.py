"""Targeted retraining as a Prefect flow, started from the command line or from the dashboard."""

from pathlib import Path

from prefect import flow, task
from prefect.runtime import flow_run

from flows.progress import remark, step
from inspection.inputs.image_sets import read_image_set
from inspection.models import retraining
from inspection.models.retraining import RetrainingRequest
from inspection.models.training import forget_unfinished
from inspection.nights import night as nights
from inspection.workspace.folder import open_workspace
from inspection.workspace.lease import lease


@task
def fine_tune(root: str, request: RetrainingRequest, run: str) -> str:
    """Train and judge the candidate, and put it into the store.

    A run that was killed after its last step, or while another process did the same, is taken up again: what
    it has put into the store is the result, and is not made once more.
    """
    site = nights.open_site(root)
    with step("Reading the images", None) as advance:
        material = retraining.gather_material(site.workspace, site.store, request, advance)
    workspace, made = site.workspace, retraining.retraining_id(request.mode_id, run)
    with lease(workspace.leases, f"retrain-{request.mode_id}", _say_who_retrains):
        if made not in [each.retraining_id for each in site.store.retrainings(request.mode_id)]:
            with step("Retraining", retraining.images_to_train(material, workspace.settings)) as advance:
                done, candidate = retraining.retrain(workspace, material, run, advance)
            site.store.add_retraining(done, candidate)
        forget_unfinished(workspace.unfinished, request.mode_id)
    return made


def _say_who_retrains(holder: str) -> None:
    remark(f"This failure mode is being retrained by {holder}; waiting until that has ended.")


@flow(name="retrain", validate_parameters=False)
def retrain(
    workspace: str,
    mode_id: str,
    holdout: str | None = None,
    where: str | None = None,
    split: str | None = None,
    logged_images: int | None = None,
) -> str:
    """Retrain for one failure mode; returns the retraining's id."""
    limits = open_workspace(Path(workspace)).settings.tables
    images = read_image_set(Path(holdout), where, split, remark, limits) if holdout else []
    return fine_tune(workspace, RetrainingRequest(mode_id, images, logged_images), str(flow_run.id))
