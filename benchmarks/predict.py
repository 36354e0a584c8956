"""How fast `adapters.Predictor` classifies, beside `featcache extract` of the same files; and what it keeps in memory.

    python -m benchmarks.predict [--images 5000] [--size 64x64] [--repeats 3] [--device auto] [--pictures FOLDER]

The model is `tiny`, the files JPEGs made here (or those of a folder, again and again until there are enough), and both
sides take turns. Extraction is timed from its first image to its last shard, prediction from the first path given to
the last record. Printed: images a second of each side, the median of the repeats, and by how much the process grew
between the first batches and the last.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from adapters.fitting.fit import fit
from adapters.predicting.predictor import Predictor
from benchmarks.extract import data_set, pictures
from featcache.cache.reading import Cache
from featcache.extraction.extract import run_extraction
from featcache.extraction.request import Request


def extracted(listing: Path, root: Path, device: str) -> tuple[float, Cache]:
    """Images a second of an extraction, and its cache."""
    shutil.rmtree(root, ignore_errors=True)
    report = run_extraction(Request(model="tiny", dataset=str(listing), root=root, device=device), progress=False)
    assert report.images_per_second is not None
    return report.images_per_second, report.cache


def predicted(predictor: Predictor, files: list[Path]) -> tuple[float, float]:
    """Images a second of a prediction, and MiB that the process grew by after the first batches."""
    began, before = time.perf_counter(), 0.0
    for number, item in enumerate(predictor.predict(files)):
        assert item.error is None
        if number == 8 * predictor.batch_size:
            before = resident()
    seconds = time.perf_counter() - began
    return len(files) / seconds, resident() - before if before else 0.0


def resident() -> float:
    """MiB of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        width, height = map(int, options.size.split("x"))
        if options.pictures:
            given = sorted(file for file in options.pictures.rglob("*") if file.suffix in (".jpg", ".png"))
            copies = [root / "copies" / f"{number}{file.suffix}" for number, file in enumerate(given[: options.images])]
            copies[0].parent.mkdir()
            for file, copy in zip(given, copies, strict=False):
                shutil.copyfile(file, copy)
        else:
            copies = pictures(root, width, height)
        listing = data_set(root, copies, options.images)
        files = sorted((root / "images").iterdir())
        _, cache = extracted(listing, root / "home", options.device)
        run = fit("zero-shot", cache=cache, shots=1, out=root / "run", device=options.device).run
        predictor = Predictor.load(run, device=options.device, root=str(root / "nothing"))
        sides: dict[str, list[float]] = {"featcache extract": [], "Predictor.predict": []}
        grown = []
        for _ in range(options.repeats):
            sides["featcache extract"].append(extracted(listing, root / "other", options.device)[0])
            rate, more = predicted(predictor, files)
            sides["Predictor.predict"].append(rate)
            grown.append(more)
        extraction = median(sides["featcache extract"])
        print(f"tiny, {options.images:,} files, {predictor.batch_size} a batch, median of {options.repeats}\n")
        print("| | images/s | of extraction | each time |\n|---|---|---|---|")
        for side, rates in sides.items():
            each = ", ".join(f"{rate:,.0f}" for rate in rates)
            print(f"| {side} | {median(rates):,.0f} | {median(rates) / extraction:.2f} | {each} |")
        print(f"\nThe process grew by {max(grown):.1f} MiB while it predicted.")


if __name__ == "__main__":
    main()
