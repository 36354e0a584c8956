"""Images of concurrent requests, encoded together.

A batch is whatever has come while the one before was computed. Nothing is waited for, so that a single request is
answered at once, and under load batches fill by themselves.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.predicting.predictor import Prediction, Predictor
    from featcache.encoding.given import Given

Answer = asyncio.Future[list["Prediction"]]


class Busy(Exception):  # noqa: N818 - named as the reader will say it
    """Too many images are waiting."""


class Batches:
    """A thread that answers requests with one predictor.

    Args:
        predictor: who answers.
        most: images that may wait.
    """

    def __init__(self, predictor: Predictor, most: int) -> None:
        self._predictor, self._most = predictor, most
        self._asked: deque[tuple[Sequence[Given], Answer]] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="featcache-batches", daemon=True)
        self._thread.start()

    async def answer(self, images: Sequence[Given]) -> list[Prediction]:
        """Predictions for a request's images, with every class ranked.

        Raises:
            Busy: too many images are waiting already.
        """
        answer: Answer = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._waiting + len(images) > self._most:
                raise Busy
            self._waiting += len(images)
            self._asked.append((images, answer))
            self._changed.notify()
        return await answer

    def close(self) -> None:
        """End the thread; what waits is not answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while requests := self._next():
            try:
                images = [image for of_request, _ in requests for image in of_request]
                classes = len(self._predictor.class_names)
                found = iter(list(self._predictor.predict(images, top_k=classes, workers=0)))
                for of_request, answer in requests:
                    _tell(answer, [next(found) for _ in of_request], None)
            except Exception as error:
                for _, answer in requests:
                    _tell(answer, [], error)

    def _next(self) -> list[tuple[Sequence[Given], Answer]]:
        """Requests whose images fill a batch, or all there are; none when this is closed."""
        requests: list[tuple[Sequence[Given], Answer]] = []
        count = 0
        with self._changed:
            while not requests:
                self._changed.wait_for(lambda: self._asked or self._closed)
                if self._closed:
                    return []
                while self._asked and (not count or count + len(self._asked[0][0]) <= self._predictor.batch_size):
                    images, answer = self._asked.popleft()
                    self._waiting -= len(images)
                    if not answer.cancelled():  # else whoever asked has gone, or waited too long
                        requests.append((images, answer))
                        count += len(images)
        return requests


def _tell(answer: Answer, found: list[Prediction], error: Exception | None) -> None:
    def now() -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    with suppress(RuntimeError):  # the server has ended
        answer.get_loop().call_soon_threadsafe(now)
