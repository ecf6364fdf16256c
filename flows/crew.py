"""Who does the work of a night's steps: its own process, or Dask workers on this machine or on many.

The steps are Prefect's tasks in the process of the night, which keeps their results and alone writes to the
store; a worker is given the work of a step, or pieces of it, needs no Prefect, and reads and writes files of
the workspace. Of a worker that is lost another does the work again.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from flows.progress import silent, step
from flows.software import software
from inspection.errors import FlowError
from inspection.workspace.settings import SpreadSettings
from inspection.workspace.shared import Shared

if TYPE_CHECKING:
    from distributed import Client, Future

Given = ParamSpec("Given")
Found = TypeVar("Found")

HOST = "127.0.0.1"  # of our own workers
QUIET: dict[str, list[str]] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}  # no pages
THREADS = 1  # of torch in every process: numbers hinge on it, and workers there are one for each core
ANSWERING = 20  # seconds in which a scheduler has to answer, and one worker to be there
STEPS = 16  # that wait for workers at a time
AHEAD = 64  # pieces that are sent before their turn, at most: bounds the memory


class Alone:
    """The process of the night does everything itself, one after the other."""

    has_workers = False

    def do(self, work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs) -> Found:
        """Have something done; returns what it gives."""
        return work(*given, **named)

    def each(self, work: Callable[..., Found], pieces: Iterable[Sequence[Any]]) -> Iterator[Found]:
        """Have pieces of work done that do not wait for each other; gives what they give, in order."""
        return (work(*piece) for piece in pieces)

    def together(self, name: str, steps: Sequence[Callable[[], Found]]) -> list[Found]:
        """Take steps that do not wait for each other; returns what they give, in order.

        Where each does not tell how far it is itself, all of them are shown under a name, if they have one.
        """
        return [take() for take in steps]


ALONE = Alone()


class Workers(Alone):
    """Dask workers do what is given to them, as many pieces at a time as they are."""

    has_workers = True

    def __init__(self, client: "Client", share: str) -> None:
        self.client, self.told = client, _Told(software(), share)

    def do(self, work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs) -> Found:
        """Have something done by a worker."""
        found: Found = self._answer(self._sent(partial(work, **named), given))
        return found

    def each(self, work: Callable[..., Found], pieces: Iterable[Sequence[Any]]) -> Iterator[Found]:
        """Have workers do pieces, few of them ahead of those whose turn it is."""
        left = iter(pieces)
        coming = deque(self._sent(work, piece) for piece in islice(left, AHEAD))
        while coming:
            yield self._answer(coming.popleft())
            coming.extend(self._sent(work, piece) for piece in islice(left, 1))

    def together(self, name: str, steps: Sequence[Callable[[], Found]]) -> list[Found]:
        """Take several steps at a time, which wait for workers."""
        shown = step(name, len(steps)) if name else nullcontext(lambda _: None)
        with ThreadPoolExecutor(STEPS) as pool, shown as advance:
            running = [pool.submit(copy_context().run, take) for take in steps]
            for each in as_completed(running):
                advance(1)
                if each.exception():
                    pool.shutdown(wait=False, cancel_futures=True)
            return [each.result() for each in running]

    def _sent(self, work: Callable[..., Any], given: Iterable[Any]) -> "Future[Any]":
        return self.client.submit(_do_here, work, self.told, tuple(given), pure=False)

    def _answer(self, future: "Future[Any]") -> Any:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            return future.result()
        except KilledWorker as error:
            raise FlowError(
                f"workers were ended one after the other while they did the same work, perhaps for lack of "
                f"memory: {error}"
            ) from None
        except FutureCancelledError:
            raise FlowError(
                "the Dask scheduler is gone; start it again, and the same command goes on after the last "
                "finished step"
            ) from None


@dataclass(frozen=True, slots=True)
class _Told:
    """What a worker is told with all that it is given."""

    software: str  # of the process of the night
    share: str  # folder of both, as that process has it; empty: at the same path


def _do_here(work: Callable[..., Any], told: _Told, given: Sequence[Any]) -> Any:
    """Do a piece of work, on a worker."""
    import torch

    if told.software != software():
        raise FlowError("a Dask worker runs another version of fmi than the night: install the same on all")
    torch.set_num_threads(THREADS)
    shared = Shared.found(told.share)
    with silent():
        return shared.back(work(*shared.moved(tuple(given))))


_crew: ContextVar[Alone] = ContextVar("crew")


def crew() -> Alone:
    """Who does the work of the night that runs here."""
    return _crew.get(ALONE)


@contextmanager
def gathered(settings: SpreadSettings) -> Iterator[None]:
    """Have the workers that the settings name do the work of the block, where they name any.

    Raises FlowError where they cannot be had.
    """
    if settings.runner == "local":
        yield
        return
    with _client(settings) as client, _threads(THREADS), working(Workers(client, settings.share)):
        yield


@contextmanager
def working(who: Alone) -> Iterator[None]:
    """Have somebody do the work of the block."""
    before = _crew.set(who)
    try:
        yield
    finally:
        _crew.reset(before)


def look(settings: SpreadSettings) -> str:
    """Say who would do the work of a night. Raises FlowError where they cannot be had."""
    if settings.runner == "local":
        return "the night's own process"
    if not settings.address:
        _check_installed()
        return f"{_own(settings)} Dask workers of the night's own"
    with _client(settings) as client:
        return f"{len(client.scheduler_info(-1)['workers'])} Dask workers at {settings.address}"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute in so many threads for the block, as the workers do."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _client(settings: SpreadSettings) -> Iterator["Client"]:
    """The plant's workers, or some of our own."""
    _check_installed()
    with ExitStack() as stack:
        address, security = settings.address, None
        if not address:
            own = stack.enter_context(_own_workers(_own(settings)))
            address, security = own.scheduler_address, own.security
        try:
            client = stack.enter_context(_connected(address, security))
            client.wait_for_workers(1, timeout=ANSWERING)
        except (OSError, RuntimeError, ValueError, TypeError) as error:  # TypeError: without certificates
            raise FlowError(
                f"no Dask workers at {address} (address under [spread] in fmi.toml): {error}. Start `dask "
                f"scheduler` on that machine, and `dask worker {address}` on each that is to work; or leave "
                "the address empty, for workers of the night's own on this machine"
            ) from None
        yield client


def _check_installed() -> None:
    if find_spec("distributed") is None:
        raise FlowError(
            "runner = 'dask' under [spread] in fmi.toml needs Dask, which is not installed: "
            "pip install 'fmi[dask]', or set runner = 'local'"
        )


def _own(settings: SpreadSettings) -> int:
    """How many workers of its own a night has."""
    from dask.system import CPU_COUNT

    return settings.processes or int(CPU_COUNT)


def _connected(address: str, security: Any) -> Any:
    from distributed import Client

    return Client(address, security=security, timeout=ANSWERING, set_as_default=False)


@contextmanager
def _own_workers(processes: int) -> Iterator[Any]:
    """Workers on this machine for the block, with keys of their own: no other user of it reaches them."""
    import dask
    from distributed import LocalCluster, Security

    with (
        dask.config.set(QUIET),
        _unheard("distributed"),
        LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            security=Security.temporary(),
            host=HOST,
            dashboard_address=f"{HOST}:0",
            memory_limit=0,  # none: the steps bound what they hold
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


@contextmanager
def _unheard(name: str) -> Iterator[None]:
    """Keep what a logger says from the terminal, which Prefect shows of all of them, for the block."""
    logger = logging.getLogger(name)
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before
