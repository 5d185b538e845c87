"""Addresses opened so that a connection which began encrypted stays so, redirects included."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any


class _StaysEncrypted(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            fp.close()
            raise urllib.error.URLError(f"it leads from https to {newurl.split(':')[0]}, refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, *, timeout_s: float) -> Any:
    """The opened answer of an address; URLError also where https leads to something else."""
    request = urllib.request.Request(url, headers={"User-Agent": "nearfar"})
    opener = urllib.request.build_opener(_StaysEncrypted)
    return opener.open(request, timeout=timeout_s)
