"""What a refusal says: (status, body) -> a Refusal, or None where it is no business of ours.

Classifies, and decides nothing. The rows match what a refusal *says*, because the same one comes as 404, 400 or 409,
as JSON or as plain text, and gateways word it anew. Messages as of 2026-11; sources beside the rows.
"""

import re
from typing import Final, NamedTuple

from proxy.report import RefusalKind
from proxy.responses.items import KINDS, REQUEST_ENVELOPE
from proxy.responses.recovery.error_bodies import Said, sayings
from proxy.responses.recovery.pattern import Pattern


class Refusal(NamedTuple):
    """What upstream refused."""

    kind: RefusalKind
    ids: frozenset[str] = frozenset()
    """Ids it names: of items, of responses, call ids."""
    place: int | None = None
    """`i` of `input[i]`."""
    field: str = ""
    """The field of the item: `status`, `id`, or `content[].x` for the field `x` of a part."""
    demanded: bool = False
    """The field is missing, not unwelcome."""
    blob: tuple[str, str] | None = None
    """The beginning and the end of the blob it names."""


class _Row(NamedTuple):
    kind: RefusalKind
    text: Pattern
    unless: Pattern | None = None


# Not a word about the content of the request: credentials, quota, time, size.
NEVER_OURS: Final = frozenset({402, 403, 407, 408, 413, 415, 429})

_OF_AN_ITEM: Final = 401
"""A status under which GitHub Copilot refuses an item of another connection; of nothing else it is ours to judge."""
_FOREIGN_ITEM: Final = Pattern(r"\bitem\s+id\s+does\s+not\s+belong\s+to\s+this\s+connection")

_CODES: Final[dict[str, RefusalKind | None]] = {
    "conversation_locked": "locked",  # careme#379
    "previous_response_not_found": "response",  # 400 at OpenAI and Azure, 404 at vLLM and ogx
    "item_not_found": "item",
    "invalid_encrypted_content": "encrypted",  # codex#8128
    "mutually_exclusive_parameters": None,  # conversation together with previous_response_id
    "model_not_found": None,
    "invalid_item": None,  # POST …/conversations/{id}/items, openai-agents-python#1709
    "context_length_exceeded": None,
    "invalid_api_key": None,
    "insufficient_quota": None,
    "rate_limit_exceeded": None,
    # They may quote what a user wrote.
    "moderation_blocked": None,
    "content_filter": None,
}
_OF_A_PROMPT: Final = "invalid_prompt"
"""A code of OpenAI's for content that is flagged, which quotes the user; of OpenRouter's for any request it refuses."""

_MISSING: Final = (
    r"(?:not\s+(?:be\s+|been\s+)?(?:found|exist|available|persisted|stored|recogni[sz]ed|known|resolved|located)|"
    r"(?:does|do|did)\s*(?:n't|\s+not)\s+exist|no\s+longer|expired|deleted|unknown|missing|"
    r"no\s+(?:such\s+)?(?:stored\s+)?(?:item|response)s?\b|could\s*(?:n't|\s+not)\s+(?:find|resolve|locate|load)|"
    r"unable\s+to\s+(?:find|resolve|locate|load))"
)
_BARRED: Final = r"(?:cannot|can't|not\s+(?:be\s+)?(?:used|supported|allowed|permitted|enabled)|unsupported|invalid)"
_RESPONSE: Final = r"(?:previous[\s_]+response(?:[\s_]+id)?|\bresp_[A-Za-z0-9_-]+)"
_PREFIX: Final = r"(?:rs|msg|fco?|ctco?|ws|fs|ci|cuo?|ig|mcp[lr]?|lsh|sho?|apco?|ts[co]|at|cmo?|cmp|amsg|maco?|item)"
_ITEM_ID: Final = rf"\b{_PREFIX}_[A-Za-z0-9_-]+"
_ITEM: Final = rf"(?:\bitems?\b|\bitem[\s_]+references?\b|{_ITEM_ID})"
# Durable things with ids of their own: that they are not found is for the client to know.
_OTHER: Final = Pattern(
    r"\b(?:prompt|model|deployment|file|vector[\s_]store|conversation|container|skill|assistant|thread|run|batch|"
    r"organization|project|function|tool|url|route|endpoint|path|page|resource)s?\b\s*"
    r"(?:with|id\b|'|\"|`|named|of\s+id|\S*_[A-Za-z0-9]+|does|was|is|not)|"
    r"invalid url|tool choice|no such (?:file|model|prompt|vector)"
)

