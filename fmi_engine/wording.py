"""What failed in a trust test, in words for a person."""

from math import isnan

from fmi_engine.types import ABLATION_SIGNIFICANCE, AblationCheck, Failure, Trust, TrustPart

IN_A_WORD = {part: part.value for part in TrustPart} | {TrustPart.ALIVE: "dead", TrustPart.LAYOUT: "controls"}
"""What is wrong where a part failed, in a word."""

REASONS = {
    TrustPart.ABLATION: "the ablation check failed",
    TrustPart.ALIVE: "its filter is dead: it answers no reference image",
    TrustPart.RANK: "fed back, its filter ranks {found:.0f} of {channels} (needed: {needed:.0f})",
    TrustPart.ENERGY: "fed back, its filter stays at or below its normal energy ({found:.1f} sigma)",
    TrustPart.AGREEMENT: "its pictures agree by {found:.2f} (needed: {needed:.2f})",
    TrustPart.LAYOUT: "its texture is the layout of the source: from shuffled and constant maps it agrees by "
    "{found:.2f} (needed: {needed:.2f})",
    TrustPart.READABLE: "whoever sees its pictures does not know what excites its filter: real crops are "
    "told by {found:.2f} (needed: {needed:.2f}; by other real crops: {ceiling:.2f})",
    TrustPart.COPY: "it is like a place of a real image by {found:.2f}, where real images of different parts "
    "are alike by {needed:.2f} at most",
}
"""What is said of each part; `{found}` and `{needed}` are those of its failure."""

UNCOMPARED = {
    TrustPart.AGREEMENT: "it has no second picture of its filter, or none of another, to be compared with",
    TrustPart.READABLE: "no other filter of its layer is alive, from whose real crops its own were to be "
    "told",
}
"""What is said where there was nothing to compare."""

GUESSED = (
    "no right answers depend on {layer}: the network is right on {right} of {images} images, and always "
    "answering the most frequent class on {guessed} (p = {p:.2g})"
)
INDEPENDENT = (
    "the network's right answers do not depend on {layer}: {right} of {images} are right, and {exchanged} "
    "with the codes of other images (p = {p:.2g})"
)


def reasons(trust: Trust) -> tuple[str, ...]:
    """A sentence for each part that failed, in their order."""
    return tuple(_reason(failure, trust) for failure in trust.failed)


def _reason(failure: Failure, trust: Trust) -> str:
    if failure.part is TrustPart.ABLATION and trust.ablation:
        return ablation_reason(trust.ablation)
    said = REASONS | UNCOMPARED if isnan(failure.found) else REASONS
    ceiling = trust.readable.ceiling if trust.readable else float("nan")
    found, needed = failure.found, failure.needed
    return said[failure.part].format(found=found, needed=needed, channels=trust.channels, ceiling=ceiling)


def ablation_reason(check: AblationCheck) -> str:
    """Why an ablation check failed."""
    known = {"layer": check.layer, "right": check.right, "images": check.images}
    if check.guess_p_value >= ABLATION_SIGNIFICANCE:
        return GUESSED.format(**known, guessed=check.guessed, p=check.guess_p_value)
    return INDEPENDENT.format(**known, exchanged=check.exchanged, p=check.p_value)
