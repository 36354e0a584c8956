"""Elements of SVG, whose words and numbers are escaped."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from featcache.errors import visible


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """`<tag attributes>children</tag>`; text among the children is escaped.

    Args:
        tag: its name.
        children: elements, or text.
        attributes: `_` in a name stands for `-`, one at its end for nothing; None leaves the attribute out, and numbers
            are written with two digits behind the point.
    """
    parts = [Markup("<"), tag]
    for name, value in attributes.items():
        if value is not None:
            told = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
            parts.append(Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), visible(told)))
    inside = Markup("").join(child if isinstance(child, Markup) else visible(child) for child in children)
    return Markup("").join([*parts, Markup(">"), inside, Markup("</"), tag, Markup(">")])


def drawing(name: str, size: tuple[float, float], children: Sequence[str], kind: str = "chart") -> Markup:
    """A picture with a name that a screen reader says.

    Args:
        name: what it shows, in a sentence.
        size: its width and height, as its children count.
        children: elements.
        kind: its class in the style.
    """
    box = f"0 0 {size[0]:g} {size[1]:g}"
    return element("svg", *children, class_=kind, role="img", aria_label=name, viewBox=box)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=kind)


def text(x: float, y: float, said: str, kind: str = "") -> Markup:
    """Words; `y` is their middle."""
    return element("text", said, x=float(x), y=float(y), dy="0.35em", class_=kind or None)
