"""Retrainings and promotions in MLflow, where a plant runs one; the store stays what counts."""

import contextlib
import importlib.util
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from inspection.errors import ModelError
from inspection.findings import Promotion, PromotionKind, RegisteredModel, Retraining
from inspection.models.model_card import CARD, model_card
from inspection.workspace.folder import Workspace
from inspection.workspace.lease import lease
from inspection.workspace.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

MISSING = "MLflow is not installed, and [mlflow] in fmi.toml names a server: `pip install 'fmi[mlflow]'`"
RETRAINING, PROMOTED = "fmi.retraining", "fmi.promotion"  # tags by which a run is found again
# Before MLflow is imported, unless the user has said otherwise: nothing is told to its makers, and a server
# that does not answer is given up in seconds, where MLflow tries for minutes.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def track(workspace: Workspace, store: Store) -> int:
    """Log to MLflow what is not logged there yet: a run of every retraining, and on it what became of it.

    So a server that could not be reached misses nothing. Returns how many runs are new; 0 where the settings
    name no server. Raises ModelError where it cannot be reached, or MLflow is not installed.
    """
    uri = workspace.settings.mlflow.tracking_uri
    if not uri:
        return 0
    if importlib.util.find_spec("mlflow") is None:
        raise ModelError(MISSING)
    with lease(workspace.leases, "mlflow"), _quiet():  # or one would take the other's run for a torn one
        try:
            return _Tracking(workspace, store, _client(uri)).all()
        except ModelError:
            raise
        except Exception as error:  # of its many kinds of store each fails in its own words
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ModelError(
                f"MLflow at {uri} could not be written to ({why}). What was not logged is logged after the "
                "next retraining or promotion; [mlflow] in fmi.toml names the server"
            ) from None


def _client(uri: str) -> "MlflowClient":
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what MLflow and the libraries below it say of their tables and of each other."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.INFO)
        try:
            yield
        finally:
            logging.disable(before)


class _Tracking:
    """One workspace's retrainings in one MLflow; an experiment for every name that models share."""

    def __init__(self, workspace: Workspace, store: Store, client: "MlflowClient") -> None:
        self.workspace, self.store, self.client = workspace, store, client
        self.models = {model.model_hash: model for model in store.models()}
        self.experiments: dict[str, str] = {}

    def all(self) -> int:
        promotions = self.store.promotions()
        new = 0
        for done in reversed(self.store.retrainings()):
            run = self._run_of(done)
            if run is None:
                run = self._log(done)
                new += 1
            self._say_what_became(run, [each for each in promotions if _concerns(each, done)])
        return new

    def _run_of(self, done: Retraining) -> "Run | None":
        experiment = self._experiment(self.models[done.model_hash])
        found = self.client.search_runs([experiment], f"tags.`{RETRAINING}` = '{done.retraining_id}'")
        whole = [run for run in found if run.info.status == "FINISHED"]
        for torn in found:
            if torn.info.status != "FINISHED":  # its writer was killed
                self.client.delete_run(torn.info.run_id)
        return whole[0] if whole else None

    def _experiment(self, model: RegisteredModel) -> str:
        """The experiment of a model's name; a database keeps its files in the workspace."""
        name = f"fmi {model.name}"
        if name not in self.experiments:
            found = self.client.get_experiment_by_name(name)
            held = None if "http" in self.client.tracking_uri else (self.workspace.root / "mlflow").as_uri()
            made = found.experiment_id if found else self.client.create_experiment(name, held)
            self.experiments[name] = made
        return self.experiments[name]

    def _log(self, done: Retraining) -> "Run":
        client = self.client
        run = client.create_run(
            self._experiment(self.models[done.model_hash]),
            start_time=round(done.started_at.timestamp() * 1000),
            tags=self._tags(done),
            run_name=done.retraining_id,
        )
        run_id = run.info.run_id
        for name, value in _params(done).items():
            client.log_param(run_id, name, value)
        for name, number in _metrics(done).items():
            client.log_metric(run_id, name, number)
        candidate = self.models.get(done.candidate_hash or "")
        if candidate:
            self._log_files(run_id, done, candidate)
        client.set_terminated(run_id, end_time=round(done.finished_at.timestamp() * 1000))
        return run

    def _tags(self, done: Retraining) -> dict[str, str]:
        return {
            RETRAINING: done.retraining_id,
            "fmi.decision": done.decision.value,
            "fmi.arm": done.arm.value if done.arm else "none",
            "fmi.deployed": done.model_hash,
            "fmi.candidate": done.candidate_hash or "none",
            "fmi.failure_modes": ", ".join(done.mode_ids),
            "mlflow.note.content": "\n\n".join((*done.reasons, *done.notes)),
        }

    def _log_files(self, run_id: str, done: Retraining, candidate: RegisteredModel) -> None:
        """The model card, the weights, and the recipes of its failure modes where they are still there."""
        with TemporaryDirectory() as held:
            card = Path(held) / CARD
            card.write_text(model_card(self.store, candidate), encoding="utf-8")
            self.client.log_artifact(run_id, str(card))
        recipes = [self.store.mode(mode_id).recipe for mode_id in done.mode_ids]
        paths = [candidate.weights_path, *(recipe.path for recipe in recipes if recipe)]
        for path in paths:
            if (self.workspace.root / path).is_file():
                self.client.log_artifact(run_id, str(self.workspace.root / path))

    def _say_what_became(self, run: "Run", entries: list[Promotion]) -> None:
        """When its candidate was deployed or rolled back, the latest last, as one tag."""
        told = [
            {"kind": each.kind.value, "by": each.author, "at": f"{each.decided_at}", "reason": each.reason}
            for each in entries
        ]
        text = json.dumps(told, ensure_ascii=False)
        if told and run.data.tags.get(PROMOTED) != text:
            self.client.set_tag(run.info.run_id, PROMOTED, text)


def _concerns(entry: Promotion, done: Retraining) -> bool:
    """Whether the candidate was deployed then, or gave way to the model before it."""
    left = entry.previous_hash if entry.kind is PromotionKind.ROLLED_BACK else None
    return done.candidate_hash in (entry.model_hash, left) and done.candidate_hash is not None


def _params(done: Retraining) -> dict[str, object]:
    """The settings that decide a retraining, and what it was made of."""
    tables = {name: done.settings.get(name) for name in ("training", "recipe", "acceptance", "compute")}
    found = {
        f"{table}.{name}": value
        for table, values in tables.items()
        if isinstance(values, dict)
        for name, value in values.items()
    }
    return found | {"logged_images": done.logged_images}


def _metrics(done: Retraining) -> dict[str, float]:
    """The share right before and after, of every set that judged, and of every arm that competed."""
    found: dict[str, float] = {}
    for each in done.accuracies:
        if each.images:
            found[f"{each.name} - before"] = each.before / each.images
            found[f"{each.name} - after"] = each.after / each.images
    for arm in done.arms:
        found |= {
            f"arm {arm.arm.value} - {each.name}": each.after / each.images
            for each in arm.accuracies
            if each.images
        }
    if done.calibration:
        before, after = done.calibration
        found |= {"calibration error - before": before, "calibration error - after": after}
    return {_allowed(name): number for name, number in found.items()}


def _allowed(name: str) -> str:
    """A metric's name as MLflow takes it: letters, digits, blanks, and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "" for sign in name)
