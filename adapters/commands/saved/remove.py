"""`adapters remove`."""

from __future__ import annotations

from adapters.commands.shared.shared_options import RunName
from adapters.errors import RunError
from featcache.commands.shared.confirm import Yes, require_yes
from featcache.commands.shared.options import Json, Root
from featcache.commands.shared.show import show
from featcache.show.page import Page


def remove(run: RunName, yes: Yes = False, root: Root = None, json: Json = False) -> None:
    """Remove a saved head, also one that cannot be read, after asking; its cache and other runs stay."""
    from adapters.runs.catalogue import find_run
    from adapters.runs.mirror import kept_at
    from adapters.runs.removing import remove_run

    found = find_run(run, root=root)
    root = found.root or root
    where = kept_at(found.path, root)
    require_yes(f"Remove the run {where}?", yes, RunError)
    remove_run(found.path, root)
    show(lambda: {"removed": where}, lambda: Page([f"Removed {where}"]), json=json)
