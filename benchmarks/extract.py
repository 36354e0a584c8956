"""How fast `featcache extract` encodes, beside the encoder alone, decoding alone, and the loops that people write.

    python -m benchmarks.extract [--model ViT-B/16] [--size 500x375 …] [--seconds 8] [--device auto] [--workers N]
                                 [--batch-size N] [--decode exact fast] [--skip-others]

Each size is a folder of JPEGs made here (noise on smooth colours, quality 88), all sides in one run. Printed: images a
second of each side, the share of the smaller of encoder and decoding that each reaches, and what the run waited for.

"""

from __future__ import annotations

import argparse
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from featcache.encoders.encoder import Encoder
from featcache.encoding.speed import default_batch_size, default_workers
from featcache.encoding.waits import STARTING
from featcache.extraction.extract import ExtractionReport, run_extraction
from featcache.extraction.request import Request
from featcache.images.decode import decode
from featcache.places.cores import cores_here

CLASSES = 4


def jpeg(width: int, height: int, seed: int) -> bytes:
    """A JPEG with about the bytes of a photograph of that size."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (max(height // 12, 4), max(width // 12, 4), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + random.integers(-12, 13, (height, width, 3))
    stream = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=88)
    return stream.getvalue()


def pictures(root: Path, width: int, height: int) -> list[Path]:
    """Different JPEGs of a size."""
    files = [root / "pictures" / f"{index}.jpg" for index in range(32 if width < 1000 else 8)]
    files[0].parent.mkdir()
    for index, file in enumerate(files):
        file.write_bytes(jpeg(width, height, index))
    return files


def data_set(root: Path, files: list[Path], count: int) -> Path:
    """A CSV of so many images, links to the files, in two splits of equal size."""
    folder = root / "images"
    folder.mkdir()
    lines = ["path,label,split"]
    for index in range(count):
        split = "train" if index < count // 2 else "test"
        os.link(files[index % len(files)], folder / f"{index:07}.jpg")
        lines.append(f"images/{index:07}.jpg,class{index % CLASSES},{split}")
    listing = root / "set.csv"
    listing.write_text("\n".join(lines) + "\n")
    return listing


def decoding_alone(files: list[Path], workers: int, seconds: float) -> float:
    """Images a second that all cores decode to arrays, when they do nothing else."""
    context = get_context("fork")
    rates: Queue[float] = context.Queue()
    processes = [context.Process(target=_decode_for, args=(files, at, seconds, rates)) for at in range(workers)]
    for process in processes:
        process.start()
    total = sum(rates.get() for _ in processes)
    for process in processes:
        process.join()
    return total


def _decode_for(files: list[Path], start: int, seconds: float, rates: Queue[float]) -> None:
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        np.asarray(decode(files[(start * 997 + done) % len(files)].read_bytes()))
        done += 1
    rates.put(done / (time.perf_counter() - began))


def encoder_alone(encoder: Encoder, batch_size: int, seconds: float) -> float:
    """Images a second of the encoder on pixels that are there already."""
    height, width = (encoder.image_size, encoder.image_size)
    pixels = torch.randint(0, 256, (batch_size, 3, height, width), dtype=torch.uint8, device=encoder.device)
    for _ in range(2):
        encoder.encode_images(pixels)
    done, began, under_way = 0, time.perf_counter(), [encoder.start_images(pixels)]
    while time.perf_counter() - began < seconds:
        under_way.append(encoder.start_images(pixels))
        under_way.pop(0).result()
        done += batch_size
    under_way.pop().result()
    return (done + batch_size) / (time.perf_counter() - began)


def extraction(model: str, listing: Path, root: Path, **options: Any) -> ExtractionReport:
    """What `featcache extract` does."""
    request = Request(model=model, pretrained=_weights(model), dataset=str(listing), root=root, **options)
    return run_extraction(request, progress=False)


class _Files(Dataset[torch.Tensor]):
    def __init__(self, files: list[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[index]))


def data_loader_loop(encoder: Encoder, files: list[Path], batch_size: int, workers: int) -> float:
    """The loop as people write it: a DataLoader with workers and pinned memory, autocast, `.cpu()` after each batch."""
    loader = DataLoader(_Files(files, encoder.transform), batch_size=batch_size, num_workers=workers, pin_memory=True)
    return _loop(encoder, loader, len(files))


def readme_loop(encoder: Encoder, files: list[Path]) -> float:
    """The loop of open_clip's README: one picture after another."""
    pictures = (encoder.transform(Image.open(file)).unsqueeze(0) for file in files)
    return _loop(encoder, pictures, len(files))


