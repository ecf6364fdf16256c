"""The worker: executes nights and retrainings that somebody else starts, one at a time."""

import os
import signal
import time
from threading import Thread
from typing import cast

import prefect
from prefect.deployments.runner import RunnerDeployment

from flows.night import night
from flows.retrain import retrain

LEAVING = 10  # seconds in which a worker whose parent has ended may clear up


def work(parent: int | None = None) -> None:
    """Serve the deployments `night/fmi` and `retrain/fmi` until interrupted.

    With a `parent`, which made this process the leader of a group, the whole group ends soon after that
    process: Prefect would go on asking a server that is gone.
    """
    if parent:
        Thread(target=_end_after, args=(parent,), daemon=True).start()
    deployments = [cast(RunnerDeployment, each.to_deployment("fmi")) for each in (night, retrain)]
    prefect.serve(*deployments, limit=1)  # one at a time: a night and a retraining share the processor


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    time.sleep(LEAVING)
    os.killpg(os.getpgrp(), signal.SIGKILL)