# What it costs to classify a refusal, in bytes of `steps.INLINE`: 2,048 characters of its text, full of words that
# look like refusals', take 13 ms; a longer one is classified in another thread in any case.
_BYTE: Final = 40
_COUNTED: Final = 4 * 1024

_ROWS: Final = (
    _Row("locked", Pattern(r"another process is currently operating on this conversation|conversation_locked")),
    # pydantic-ai#7461
    _Row("container", Pattern(r"expected container_id|container\b.{0,80}\bexpired|expired\b.{0,40}\bcontainer")),
    # opencode#48942; opencodex PR#2228; openclaw isInvalidEncryptedContentError
    _Row("encrypted", Pattern(r"conflicting authenticated continuation identities|decode the compaction blob")),
    _Row(
        "encrypted",
        Pattern(
            r"encrypted[\s_]+(?:reasoning|content|blob).{0,200}(?:verif|decrypt|decod|did not match|mismatch|invalid|"
            r"tamper|corrupt|malformed|belongs?\s+to\s+another|not\s+issued|another\s+(?:account|organi[sz]ation|key))|"
            r"encrypted\s+(?:function\s+)?output\s+content.{0,80}(?:decrypt|decod)|"
            r"(?:verif|decrypt|decod|invalid|malformed|corrupt)\w*.{0,60}encrypted[\s_]+content|"
            r"invalid_encrypted_content"
        ),
    ),
    # A model that does not reason takes no reasoning, with or without a blob.
    _Row("encrypted", Pattern(r"reasoning\s+(?:input\s+)?items?\s+can\s+only\s+be\s+provided\s+to\s+a\s+reasoning")),
    # vscode#320060, continue#10092; other sentences of the same from vLLM, DeepSeek and gateways
    _Row(
        "pairing",
        Pattern(
            r"no\s+(?:matching\s+|corresponding\s+|preceding\s+)?(?:\w+\s+){0,3}call\s+(?:was\s+)?found\s+for|"
            r"no\s+(?:matching\s+|corresponding\s+)?(?:\w+\s+){0,3}outputs?\s+(?:was\s+|were\s+)?found\s+for|"
            r"outputs?\b.{0,80}(?:without|no|missing|lacks)\s+(?:an?\s+|its\s+|the\s+)?(?:\w+\s+)?"
            r"(?:matching|corresponding|preceding)?\s*\w*[\s_]?call\b|"
            r"calls?\b.{0,80}(?:without|has\s+no|have\s+no|missing|lacks)\s+(?:an?\s+|its\s+|their\s+|the\s+)?"
            r"(?:\w+\s+)?(?:output|result)|"
            r"missing\s+(?:tool|function)[\s_]+(?:call\s+)?(?:outputs?|results?)\s+for|"
            r"(?:tool|function)[\s_]calls?\b.{0,60}must be followed by|"
            r"tool\s+(?:result|output)\S*\s+(?:tool\s+)?(?:call\s+)?id.{0,80}not\s+found|"
            r"call_ids?\b.{0,40}(?:did not have|do not have|does not have|have no|without)\s+(?:\w+\s+)?"
            r"(?:response|output|result)"
        ),
    ),
    # mastra#8738, continue#8933, continue#10200
    _Row(
        "pairing",
        Pattern(r"without its required|required .{0,20}following item|duplicate item|duplicate\s+\w*call_output"),
    ),
    # Azure's resources; "requested response" names no id (community reports, 2026-11)
    _Row("response", Pattern(r"\bresponse\b.{0,60}created\s+(?:under|by|in|with)\s+(?:a\s+)?different\b")),
    _Row("item", Pattern(r"\bitems?\b.{0,60}created\s+(?:under|by|in|with)\s+(?:a\s+)?different\b")),
    # GitHub Copilot, whose ids belong to a connection
    _Row("item", Pattern(r"\bitem\b.{0,40}\bdoes\s+not\s+belong\s+to\s+this\s+(?:connection|session|resource)")),
    # openclaw#138954 (zero data retention), oh-my-pi (no stored responses over HTTP), kaapi-backend#317 (bad id)
    _Row("response", Pattern(rf"previous_response_not_found|{_RESPONSE}.{{0,160}}(?:{_MISSING}|{_BARRED})")),
    _Row("response", Pattern(rf"(?:{_MISSING}|{_BARRED}).{{0,80}}{_RESPONSE}"), Pattern(r"must be provided")),
    # pi#3206, openai-agents-python#722; plain text from CLIProxyAPI
    _Row("item", Pattern(rf"{_ITEM}.{{0,160}}{_MISSING}"), _OTHER),
    _Row("item", Pattern(rf"{_MISSING}.{{0,80}}{_ITEM}"), _OTHER),
)

