"""The README.md of a saved run: what the head is, how well it does and how that was measured, how to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.joining.places import told
from adapters.runs.report import Report
from adapters.show.numbers import points, shots_of, within
from adapters.tasks.all_shots import ALL
from featcache.show.markdown import escaped

if TYPE_CHECKING:
    from featcache.cache.text_sets import TextFeatures

UNTOLD = ("transform", "joined")
"""Of an encoder's identity: too long for a card; config.json has it."""
PROMPTS_SHOWN = 3  # of the first class; config.json has them all


def model_card(report: Report, text: TextFeatures, encoder: Mapping[str, Any]) -> str:
    """Write a run's model card.

    Args:
        report: what the run found.
        text: the prompt set that it used.
        encoder: the encoder's identity, as the cache records it.

    Returns:
        Markdown with YAML front matter.
    """
    parts = [
        _front_matter(report),
        f"# {report.method} on {escaped(report.dataset)}, {_shots(report)}",
        f"A few-shot classification head for frozen image embeddings of {report.model} ({report.pretrained}), "
        f"fitted by `adapters fit {report.method}`.",
    ]
    if report.note:
        parts.append(f"> **Note:** {report.note}.")
    parts += [f"> **Refit:** {report.refit['told']}."] if report.refit else []
    parts += [f"> {remark}." for remark in report.remarks or ()]
    parts += [
        "## Scores",
        _scores(report),
        "In percent, with 95 % intervals. Balanced: mean over classes; ECE: expected calibration error over 15 bins of "
        f"equally many images. The test split has {report.rows['test']} images. {_drawn(report)}",
        "## How it was made",
        _table(("", ""), _provenance(report, text, encoder)),
        "## Classes",
        ", ".join(f"{index} {escaped(name)}" for index, name in enumerate(text.class_names)),
        "## Use",
        _usage(report),
        "## Limits",
        _limits(report),
    ]
    return "\n\n".join(parts) + "\n"


def _shots(report: Report) -> str:
    return "all labelled images" if report.shots == ALL else f"{shots_of(report.shots)} a class"


def _drawn(report: Report) -> str:
    if report.shots == ALL:
        return "Nothing was drawn: these are all labelled training images."
    return f"This is one draw of shots (seed {report.seed}): other seeds give other numbers."


def _front_matter(report: Report) -> str:
    tags = ["few-shot", "clip", "image-classification", report.method]
    lines = ["---", "library_name: featcache", "pipeline_tag: image-classification", "tags:"]
    return "\n".join([*lines, *(f"- {tag}" for tag in tags), "---"])


def _scores(report: Report) -> str:
    assert report.scores is not None
    rows = []
    for name, which in (("zero-shot", "zero_shot"), (f"**{report.method}**", "test")):
        scores = report.scores[which]
        assert scores is not None
        accuracy, balanced = points(scores["accuracy"]), points(scores["balanced_accuracy"])
        bold = "**" if which == "test" else ""
        rows.append(
            (
                name,
                f"{bold}{accuracy}{bold} ({within(scores['accuracy_interval'])})",
                f"{balanced} ({within(scores['balanced_accuracy_interval'])})",
                points(report.accuracy["val"]) if which == "test" else "–",
                points(scores["macro_f1"]),
                f"{scores['nll']:.3f}",
                points(scores["ece"]),
            )
        )
    return _table(("head", "accuracy, test", "balanced, test", "accuracy, val", "macro F1", "NLL", "ECE"), rows)


def _provenance(report: Report, text: TextFeatures, encoder: Mapping[str, Any]) -> list[tuple[str, str]]:
    selection = f"`{report.select}`: {report.regime.meaning}"
    drawn = f"named by `{report.indices['file']}`" if report.indices["file"] else f"drawn with seed {report.seed}"
    shown = text.prompts[0][:PROMPTS_SHOWN]
    prompts = ", ".join(f"`{prompt}`" for prompt in shown) + (", …" if len(text.prompts[0]) > len(shown) else "")
    return [
        ("hyper-parameters chosen on", selection),
        ("hyper-parameters", f"`{json.dumps(report.hyperparameters)}`"),
        *([("alpha, and which are as good", report.alpha_text)] if report.alpha_text else []),
        ("trained numbers", str(report.parameters)),
        ("support", f"{report.rows['support']} images, {drawn} (`indices.json`)"),
        ("data set", f"{escaped(report.dataset)}, {report.classes} classes"),
        ("cache", f"{report.cache_name}, digest `{report.cache_digest}`"),
        ("prompts", f"set {report.prompts}; the first class: {prompts}"),
        *([("joined", told(report.joined))] if report.joined else []),
        *((f"encoder: {key.replace('_', ' ')}", f"`{value}`") for key, value in encoder.items() if key not in UNTOLD),
        ("seconds", ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in report.seconds.items())),
        ("made", report.created),
    ]


def _usage(report: Report) -> str:
    name = Path(report.run).name  # not the whole path: a card travels
    return f"""```
adapters predict {name} IMAGE...      # loads the encoder named above
adapters eval {name}                  # scores it again on its cache
```

```python
import adapters

head = adapters.load("path/to/{name}")
head.predict_proba(embeddings)  # (N, {report.classes}), from embeddings (N, D) of that encoder
```"""


def on_the_hub(name: str) -> str:
    """What is added to the card of a run that is `owner/name` on the Hugging Face hub."""
    return f"""
## From the hub

```
adapters predict hf://{name} IMAGE...
```

```python
import adapters

head = adapters.load("hf://{name}")
```
"""


def _limits(report: Report) -> str:
    return f"""- It answers with one of the {report.classes} classes above, whatever the image shows.
- It understands embeddings of exactly this encoder, weights and transform; `adapters predict` refuses any other.
- It learnt from {report.images} images and was scored on {report.dataset} only: test it on your own data.
- Its probabilities are as well calibrated as the ECE above says, on that test split."""


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell).replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(header), line(("---",) * len(header)), *(line(row) for row in rows)])
