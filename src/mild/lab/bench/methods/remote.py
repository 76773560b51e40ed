"""MILD over HTTP: the API of ``mild serve``, version 1."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from mild.errors import MildError, UsageError
from mild.lab.bench.items import Trial
from mild.lab.bench.methods.base import Answer, options_of
from mild.people.finders.coco import encode_rle


class HttpMethod:
    """``POST URL/v1/erase`` with the photo and the mask; a job that takes long is waited for at ``/v1/jobs``.

    The server finds the people who stay by itself; the mask is sent as it is (no margin is added to it).
    """

    seeded = True

    def __init__(self, url: str, key: str | None = None, steps: int | None = None) -> None:
        self.url, self.key, self.steps = url.rstrip("/"), key, steps

    @classmethod
    def parse(cls, rest: str) -> HttpMethod:
        url, _, options = rest.partition(",")
        if not url.startswith(("http://", "https://")):
            raise UsageError("The method http needs an address: http:http://127.0.0.1:8000.")
        return cls(url, **options_of(options, {"key": str, "steps": int}, "http"))

    def __call__(self, trial: Trial) -> Answer:
        body = {
            "photo": base64.b64encode(_png(trial.item.photo)).decode(),
            "request": {
                "selection": {"mask_rle": encode_rle(trial.mask)},
                "region": {"dilate": 0.0, "feather": 0.0},
                "method": {} if self.steps is None else {"steps": self.steps},
                "seed": trial.seed,
            },
        }
        status, headers, data = self._ask("POST", "/v1/erase?format=png", json.dumps(body).encode())
        if status == 202:
            data = self._wait(headers["location"])
        return Answer(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))

    def _wait(self, place: str) -> bytes:
        while True:
            state = json.loads(self._ask("GET", place)[2])
            if state["state"] == "done":
                return self._ask("GET", f"{place}/result?format=png")[2]
            if state["state"] not in ("queued", "running"):
                raise MildError(f"The server's job ended as {state['state']}: {state.get('error')}.")
            time.sleep(0.2)

    def _ask(self, verb: str, path: str, body: bytes | None = None) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Content-Type": "application/json"} | ({"X-API-Key": self.key} if self.key else {})
        request = urllib.request.Request(self.url + path, data=body, method=verb, headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            told = error.read()[:500].decode(errors="replace")
            raise MildError(f"{self.url} answered {error.code}: {told}") from None
        except urllib.error.URLError as error:
            raise MildError(f"{self.url} does not answer ({error.reason}).") from None

    def measure(self, trial: Trial) -> Mapping[str, Any]:
        return {}

    def about(self) -> Mapping[str, Any]:
        limits = json.loads(self._ask("GET", "/v1/limits")[2])
        return {"api": "/v1/erase", "limits": limits}


def _png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
