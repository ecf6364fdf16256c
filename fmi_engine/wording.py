"""What failed in a trust test, in words for a person."""

from math import isnan

from fmi_engine.types import ABLATION_SIGNIFICANCE, AblationCheck, Failure, Trust, TrustPart

IN_A_WORD = {part: part.value for part in TrustPart} | {TrustPart.ALIVE: "dead", TrustPart.LAYOUT: "controls"}
"""What is wrong where a part failed, in a word."""


def reasons(trust: Trust) -> tuple[str, ...]:
    """A sentence for each part that failed, in their order."""
    return tuple(_reason(failure, trust) for failure in trust.failed)


def _reason(failure: Failure, trust: Trust) -> str:
    found, needed = failure.found, failure.needed
    match failure.part:
        case TrustPart.ABLATION:
            return ablation_reason(trust.ablation) if trust.ablation else "the ablation check failed"
        case TrustPart.ALIVE:
            return "its filter is dead: it answers no reference image"
        case TrustPart.RANK:
            return f"fed back, its filter ranks {found:.0f} of {trust.channels} (needed: {needed:.0f})"
        case TrustPart.ENERGY:
            return f"fed back, its filter stays at or below its normal energy ({found:.1f} sigma)"
        case TrustPart.AGREEMENT if isnan(found):
            return "it has no second picture of its filter, or none of another, to be compared with"
        case TrustPart.AGREEMENT:
            return f"its pictures agree by {found:.2f} (needed: {needed:.2f})"
        case TrustPart.LAYOUT:
            return (
                f"its texture is the layout of the source: from shuffled and constant maps it agrees by "
                f"{found:.2f} (needed: {needed:.2f})"
            )
        case TrustPart.READABLE if isnan(found):
            return "no other filter of its layer is alive, from whose real crops its own were to be told"
        case TrustPart.READABLE:
            ceiling = trust.readable.ceiling if trust.readable else float("nan")
            return (
                f"whoever sees its pictures does not know what excites its filter: real crops are told by "
                f"{found:.2f} (needed: {needed:.2f}; by other real crops: {ceiling:.2f})"
            )
        case TrustPart.COPY:
            return (
                f"it is like a place of a real image by {found:.2f}, where real images of different parts "
                f"are alike by {needed:.2f} at most"
            )


def ablation_reason(check: AblationCheck) -> str:
    """Why an ablation check failed."""
    if check.guess_p_value >= ABLATION_SIGNIFICANCE:
        return (
            f"no right answers depend on {check.layer}: the network is right on {check.right} of "
            f"{check.images} images, and always answering the most frequent class on {check.guessed} "
            f"(p = {check.guess_p_value:.2g})"
        )
    return (
        f"the network's right answers do not depend on {check.layer}: {check.right} of {check.images} are "
        f"right, and {check.exchanged} with the codes of other images (p = {check.p_value:.2g})"
    )
