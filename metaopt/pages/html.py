"""HTML and SVG elements, with everything escaped that is not markup of ours."""

import html
from typing import TypeAlias

Attribute: TypeAlias = str | float | bool | None


class Html(str):
    """Markup that is safe as it is; a plain `str` is text, and is escaped wherever it goes in."""

    __slots__ = ()


VOID = frozenset(("meta", "br", "hr"))


def element(name: str, /, *children: str | None, **attributes: Attribute) -> Html:
    """An element; `class_` and `aria_label` stand for the attributes class and aria-label.

    Children and attributes that are None are left out, and an attribute that is True has no value.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str | None, between: str = "") -> Html:
    """Children one after another, without those that are None."""
    return Html(between.join(_escaped(child) for child in children if child is not None))


def _escaped(child: str) -> str:
    return child if isinstance(child, Html) else html.escape(child, quote=False)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(text)}"'
