"""The worker: executes nights and retrainings that somebody else starts, one at a time."""

import prefect

from flows.night import night
from flows.retrain import retrain


def work() -> None:
    """Serve the deployments `night/fmi` and `retrain/fmi` until interrupted."""
    prefect.serve(night.to_deployment("fmi"), retrain.to_deployment("fmi"), limit=1)
