import pytest

from nearfar.data.scenes.options import INDOOR, KINDS, SceneOptions
from nearfar.errors import ConfigError


def test_identity_changes_with_pixels_only():
    base = SceneOptions().identity()
    assert SceneOptions(compile=True).identity() == base
    assert SceneOptions(plain=0.5).identity() != base
    assert SceneOptions(texture_seed=1).identity() != base
    switches = ("clutter", "prints", "albedo", "lights", "sensor", "floor", "desk")
    changed = {SceneOptions(**{name: 0.0}).identity() for name in switches}
    assert len(changed) == len(switches) and base not in changed
    assert set(INDOOR) < set(KINDS)


def test_identity_changes_with_the_version(monkeypatch):
    before = SceneOptions().identity()
    monkeypatch.setattr("nearfar.data.scenes.options.SCENES_VERSION", -1)
    assert SceneOptions().identity() != before


@pytest.mark.parametrize("values", [{"room": -1.0}, {"plain": 1.5},
                                    {"sensor": 2.0}, dict.fromkeys(KINDS, 0)])  # fmt: skip
def test_impossible_values_are_refused(values):
    with pytest.raises(ConfigError):
        SceneOptions(**values)
