"""`adapters serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from adapters.commands.shared.shared_options import RunName
from adapters.errors import AdapterError
from adapters.serving.limits import Limits
from featcache.commands.shared.options import Device, Model, Pretrained, Root
from featcache.commands.shared.show import tell


def serve(
    run: RunName,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8000,
    max_bytes: Annotated[int, typer.Option(min=1, help="Of a request.")] = Limits.body,
    max_images: Annotated[int, typer.Option(min=1, help="Of a request.")] = Limits.images,
    max_pixels: Annotated[int, typer.Option(min=1, help="Of an image.")] = Limits.pixels,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="For a request to arrive, and for its answer.")
    ] = Limits.seconds,
    model: Model = None,
    pretrained: Pretrained = None,
    root: Root = None,
    device: Device = "auto",
) -> None:
    """Answer HTTP requests with a saved head: POST /predict, /info, /healthz, /openapi.json, and a page at /.

    Images of concurrent requests are encoded together. With FEATCACHE_TOKEN in the environment requests must bring it
    as `Authorization: Bearer`. Needs `pip install 'featcache[serve]'`.
    """
    try:
        from adapters.serving.server import listen, serve
    except ModuleNotFoundError as error:
        message = f"adapters serve needs a package that is not installed ({error.name}): "
        raise AdapterError(message + "pip install 'featcache[serve]'") from error
    from adapters.predicting.predictor import Predictor

    limits = Limits(body=max_bytes, images=max_images, pixels=max_pixels, seconds=seconds)
    with listen(host, port) as listening:
        predictor = Predictor.load(run, model=model, pretrained=pretrained, reuse=False, root=root, device=device)
        serve(predictor, listening, limits, tell=tell)
