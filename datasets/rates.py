"""Missing rates of single modalities as people write them: ``text=0.3,audio=0.7``. No torch here: planning reads this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: What ``--train-missing`` takes beside rates of single modalities.
TRAIN_MISSING = ("off", "patterns", "spectrum")


def parse_rates(text: str) -> dict[str, float]:
    """Modality -> the share of samples that lack it, in alphabetic order and without those that are 0.

    Args:
        text: such as ``text=0.3,audio=0.7``; a modality that is not named is never missing.

    Raises:
        ValueError: the text is no list of rates, names a modality twice, or a rate is not in 0 to 1.
    """
    rates: dict[str, float] = {}
    for item in text.split(","):
        name, _, value = (part.strip() for part in item.partition("="))
        try:
            rate = float(value)
        except ValueError:
            rate = -1.0
        if not name or not 0 <= rate <= 1 or name in rates:
            raise ValueError(
                f"{text!r} are no missing rates: write each modality once with a rate of 0 to 1, as text=0.3,audio=0.7"
            )
        rates[name] = rate
    return {name: rates[name] for name in sorted(rates) if rates[name]}


def has_rates(missing: str) -> bool:
    """Whether a value of ``--train-missing`` is a list of rates, and not the name of a rule."""
    return "=" in missing


def rates_text(rates: Mapping[str, float], separator: str = ",") -> str:
    """Rates as ``parse_rates`` reads them, in the order in which they are given.

    Args:
        rates: modality -> rate.
        separator: stands between two of them.
    """
    return separator.join(f"{name}={rate:g}" for name, rate in rates.items())


def fault_of_rates(rates: Mapping[str, float], modalities: Sequence[str]) -> str:
    """Why no samples with these modalities can have the rates; empty where they can.

    Args:
        rates: modality -> rate.
        modalities: those that a network is given. Of a single one nothing is ever missing.
    """
    asked = sum(rates.get(name, 0.0) for name in modalities)
    most = len(modalities) - 1
    if most < 1 or asked <= most + 1e-9:
        return ""
    return (
        f"the rates of {'+'.join(modalities)} sum to {asked:g}: as every sample keeps a modality, they can sum to "
        f"{most} at most"
    )
