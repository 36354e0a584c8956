"""Servers of buckets on loopback, to which this process and its children are pointed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

HERE = Path(__file__).parents[1]
SOMEBODY = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, *words: str, module: str = "tests.s3_server") -> Iterator[str]:
    """A server process with a bucket called `bucket`; gives its URL."""
    server = subprocess.Popen([sys.executable, "-m", module, *words], cwd=HERE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for name, value in {**SOMEBODY, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield url
    finally:
        server.kill()
        server.communicate()
