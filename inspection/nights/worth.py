"""What a retraining is worth to a plant: errors avoided a month, their price, and when it has paid."""

from dataclasses import dataclass

from inspection.findings import LINE, LOGGED, Retraining
from inspection.language import gettext as _
from inspection.nights.phrases import sentences
from inspection.workspace.settings import WorthSettings

DAYS = 30.4  # of a month


@dataclass(frozen=True, slots=True)
class Worth:
    """Figures a month, with the 95 % interval of the share that is mended; below zero: more than before."""

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
    right: int | None  # parts that went right of those that it is reckoned by; None: errors alone


def worth_of(done: Retraining) -> Worth | None:
    """What the candidate is worth, by the log and the settings of its retraining.

    The log is taken for a usual night: the line goes on making as many of these errors a night, of which the
    share is mended that models mended which were not shown them. Where the log holds parts that went right,
    what is broken of these is counted, too; else on other parts nothing changes. None where no candidate was
    made, or by an earlier version, which did not count escapes.
    """
    by_name = {each.name: each for each in done.accuracies if each.images}
    logged, line = by_name.get(LOGGED), by_name.get(LINE)
    if done.candidate_hash is None or logged is None or "worth" not in done.settings:
        return None
    settings, judged = WorthSettings.model_validate(done.settings["worth"]), line or logged
    wrong = judged.images - judged.before
    times = settings.nights_per_month * logged.images / wrong if wrong else 0.0  # the line's are a sample
    errors = times * (judged.after - judged.before)
    lower, upper = (times * judged.images * each for each in (judged.gain_lower, judged.gain_upper))
    escapes, overkills = (times * _fewer(pair) for pair in (judged.escapes, judged.overkills))
    saved = settings.escape_price * escapes + settings.overkill_price * overkills
    price = _price(settings, escapes, overkills)
    if line is None:
        lower = max(0.0, lower)  # of errors alone none can be broken
    return Worth(
        errors=errors,
        errors_lower=lower,
        errors_upper=upper,
        escapes=escapes,
        overkills=overkills,
        saved=saved,
        saved_lower=saved - price * (errors - lower),
        saved_upper=saved + price * (upper - errors),
        payback=DAYS * settings.retraining_price / saved if saved > 0 and settings.retraining_price else None,
        settings=settings,
        right=line.before if line else None,
    )


def _fewer(pair: tuple[int, int] | None) -> int:
    return pair[0] - pair[1] if pair else 0


def _price(settings: WorthSettings, escapes: float, overkills: float) -> float:
    """Of an error, by how many of each kind come or go."""
    kinds = abs(escapes), abs(overkills)
    paid = settings.escape_price * kinds[0] + settings.overkill_price * kinds[1]
    return paid / sum(kinds) if sum(kinds) else 0.0


def worth_in_words(worth: Worth) -> str:
    """Say it to a plant manager, with the assumptions beside the figures."""
    s = worth.settings
    parts = [_errors_in_words(worth)]
    if s.escape_price or s.overkill_price:
        parts.append(_money_in_words(worth))
    if worth.payback is not None:
        days = _("{days:,.0f} days").format(days=worth.payback) if worth.payback >= 2 else _("a day or two")
        back = _("the {currency} {price:,g} of a retraining come back in {days}")
        parts.append(back.format(currency=s.currency, price=s.retraining_price, days=days))
    return sentences([_("Worth: {parts}.").format(parts=_("; ").join(parts)), _assumptions(worth)])


def _errors_in_words(worth: Worth) -> str:
    said = (
        _(
            "about {errors:,.0f} errors a month avoided ({lower:,.0f} to {upper:,.0f}): {escapes} and "
            "{overkills}"
        )
        if worth.errors >= 0
        else _(
            "about {errors:,.0f} errors a month more ({lower:,.0f} to {upper:,.0f}): {escapes} and "
            "{overkills}"
        )
    )
    return said.format(
        **_either_way(errors=worth.errors, lower=worth.errors_lower, upper=worth.errors_upper),
        escapes=_changed(worth.escapes, _("{count:,.0f} fewer escapes"), _("{count:,.0f} more escapes")),
        overkills=_changed(
            worth.overkills, _("{count:,.0f} fewer overkills"), _("{count:,.0f} more overkills")
        ),
    )


def _money_in_words(worth: Worth) -> str:
    s = worth.settings
    said = (
        _(
            "{currency} {saved:,.0f} a month saved ({lower:,.0f} to {upper:,.0f}), at {escape:,g} an escape "
            "and {overkill:,g} an overkill"
        )
        if worth.saved >= 0
        else _(
            "{currency} {saved:,.0f} a month lost ({lower:,.0f} to {upper:,.0f}), at {escape:,g} an escape "
            "and {overkill:,g} an overkill"
        )
    )
    return said.format(
        **_either_way(saved=worth.saved, lower=worth.saved_lower, upper=worth.saved_upper),
        currency=s.currency,
        escape=s.escape_price,
        overkill=s.overkill_price,
    )


def _either_way(lower: float, upper: float, **found: float) -> dict[str, float]:
    """A figure with its interval, as what is gained or as what is lost."""
    ((name, value),) = found.items()
    bounds = (lower, upper) if value >= 0 else (-upper, -lower)
    return {name: abs(value), "lower": bounds[0], "upper": bounds[1]}


def _assumptions(worth: Worth) -> str:
    assumed = (
        _(
            "Assumed: {nights:g} nights a month with as many such errors as this log, and no change on other "
            "parts; prices and nights stand under [worth] in fmi.toml."
        )
        if worth.right is None
        else _(
            "Assumed: {nights:g} nights a month like this log, of whose parts that went right {right:,} were "
            "looked at for what the candidate breaks; prices and nights stand under [worth] in fmi.toml."
        )
    )
    return assumed.format(nights=worth.settings.nights_per_month, right=worth.right)


def _changed(count: float, fewer: str, more: str) -> str:
    return (fewer if count >= 0 else more).format(count=abs(count))
