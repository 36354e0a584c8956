"""Zarr's store of a folder on this machine, with every file written whole and kept through a loss of power."""

from __future__ import annotations

import asyncio

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from featcache.places.whole import make_folder, write_whole


class WholeFiles(LocalStore):
    """As Zarr's own, which leaves it to the system when a file that it wrote is on the disk."""

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file."""
        await asyncio.to_thread(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a file if there is none; a folder has one writer."""
        if not await self.exists(key):
            await self.set(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a file."""
        self._check_writable()
        path = self.root / key
        make_folder(path.parent)
        write_whole(path, value.as_buffer_like())
