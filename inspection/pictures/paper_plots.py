"""The plots of `fmi bench paper`: the paper's claims by depth, as one PNG for each question."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fmi_engine.descriptors import DESCRIPTOR_UNITS
from inspection.errors import InspectionError
from inspection.workspace.files import replacing

Rows = Sequence[Mapping[str, Any]]


def draw(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw every plot into a folder; returns their paths. Raises InspectionError where that cannot be."""
    rows: Rows = results["layers"]
    drawn = {
        "trust.png": _trust(rows),
        "hierarchy.png": _hierarchy(results["hierarchy"]),
        "sources.png": _sources(rows),
    }
    paths = []
    for name, figure in drawn.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial, partial.open("wb") as file:
                FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
        except OSError as error:
            raise InspectionError(f"{path} cannot be written: {error.strerror}") from None
        paths.append(path)
    return paths


def _networks(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["network"] for row in rows))


def _trust(rows: Rows) -> Figure:
    """Same-filter AUROC and the shares that pass the trust test, by stage."""
    networks = _networks(rows)
    figure = Figure(figsize=(5.5 * len(networks), 4), layout="constrained")
    for place, network in enumerate(networks, 1):
        mine = [row for row in rows if row["network"] == network]
        axes = figure.add_subplot(1, len(networks), place)
        layers = [row["layer"] for row in mine]
        for label, values, style in (
            ("same filter, same texture (AUROC)", [row["auroc"] for row in mine], "o-"),
            ("live filters trusted", [row["trusted_share"] for row in mine], "s-"),
            ("untrained network trusted", [row["untrained_trusted_share"] for row in mine], "v--"),
            ("its pictures alone", [row["untrained_parts"]["pictures"] for row in mine], "v:"),
            ("dead filters trusted", [row["dead_trusted_share"] for row in mine], "x--"),
        ):
            axes.plot(layers, values, style, label=label)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(f"{network}: from the first stage to the last")
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _hierarchy(hierarchy: Mapping[str, Rows]) -> Figure:
    """Every descriptor by depth: the median, and the middle half of the filters."""
    names = [row["descriptor"] for row in next(iter(hierarchy.values()))]
    figure = Figure(figsize=(3.4 * 4, 2.8 * -(-len(names) // 4)), layout="constrained")
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(-(-len(names) // 4), 4, place)
        for network, rows in hierarchy.items():
            row = next(each for each in rows if each["descriptor"] == name)
            depth = range(1, len(row["median"]) + 1)
            axes.plot(depth, row["median"], "o-", label=f"{network}, rho {row['correlation']:+.2f}")
            axes.fill_between(depth, row["lower_quartile"], row["upper_quartile"], alpha=0.15)
        axes.set_title(f"{name.replace('_', ' ')} ({DESCRIPTOR_UNITS[name][0]})", fontsize=9)
        axes.set_xlabel("stage", fontsize=8)
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    return figure


def _sources(rows: Rows) -> Figure:
    """How surely a primitive is still told when its source is noisy, dim or blurred."""
    networks = _networks(rows)
    figure = Figure(figsize=(5.5 * len(networks), 4), layout="constrained")
    for place, network in enumerate(networks, 1):
        mine = [row for row in rows if row["network"] == network]
        axes = figure.add_subplot(1, len(networks), place)
        for change in mine[0]["changed_sources"]:
            values = [row["changed_sources"][change]["auroc"] for row in mine]
            axes.plot([row["layer"] for row in mine], values, "o-", label=change)
        axes.set_ylim(0.45, 1.03)
        axes.set_ylabel("AUROC")
        axes.set_title(f"{network}: primitives from changed sources")
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    return figure
