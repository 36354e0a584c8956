"""Classify pictures by a file of `adapters export RUN --with-encoder`, with onnxruntime, Pillow and NumPy alone.

python classify_onnx.py RUN.onnx PICTURE...
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
told = session.get_modelmeta().custom_metadata_map
names, how = json.loads(told["class_names"]), json.loads(told["resizing"])


def pixels(file: str) -> np.ndarray:
    """A picture in bytes (H, W, 3), as the encoder sees it: the short side made H long, and the middle kept."""
    image, (height, width) = Image.open(file).convert("RGB"), how["size"]
    w, h = image.size if how["crops"] else (width, height)
    w, h = (width, int(width * h / w)) if w <= h else (int(height * w / h), height)
    left, top = round((w - width) / 2), round((h - height) / 2)
    resized = image.resize((w, h), Image.Resampling[how["filter"].upper()])
    return np.asarray(resized.crop((left, top, left + width, top + height)))


batch = np.stack([pixels(file) for file in sys.argv[2:]])
(probabilities,) = session.run(["probabilities"], {"pixels": batch})
for file, p in zip(sys.argv[2:], probabilities, strict=True):
    print(f"{p.max():.3f} {names[p.argmax()]}: {file}")
