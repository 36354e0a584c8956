"""What every command has in common: an option that takes one value is given once, and help is not cut off."""

from __future__ import annotations

import difflib
import shutil
import sys
from collections import Counter
from typing import Any

from typer import TyperException
from typer.core import TyperCommand, TyperGroup

ROOM_FOR_COLUMNS = 80
"""Letters of a line, below which help in columns cuts the names of options off."""


class Command(TyperCommand):
    """A command that refuses an option given twice, of which the last alone would count."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with no name cut off."""
        _fit_help(self)
        super().format_help(ctx, formatter)

    def get_short_help_str(self, limit: int = 0) -> str:
        """What the command does, for the list of all: whole, whatever the `limit`."""
        return super().get_short_help_str(limit=sys.maxsize)

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


class ContinuedCommand(Command):
    """A command that, typed again, goes on where it was stopped."""


class CommandOfMethod(Command):
    """A command that takes the options of a method too, which it finds in its context's `args`."""

    allow_extra_args = True
    ignore_unknown_options = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what was typed; an option that is missing may only be misspelled, and pass for one of the method's.

        Raises:
            UsageError: as in other commands; a word that is nearly the missing option is named.
        """
        typed = list(args)  # which parsing uses up
        try:
            return super().parse_args(ctx, args)
        except TyperException as error:
            missing = getattr(getattr(error, "param", None), "opts", ())
            for word in typed:
                if word not in missing and difflib.get_close_matches(word.partition("=")[0], missing, n=1, cutoff=0.8):
                    ctx.fail(f"No such option: {word} (Possible options: {', '.join(missing)})")
            raise


class ContinuedCommandOfMethod(CommandOfMethod, ContinuedCommand):
    """Both."""


class Commands(TyperGroup):
    """A command line of several commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with no name cut off."""
        _fit_help(self)
        super().format_help(ctx, formatter)


def _fit_help(command: TyperCommand | TyperGroup) -> None:
    """Lay help out in columns, or on a narrow terminal in paragraphs."""
    if shutil.get_terminal_size().columns < ROOM_FOR_COLUMNS:
        command.rich_markup_mode = None


def given_twice(flag: str) -> str:
    """What is said of an option given more than once."""
    return f"{flag} was given twice; expected once: leave out all but one"
