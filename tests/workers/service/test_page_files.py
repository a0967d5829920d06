"""The files of the page: what they may do, and that all of them are there."""

import re

import pytest

from workers.service.page_files import FOLDER


def test_the_page_may_use_nothing_but_its_own(served):
    policy = served.http.get("/").headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert served.http.get("/static/main.js").headers["content-security-policy"] == policy


def test_the_frame_of_reports_has_no_origin_and_runs_only_the_pages_script(served):
    page = served.http.get("/static/frame.html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'; script-src 'self'; ")
    assert page.headers["x-frame-options"] == "SAMEORIGIN"
    # What has no origin asks so.
    script = served.http.get("/static/frame.js", headers={"Origin": "null"})
    assert script.status_code == 200
    assert script.headers["cross-origin-resource-policy"] == "cross-origin"
    assert served.http.get("/v1/runs", headers={"Origin": "null"}).status_code == 403


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_what_a_file_asks_for_is_there(path):
    """And it writes no markup, and no style where the policy would not have it."""
    text = path.read_text()
    for name in re.findall(r"[\"']/static/([\w.]+)[\"']", text):
        assert (FOLDER / name).is_file(), name
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|eval\(|https?://(?!www\.w3\.org)", text
    )
    if path.suffix == ".html":
        assert not re.search(r"<style|style=|<script>| on\w+=", text)


def test_a_form_has_the_keys_of_the_kinds_that_are_chosen(served):
    def keys(**asked):
        answer = served.http.post("/v1/forms", json=asked)
        assert answer.status_code == 200, answer.text
        return {field["key"]: field["value"] for field in answer.json()["fields"]}

    chosen = {"optimizer.kind": "PerParameterMLP", "seed": 5}
    assert "optimizer.hidden_size" not in keys(recipe="long")
    form = keys(recipe="long", overrides=chosen)
    assert form.items() >= chosen.items()
    assert "optimizer.hidden_size" in form
    served.start(name="one", overrides=chosen)
    assert keys(clone_of="one").items() >= chosen.items()
    refused = served.http.post("/v1/forms", json={"recipe": "long", "overrides": {"seed": "x"}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0].startswith("seed: ")
