"""What `fmi style` does: one image in the style of another, measured, told and drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmi_engine.inversion import Descent
from fmi_engine.presets import find_preset
from fmi_engine.probe import find_layer
from fmi_engine.style import METHODS, Restyled, Styling, restyle
from inspection.console import Console, Table
from inspection.errors import ImageError
from inspection.inputs.images import write_image
from inspection.inputs.labelled import load_images
from inspection.pictures.filters import HARDLY
from inspection.pictures.model import Model
from inspection.pictures.request import one_of
from inspection.pictures.sheet import Cell, Column, Line, Row, Sheet, Tone, draw
from inspection.pictures.sources import Step, check_sheet

# --- fmi style ---


@dataclass(frozen=True, slots=True)
class StyleRequest:
    """What `fmi style` is asked for."""

    content: Path
    style: Path
    out: Path
    method: str = "all"
    layer: str | None = None
    content_weight: float = 10.0
    preset: str = "default"
    seeds: int = 1

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are compared."""
        return METHODS if self.method == "all" else (self.method,)


@dataclass(frozen=True, slots=True)
class Styled:
    """Everything that `fmi style` made."""

    request: StyleRequest
    model: Model
    pixels: NDArray[np.uint8]  # (2, height, width, channel): content and style
    results: tuple[Restyled, ...]  # one for each method


def check_style(request: StyleRequest) -> None:
    """Raise InspectionError, or EngineError of a preset, where the options do not go together."""
    find_preset(request.preset)
    one_of("--method", request.method, (*METHODS, "all"))
    for path in (request.content, request.style):
        if path.is_dir():
            raise ImageError(f"{path}: this is a folder; expected an image file")
    check_sheet(request.out)


def draw_style(model: Model, request: StyleRequest, step: Step) -> Styled:
    """Draw the content in the style by each method, and the sheet. `check_style` comes before."""
    if request.layer is not None:
        find_layer(model.layers, request.layer)
    paths = [request.content, request.style]
    pixels = load_images(paths, model.classifier.preprocessing, how=model.reading_of(paths))
    preset, results = find_preset(request.preset), []
    descent = Descent(range(request.seeds), preset)
    with step("Restyling", len(request.methods) * (preset.steps + preset.fine_steps)) as advance:
        for method in request.methods:
            styling = Styling(pixels[0], pixels[1], method, request.layer, request.content_weight)
            results.append(restyle(model.classifier, styling, descent, advance))
    styled = Styled(request, model, pixels, tuple(results))
    write_image(request.out, draw(style_sheet(styled)))
    return styled


@dataclass(frozen=True, slots=True)
class Distances:
    """Distances to the style before (the content image) and after, means over the style layers."""

    sums_before: float
    sums_after: float
    gram_before: float
    gram_after: float
    sums_nearer: int  # style layers at which the sums came nearer
    gram_nearer: int
    layers: int

    @classmethod
    def of(cls, result: Restyled, picture: int | None = None) -> "Distances":
        """Of one picture of a result, or of their mean."""
        chosen = slice(None) if picture is None else slice(picture, picture + 1)
        sums = [(each.sums_before, float(each.sums_after[chosen].mean())) for each in result.styles]
        gram = [(each.gram_before, float(each.gram_after[chosen].mean())) for each in result.styles]
        return cls(*_means(sums), *_means(gram), _nearer(sums), _nearer(gram), len(result.styles))


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    before, after = np.mean(pairs, axis=0)
    return float(before), float(after)


def _nearer(pairs: Sequence[tuple[float, float]]) -> int:
    return sum(after < before for before, after in pairs)


def style_sentence(results: Sequence[Restyled]) -> str:
    """What the distances say of why a Gram matrix carries style, in one plain sentence."""
    found = {each.method: Distances.of(each) for each in results}
    if "sums" in found:
        return _of_sums(found["sums"], found.get("gram"))
    if "gram" in found:
        d = found["gram"]
        return (
            f"With nothing but the Gram matrices matched, the sums of the filters' maps "
            f"{_came(d.sums_before, d.sums_after)} (nearer at {d.sums_nearer} of {d.layers} style layers)."
        )
    d = found["rank"]
    return (
        f"With the energies of the maps matched by rank at {results[0].layer}, the sums of the filters' maps "
        f"{_came(d.sums_before, d.sums_after)}, and the Gram matrices {_came(d.gram_before, d.gram_after)}."
    )


