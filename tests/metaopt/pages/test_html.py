"""Elements: what is text is escaped wherever it stands, what is markup is not."""

import pytest

from metaopt.pages.html import Html, element, join

HOSTILE = """<script>alert("1")</script>&'"""


def test_text_is_escaped_once():
    escaped = '&lt;script&gt;alert("1")&lt;/script&gt;&amp;\''
    assert element("p", HOSTILE) == f"<p>{escaped}</p>"
    assert element("div", element("p", HOSTILE)) == f"<div><p>{escaped}</p></div>"
    assert join(HOSTILE, Html("<br>")) == f"{escaped}<br>"


def test_attributes_cannot_be_left():
    found = element("a", href='x" onclick="alert(1)', title=HOSTILE)
    assert found.count('"') == 4
    assert "<script" not in found


@pytest.mark.parametrize(
    "made, written",
    [
        (element("meta", charset="utf-8"), '<meta charset="utf-8">'),
        (element("p", None, "a", class_="b", hidden=True), '<p class="b" hidden>a</p>'),
        (element("p", title=None, hidden=False), "<p></p>"),
        (element("line", stroke_width=1.5, x=2), '<line stroke-width="1.5" x="2"></line>'),
    ],
)
def test_elements(made, written):
    assert made == written
    assert isinstance(made, Html)