def _loop(encoder: Encoder, batches: Iterable[torch.Tensor], count: int) -> float:
    import open_clip

    model: Any = open_clip.create_model(_open_clip_name(encoder), pretrained=None).to(encoder.device).eval()
    kind = encoder.device.type
    began = time.perf_counter()
    with torch.no_grad(), torch.autocast(kind, dtype=torch.float16, enabled=kind == "cuda"):
        kept = [model.encode_image(batch.to(encoder.device)).float().cpu() for batch in batches]
    assert sum(map(len, kept)) == count
    return count / (time.perf_counter() - began)


def _open_clip_name(encoder: Encoder) -> str:
    return str(encoder.identity["architecture"]).replace("/", "-")


def _weights(model: str) -> str | None:
    return None if model == "tiny" else "random"


def measure(size: str, model: str, root: Path, options: argparse.Namespace) -> None:
    """All sides at one size."""
    width, height = map(int, size.split("x"))
    encoder = Encoder.load(model, _weights(model), device=options.device)
    workers = default_workers(encoder.device, cores_here()) if options.workers is None else options.workers
    batch_size = options.batch_size or default_batch_size(encoder.device)
    cores = len(os.sched_getaffinity(0))
    with_one = encoder_alone(encoder, batch_size, options.seconds / 4)
    files = pictures(root, width, height)
    decoding = decoding_alone(files, cores, options.seconds / 4)
    least = min(with_one, decoding)
    count = max(1, round(least * options.seconds / batch_size / 2)) * batch_size * 2  # whole batches in each split
    listing = data_set(root, files, count)
    print(f"\n{model}, {size}, {count:,} files, {encoder.device}, {cores} cores, batch {batch_size}", flush=True)
    _line("encoder alone", with_one, least)
    _line("decoding alone", decoding, least)
    for how in options.decode:
        chosen = {"batch_size": batch_size, "workers": workers, "device": options.device, "decode": how}
        report = extraction(model, listing, root / f"caches-{how}", **chosen)
        bound = least if how == "exact" else with_one
        _line(f"featcache extract ({how})", report.images_per_second or 0.0, bound)
        running = report.encoding_seconds - report.waited[STARTING]
        _line("  once it had started", report.encoded / running, bound)
        print("    waited: " + ", ".join(f"{cause} {seconds:.2f} s" for cause, seconds in report.waited.items()))
        if near := report.cache.manifest.get("cosine_to_exact"):
            print(f"    cosine to exact: mean {near['mean']}, least {near['least']}")
    if not options.skip_others and model != "tiny":
        every = sorted((root / "images").iterdir())
        some = every[: max(batch_size, int(count * 0.25))]
        _line("DataLoader loop", data_loader_loop(encoder, some, batch_size, workers), least)
        _line("open_clip's README loop", readme_loop(encoder, every[: min(count, 300)]), least)


def _line(side: str, rate: float, least: float) -> None:
    print(f"  {side:<28}{rate:>10,.0f} images/s  {rate / least:5.2f} of the bound", flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B/16")
    parser.add_argument("--size", nargs="+", default=["64x64", "500x375", "2000x1500"])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each side, about")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--decode", nargs="+", default=["exact"], choices=["exact", "fast"])
    parser.add_argument("--skip-others", action="store_true")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns of random weights
    for size in options.size:
        with tempfile.TemporaryDirectory() as root:
            measure(size, options.model, Path(root), options)


if __name__ == "__main__":
    main()
