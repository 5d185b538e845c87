"""Redirects: followed among equals, refused where they leave encryption."""

import io
import urllib.error
import urllib.request
from email.message import Message

import pytest

from nearfar.web import _StaysEncrypted


def redirected(old, new):
    request = urllib.request.Request(old)
    return _StaysEncrypted().redirect_request(request, io.BytesIO(), 302, "Found", Message(), new)


@pytest.mark.parametrize(
    ("old", "new"),
    [("https://a/x", "https://b/y"), ("http://a/x", "http://b/y"), ("http://a/x", "https://b/y")],
)
def test_equal_or_better_is_followed(old, new):
    assert redirected(old, new).full_url == new


@pytest.mark.parametrize("new", ["http://b/y", "ftp://b/y"])
def test_leaving_https_is_refused(new):
    with pytest.raises(urllib.error.URLError, match="leads from https to"):
        redirected("https://a/x", new)
