"""How a reviewer's request for a targeted retraining reaches Prefect, and what Prefect says about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from inspection.errors import FlowError

if TYPE_CHECKING:
    from prefect.client.schemas import FlowRun

DEPLOYMENT = "retrain/fmi"
MOST_RUNS = 20  # newest runs of a failure mode that are shown
FINAL_STATES = frozenset({"Completed", "Cached", "Failed", "TimedOut", "Crashed", "Cancelled", "RolledBack"})


@dataclass(frozen=True, slots=True)
class RetrainingRun:
    """One flow run that retrains for a failure mode."""

    flow_run_id: str
    state: str  # Prefect's name of the state, for example Running
    started_at: datetime | None  # UTC; None while it waits
    message: str  # of the state, for example why it failed

    @property
    def live(self) -> bool:
        """Whether it may still change."""
        return self.state not in FINAL_STATES


class RetrainingStarter(Protocol):
    """Starts targeted retrainings, lists and cancels them. FlowError where the flows cannot be reached."""

    def start(self, mode_id: str) -> str:
        """Start a targeted retraining; return the id of its flow run."""
        ...

    def runs(self, mode_id: str) -> list[RetrainingRun]:
        """Return the runs of a failure mode, newest first."""
        ...

    def cancel(self, flow_run_id: str) -> None:
        """Cancel a run: at once where it waits, else within seconds."""
        ...


class PrefectRetraining:
    """Targeted retraining through the deployment `retrain/fmi` of a Prefect server."""

    def __init__(self, root: Path, api_url: str) -> None:
        self.root = root
        self.api_url = api_url

    def start(self, mode_id: str) -> str:
        """Start a targeted retraining; two clicks on one page start it once."""
        from prefect.deployments import run_deployment

        earlier = self.runs(mode_id)
        after = earlier[0].flow_run_id if earlier else "none"
        with self._prefect():
            run = run_deployment(
                DEPLOYMENT,
                parameters={"workspace": str(self.root), "targets": [mode_id]},
                timeout=0,
                as_subflow=False,
                idempotency_key=f"{self.root}:{mode_id}:after:{after}",
                tags=[_tag(mode_id)],
            )
        return str(cast("FlowRun", run).id)  # a coroutine only where an event loop runs

    def runs(self, mode_id: str) -> list[RetrainingRun]:
        """Return the runs of a failure mode, newest first."""
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
        from prefect.client.schemas.sorting import FlowRunSort

        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[_tag(mode_id)]))
        newest_first = FlowRunSort.EXPECTED_START_TIME_DESC
        with self._prefect(), get_client(sync_client=True) as client:
            found = client.read_flow_runs(flow_run_filter=tagged, sort=newest_first, limit=MOST_RUNS)
        return [
            RetrainingRun(
                flow_run_id=str(run.id),
                state=(run.state and run.state.name) or "Unknown",
                started_at=run.start_time,
                message=(run.state and run.state.message) or "",
            )
            for run in found
        ]

    def cancel(self, flow_run_id: str) -> None:
        """Cancel a run: at once where it waits, else within seconds, by the worker that runs it."""
        from uuid import UUID

        from prefect.client.orchestration import get_client
        from prefect.states import Cancelled, Cancelling

        with self._prefect(), get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(flow_run_id))
            running = run.state is not None and run.state.is_running()
            client.set_flow_run_state(run.id, Cancelling() if running else Cancelled())

    @contextmanager
    def _prefect(self) -> Iterator[None]:
        """Talk to this server, and to no temporary one that Prefect would start by itself."""
        from httpx import HTTPError, InvalidURL
        from prefect.exceptions import ObjectNotFound
        from prefect.settings import PREFECT_API_URL, temporary_settings

        try:
            with temporary_settings({PREFECT_API_URL: self.api_url}):
                yield
        except ObjectNotFound:
            raise FlowError(
                f"Prefect at {self.api_url} has no deployment {DEPLOYMENT}: "
                "start `fmi serve`, which registers it."
            ) from None
        except (HTTPError, InvalidURL) as error:
            raise FlowError(
                f"Prefect cannot be reached at {self.api_url} ({error}): "
                "start `fmi serve`, which starts Prefect too, or set PREFECT_API_URL."
            ) from None


def _tag(mode_id: str) -> str:
    return f"mode:{mode_id}"
