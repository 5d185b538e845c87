from dataclasses import dataclass
from pathlib import Path

import pytest

from nearfar.errors import ConfigError
from nearfar.train.recipe import (
    from_table,
    load_recipe,
    recipe_from_table,
    recipe_hash,
    recipe_table,
)

RECIPES = Path(__file__).parents[2] / "recipes"
TEXT = """
[model]
kind = "ppd"
[data]
size = [32, 48]
[train]
steps = 10
learning_rate = 1
[train.objective]
gradient_weight = 0.2
[log]
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


def test_values_defaults_and_name(recipe_file):
    recipe = load_recipe(recipe_file)
    assert recipe.name == "mine"
    assert recipe.data.size == (32, 48) and recipe.data.crop == (96, 128)
    assert recipe.train.learning_rate == 1.0 and isinstance(recipe.train.learning_rate, float)
    assert recipe.train.objective == {"gradient_weight": 0.2}


def test_overrides_follow_toml_and_bare_words_are_text(recipe_file):
    words = [
        "train.steps=20",
        "train.channels_last=true",
        "data.crop=[16, 24]",
        "log.folder=/tmp/some run",
        'train.schedule="constant"',
        "train.objective.gradient_weight=0",
    ]
    recipe = load_recipe(recipe_file, words)
    assert recipe.train.steps == 20 and recipe.train.channels_last is True
    assert recipe.data.crop == (16, 24) and recipe.log.folder == "/tmp/some run"
    assert recipe.train.schedule == "constant"
    assert recipe.train.objective["gradient_weight"] == 0


@pytest.mark.parametrize(
    ("word", "where", "remedy"),
    [
        ("train.stepz=2", "mine.toml: train.stepz", "Did you mean steps?"),
        ("trian.steps=2", "mine.toml: trian", "Did you mean train?"),
        ("train.steps=many", "mine.toml: train.steps", "It must be a whole number"),
        ("train.steps=true", "mine.toml: train.steps", "It must be a whole number"),
        ("train.steps=2.5", "mine.toml: train.steps", "It must be a whole number"),
        ("train.learning_rate=true", "mine.toml: train.learning_rate", "It must be a number"),
        ("train.channels_last=1", "mine.toml: train.channels_last", "It must be true or false"),
        ("model.preset=3", "mine.toml: model.preset", "It must be text"),
        ("data.size=[1]", "mine.toml: data.size", "2 are needed"),
        ("data.size=3", "mine.toml: data.size", "It must be tuple"),
        ("train.weight_decay=nan", "mine.toml: train.weight_decay", "not a finite number"),
        ("train.max_seconds=inf", "mine.toml: train.max_seconds", "not a finite number"),
        ("train.objective.share=nan", "mine.toml: train.objective.share", "not a finite number"),
        ("data.options.far=nan", "mine.toml: data.options.far", "not a finite number"),
        ("train.seed=99999999999999999999", "mine.toml: train.seed", "more than 63 bits"),
        ("train.steps=0", "mine.toml: train.steps", ""),
        ("steps", "'steps'", "Write section.key=value"),
        ("train.steps.x=1", "'train.steps.x=1'", ""),
        ("train=3", "'train=3'", "Write section.key=value"),
    ],
)
def test_bad_keys_and_values_name_file_key_and_remedy(recipe_file, word, where, remedy):
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe_file, [word])
    assert where in str(caught.value) and remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_recipes(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("[model\n")
    for path, words in [(tmp_path / "none.toml", "no such recipe"), (bad, "not a readable TOML")]:
        with pytest.raises(ConfigError, match=words):
            load_recipe(path)
    with pytest.raises(ConfigError, match="directory"):
        load_recipe(tmp_path)


def test_missing_required_key_is_named(recipe_file):
    recipe_file.write_text('[model]\nkind = "ppd"\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: train: missing.*steps"):
        load_recipe(recipe_file)


def test_hash_ignores_log_and_follows_the_rest(recipe_file):
    one, log, other = (
        load_recipe(recipe_file, words) for words in ([], ["log.every=3"], ["train.seed=3"])
    )
    assert recipe_hash(one) == recipe_hash(log) != recipe_hash(other)


def test_table_round_trip(recipe_file):
    recipe = load_recipe(recipe_file)
    table = recipe_table(recipe)
    name = table.pop("name")
    assert recipe_from_table(table, where="x", name=name) == recipe


def test_option_tables_of_other_rooms():
    @dataclass(frozen=True, kw_only=True)
    class Options:
        plain: float = 0.5
        texture: str | None = None

    assert from_table(Options, {"plain": 1, "texture": "x"}, where="r: o").plain == 1.0
    with pytest.raises(ConfigError, match="Did you mean plain"):
        from_table(Options, {"plane": 1}, where="r: o")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_load(path):
    assert load_recipe(path).train.steps > 0
