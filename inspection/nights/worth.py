"""What a retraining is worth to a plant: errors avoided a month, their price, and when it has paid."""

from dataclasses import dataclass

from inspection.findings import Retraining
from inspection.workspace.settings import WorthSettings

DAYS = 30.4  # of a month


@dataclass(frozen=True, slots=True)
class Worth:
    """Figures a month, with the 95 % interval of the share of logged errors that is mended."""

    errors: float  # avoided
    errors_lower: float
    errors_upper: float
    escapes: float
    overkills: float
    saved: float  # in the settings' currency
    saved_lower: float
    saved_upper: float
    payback: float | None  # days until what the retraining costs is saved; None: never, or no price is known
    settings: WorthSettings  # the assumptions


def worth_of(done: Retraining) -> Worth | None:
    """What the candidate is worth, by the logged errors and the settings of its retraining.

    The log is taken for a usual night: the line goes on making as many of these errors a night, the share
    that models mended which were not shown them is mended, and on other parts nothing changes. None where no
    candidate was made, or by an earlier version, which did not count escapes.
    """
    logged = next((each for each in done.accuracies if each.images and not each.before), None)
    if done.candidate_hash is None or logged is None or "worth" not in done.settings:
        return None
    settings = WorthSettings.model_validate(done.settings["worth"])
    nights, mended = settings.nights_per_month, logged.after / logged.images
    escapes, overkills = (
        nights * (pair[0] - pair[1]) if pair else 0.0 for pair in (logged.escapes, logged.overkills)
    )
    saved = settings.escape_price * escapes + settings.overkill_price * overkills
    bounds = logged.gain_lower, logged.gain_upper
    lower, upper = (max(0.0, each) / mended if mended else 0.0 for each in bounds)
    return Worth(
        errors=nights * logged.after,
        errors_lower=nights * logged.after * lower,
        errors_upper=nights * logged.after * upper,
        escapes=escapes,
        overkills=overkills,
        saved=saved,
        saved_lower=saved * lower,
        saved_upper=saved * upper,
        payback=DAYS * settings.retraining_price / saved if saved > 0 and settings.retraining_price else None,
        settings=settings,
    )


def worth_in_words(worth: Worth) -> str:
    """Say it to a plant manager, with the assumptions beside the figures."""
    s = worth.settings
    span = f"{worth.errors_lower:,.0f} to {worth.errors_upper:,.0f}"
    kinds = f"{_fewer(worth.escapes, 'escapes')} and {_fewer(worth.overkills, 'overkills')}"
    parts = [f"about {worth.errors:,.0f} errors a month avoided ({span}): {kinds}"]
    if s.escape_price or s.overkill_price:
        span = f"{worth.saved_lower:,.0f} to {worth.saved_upper:,.0f}"
        prices = f"{s.escape_price:,g} an escape and {s.overkill_price:,g} an overkill"
        parts.append(f"{s.currency} {worth.saved:,.0f} a month saved ({span}), at {prices}")
    if worth.payback is not None:
        days = f"{worth.payback:,.0f} days" if worth.payback >= 2 else "a day or two"
        parts.append(f"the {s.currency} {s.retraining_price:,g} of a retraining come back in {days}")
    assumed = (
        f"Assumed: {s.nights_per_month:g} nights a month with as many such errors as this log, and no change "
        "on other parts; prices and nights stand under [worth] in fmi.toml."
    )
    return f"Worth: {'; '.join(parts)}. {assumed}"


def _fewer(count: float, what: str) -> str:
    return f"{abs(count):,.0f} {'fewer' if count >= 0 else 'more'} {what}"
