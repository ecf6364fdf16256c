"""The logs of a line that are due, a night each, as a Prefect flow: by a clock, or as they come."""

from datetime import datetime

from prefect import flow

from flows.night import night
from flows.progress import remark
from inspection.errors import FlowError, StoreBusyError, interrupted
from inspection.findings import Night, NightState
from inspection.nights import lines
from inspection.nights import night as nights
from inspection.nights.lines import WaitingLog
from inspection.nights.night import Site
from inspection.nights.notify import of_night, refuse, tell
from inspection.workspace.lease import lease

TRIES = 2  # times that a log may end the process that reads it


@flow(name="line", flow_run_name="{name}", validate_parameters=False)
def line(workspace: str, name: str) -> list[str]:
    """Read the logs of a line that are due and whole; returns the ids of the nights that came to an end.

    A log that cannot be read is set aside with its reason, and the next is read.
    """
    site = nights.open_site(workspace, name)
    with lease(site.workspace.leases, f"line-{name}", _say_who_reads):
        found = [_read(site, log) for log in lines.whole(site)]
    return [each.night_id for each in found if each]


def _say_who_reads(holder: str) -> None:
    remark(f"The logs of this line are being read by {holder}; waiting until that has ended.")


def _read(site: Site, log: WaitingLog) -> Night | None:
    """Read one log, and tell what came of it; None where no night could."""
    done, reason = None, log.why or _ended(site, log)
    if not reason:
        remark(f"Line {site.workspace.line}, {datetime.now():%Y-%m-%d %H:%M}: reading {log.path}")
        try:
            with lines.tried(site, log):
                night_id = night(str(site.workspace.root), str(log.path), line=site.workspace.line)
            done = site.store.night(night_id)
        except (FlowError, StoreBusyError) as error:  # it may pass: the log is still due
            remark(f"{log.path} is read later: {error}")
            return None
        except Exception as error:
            if interrupted(error):
                raise
            reason = f"{error}"
    if done and done.state is NightState.FINISHED:
        tell(site.workspace.settings.notify, of_night(site, done), remark)
        return done
    refuse(site, log, done.message if done else reason, remark)
    return None


def _ended(site: Site, log: WaitingLog) -> str:
    """Why a log is not tried any more; empty: it is."""
    count = lines.tries(site, log)
    told = f"the process that read it was ended {count} times, perhaps for lack of memory"
    return told if count >= TRIES else ""
