"""What a retraining is worth to a plant: errors avoided a month, their price, and when it has paid."""

from dataclasses import dataclass

from inspection.findings import Retraining
from inspection.language import gettext as _
from inspection.nights.phrases import sentences
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
    avoided = _(
        "about {errors:,.0f} errors a month avoided ({lower:,.0f} to {upper:,.0f}): {escapes} and {overkills}"
    )
    parts = [
        avoided.format(
            errors=worth.errors,
            lower=worth.errors_lower,
            upper=worth.errors_upper,
            escapes=_changed(worth.escapes, _("{count:,.0f} fewer escapes"), _("{count:,.0f} more escapes")),
            overkills=_changed(
                worth.overkills, _("{count:,.0f} fewer overkills"), _("{count:,.0f} more overkills")
            ),
        )
    ]
    if s.escape_price or s.overkill_price:
        saved = _(
            "{currency} {saved:,.0f} a month saved ({lower:,.0f} to {upper:,.0f}), at {escape:,g} an escape "
            "and {overkill:,g} an overkill"
        )
        parts.append(
            saved.format(
                currency=s.currency,
                saved=worth.saved,
                lower=worth.saved_lower,
                upper=worth.saved_upper,
                escape=s.escape_price,
                overkill=s.overkill_price,
            )
        )
    if worth.payback is not None:
        days = _("{days:,.0f} days").format(days=worth.payback) if worth.payback >= 2 else _("a day or two")
        back = _("the {currency} {price:,g} of a retraining come back in {days}")
        parts.append(back.format(currency=s.currency, price=s.retraining_price, days=days))
    assumed = _(
        "Assumed: {nights:g} nights a month with as many such errors as this log, and no change on other "
        "parts; prices and nights stand under [worth] in fmi.toml."
    ).format(nights=s.nights_per_month)
    return sentences([_("Worth: {parts}.").format(parts=_("; ").join(parts)), assumed])


def _changed(count: float, fewer: str, more: str) -> str:
    return (fewer if count >= 0 else more).format(count=abs(count))
