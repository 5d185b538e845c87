import pytest

from nearfar.public import lazy_names


def test_names_come_from_their_modules_and_others_do_not_exist():
    find, names = lazy_names("json", {"JSONEncoder": "encoder", "JSONDecoder": "decoder"})
    assert names() == ["JSONDecoder", "JSONEncoder"]
    assert find("JSONDecoder").__module__ == "json.decoder"
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'loads'"):
        find("loads")
