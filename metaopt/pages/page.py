"""What is around the sections of a page: its head, its title, its list of contents."""

import dataclasses
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from metaopt.pages.figure import Figure
from metaopt.pages.html import Html, element, join
from taskset import whole_files
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, what is said under it, and figures."""

    name: str  # of its address
    title: str
    text: tuple[str, ...] = ()  # paragraphs
    figures: tuple[Figure, ...] = ()
    before: Html | None = None  # between the two


@dataclasses.dataclass(frozen=True)
class Page:
    """A whole document."""

    title: str
    kicker: str  # above the title
    lead: Html
    sections: tuple[Section, ...]

    def write(self, path: Path) -> list[Path]:
        """Writes the page at `path`, and the files of its figures into a folder beside it.

        Returns all paths, that of the page first. Raises `InputError` when they cannot be written.
        """
        folder = path.with_name(f"{path.stem}_figures")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figures = [one for section in self.sections for one in section.figures]
            written = [file for one in figures for file in one.write(folder)]
            whole_files.replace(path, self.html(folder.name).encode())
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}; give another folder"
            ) from error
        return [path, *written]

    def html(self, folder: str) -> str:
        """The document, whose figures link to their files in `folder`."""
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", self.title),
            element("style", _style()),
        )
        body = element(
            "body",
            element("a", "Skip to the contents", class_="skip", href="#main"),
            element(
                "header",
                element("p", self.kicker, class_="kicker"),
                element("h1", self.title),
                self.lead,
                _contents(self.sections),
            ),
            element("main", *(_section(one, folder) for one in self.sections), id="main"),
        )
        return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def paragraphs(lines: Sequence[str]) -> Html:
    """Each line in a paragraph of its own."""
    return join(*(element("p", line) for line in lines))


def _style() -> Html:
    return Html(resources.files("metaopt.pages").joinpath("style.css").read_text("utf-8"))


def _contents(sections: Sequence[Section]) -> Html:
    links = [element("li", element("a", one.title, href=f"#{one.name}")) for one in sections]
    return element("nav", element("ol", *links), aria_label="Contents")


def _section(section: Section, folder: str) -> Html:
    return element(
        "section",
        element("h2", section.title, id=f"{section.name}-title"),
        paragraphs(section.text),
        section.before,
        *(one.html(folder) for one in section.figures),
        id=section.name,
        aria_labelledby=f"{section.name}-title",
    )
