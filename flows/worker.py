"""The worker: executes nights and retrainings that somebody else starts, one at a time."""

from typing import cast

import prefect
from prefect.deployments.runner import RunnerDeployment

from flows.night import night
from flows.retrain import retrain


def work() -> None:
    """Serve the deployments `night/fmi` and `retrain/fmi` until interrupted."""
    deployments = [cast(RunnerDeployment, each.to_deployment("fmi")) for each in (night, retrain)]
    prefect.serve(*deployments, limit=1)  # one at a time: a night and a retraining share the processor
