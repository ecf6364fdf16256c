"""The demo: a rendered line, a model, a lamp that ages, a finish that changes, nights and retraining."""

from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from flows.night import night as night_flow
from flows.progress import step
from flows.retrain import retrain as retrain_flow
from inspection.console import Console
from inspection.findings import Night, RegisteredModel
from inspection.inputs.defect_log import write_defect_log
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.sample_line import DEFECTS, SampleLine, write_images
from inspection.models import first_model, promotion
from inspection.models import registry as models
from inspection.models.scoring import score
from inspection.nights.terminal import print_night, print_retraining
from inspection.workspace.folder import Workspace
from inspection.workspace.store import Store

GOOD = "good"


@dataclass(frozen=True, slots=True)
class Size:
    """How large the demo is."""

    pixels: int
    per_class: int  # images of a class for training and validation
    per_class_logged: int  # images of a class that the drifted line makes
    epochs: int


FULL = Size(pixels=96, per_class=150, per_class_logged=60, epochs=12)
QUICK = Size(pixels=64, per_class=80, per_class_logged=30, epochs=10)


def run_demo(console: Console, workspace: Workspace, quick: bool) -> None:
    """Run the whole demo in a workspace, telling what happens."""
    store = Store(workspace.store_path)
    store.create()
    demo = Demo(console, workspace, store, QUICK if quick else FULL)
    line = demo.line()
    console.rule("1. The line as commissioned, and a model")
    model = demo.train(line)
    console.rule("2. The lamp ages to 45 % of its light")
    aged = demo.night(model, line.aged(0.45), "lamp-aged")
    console.rule("3. Targeted retraining: the ways of mending compete")
    demo.retrain(aged)
    console.rule("4. The finish of the parts changes from brushed to cast")
    cast = demo.night(model, line.with_finish("cast"), "finish-changed")
    console.rule("What was found")
    for name, found in (("lamp aged to 45 %", aged), ("finish changed to cast", cast)):
        for mode in found.modes:
            truth, found_in = ("Truth:", "bold"), ("Found:", "bold")
            console.print(Text.assemble(truth, f" {name}. ", found_in, f" {mode.diagnosis.sentence}"))
        console.print(f"Report: {workspace.root / (found.report_path or '')}")
    console.print(f"\nLook at it in the dashboard: fmi serve --workspace {workspace.root}")


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the demo runs, where it tells what happens, and how large it is."""

    console: Console
    workspace: Workspace
    store: Store
    size: Size

    def line(self) -> SampleLine:
        """The line as commissioned."""
        return SampleLine(finish="brushed", size=self.size.pixels)

    def train(self, line: SampleLine) -> RegisteredModel:
        """A model of the line, trained and registered."""
        folder, pixels = self.render(line, "commissioned", self.size.per_class, 1), self.size.pixels
        request = first_model.FirstModelRequest((GOOD,), "", (pixels, pixels), 1, self.size.epochs)
        settings = self.workspace.settings
        plan = first_model.plan_training(settings, read_image_set(folder), request)
        with step("Training", len(plan.train) * plan.epochs) as advance:
            network, spec = first_model.train(settings, plan, first_model.load_splits(plan), advance)
        kept = models.keep(self.workspace, network, spec, models.Origin(note="demo"))
        model = self.store.add_model(kept, plan.references)
        right, count, _ = models.reference_accuracy(self.workspace, model, plan.references)["val"]
        self.console.print(f"{len(plan.train)} images trained; right on {right} of {count} validation images")
        return model

    def render(self, line: SampleLine, name: str, per_class: int, seed: int) -> Path:
        """The folder of images that a line makes."""
        folder = self.workspace.root / "images" / name
        with step(f"Rendering {name}", per_class * len(DEFECTS)) as advance:
            done = [0]

            def tell(count: int) -> None:
                advance(count - done[0])
                done[0] = count

            write_images(line, folder, per_class, seed, tell)
        return folder

    def night(self, model: RegisteredModel, line: SampleLine, name: str) -> Night:
        """The night after a shift of a drifted line."""
        folder = self.render(line, name, self.size.per_class_logged, 2)
        rows = score(self.workspace, model, read_image_set(folder))
        wrong = [row for row in rows if row["predicted_label"] != row["true_label"]]
        self.console.print(f"The drifted line: {len(rows) - len(wrong)} of {len(rows)} parts judged right")
        log = self.workspace.root / "logs" / f"{name}.csv"
        log.parent.mkdir(exist_ok=True)
        write_defect_log(log, wrong)
        found = self.store.night(night_flow(str(self.workspace.root), str(log), model.model_hash))
        print_night(self.console, found, self.workspace)
        return found

    def retrain(self, found: Night) -> None:
        """Mend the model of a night's failures, judged on images of the aged lamp that nobody saw."""
        if not found.modes:
            self.console.print("No failure mode was found, so nothing is retrained.")
            return
        unseen = self.render(self.line().aged(0.45), "lamp-aged-unseen", self.size.per_class_logged, 3)
        done_id = retrain_flow(str(self.workspace.root), [found.night_id], str(unseen))
        (done,) = self.store.retrainings(retraining_id=done_id)
        print_retraining(self.console, done)
        if done.accepted:
            entry = promotion.promote(self.store, done.candidate_hash, "the demo", "mends the aged lamp")
            now = self.store.model(entry.model_hash)
            self.console.print(
                f"{now.called} is promoted: it is the deployed model now. fmi rollback goes back."
            )