_FIELD: Final = Pattern(
    r"input(?:\[(\d{1,9})\]|\.(\d{1,9}))\.([A-Za-z_][A-Za-z0-9_]*)((?:\[\d+\])?(?:\.[A-Za-z_\[][A-Za-z0-9_\[\].]*)?)",
    re.NOFLAG,
)
"""`input[7].status`, or as some gateways write it `input.7.status`."""
_QUOTED: Final = Pattern(r"'[^']*'|\"[^\"]*\"|`[^`]*`", re.NOFLAG)
_PART_FIELD: Final = Pattern(r"\[\d+\]\.([A-Za-z_][A-Za-z0-9_]*)$", re.NOFLAG)
_NESTED: Final = Pattern(r"\.(?!type$)[A-Za-z_][A-Za-z0-9_]*", re.NOFLAG)
_UNKNOWN_FIELD: Final = Pattern(
    r"unknown[\s_]param|unrecogni[sz]ed|extra (?:inputs|fields?)|additional propert|unexpected|"
    r"property\s+is\s+(?:unsupported|not\s+supported)"
)
_TOO_LONG: Final = Pattern(r"string_above_max_length|too long")
# OpenAI takes no readable content of a reasoning, which open models send; of other items the rung says no.
_EMPTY_ONLY: Final = Pattern(r"maximum length 0\b")
_MISSING_FIELD: Final = Pattern(r"missing[\s_]required|field required|is required|required parameter|expected a value")
_UNKNOWN_TOP: Final = Pattern(r"Unknown parameter: '([A-Za-z0-9_]+)'", re.NOFLAG)
_ID_REQUIRED: Final = Pattern(
    r"(?:^|[.:;]\s|\b(?:item|items|reasoning|the|an)\s)['\"`]?id['\"`]?(?:\s+field)?\s+is\s+required|"
    r"missing\s+(?:required\s+)?(?:field\s+)?['\"`]?id\b(?!\s+(?:of|for)\b)"
)

# What an item is made of: that it is refused is no stray field, and without it the item would mean something else.
_SUBSTANCE: Final = frozenset(
    {
        *("type", "role", "content", "call_id", "name", "arguments", "input", "output", "action", "actions"),
        *("operation", "tools", "code", "result", "results", "queries", "summary", "encrypted_content"),
        *("approval_request_id", "approve", "server_label", "fingerprint", "pending_safety_checks"),
    }
)

_NULLS: Final = frozenset({"status", "content"})
"""Fields that some clients send as null: the status of any item, the content of a reasoning (codex 0.171)."""

# It speaks of what the request says, or how much, and may quote a user's words.
OF_CONTENT: Final = Pattern(
    r"\bflagged\b|(?:content|usage)\s+polic|moderation|safety\s+system|context\s+(?:length|window)|rate\s+limit"
)
# Parameters under which a refusal may speak of items or of a previous response; of others it quotes names and texts.
_STATE_PARAM: Final = Pattern(
    r"(?:input(?:\[\d+\])?(?:\.(?!content\b)\w+)?|previous_response_id|(?:response|item|call)?_?id|items?|store|conversation|messages\b.*)?",
    re.NOFLAG,
)

_NAMED: Final = Pattern(
    r"['\"`]([A-Za-z0-9_-]{1,128})['\"`]|\b([a-z]{2,5}_[A-Za-z0-9_-]+)|with (?:id|call_id) ([A-Za-z0-9_-]+)",
    re.NOFLAG,
)
_INDEX: Final = Pattern(r"input\[(\d{1,9})\]", re.NOFLAG)
_AFTER_CALL: Final = Pattern(r"\bfor (?:\w+ ){0,2}calls? (?!outputs?\b)([A-Za-z0-9_-]+)", re.NOFLAG)
_BLOB: Final = Pattern(r"content ['\"`]?([A-Za-z0-9_+/-]{2,64})\.{3}([A-Za-z0-9_+/=-]{1,64})", re.NOFLAG)
# Names that stand where ids stand, or look like them: words, and names of fields.
_NO_ID: Final = Pattern(r"[a-z]+_(?:id|url|type|key)", re.NOFLAG)
_NO_IDS: Final = frozenset({"store", "true", "false", "input", "call_id", "tool_calls", "tool_call_id", "not", *KINDS})


