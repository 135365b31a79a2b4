"""A client that shows what crossed the wire."""

from dataclasses import dataclass
from typing import Any, Protocol, Unpack

import httpx2
import openai

from proxy.fake_openai.app import Settings

KEY = "sk-demo-1"
MODEL = "gpt-5.4"
Json = dict[str, Any]


@dataclass
class Fake:
    """One instance, seen through plain HTTP or through the SDK."""

    url: str
    http: httpx2.Client

    def post(self, path: str, body: Any, key: str = KEY, **fields: str) -> httpx2.Response:
        """The answer to one request."""
        return self.http.post(self.url + path, json=body, headers={"authorization": f"Bearer {key}", **fields})

    def get(self, path: str) -> httpx2.Response:
        """The answer to a request without a body."""
        return self.http.get(self.url + path, headers={"authorization": f"Bearer {KEY}"})

    def create(self, given: Any, **more: Any) -> Json:
        """A response to an input; fails when it is refused."""
        answer = self.post("/v1/responses", {"model": MODEL, "input": given, **more})
        assert answer.status_code == 200, answer.text
        body: Json = answer.json()
        return body

    def refusal(self, given: Any, **more: Any) -> tuple[int, str, str | None, str | None]:
        """Status, message, param and code of a refusal; fails when there is none."""
        return refused(self.post("/v1/responses", {"model": MODEL, "input": given, **more}))

    def sdk(self, key: str = KEY) -> openai.OpenAI:
        """The real SDK."""
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0, http_client=self.http)


def refused(answer: httpx2.Response) -> tuple[int, str, str | None, str | None]:
    """A refusal as a tuple."""
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert 400 <= answer.status_code < 500
    return answer.status_code, error["message"], error["param"], error["code"]


class Start(Protocol):
    """Starts an instance with some options."""

    def __call__(self, **options: Unpack[Settings]) -> Fake:
        """The instance."""
        ...
