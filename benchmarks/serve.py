"""What `adapters serve` does under load: many clients at once, beside the predictor by itself on the same images.

    python -m benchmarks.serve [--clients 64] [--seconds 60] [--images 8] [--size 64x64] [--device auto]

The server is a process of its own, as `adapters serve` starts it, with the embedded model; clients are threads of this
one, on the same machine, each of which sends its next request of so many images when the last was answered. The
predictor classifies the same files from this process, before and after. Printed: images a second of each, errors, and
how long requests took.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np

from adapters.fitting.fit import fit
from adapters.predicting.predictor import Predictor
from benchmarks.extract import data_set, pictures
from benchmarks.predict import extracted, predicted

BOUNDARY = "boundary"
COMMAND = "import sys, cli; sys.argv[0] = 'adapters'; cli.run_adapters()"


def form(files: list[Path]) -> bytes:
    """Images as a form."""
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'.encode()
    return b"".join(head + file.read_bytes() + b"\r\n" for file in files) + f"--{BOUNDARY}--\r\n".encode()


def client(port: int, bodies: list[bytes], end: float, took: list[float], failed: Counter[str]) -> None:
    """Ask until the time is over."""
    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    line = HTTPConnection("127.0.0.1", port, timeout=60)
    for body in itertools.cycle(bodies):
        began = time.perf_counter()
        if began > end:
            break
        try:
            line.request("POST", "/predict", body, kind)
            answer = line.getresponse()
            answer.read()
            if answer.status != 200:
                failed[str(answer.status)] += 1
        except (OSError, HTTPException) as error:
            failed[type(error).__name__] += 1
            line.close()
        took.append(time.perf_counter() - began)
    line.close()


def served(run: str, bodies: list[bytes], options: argparse.Namespace) -> tuple[list[float], Counter[str], float]:
    """Seconds of every request, what failed, and the seconds that all took together."""
    words = [sys.executable, "-c", COMMAND, "serve", run, "--port", "0", "--device", options.device]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        place = re.search(r":(\d+)/", server.stderr.readline())
        assert place
        took: list[float] = []
        failed: Counter[str] = Counter()
        client(int(place[1]), bodies, time.perf_counter() + 1, [], Counter())  # the first batches allocate
        began = time.perf_counter()
        asked = (int(place[1]), bodies, began + options.seconds, took, failed)
        clients = [threading.Thread(target=client, args=asked) for _ in range(options.clients)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        seconds = time.perf_counter() - began
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
        assert server.returncode == 128 + signal.SIGTERM
    return took, failed, seconds


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--images", type=int, default=8, help="of a request")
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command lines do
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        width, height = map(int, options.size.split("x"))
        listing = data_set(root, pictures(root, width, height), 1024)
        files = sorted((root / "images").iterdir())
        _, cache = extracted(listing, root / "home", options.device)
        run = fit("zero-shot", cache=cache, shots=1, out=root / "run", device=options.device).run
        predictor = Predictor.load(run, device=options.device, reuse=False)
        bodies = [form(files[start : start + options.images]) for start in range(0, len(files), options.images)]
        before = predicted(predictor, files * 2)[0]
        took, failed, seconds = served(run, bodies, options)
        alone = max(before, predicted(predictor, files * 2)[0])
        rate = (len(took) - failed.total()) * options.images / seconds
        middle, late, last = np.quantile(took, [0.5, 0.99, 1.0]) * 1000
        print(f"tiny, {options.clients} clients for {seconds:.0f} s, {options.images} images a request\n")
        print("| | images/s | of the predictor | errors | median ms | p99 ms | longest ms |\n" + "|---" * 7 + "|")
        print(f"| predictor | {alone:,.0f} | 1.00 | | | | |")
        told = ", ".join(f"{count} x {kind}" for kind, count in failed.items()) or "none"
        print(f"| served | {rate:,.0f} | {rate / alone:.2f} | {told} | {middle:.0f} | {late:.0f} | {last:.0f} |")


if __name__ == "__main__":
    main()