def _of_sums(sums: Distances, gram: Distances | None) -> str:
    said = (
        f"With nothing but the sums of the filters' maps matched, the Gram matrices "
        f"{_came(sums.gram_before, sums.gram_after)} (nearer at {sums.gram_nearer} of {sums.layers} style "
        "layers)"
    )
    fall = sums.gram_before - sums.gram_after
    if gram is None or fall <= 0 or gram.gram_after >= gram.gram_before:
        return f"{said}."
    if gram.gram_after > HARDLY * gram.gram_before:
        return (
            f"{said}; matched directly they hardly came nearer either (to {gram.gram_after:.2f}), so that "
            "this says little: a lower --content-weight leaves the style more room."
        )
    share = fall / (gram.gram_before - gram.gram_after)
    carried = "most" if share > 0.5 else "the smaller part"
    return (
        f"{said}, {share:.0%} of the way that matching them directly goes (to {gram.gram_after:.2f}): here "
        f"the sums carry {carried} of what a Gram matrix carries."
    )


def _came(before: float, after: float) -> str:
    came = "came nearer to the style's" if after < before else "did not come nearer to the style's"
    return f"{came}, their distance from {before:.2f} to {after:.2f}"


METHOD_NAMES = {"rank": "ranks", "sums": "sums", "gram": "Gram matrices"}


def style_sheet(styled: Styled) -> Sheet:
    """The contact sheet: content, style, and the result of each method, a row for each seed."""
    request, p = styled.request, styled.model.classifier.preprocessing
    group = "the content drawn in the style, by matching"
    results = [Column(group, METHOD_NAMES[method]) for method in request.methods]
    names = ", ".join(each.layer for each in styled.results[0].styles)
    return Sheet(
        "Style as reallocated energy",
        f"model {styled.model.name}   |   content at {styled.results[0].layer}   |   preset {request.preset}",
        (p.height, p.width),
        (Column("given", "content"), Column("given", "style"), *results),
        tuple(_style_row(styled, i) for i in range(request.seeds)),
        (
            style_sentence(styled.results),
            f"Distances are relative, and means over the style layers {names}: of the content image, and of "
            "the picture.",
        ),
    )


def _style_row(styled: Styled, seed: int) -> Row:
    request = styled.request
    names = (request.content.name, request.style.name)
    given = [Cell(each, (Line(name),)) for each, name in zip(styled.pixels, names, strict=True)]
    label = f"seed {seed}" if request.seeds > 1 else ""
    first: list[Cell | None] = [*given] if seed == 0 else [None, None]
    return Row(label, (), (*first, *(_style_cell(each, seed) for each in styled.results)))


def _style_cell(result: Restyled, seed: int) -> Cell:
    picture = np.round(result.images[seed].transpose(1, 2, 0) * 255).astype(np.uint8)
    d = Distances.of(result, seed)
    lines = (
        Line(f"sums {d.sums_before:.2f} to {d.sums_after:.2f}", _fell(d.sums_before, d.sums_after)),
        Line(f"Gram {d.gram_before:.2f} to {d.gram_after:.2f}", _fell(d.gram_before, d.gram_after)),
        Line(f"content {float(result.content[seed]):.2f}"),
    )
    return Cell(picture, lines)


def _fell(before: float, after: float) -> Tone:
    return "good" if after < before else "bad"


def print_styled(console: Console, styled: Styled) -> None:
    """Print the distances before and after, what they show, and where the sheet is."""
    table = Table("matched", "style layer", box=None)
    for name in ("sums before", "after", "Gram before", "after", "content"):
        table.add_column(name, justify="right")
    for result in styled.results:
        for i, each in enumerate(result.styles):
            table.add_row(
                *(METHOD_NAMES[result.method] if i == 0 else "", each.layer),
                *(f"{each.sums_before:.3f}", f"{each.sums_after.mean():.3f}"),
                *(f"{each.gram_before:.3f}", f"{each.gram_after.mean():.3f}"),
                f"{result.content.mean():.3f}" if i == 0 else "",
            )
    console.print(table)
    console.print(style_sentence(styled.results))
    console.print(f"Sheet: {styled.request.out}")


def styled_json(styled: Styled) -> dict[str, Any]:
    """The same for a script."""
    request = styled.request
    return {
        "model": styled.model.classifier.weights_hash,
        "preset": request.preset,
        "content": str(request.content.absolute()),
        "style": str(request.style.absolute()),
        "content_weight": request.content_weight,
        "sheet": str(request.out.absolute()),
        "sentence": style_sentence(styled.results),
        "methods": [_result_json(each) for each in styled.results],
    }


def _result_json(result: Restyled) -> dict[str, Any]:
    return {
        "method": result.method,
        "content_layer": result.layer,
        "seeds": list(result.seeds),
        "loss": result.loss.tolist(),
        "content_distance": result.content.tolist(),
        "style_layers": [
            {
                "layer": each.layer,
                "sums_before": each.sums_before,
                "sums_after": each.sums_after.tolist(),
                "gram_before": each.gram_before,
                "gram_after": each.gram_after.tolist(),
            }
            for each in result.styles
        ],
    }
