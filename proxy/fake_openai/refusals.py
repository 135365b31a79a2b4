"""What the fake API refuses with: one exception, and every sentence that the real API was seen to use.

Nothing here looks at a request; statuses, codes and params are those of api.openai.com in August 2026 unless a line
says otherwise.
"""

from collections.abc import Sequence


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure of ours
    """An answer that is an error, in OpenAI's shape."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status

    def body(self) -> dict[str, object]:
        """The JSON of the answer."""
        error = {"message": self.message, "type": "invalid_request_error", "param": self.param, "code": self.code}
        return {"error": error}


def listed(values: Sequence[str], word: str) -> str:
    """The values as the API lists them: `'a' and 'b'`, `'a', 'b', and 'c'`."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return f" {word} ".join(quoted)
    return f"{', '.join(quoted[:-1])}, {word} {quoted[-1]}"


# Shape ----------------------------------------------------------------------------------------------------------------


def missing(param: str) -> Refusal:
    """A required parameter is not there."""
    return Refusal(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def unknown(param: str, near: Sequence[str] = ()) -> Refusal:
    """A parameter that the API does not have; `near` are those it resembles."""
    hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    return Refusal(f"Unknown parameter: '{param}'.{hint}", param=param, code="unknown_parameter")


def wrong_type(param: str, expected: str, actual: str) -> Refusal:
    """A value of another JSON type than the parameter has."""
    message = f"Invalid type for '{param}': expected {expected}, but got {actual} instead."
    return Refusal(message, param=param, code="invalid_type")


def wrong_choice(param: str, value: object, choices: Sequence[str]) -> Refusal:
    """A word that is not among those allowed."""
    message = f"Invalid value: '{value}'. Supported values are: {listed(choices, 'and')}."
    return Refusal(message, param=param, code="invalid_value")


def wrong_prefix(param: str, value: str, prefix: str) -> Refusal:
    """An id of another kind of thing."""
    message = f"Invalid '{param}': '{value}'. Expected an ID that begins with '{prefix}'."
    return Refusal(message, param=param, code="invalid_value")


def wrong_characters(param: str, value: str) -> Refusal:
    """An id with characters that ids do not have."""
    message = (
        f"Invalid '{param}': '{value}'. Expected an ID that contains letters, numbers, underscores, or dashes, "
        "but this value contained additional characters."
    )
    return Refusal(message, param=param, code="invalid_value")


def too_long(param: str, limit: int, length: int) -> Refusal:
    """A string above its maximum length."""
    message = (
        f"Invalid '{param}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {length} instead."
    )
    return Refusal(message, param=param, code="string_above_max_length")


def too_small(param: str, least: int, value: int) -> Refusal:
    """An integer below its minimum."""
    message = f"Invalid '{param}': integer below minimum value. Expected a value >= {least}, but got {value} instead."
    return Refusal(message, param=param, code="integer_below_min_value")


def too_large(param: str, most: int, value: int) -> Refusal:
    """An integer above its maximum."""
    message = f"Invalid '{param}': integer above maximum value. Expected a value <= {most}, but got {value} instead."
    return Refusal(message, param=param, code="integer_above_max_value")


def too_many(param: str, most: int, count: int) -> Refusal:
    """An array above its maximum length."""
    message = (
        f"Invalid '{param}': array too long. Expected an array with maximum length {most}, "
        f"but got an array with length {count} instead."
    )
    return Refusal(message, param=param, code="array_above_max_length")


def unreadable() -> Refusal:
    """A body that is no JSON object."""
    return Refusal(
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
        "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
        "figuring out how to fix this, please contact us through our help center at help.openai.com.)"
    )


# Server state ---------------------------------------------------------------------------------------------------------


def item_not_found(item_id: str, reason: str = "", status: int = 404) -> Refusal:
    """An item that this server never stored. Azure answers 400."""
    return Refusal(f"Item with id '{item_id}' not found.{reason}", param="input", status=status)


UNSTORED = (
    " Items are not persisted when `store` is set to false. Try again with `store` set to true, "
    "or remove this item from your input."
)
RETAINED_NOWHERE = (
    " Items are not persisted for Zero Data Retention organizations. Remove this item from your input and try again."
)


def previous_response_not_found(response_id: str) -> Refusal:
    """The parent is not known here. The API answers 400, not 404."""
    message = f"Previous response with id '{response_id}' not found."
    return Refusal(message, param="previous_response_id", code="previous_response_not_found")


def previous_response_not_retained() -> Refusal:
    """An organisation without stored responses names a parent."""
    message = "Previous response cannot be used for this organization due to Zero Data Retention."
    return Refusal(message, param="previous_response_id", code="unsupported_parameter")


def not_found(thing: str, identifier: str, param: str | None = None) -> Refusal:
    """A conversation, prompt, response that is not here."""
    return Refusal(f"{thing} with id '{identifier}' not found.", param=param, status=404)


def conversation_locked() -> Refusal:
    """Two concurrent requests use one conversation."""
    message = "Another process is currently operating on this conversation. Please retry in a few seconds."
    return Refusal(message, param="conversation", code="conversation_locked")


def two_histories() -> Refusal:
    """A conversation together with a previous response."""
    message = "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'pre..._id' or 'conversation'."
    return Refusal(message, code="mutually_exclusive_parameters")


def no_input() -> Refusal:
    """There is nothing to answer."""
    message = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."
    return Refusal(message, code="missing_required_parameter")


def container_expired(container: str) -> Refusal:
    """A replayed code interpreter call names a container that is gone."""
    return Refusal(f"Expected container_id: {container}")


# Encrypted content ----------------------------------------------------------------------------------------------------


def unverified(blob: str) -> Refusal:
    """A blob that is damaged, cut off or from elsewhere."""
    message = f"The encrypted content {blob[:4]}...{blob[-4:]} could not be verified."
    return Refusal(message, code="invalid_encrypted_content")


def bound_elsewhere(item_id: str, what: str, to: str) -> Refusal:
    """A blob whose organisation or item id is another."""
    message = (
        f"The encrypted content for item {item_id} could not be verified. "
        f"Reason: Encrypted content {what} did not match the target {to}."
    )
    return Refusal(message, code="invalid_encrypted_content")


def conflicting_continuations() -> Refusal:
    """Blobs of two continuations in one input (Azure Foundry, gpt-5.6-sol, September 2026)."""
    return Refusal("Conflicting authenticated continuation identities.", param="input", code="invalid_value")


# What belongs together ------------------------------------------------------------------------------------------------


def duplicate(item_id: str) -> Refusal:
    """The same item twice."""
    message = f"Duplicate item found with id {item_id}. Remove duplicate items from your input and try again."
    return Refusal(message, param="input")


def without_reasoning(item_id: str, kind: str, reasoning_id: str) -> Refusal:
    """An item kept its id, and the reasoning in front of it is missing or lost its own."""
    message = f"Item '{item_id}' of type '{kind}' was provided without its required 'reasoning' item: '{reasoning_id}'."
    return Refusal(message, param="input")


def without_following(item_id: str) -> Refusal:
    """Reasoning that is not followed by what it produced."""
    message = f"Item '{item_id}' of type 'reasoning' was provided without its required following item."
    return Refusal(message, param="input")


def no_call(name: str, call_id: str) -> Refusal:
    """An output whose call is not before it."""
    return Refusal(f"No tool call found for {name} output with call_id {call_id}.", param="input")


def no_output(name: str, call_id: str) -> Refusal:
    """A call whose output is not after it."""
    return Refusal(f"No tool output found for {name} {call_id}.", param="input")


def unapproved(request_id: str) -> Refusal:
    """An approval request that was never answered. The sentence is not from a published report."""
    return Refusal(f"MCP approval requests do not have an approval: {request_id}", param="input")


def no_approval_request(request_id: str) -> Refusal:
    """An approval of nothing. The sentence is not from a published report."""
    return Refusal(
        f"No tool call found for MCP approval response with approval_request_id {request_id}.", param="input"
    )


# Capability and access ------------------------------------------------------------------------------------------------


def unsupported(param: str) -> Refusal:
    """A sampling parameter that reasoning models do not have."""
    return Refusal(f"Unsupported parameter: '{param}' is not supported with this model.", param=param)


def no_logprobs(param: str) -> Refusal:
    """Log probabilities of a reasoning model."""
    return Refusal("logprobs are not supported with reasoning models.", param=param, code="unsupported_parameter")


def no_model(name: str) -> Refusal:
    """A model that does not exist."""
    return Refusal(f"The requested model '{name}' does not exist.", param="model", code="model_not_found")


def no_tool(name: str) -> Refusal:
    """`tool_choice` names a tool that is not there."""
    return Refusal(f"Tool choice '{name}' not found in 'tools' parameter.")


def no_key() -> Refusal:
    """No API key at all."""
    return Refusal(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the "
        "API from your browser and are prompted for a username and password. You can obtain an API key from "
        "https://platform.openai.com/account/api-keys.",
        status=401,
    )


def wrong_key(key: str) -> Refusal:
    """A key that is not among those this instance accepts."""
    return Refusal(
        f"Incorrect API key provided: {key[:4]}***. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
        status=401,
    )


def no_such_url(method: str, path: str) -> Refusal:
    """A path that is not served."""
    return Refusal(f"Invalid URL ({method} {path})", status=404)


def not_allowed(method: str, path: str) -> Refusal:
    """A method that a path does not have."""
    return Refusal(f"Not allowed to {method} on {path}.", code="method_not_supported", status=405)
