"""The files for `ray up` are what its launcher takes."""

import os
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "ray_up"


@pytest.fixture(params=["aws", "gcp"])
def config(request, tmp_path: Path, monkeypatch):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    return yaml.safe_load((FOLDER / f"{request.param}.yaml").read_text())


def test_the_launcher_fills_it_in_and_finds_nothing_wrong(config):
    from ray.autoscaler._private.util import prepare_config, validate_config

    filled = prepare_config(dict(config))
    validate_config(filled)
    assert "nightly" not in str(filled)
    assert "ray-wheels" not in str(filled), "Ray would be installed over that of the image"


def test_the_launcher_refuses_what_it_does_not_know(config):
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(ValidationError, match="idle_timout_minutes"):
        validate_config(prepare_config(config | {"idle_timout_minutes": 1}))


def test_it_is_closed_and_gives_back_what_it_takes(config):
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    (start,) = (c for c in config["head_start_ray_commands"] if "ray start" in c)
    assert "--dashboard-host=127.0.0.1" in start
    assert config["provider"]["cache_stopped_nodes"] is False
    head, spot = (config["available_node_types"][name] for name in ("head", "spot"))
    assert head["resources"] == {"CPU": 0}
    assert spot["min_workers"] == 0
    assert "spot" in str(spot["node_config"]).lower()
    assert "spot" not in str(head["node_config"]).lower()
