"""Which values of a parameter can work, as its method states them: in words, and what is wrong with a value.

The limits of a parameter are the arguments ``least`` to ``divides`` of ``methods.method.fixed``, by name, those alone that
are stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The names of the limits.
LIMITS = ("least", "most", "above", "below", "step", "divides")


def limits_text(limits: Mapping[str, Any]) -> str:
    """Limits as words, such as ``1 or more, at most experts``; empty where there are none."""
    step = limits.get("step", 1)
    by_two = {0: "even, ", 1: "odd, "}.get(limits.get("least", 0) % 2, "") if step == 2 else ""
    words = {
        "least": f"{by_two}{limits.get('least')} or more" + (f" in steps of {step}" if step > 2 else ""),
        "above": f"above {limits.get('above')}",
        "most": f"at most {limits.get('most')}",
        "below": f"below {limits.get('below')}",
        "divides": f"a divisor of {' and '.join(multiples_of(limits))}",
    }
    return ", ".join(text for name, text in words.items() if name in limits)


def multiples_of(limits: Mapping[str, Any]) -> list[str]:
    """The parameters that a value divides, as its limits name them: one, or several with commas between."""
    return [name.strip() for name in str(limits.get("divides", "")).split(",") if name.strip()]


def is_outside(value: Any, limits: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> bool:
    """Whether a value is one that cannot work.

    Args:
        value: of the parameter; what is no number is never outside.
        limits: of the parameter.
        values: parameter -> value, of those that limits may name; None leaves such limits out.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False

    def bound(name: str) -> Any:
        stated = limits.get(name)
        return (values or {}).get(stated) if isinstance(stated, str) else stated

    least, most, above, below = map(bound, ("least", "most", "above", "below"))
    multiples = [(values or {}).get(name) for name in multiples_of(limits)]
    return (
        (least is not None and value < least)
        or (most is not None and value > most)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
        or ("step" in limits and (value - (least or 0)) % limits["step"] != 0)
        or any(multiple is not None and (value == 0 or multiple % value != 0) for multiple in multiples)
    )


def fault_of_limits(value: Any, limits: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """What is wrong with the value of a parameter, as the end of a message; empty where it can work.

    Args:
        value: of the parameter.
        limits: its limits.
        values: parameter -> value, of all parameters of the method.
    """
    if not is_outside(value, limits, values):
        return ""
    named = [limits["most"]] if isinstance(limits.get("most"), str) else []
    named += multiples_of(limits)
    others = "".join(f"; {name} is {values.get(name)}" for name in dict.fromkeys(named))
    return f"{value!r} is out of its range: {limits_text(limits)}{others}"
