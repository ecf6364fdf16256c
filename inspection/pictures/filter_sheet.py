"""What `fmi invert` tells: the contact sheet, the table and the JSON."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from fmi_engine.patches import Patch
from fmi_engine.types import Trust, TrustPart
from fmi_engine.wording import IN_A_WORD, ablation_reason, reasons
from inspection.console import Console, Table
from inspection.evidence.primitives import SOURCE, stretched
from inspection.inputs.images import write_image
from inspection.pictures.filters import Drawn, Made
from inspection.pictures.request import FilterRequest, Target
from inspection.pictures.sheet import Cell, Column, Line, Row, Sheet, Tone, draw

# --- fmi invert: what is told ---


def write_sheet(drawn: Drawn) -> None:
    """Write the contact sheet to the file that was asked for."""
    write_image(drawn.request.out, draw(sheet_of(drawn)))


def sheet_of(drawn: Drawn) -> Sheet:
    """The contact sheet: real crops, sources and pictures of each target."""
    p = drawn.model.classifier.preprocessing
    crops = max((len(each) for each in drawn.patches.values()), default=0)
    seeds = range(drawn.request.seeds)
    columns = [Column("real crops that excite it most" if crops > 1 else "real crop")] * crops
    for source in range(len(drawn.given.sources)):
        group = f"from {drawn.given.source_path(source).name}"
        columns += [Column(group, "source"), *(Column(group, f"seed {seed}") for seed in seeds)]
    return Sheet(
        _title(drawn),
        _subtitle(drawn),
        (p.height, p.width),
        tuple(columns),
        tuple(_row(drawn, target, crops) for target in drawn.targets),
        tuple(_notes(drawn)),
    )


def _title(drawn: Drawn) -> str:
    names = [layer.name for layer in drawn.layers]
    layers = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    request = drawn.request
    titles = {
        "isolate": "Texture primitives of several filters together"
        if request.together
        else "Texture primitives",
        "plain": "Codes inverted unchanged",
        "random": "Energy shared out at random",
    }
    return f"{titles[request.what]}: {layers}"


def _subtitle(drawn: Drawn) -> str:
    layer, request = drawn.layers[0], drawn.request
    parts = [f"model {drawn.model.name}"]
    if len(drawn.layers) == 1:
        parts.append(f"{layer.name}: {layer.channels} filters of {layer.height} x {layer.width} positions")
    parts.append(f"preset {request.preset}")
    if request.what == "random":
        parts.append(f"draw {request.draw or 'dirichlet'}")
    if request.layout != SOURCE:
        parts.append(f"layout {request.layout}")
    return "   |   ".join(parts)


def _notes(drawn: Drawn) -> list[str]:
    notes = [_meaning(drawn.request), *untested_sentences(drawn)]
    if any(each.withheld for each in drawn.made):
        shown = "are shown all the same" if drawn.request.show_withheld else "are withheld"
        notes.append(f"Pictures that failed the trust test {shown}; what failed is red.")
    return notes


def _meaning(request: FilterRequest) -> str:
    """What the pictures are, in a sentence."""
    if request.what == "plain":
        said = "Each picture has the code of its source: what it keeps of the source is what the layer keeps"
    elif request.what == "random":
        said = "Each picture has its source's energy, shared out anew among the layer's filters by its seed"
    elif request.together:
        said = "Each picture has a code that holds all energy of the layer on a few filters, in equal shares"
    else:
        said = (
            "A primitive is a picture whose code holds all energy of the layer on one filter: what it "
            "repeats is the texture that the filter stands for"
        )
    laid = {
        "source": "as in the source",
        "shuffled": "at shuffled positions",
        "constant": "evenly at all positions",
    }
    return f"{said}. The energy lies {laid[request.layout]}. Contrast is stretched."


def untested_sentences(drawn: Drawn) -> list[str]:
    """For each reason why pictures were not put to the trust test, one line."""
    sentences = []
    for reason in dict.fromkeys(drawn.untested.values()):
        layers = [layer for layer, why in drawn.untested.items() if why == reason]
        where = "" if len(layers) == len(drawn.layers) else f" to {', '.join(layers)}"
        sentences.append(f"The trust test is not applied{where}: {reason}.")
    return sentences


def _row(drawn: Drawn, target: Target, crops: int) -> Row:
    patches = drawn.patches.get(target, ())
    cells: list[Cell | None] = [Cell(patch.pixels) for patch in patches]
    cells += [None] * (crops - len(cells))
    row = drawn.row(target)
    for source, pixels in enumerate(drawn.given.source_pixels):
        cells.append(Cell(pixels))
        cells += [_cell(drawn, made) for made in row if made.source == source]
    label = str(target) if len(target.channels) <= 1 else f"{target.layer.name}, together"
    return Row(label, tuple(_details(drawn, target, row[0], patches)), tuple(cells))


def _cell(drawn: Drawn, made: Made) -> Cell:
    hidden = made.withheld and not drawn.request.show_withheld
    lines = [Line(f"residual {made.residual:.2f}")]
    if made.trust is not None:
        trust = made.trust
        lines = [
            Line("trusted", "good") if trust.trusted else Line("not trusted", "bad"),
            *lines,
            Line(f"rank {trust.rank} of {trust.channels}", _tone(trust, TrustPart.RANK)),
            Line(f"{trust.energy:+.1f} sigma", _tone(trust, TrustPart.ENERGY)),
        ]
    return Cell(stretched(made.image), tuple(lines), hidden)


def _tone(trust: Trust, part: TrustPart) -> Tone:
    """How the line of a part that passed, or did not, is drawn."""
    return "bad" if trust.fails(part) else "quiet"


def _details(drawn: Drawn, target: Target, first: Made, patches: Sequence[Patch]) -> list[Line]:
    """What is said of a row: its filters, its crops, and what the trust test says of it as a whole."""
    channels = [*map(str, target.channels)] if len(target.channels) > 1 else []
    details = [Line(", ".join(channels[i : i + 5])) for i in range(0, len(channels), 5)]
    if len(drawn.layers) > 1:
        layer = target.layer
        details.append(Line(f"{layer.channels} filters, {layer.height} x {layer.width}"))
    if patches:
        details.append(Line(f"crops of {len(patches[0].pixels)} pixels"))
    if first.trust is not None:
        details += _of_filter(first.trust)
    return details


def _of_filter(trust: Trust) -> list[Line]:
    """What the trust test says of all pictures of a filter alike."""
    lines = [Line(f"agreement {trust.agreement:.2f}", _tone(trust, TrustPart.AGREEMENT))]
    if trust.layout is not None:
        lines.append(Line(f"controls {trust.layout:.2f}", _tone(trust, TrustPart.LAYOUT)))
    meanings = {TrustPart.ALIVE: "a dead filter", TrustPart.ABLATION: "fails the ablation check"}
    return [*lines, *(Line(meaning, "bad") for part, meaning in meanings.items() if trust.fails(part))]


def print_drawn(console: Console, drawn: Drawn) -> None:
    """Print what was made, what the trust test says of it, and where the sheet is."""
    request = drawn.request
    console.print(f"{_title(drawn)}; model {drawn.model.name}, preset {request.preset}")
    console.print(_table(drawn))
    for sentence in _verdicts(drawn):
        console.print(sentence)
    if request.pictures:
        count = sum(each.picture is not None for each in drawn.made)
        console.print(f"Pictures: {count} in {request.pictures}")
    console.print(f"Sheet: {request.out}")


def _table(drawn: Drawn) -> Table:
    tested = any(each.trust for each in drawn.made)
    table = Table(box=None, collapse_padding=True, pad_edge=False)
    table.add_column("filter", no_wrap=len(drawn.targets[0].channels) <= 1)
    table.add_column("source")
    for name in ("seed", "residual", *(("rank", "sigma", "agree", "controls") if tested else ())):
        table.add_column(name, justify="right", no_wrap=True)
    if tested:
        table.add_column("trusted")
    for each in drawn.made:
        source = drawn.given.source_path(each.source).name
        cells = (str(each.target), source, str(each.seed), f"{each.residual:.3f}")
        table.add_row(*cells, *(_tested(each) if tested else ()))
    return table


def _tested(made: Made) -> tuple[str | Text, ...]:
    trust = made.trust
    if trust is None:
        return ("", "", "", "", "untested")
    parts = ",\n".join(IN_A_WORD[each.part] for each in trust.failed)
    return (
        str(trust.rank),
        f"{trust.energy:+.1f}",
        f"{trust.agreement:.2f}",
        "" if trust.layout is None else f"{trust.layout:.2f}",
        Text("yes", "green") if trust.trusted else Text(f"no: {parts}", "red"),
    )


def _verdicts(drawn: Drawn) -> list[str]:
    """What the trust test says as a whole, and why, where it is not applied."""
    judged = [each for each in drawn.made if each.trust is not None]
    sentences = [ablation_reason(check) for check in drawn.ablations.values() if not check.holds]
    if judged:
        trusted = sum(not each.withheld for each in judged)
        sentences.append(f"{trusted} of {len(judged)} pictures are trusted{_needed(drawn)}.")
    return [*sentences, *untested_sentences(drawn)]


def _needed(drawn: Drawn) -> str:
    """What the trust test asks for, where something failed it."""
    if not any(each.withheld for each in drawn.made) or drawn.model.subject is None:
        return ""
    rules = drawn.model.subject.settings.inversion
    return (
        f"; needed: first or in the top {rules.top_share:.0%} of the layer's filters, above 0 sigma, and "
        f"agreement and controls of {rules.agreement:.2f}"
    )


def drawn_json(drawn: Drawn) -> dict[str, Any]:
    """The same for a script."""
    request = drawn.request
    return {
        "model": drawn.model.classifier.weights_hash,
        "preset": request.preset,
        "what": request.what,
        "draw": (request.draw or "dirichlet") if request.what == "random" else None,
        "layout": request.layout,
        "sheet": str(request.out.absolute()),
        "sources": [str(drawn.given.source_path(i)) for i in range(len(drawn.given.sources))],
        "not_tested": drawn.untested,
        "filters": [_target_json(drawn, target) for target in drawn.targets],
    }


def _target_json(drawn: Drawn, target: Target) -> dict[str, Any]:
    return {
        "filter": str(target),
        "layer": target.layer.name,
        "channels": list(target.channels),
        "crops": [
            {"image": str(drawn.given.paths[patch.image]), "activation": patch.activation}
            for patch in drawn.patches.get(target, ())
        ],
        "pictures": [_made_json(drawn, made) for made in drawn.row(target)],
    }


def _made_json(drawn: Drawn, made: Made) -> dict[str, Any]:
    return {
        "source": str(drawn.given.source_path(made.source)),
        "seed": made.seed,
        "residual": made.residual,
        "trust": None if made.trust is None else _trust_json(made.trust),
        "picture": str(made.picture) if made.picture else None,
    }


def _trust_json(trust: Trust) -> dict[str, Any]:
    return {
        "rank": trust.rank,
        "energy": trust.energy,
        "residual": trust.residual,
        "agreement": trust.agreement,
        "failed": list(reasons(trust)),
        "layout": trust.layout,
        "readable": trust.readable.auroc if trust.readable else None,
        "readable_ceiling": trust.readable.ceiling if trust.readable else None,
        "copy": trust.copy,
        "trusted": trust.trusted,
    }
