"""The very encoder that a head was fitted on, wherever it is now.

The only module of the package that loads an encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapters.errors import RunError
from adapters.tasks.same_encoder import first_difference
from featcache.origin import is_known

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder


def load_encoder(
    identity: Mapping[str, Any],
    run_name: str,
    *,
    device: str,
    model: str | None = None,
    pretrained: str | None = None,
    keep: bool = False,
) -> tuple[Encoder, str]:
    """Load the encoder of that identity, and say what differs without mattering.

    Args:
        identity: what the run says of it.
        run_name: what the run is called.
        device: where it computes.
        model: its directory, where that has moved.
        pretrained: its file of weights, where that has moved.
        keep: whether to give what comes before the last projection too.

    Raises:
        RunError: the weights or the transform are not those of the identity.
        ModelError: the encoder cannot be loaded.
    """
    from featcache.encoders.of_identity import moved_encoder

    whose = f"run {run_name}"
    encoder = moved_encoder(identity, whose, device=device, model=model, pretrained=pretrained, keep=keep)
    now, then, note = encoder.identity["precision"], identity["precision"], ""
    if not is_known(identity):
        note = "the run's embeddings were imported, and that this encoder made them is your word alone"
    elif now != then:
        note = f"encoded in {now}, the run's cache in {then}: probabilities differ in the last digits"
    check_encoder(identity, encoder.identity, run_name)
    return encoder, note


def check_encoder(expected: Mapping[str, Any], loaded: Mapping[str, Any], run_name: str) -> None:
    """Refuse an encoder whose embeddings are not those that the head has learnt.

    Of imported embeddings whose encoder nobody knows only the width is compared.

    Raises:
        RunError: names what differs.
    """
    if not is_known(expected):
        if loaded["dim"] != expected["dim"]:
            raise RunError(
                f"run {run_name} was fitted on embeddings of {expected['dim']} numbers, and {loaded['architecture']} "
                f"gives {loaded['dim']}: name the encoder that made them"
            )
        return
    if key := first_difference(expected, loaded):
        what = key.removesuffix("_sha256")
        raise RunError(
            f"run {run_name} was fitted on {expected['architecture']} ({expected['pretrained']}) with {what} "
            f"{expected[key][:12]}, but {loaded['architecture']} ({loaded['pretrained']}) here has {loaded[key][:12]}: "
            "give those weights (--model DIR or --pretrained FILE if they have moved), or extract and fit again"
        )
