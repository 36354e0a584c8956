"""The encoder that an identity names, at the precision that it had or a machine can do."""

from __future__ import annotations

import pytest

from featcache.encoders.encoder import Encoder
from featcache.encoders.of_identity import at_precision, encoder_of, spelled_out
from featcache.errors import ModelError
from tests.featcache.encoders.conftest import MakeFolder


def test_it_is_the_same_encoder_again(encoder: Encoder) -> None:
    assert encoder_of(encoder.identity, device="cpu").identity == encoder.identity


@pytest.mark.parametrize(
    ("had", "asked", "gets"), [("fp16", None, "fp32"), ("bf16", None, "bf16"), ("bf16", "fp32", "fp32")]
)
def test_a_cpu_stands_in_for_fp16_with_fp32(encoder: Encoder, had: str, asked: str | None, gets: str) -> None:
    again = encoder_of({**encoder.identity, "precision": had}, device="cpu", precision=asked)
    assert again.identity["precision"] == gets
    assert again.identity.get("precision_by") == (None if gets == "fp32" else "weights")
    assert at_precision(encoder.identity, again.identity) == again.identity
    assert at_precision(again.identity, encoder.identity) == encoder.identity


def test_older_identities_cast_each_operation_and_did_not_say_so() -> None:
    assert spelled_out({"precision": "fp16"}) == {"precision": "fp16", "precision_by": "autocast"}
    for said in ({"precision": "fp32"}, {"precision": "bf16", "precision_by": "weights"}):
        assert spelled_out(said) == said


def test_other_weights_are_the_callers_to_find(make_folder: MakeFolder) -> None:
    identity = Encoder.load(str(make_folder()), device="cpu").identity
    other = encoder_of({**identity, "architecture": str(make_folder("other", seed=8))}, device="cpu")
    assert other.identity["weights_sha256"] != identity["weights_sha256"]
    with pytest.raises(ModelError, match="did you mean"):
        encoder_of({**identity, "architecture": "ViT-B-61"}, device="cpu")


@pytest.mark.parametrize("transform", ["", "[" * 5000, "[1]", "{"])
def test_a_damaged_transform_is_a_line(transform: str) -> None:
    identity = {"architecture": "tiny", "pretrained": "local", "precision": "fp32", "transform": transform}
    identity["weights_sha256"] = "ab" * 32
    with pytest.raises(ModelError, match="the transform of tiny is damaged in the record") as told:
        encoder_of(identity, device="cpu")
    assert "\n" not in str(told.value)
