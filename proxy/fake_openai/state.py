"""What one instance of the fake API remembers: per key its items, responses and conversations, and the requests.

Two instances share nothing, and neither do two keys of one. Lives in memory and ends with the process.
"""

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import refusals
from .identifiers import digest
from .items import Item
from .refusal_streams import Shape

Profile = Literal["openai", "azure"]
Encrypted = Literal["default", "include-only"]
ForeignIds = Literal["refused", "accepted"]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Options:
    """How an instance behaves.

    `instance`: its name; ids differ between instances of different names. `organization`: one for all keys, or None:
    the field `OpenAI-Organization` of a request, else the part of its key before the second dash (`sk-acme-1` belongs
    to `org-acme`). `keys`: the only keys accepted, or None for any. `profile`: the dialect. `encrypted`: whether
    reasoning has `encrypted_content` always or only where `include` asks for it. `zero_data_retention`: nothing is
    stored. `foreign_ids`: whether a reasoning item with a blob may keep an id that another instance or key made; both
    were seen. `delay`: seconds between two events of a stream. `refusals`: how a streaming request is refused: with a
    status, or inside a 200 as relays do, in one of the shapes of `refusal_streams`; turns of a WebSocket as well.
    `socket_age`: seconds after which a WebSocket is closed.
    """

    instance: str = field(default_factory=lambda: f"fake-{next(_numbers)}")
    organization: str | None = None
    keys: frozenset[str] | None = None
    profile: Profile = "openai"
    encrypted: Encrypted = "default"
    zero_data_retention: bool = False
    foreign_ids: ForeignIds = "refused"
    delay: float = 0.0
    refusals: Shape = "status"
    socket_age: float = 3600.0


@dataclass
class Record:
    """A stored response: its answer, its input items, and all the model had seen and said when it ended.

    `waiting` while it runs in the background and was not polled.
    """

    response: dict[str, Any]
    asked: list[Item]
    context: list[Item]
    waiting: bool = False


@dataclass
class Conversation:
    """A stored conversation; `busy` while an answer to it streams."""

    id: str
    created_at: int
    metadata: Mapping[str, Any]
    items: list[Item] = field(default_factory=list)
    busy: bool = False

    def body(self) -> dict[str, Any]:
        """The JSON of the conversation."""
        return {"id": self.id, "object": "conversation", "created_at": self.created_at, "metadata": self.metadata}


@dataclass
class Account:
    """What one key has on one instance."""

    name: str
    organization: str
    options: Options
    items: dict[str, Item] = field(default_factory=dict)
    responses: dict[str, Record] = field(default_factory=dict)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    made: int = 0

    def next_name(self, kind: str) -> str:
        """A name nothing else has, the same for the same things done in the same order."""
        self.made += 1
        return digest(self.name, kind, str(self.made))

    def remember(self, items: list[Item]) -> None:
        """Store items by their ids; what has none is not found later."""
        self.items.update({item["id"]: item for item in items if "id" in item})

    def conversation(self, identifier: str) -> Conversation:
        """A conversation of this key, or the refusal."""
        if identifier not in self.conversations:
            raise refusals.not_found("Conversation", identifier)
        return self.conversations[identifier]

    def record(self, identifier: str) -> Record:
        """A stored response of this key, or the refusal."""
        if identifier not in self.responses:
            raise refusals.not_found("Response", identifier)
        return self.responses[identifier]

    def forget(self, identifier: str) -> None:
        """Make an id of any kind unknown, and a container expired."""
        self.expired.add(identifier)
        for kept in (self.items, self.responses, self.conversations):
            kept.pop(identifier, None)


@dataclass
class Scripted:
    """An answer that the next requests get instead of their own."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str]
    times: int
    path: str
    upgrade: bool = False
    """It answers handshakes, and no requests or turns."""


@dataclass
class Instance:
    """One fake API."""

    options: Options
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    script: deque[Scripted] = field(default_factory=deque)
    received: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=200))
    answered: int = 0

    def account(self, key: str, organization: str | None) -> Account:
        """What a key has here; another organisation of the same key is another account."""
        if not key:
            raise refusals.no_key()
        if self.options.keys is not None and key not in self.options.keys:
            raise refusals.wrong_key(key)
        owner = self.options.organization or organization or f"org-{key.removeprefix('sk-').partition('-')[0]}"
        name = digest(self.options.instance, key, owner)
        return self.accounts.setdefault((key, owner), Account(name, owner, self.options))

    def scripted(self, path: str, *, upgrade: bool = False) -> Scripted | None:
        """The scripted answer to the next request, turn of a WebSocket, or handshake of one, if there is one."""
        for answer in self.script:
            if path.endswith(answer.path) and answer.upgrade == upgrade:
                answer.times -= 1
                if answer.times <= 0:
                    self.script.remove(answer)
                return answer
        return None

    def reset(self) -> None:
        """As new: nothing stored, nothing scripted, nothing received."""
        self.accounts.clear()
        self.script.clear()
        self.received.clear()
        self.answered = 0
