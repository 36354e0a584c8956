"""What names and caches answer must not wait for torch: importing takes seconds, the answer milliseconds."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import featcache

HEAVY = {"torch", "torchvision", "open_clip", "huggingface_hub", "sklearn", "scipy", "faiss", "matplotlib", "pyarrow"}

COMPUTES = {
    "featcache.encoders.before_projection",
    "featcache.encoders.checkpoints",
    "featcache.encoders.clip_moe",
    "featcache.encoders.device",
    "featcache.encoders.encoder",
    "featcache.encoders.image_network",
    "featcache.encoders.of_identity",
    "featcache.encoders.pixels",
    "featcache.encoders.vision",
    "featcache.encoders.weights",
    "featcache.images.batches",
    "featcache.images.decoding",
    "featcache.images.resampler",
    "featcache.images.resampling",
    "featcache.images.resampling_triton",
    "featcache.images.jpeg_on_gpu",
    "featcache.images.ring",
    "featcache.images.views",
    "featcache.extraction.add_text",
    "featcache.extraction.agreement",
    "featcache.encoding.image_encoder",
    "featcache.encoding.pipeline",
    "featcache.encoding.speed",
    "featcache.encoding.stream",
    "featcache.extraction.encode_shards",
    "featcache.extraction.engines.local_engine",
    "featcache.extraction.engines.processes",
    "featcache.extraction.engines.ray_engine",
    "featcache.extraction.fast_decoding",
    "featcache.encoding.packing",
    "featcache.extraction.job",
    "featcache.extraction.station",
    "featcache.verification.reencoding",
}
"""The files that encode or make tensors, and those that import them: all others are light."""


def test_all_but_what_encodes_is_imported_without_heavy_libraries() -> None:
    every = {module.name for module in pkgutil.walk_packages(featcache.__path__, "featcache.")}
    assert every > COMPUTES
    code = (
        "import sys; from importlib import import_module\n"
        f"for name in {sorted(every - COMPUTES)}:\n"
        "    import_module(name)\n"
        f"    assert not (heavy := {HEAVY} & set(sys.modules)), f'{{name}} imports {{heavy}}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