def judging_cost(body: bytes) -> int:
    """What it costs to classify a refusal, in bytes that are looked at closely."""
    return _BYTE * min(len(body), _COUNTED)


def classify(status: int, body: bytes) -> Refusal | None:
    """What the refusal with `status` and `body` (decoded) says; None if it is none of ours."""
    if not 400 <= status < 500 or status in NEVER_OURS:
        return None
    for said in sayings(body):
        if status == _OF_AN_ITEM and not _FOREIGN_ITEM.search(said.message):
            continue
        if said.code == _OF_A_PROMPT and not (said.param and _STATE_PARAM.fullmatch(said.param)):
            return None
        if said.code in _CODES:
            kind = _CODES[said.code]
            return None if kind is None else _refusal(kind, said)
        refusal = _by_param(said) or _by_text(said)
        if refusal is not None:
            return refusal
    return None


def _by_param(said: Said) -> Refusal | None:
    """What the named parameter tells: the previous response, a field of an item, a field of a response."""
    if said.param.startswith("previous_response_id"):
        return None if said.code == "invalid_type" else _refusal("response", said)
    field = _field(said)
    if field is not None:
        return field
    top = _UNKNOWN_TOP.search(said.message)
    words = f"{said.code} {_QUOTED.compiled().sub('', said.message)}"
    name = top[1] if top else said.param if _UNKNOWN_FIELD.search(words) else ""
    return Refusal("envelope", field=name) if name in REQUEST_ENVELOPE else None


def _field(said: Said) -> Refusal | None:
    match = _FIELD.search(said.param) or _FIELD.search(said.message)
    # A quoted value is the client's choice of words, and must not decide: 'unexpected' is a value, too.
    words = f"{said.code} {_QUOTED.compiled().sub('', said.message)}"
    if match is None:
        if _ID_REQUIRED.search(said.message) and not said.param:
            return Refusal("field", field="id", demanded=True)
        return None
    place, name, rest = int(match[1] or match[2]), match[3], match[4]
    if name == "call_id" and not rest and _TOO_LONG.search(words):
        return _refusal("pairing", said)
    if name == "content" and not rest and _EMPTY_ONLY.search(words):
        return Refusal("field", place=place, field=name)
    if _MISSING_FIELD.search(words) and not rest:
        return Refusal("field", place=place, field=name, demanded=True)
    part = _PART_FIELD.fullmatch(rest) if name == "content" else None
    if part and _UNKNOWN_FIELD.search(words):
        return Refusal("field", place=place, field=f"content[].{part[1]}")
    if _NESTED.fullmatch(rest) and _UNKNOWN_FIELD.search(words):
        return Refusal("field", place=place, field=name + rest)
    is_null = name in _NULLS and "got null" in said.message
    if rest or (name in _SUBSTANCE and not (is_null or (name == "action" and _UNKNOWN_FIELD.search(words)))):
        return None
    # A bad id is worse than none, and a null is no omission (openai-python#3008); other values are the client's.
    unwelcome = name == "id" or is_null or _UNKNOWN_FIELD.search(words)
    return Refusal("field", place=place, field=name) if unwelcome else None


def _by_text(said: Said) -> Refusal | None:
    if said.code == "invalid_type" or not _STATE_PARAM.fullmatch(said.param) or OF_CONTENT.search(said.message):
        return None
    for row in _ROWS:
        if row.text.search(said.message) and not (row.unless and row.unless.search(said.message)):
            return _refusal(row.kind, said)
    return None


def _refusal(kind: RefusalKind, said: Said) -> Refusal:
    named = {next(filter(None, match.groups())) for match in _NAMED.compiled().finditer(said.message)}
    if kind == "pairing":
        named.update(match[1] for match in _AFTER_CALL.compiled().finditer(said.message))
    blob = _BLOB.search(said.message) if kind == "encrypted" else None
    index = _INDEX.search(said.param)
    return Refusal(
        kind,
        ids=frozenset(id_ for id_ in named - _NO_IDS if not _NO_ID.fullmatch(id_)),
        place=int(index[1]) if index else None,
        blob=(blob[1], blob[2]) if blob else None,
    )
