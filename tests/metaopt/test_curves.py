"""The picture: files of the right kind, whatever the losses are."""

import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from evaluations import ADAM, made_up
from PIL import Image

from metaopt import curves, report


def one_step(found):
    short = [
        result | {"curve": {name: loss[:1] for name, loss in result["curve"].items()}}
        for result in found["results"]
    ]
    return found | {"results": short, "num_steps": 1}


REPORTS = {
    "plain": report.as_json(made_up()),
    "one diverged": report.as_json(made_up(np.asarray([0.1, np.nan, 0.1], np.float32))),
    "all diverged": report.as_json(made_up(np.full(3, np.inf, np.float32))),
    "solved exactly": report.as_json(made_up(0 * ADAM)),
    "one step": one_step(report.as_json(made_up())),
}


@pytest.mark.parametrize("case", REPORTS)
def test_writes_a_png_and_an_svg_without_a_warning(case: str, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png, svg = curves.draw(REPORTS[case], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"curves.png", "curves.svg"}
    with Image.open(png) as image:
        assert image.format == "PNG"
        assert image.size == (1520, 880)
        assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 10
    root = ElementTree.parse(svg).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = "".join(root.itertext())
    for label in ("learned optimizer", "Adam, rate 0.1", "Adam + cosine, rate 0.1", "inner step"):
        assert label in text
    assert "Training loss on quadratic:dim=3" in text
    assert "over 3 held-out runs" in text


THUMBNAILS = {
    "plain": np.asarray([3.0, 2.0, 1.0]),
    "negative": np.asarray([3.0, 0.0, -1.0]),
    "diverged": np.asarray([3.0, np.inf, np.nan]),
    "never finite": np.full(3, np.nan),
    "one step": np.asarray([3.0]),
}


@pytest.mark.parametrize("case", THUMBNAILS)
def test_thumbnails_show_every_label_without_a_warning(case: str, tmp_path):
    losses = {"Adam 0.1": THUMBNAILS[case], "Adam 1": THUMBNAILS[case] + 0.5}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves.draw_thumbnail(tmp_path / "thumbnail.svg", "quadratic", losses)
        curves.draw_thumbnail(tmp_path / "thumbnail.png", "quadratic", losses)
    text = "".join(ElementTree.parse(tmp_path / "thumbnail.svg").getroot().itertext())
    assert all(label in text for label in ("quadratic", "Adam 0.1", "Adam 1", "inner step"))
    with Image.open(tmp_path / "thumbnail.png") as image:
        assert image.size == (832, 480)


def test_the_same_report_gives_the_same_svg(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        curves.draw(REPORTS["plain"], folder)
    assert (first / "curves.svg").read_bytes() == (second / "curves.svg").read_bytes()
