"""What every command has in common: an option that takes one value is given once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command that refuses an option given twice, of which the last alone would count."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what was typed.

        Raises:
            UsageError: an option that takes one value was given more than once.
        """
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option, times in Counter(given).items():
            if times > 1 and not getattr(option, "multiple", True) and not option.is_eager:
                ctx.fail(given_twice(max(option.opts, key=len)))
        return super().parse_args(ctx, args)


class CommandOfMethod(Command):
    """A command that takes the options of a method too, which it finds in its context's `args`."""

    allow_extra_args = True
    ignore_unknown_options = True


def given_twice(flag: str) -> str:
    """What is said of an option given more than once."""
    return f"{flag} was given twice; expected once: leave out all but one"
