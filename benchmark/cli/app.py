"""How every command reads its arguments: nothing that is given is passed over in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from ..core.errors import UsageError


class Command(TyperCommand):
    """A command that refuses an option that is given twice but has one value, and words that belong to no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments.

        Args:
            ctx: of the command, a ``click.Context``.
            args: the words after the command.

        Returns:
            The words that are left.

        Raises:
            UsageError: an option of one value is given twice, or there are words that belong to no option.
        """
        if not ctx.resilient_parsing and not self._is_asked_for_help(ctx, args):
            _, rest, order = self.make_parser(ctx).parse_args(args=list(args))
            _refuse_repeats(order)
            files = [word for word in rest if word.endswith((".yaml", ".yml"))]
            if files:
                raise UsageError(
                    f"unexpected {files[0]!r}: a file of options is given by --config {files[0]}"
                )
            if rest:
                raise UsageError(
                    f"unexpected {' '.join(map(repr, rest))}: a list is joined by commas without spaces, such as "
                    "erm,ebmc or 0,1,2; a text with spaces, > or parentheses stands in quotes"
                )
        return super().parse_args(ctx, args)

    def _is_asked_for_help(self, ctx: Any, args: list[str]) -> bool:
        return not args or bool(set(args) & set(ctx.help_option_names))


class App(typer.Typer):
    """A group of such commands."""

    def command(self, *names: Any, **options: Any) -> Callable[..., Any]:
        """As ``typer.Typer.command``, with ``Command`` as the class of the command.

        Args:
            *names: the name; by default that of the function.
            **options: as of ``typer.Typer.command``.
        """
        return super().command(*names, **{"cls": Command, **options})


def _refuse_repeats(order: list[Any]) -> None:
    """Raises UsageError for an option of one value that was given more than once; ``order`` is what was given."""
    given = Counter(
        parameter.opts[0]
        for parameter in order
        if parameter.param_type_name == "option"
        and not (parameter.multiple or parameter.is_flag or parameter.count)
    )
    for flag, count in given.items():
        if count > 1:
            raise UsageError(
                f"{flag} is given {count} times: give it once; several values are joined by commas"
            )
