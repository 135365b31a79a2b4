"""Refusals as they come over the wire: facts for the tables of `test_errors`, in a form of their own.

A row of `CATALOGUE` and `RELATIVES` is (status, body, kind); of `STRANGERS`, (status, body). A body that is a
dict has the shape `{"error": {…}}` unless it brings its own; a string is plain text.
"""

import json
from typing import Any, Final

NULL: Final[dict[str, Any]] = {"type": "invalid_request_error", "param": None, "code": None}


def error(message: str, code: str | None = None, param: str | None = "input", **more: Any) -> dict[str, Any]:
    """OpenAI's shape of a refusal."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code, **more}}


UNSTORED: Final = (
    " Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item"
    " from your input."
)
NOT_STORED: Final = f"Item with id 'rs_0a1b' not found.{UNSTORED}"
NO_PARENT: Final = "Previous response with id 'resp_0a1b' not found."
UNREASONED: Final = "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'."
UNFOLLOWED: Final = "Item 'rs_1' of type 'reasoning' was provided without its required following item."
NO_CALL: Final = "No tool call found for function call output with call_id call_1."
NO_OUTPUT: Final = "No tool output found for function call call_1."
DUPLICATE: Final = "Duplicate item found with id rs_1. Remove duplicate items from your input and try again."
UNVERIFIED: Final = "The encrypted content gAAA...ng== could not be verified."
OTHER_ORGANISATION: Final = (
    "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content organization_id did not match"
    " the target organization."
)

# What OpenAI, Azure and the gateways named in the sources of the core's rows have been seen to say (as of 2026-11).
CATALOGUE: Final[list[tuple[int, Any, str | None]]] = [
    (404, error(NOT_STORED), "item"),
    (400, error(NOT_STORED), "item"),
    (404, NOT_STORED, "item"),
    (404, error("Item with id 'rs_0a1b' not found."), "item"),
    (404, error(f"Item with id 'ig_0a1b' not found.{UNSTORED}"), "item"),
    (400, error(NO_PARENT, "previous_response_not_found", "previous_response_id"), "response"),
    (404, error(NO_PARENT, param="response_id"), "response"),
    (409, error(NO_PARENT, None, None), "response"),
    (
        400,
        error(
            "Previous response cannot be used for this organization due to Zero Data Retention.",
            "unsupported_parameter",
            "previous_response_id",
        ),
        "response",
    ),
    (400, {"detail": "Unsupported parameter: previous_response_id"}, "response"),
    (
        400,
        error(
            "Invalid 'previous_response_id': 'gen-123'. Expected an ID that begins with 'resp'.",
            "invalid_value",
            "previous_response_id",
        ),
        "response",
    ),
    (
        400,
        error(
            "Invalid type for 'previous_response_id': expected a string, but got an object instead.",
            "invalid_type",
            "previous_response_id",
        ),
        None,
    ),
    (404, error("Conversation with id 'conv_0a1b' not found.", None, None), None),
    (
        400,
        error(
            "Another process is currently operating on this conversation. Please retry in a few seconds.",
            "conversation_locked",
            "conversation",
        ),
        "locked",
    ),
    (
        400,
        error(
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'previous_response_id' or"
            " 'conversation'.",
            "mutually_exclusive_parameters",
            None,
        ),
        None,
    ),
    (400, error("Expected container_id: cntr_0a1b", None, None), "container"),
    (400, error(NO_CALL), "pairing"),
    (400, error(NO_OUTPUT), "pairing"),
    (400, error("No tool output found for shell call call_1."), "pairing"),
    (400, error("No tool output found for tool call call_1."), "pairing"),
    (400, error(UNREASONED), "pairing"),
    (400, error(UNFOLLOWED), "pairing"),
    (400, error(DUPLICATE), "pairing"),
    (500, error(""), None),
    (400, error(UNVERIFIED, "invalid_encrypted_content", None), "encrypted"),
    (400, error(OTHER_ORGANISATION, "invalid_encrypted_content", None), "encrypted"),
    (
        400,
        error(
            "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content item_id did not match"
            " the target item id.",
            "invalid_request_error",
            None,
        ),
        "encrypted",
    ),
    (400, error("Conflicting authenticated continuation identities.", "invalid_value"), "encrypted"),
    (
        400,
        error("Could not decode the compaction blob. Ensure it is unmodified from the compact response.", None, None),
        "encrypted",
    ),
    (400, error("could not decrypt the provided encrypted_content", None, None), "encrypted"),
    (400, error("Encrypted content cannot be requested for persisted responses", None, None), None),
    (
        400,
        error(
            "Invalid 'input[1].id': 'item_A9v0S'. Expected an ID that begins with 'fc'.", "invalid_value", "input[1].id"
        ),
        "field",
    ),
    (
        400,
        error(
            "[ApiIdParam] [input[371].id] [invalid_id_prefix] Invalid 'input[371].id': 'call_1'. Expected an ID that"
            " begins with 'fc'.",
            "invalid_id_prefix",
            "input[371].id",
        ),
        "field",
    ),
    (400, error("Unknown parameter: 'input[0].bogus'.", "unknown_parameter", "input[0].bogus"), "field"),
    (
        400,
        error(
            "[ObjectParam] [input[7].status] [unknown_parameter] Unknown parameter: 'input[7].status'.",
            "unknown_parameter",
            "input[7].status",
        ),
        "field",
    ),
    (400, error("Unknown parameter: 'object'.", "unknown_parameter", "object"), "envelope"),
    (400, error("Unknown parameter: 'zzz_unknown'.", "unknown_parameter", "zzz_unknown"), None),
    (
        400,
        error("Unknown parameter: 'stor'. Did you mean 'store'?", "unknown_parameter", "stor"),
        None,
    ),
    (
        400,
        error("Missing required parameter: 'input[7].summary'.", "missing_required_parameter", "input[7].summary"),
        "field",
    ),
    (
        400,
        error(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
            "missing_required_parameter",
            None,
        ),
        None,
    ),
    (
        400,
        error(
            "Invalid value: 'bogus_item'. Supported values are: 'additional_tools', 'agent_message' and"
            " 'web_search_call'.",
            "invalid_value",
            "input[0]",
        ),
        None,
    ),
    (
        400,
        error(
            "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.",
            "invalid_value",
            "input[0].content[0]",
        ),
        None,
    ),
    (400, error("Tool choice 'item_search' not found in 'tools' parameter.", None, None), None),
    (400, error("Invalid item", "invalid_item", "item"), None),
    (404, error("Prompt with id 'pmpt_0a1b' not found.", None, None), None),
    (400, error("The requested model '' does not exist.", "model_not_found", "model"), None),
    (404, error("Invalid URL (POST /v1/responses)", None, None), None),
    (404, "", None),
    (
        400,
        {"type": "error", "status": 400, **error(NO_PARENT, "previous_response_not_found", "previous_response_id")},
        "response",
    ),
    (
        400,
        {
            "type": "error",
            **error(
                "This WebSocket connection has reached its limit of 60 minutes.", "websocket_connection_limit_reached"
            ),
        },
        None,
    ),
    (
        400,
        {
            "type": "error",
            **error("This WebSocket connection has reached its stream limit.", "websocket_stream_limit_reached"),
        },
        None,
    ),
    (200, {"type": "error", "code": "server_error", "message": NOT_STORED, "param": None, "sequence_number": 0}, None),
    (200, {"type": "error", "sequence_number": 2, "error": {"code": "x", "message": NOT_STORED, "param": None}}, None),
    # Words of Azure's resources, of GitHub Copilot's connections, of gateways (public reports, 2026-11).
    (400, error("The requested item was created under a different Azure OpenAI resource.\n[trace_id=f1]"), "item"),
    (400, error("requested response was created under a different Azure OpenAI resource"), "response"),
    (400, error("input item ID does not belong to this connection", "bad_request"), "item"),
    (401, error("input item ID does not belong to this connection", ""), "item"),
    (400, error("encrypted_content belongs to another account"), "encrypted"),
    (400, error("Encrypted function output content could not be decrypted or decoded."), "encrypted"),
    (400, error("Reasoning input items can only be provided to a reasoning or computer use model."), "encrypted"),
    (400, error("invalid params, tool result's tool id(call_n3) not found (2013)"), "pairing"),
    (
        400,
        error("Invalid request: previous_response_id is not supported", "invalid_prompt", "previous_response_id"),
        "response",
    ),
    (400, error("input.3.phase: property 'input.3.phase' is unsupported", None, "validation_error"), "field"),
    (400, error("Invalid value for 'input.3.id': expected a value.", None, "input.3.id"), "field"),
    (400, error("Unknown parameter: 'input[3].action.query'.", "unknown_parameter", "input[3].action.query"), "field"),
    (400, error("Unknown parameter: 'input[3].action'.", "unknown_parameter", "input[3].action"), "field"),
    # Shapes: refusals in refusals, as JSON and as Python prints them.
    (400, {"errorMessage": json.dumps(error(UNREASONED))}, "pairing"),
    (400, {"fault": {"faultstring": NOT_STORED, "detail": {"errorcode": "x"}}}, "item"),
    (400, {"error": {"message": {"error": {"message": NOT_STORED}}}}, "item"),
    (
        404,
        error(
            f"litellm.NotFoundError: OpenAIException - Error code: 404 - {error(NOT_STORED)}. "
            "Received Model Group=azure_gpt-5\nAvailable Model Group Fallbacks=None"
        ),
        "item",
    ),
    (
        400,
        error(
            "2 validation errors:\n  {'type': 'string_type', 'loc': ('body', 'input', 'str'), "
            "'msg': 'Input should be a valid string'}\n"
            "  {'type': 'missing', 'loc': ('body', 'input', 'list[union[Message]]', 3, 'Message', 'id'), "
            "'msg': 'Field required'}"
        ),
        "field",
    ),
]

# The same refusals in the words and shapes of gateways and of other servers of this API.
RELATIVES: Final[list[tuple[int, Any, str]]] = [
    # The content of a reasoning is null, as codex sends it.
    (
        400,
        error(
            "Invalid type for 'input[3].content': expected an array of objects, but got null instead.",
            "invalid_type",
            "input[3].content",
        ),
        "field",
    ),
    # An item is not found.
    (404, error('Item with id "rs_0a1b" not found.', None, None), "item"),
    (404, error("Item with id `msg_0a1b` not found."), "item"),
    (404, error("Item rs_0a1b not found"), "item"),
    (404, error("Items with ids 'rs_1', 'msg_2' not found."), "item"),
    (404, error("Items with ids rs_1, rs_2 were not found in the store"), "item"),
    (400, error("Item 'fc_1' does not exist."), "item"),
    (400, error("The item rs_1 doesn't exist or has expired."), "item"),
    (400, error("Could not find item with id rs_1"), "item"),
    (400, error("Unable to resolve item reference 'msg_1'."), "item"),
    (400, error("item_reference rs_1 could not be resolved"), "item"),
    (404, error("No item found with id 'rs_1'."), "item"),
    (404, error("No such item: 'ws_1'"), "item"),
    (422, error("Unknown item id: msg_1"), "item"),
    (400, error("Referenced item 'msg_1' is no longer available."), "item"),
    (404, {"error": NOT_STORED}, "item"),
    (404, {"error": {"message": f"litellm.NotFoundError: OpenAIException - {NOT_STORED}", "code": "404"}}, "item"),
    (
        400,
        {
            "error": {
                "message": 'litellm.BadRequestError: OpenAIException - {"error": {"message": "Item with id \'rs_1\''
                ' not found.", "type": "invalid_request_error", "param": "input", "code": null}}. Received Model'
                " Group=gpt-5",
                "type": None,
                "param": None,
                "code": "400",
            }
        },
        "item",
    ),
    (
        404,
        {
            "error": {
                "message": "Provider returned error",
                "code": 404,
                "metadata": {
                    "raw": '{"error":{"message":"Item with id \'rs_1\' not found."}}',
                    "provider_name": "OpenAI",
                },
            }
        },
        "item",
    ),
    (404, {"error": {"message": '{"error":{"message":"Item with id \'rs_1\' not found.","param":"input"}}'}}, "item"),
    (404, {"detail": NOT_STORED}, "item"),
    (404, {"detail": {"error": {"message": NOT_STORED}}}, "item"),
    (404, {"message": NOT_STORED}, "item"),
    (404, {"statusCode": 404, "message": "Item with id 'rs_1' not found."}, "item"),
    (404, {"object": "error", "message": "Item with id 'rs_1' not found.", "code": 404}, "item"),
    (404, [{"error": {"message": "Item with id 'rs_1' not found."}}], "item"),
    (404, {"errors": [{"message": "Item with id 'rs_1' not found."}]}, "item"),
    (404, f"upstream error: 404: {NOT_STORED}", "item"),
    (400, 'data: {"type":"error","error":{"message":"Item with id \'rs_1\' not found."}}\n\n', "item"),
    (404, {"title": "Not Found", "status": 404, "detail": "Item with id 'rs_1' not found."}, "item"),
    (404, {"error": {"code": "item_not_found", "message": "rs_1"}}, "item"),
    # A previous response.
    (404, error("Response with id 'resp_1' not found.", None, None), "response"),
    (404, error("Response 'resp_1' not found", None, None), "response"),
    (404, {"error": {"message": "Previous response resp_1 does not exist", "code": 404}}, "response"),
    (400, error("previous_response_id is not supported by this provider", None, None), "response"),
    (400, error("`previous_response_id` is not supported when store is false", "unsupported_value", None), "response"),
    (400, error("The previous response has expired.", None, None), "response"),
    (400, error("Could not find previous response 'resp_1'", None, None), "response"),
    (404, {"detail": "Previous response not found"}, "response"),
    (404, "previous_response_not_found", "response"),
    (
        400,
        {
            "error": {
                "message": '{"error":{"message":"gone","code":"previous_response_not_found"}}',
                "code": "bad_request",
            }
        },
        "response",
    ),
    (
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "previous_response_id"],
                    "msg": "Extra inputs are not permitted",
                }
            ]
        },
        "response",
    ),
    (
        400,
        error(
            "[ApiIdParam] [previous_response_id] [invalid_id_prefix] Invalid 'previous_response_id': 'gen-1'.",
            None,
            None,
        ),
        "response",
    ),
    (404, error("Response 5d8f0c1e-0d1f-4a57-a2a4-6f6d0f9f9f11 not found", None, "previous_response_id"), "response"),
    # Pairs.
    (400, error("No tool call found for custom tool call output with call_id call_1."), "pairing"),
    (400, error("No tool call found for computer call output with call_id call_1."), "pairing"),
    (400, error("No tool call found for tool output with call_id 'call_1'"), "pairing"),
    (400, error("No matching function call found for output call_1"), "pairing"),
    (400, error("No function call found for function_call_output with call_id call_1"), "pairing"),
    (400, error("No corresponding tool output was found for call call_1"), "pairing"),
    (400, error("No tool outputs found for function calls call_1, call_2."), "pairing"),
    (400, error("function_call_output without a matching function_call: call_1"), "pairing"),
    (400, error("Tool output call_1 has no corresponding tool call"), "pairing"),
    (400, error("Function call call_1 has no output"), "pairing"),
    (400, error("Missing tool output for call_1"), "pairing"),
    (
        400,
        error(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
            " 'tool_call_id'. The following tool_call_ids did not have response messages: call_1"
        ),
        "pairing",
    ),
    (400, {"detail": UNFOLLOWED}, "pairing"),
    (400, {"error": UNREASONED}, "pairing"),
    (400, {"error": {"message": f"OpenAIException - {DUPLICATE}", "code": "400"}}, "pairing"),
    (
        400,
        error("Item 'msg_1' of type 'message' was provided without its required 'reasoning' item: 'rs_1'."),
        "pairing",
    ),
    (400, error("Duplicate items found with ids rs_1, rs_2"), "pairing"),
    # Blobs.
    (400, error("Encrypted content could not be decrypted or parsed.", None, None), "encrypted"),
    (400, error("Failed to decrypt encrypted_content of reasoning item rs_1", None, None), "encrypted"),
    (400, error("Invalid encrypted content", None, "input[3].encrypted_content"), "encrypted"),
    (400, {"detail": {"message": "bad", "code": "invalid_encrypted_content"}}, "encrypted"),
    (400, f"400: {OTHER_ORGANISATION}", "encrypted"),
    (403 + 19, error("encrypted reasoning is malformed", None, None), "encrypted"),
    # Containers.
    (400, error("Container 'cntr_1' has expired.", None, None), "container"),
    (404, error("Container cntr_1 is expired", None, None), "container"),
    (400, error("The expired container cntr_1 cannot be used.", None, None), "container"),
    # Fields.
    (
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "input", 7, "status"],
                    "msg": "Extra inputs are not permitted",
                }
            ]
        },
        "field",
    ),
    (400, {"detail": [{"loc": ["body", "input", 2, "id"], "msg": "field required"}]}, "field"),
    (400, {"error": {"message": "Unknown parameter: 'input[2].created_by'.", "code": "400"}}, "field"),
    (400, error("Missing required parameter: 'input[2].id'.", "missing_required_parameter", "input[2].id"), "field"),
    (400, error("Unrecognized field: input[2].phase", "invalid_request_error", None), "field"),
    (400, error("ID is required", None, None), "field"),
    (400, error("Reasoning item: missing required field 'id'", None, None), "field"),
    (400, error("Item id is required.", None, None), "field"),
    (400, error("Bad input: the 'id' field is required", None, None), "field"),
    (400, error("ValidationError: ID is required", None, None), "field"),
    (
        400,
        error(
            "Invalid type for 'input[1].status': expected one of 'in_progress', 'completed', or 'incomplete', but got"
            " null instead.",
            "invalid_type",
            "input[1].status",
        ),
        "field",
    ),
    (
        400,
        error("Unknown parameter: 'input[1].content[0].id'.", "unknown_parameter", "input[1].content[0].id"),
        "field",
    ),
    (
        400,
        error(
            "Invalid 'input[2].id': string too long. Expected a string with maximum length 64, but got a string with"
            " length 70 instead.",
            "string_above_max_length",
            "input[2].id",
        ),
        "field",
    ),
    (400, error("Unknown parameter: 'created_at'.", "unknown_parameter", "created_at"), "envelope"),
    (
        400,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "usage"], "msg": "Extra inputs are not permitted"}]},
        "envelope",
    ),
    # The conversation is in use.
    (409, error("Another process is currently operating on this conversation.", None, None), "locked"),
    (409, "conversation_locked", "locked"),
    # A gateway that speaks Chat Completions to the server behind it.
    (400, error("Missing tool output for call_1", None, "messages.[3].role"), "pairing"),
]

# What is not ours to repair, however much the words resemble.
STRANGERS: Final[list[tuple[int, Any]]] = [
    # Other things that are not found.
    (404, error("Prompt with id 'pmpt_1' not found.", None, "prompt")),
    (404, error("Prompt with id 'item_prompt' not found.", None, "prompt.id")),
    (404, error("The model `gpt-5-item` does not exist or you do not have access to it.", "model_not_found", None)),
    (404, error("The model `ft:gpt-4o:rs_1` does not exist", None, None)),
    (404, error("Model item_x not found", None, "model")),
    (404, error("The API deployment for this resource does not exist.", "DeploymentNotFound", None)),
    (404, error("No such File object: file-abc", None, "input[0].content[1].file_id")),
    (400, error("File 'file-abc' not found.", None, "input")),
    (404, error("File with id 'file-abc' not found. Remove this item from your input.", None, None)),
    (404, error("Vector store with id 'vs_1' not found.", None, "tools[0].vector_store_ids")),
    (400, error("Vector store [vs_1] not found for item search.", None, None)),
    (404, error("Container with id 'cntr_1' not found.", None, None)),
    (400, error("Container with id 'cntr_1' not found.", None, "tools[0].container")),
    (404, error("Conversation with id 'conv_1' not found.", None, None)),
    (404, error("Conversation conv_1 not found", "invalid_request_error", "conversation_id")),
    (404, error("Conversation with id 'conv_1' not found: no items could be loaded.", None, None)),
    (404, error("Assistant 'asst_1' not found", None, None)),
    (404, error("No thread found with id 'thread_1'.", None, None)),
    (404, error("Skill 'skill_1' does not exist.", None, None)),
    (404, error("Batch batch_1 not found", None, None)),
    (404, error("Project 'proj_1' not found", None, None)),
    (404, error("Organization org-1 not found", None, None)),
    (404, error("Invalid URL (POST /v1/item_list)", None, None)),
    (404, {"detail": "Not Found"}),
    (404, {"error": {"code": "404", "message": "Resource not found"}}),
    (404, {"statusCode": 404, "message": "Resource not found"}),
    (404, "404 page not found"),
    (404, "<html><body>Item with id 'rs_1' not found.</body></html>"),
    (404, "<!DOCTYPE html>\n<title>previous_response_not_found</title>"),
    (404, "\n\n  <html>Item rs_1 not found</html>"),
    (404, ""),
    (404, {}),
    (404, []),
    (404, "null"),
    (404, "3"),
    (404, {"error": None}),
    (404, {"error": {}}),
    (404, {"error": {"message": None, "code": None}}),
    # Other parameters.
    (400, error("Tool choice 'get_item' not found in 'tools' parameter.", None, "tool_choice")),
    (400, error("Unsupported parameter: 'temperature' is not supported with this model.", None, "temperature")),
    (
        400,
        error(
            "Unsupported value: 'reasoning.effort' does not support 'none' with this model.",
            "unsupported_value",
            "reasoning.effort",
        ),
    ),
    (
        400,
        error(
            "Unsupported parameter: 'reasoning.summary' is not supported with this model.",
            "unsupported_parameter",
            "reasoning.summary",
        ),
    ),
    (400, error("Encrypted content is not supported with this model.", "unsupported_parameter", "include")),
    (
        400,
        error(
            "Invalid value: 'reasoning.encrypted'. Supported values are: 'reasoning.encrypted_content'.",
            "invalid_value",
            "include[0]",
        ),
    ),
    (
        400,
        error(
            "Your input exceeds the context window of this model. Please remove items from your input.",
            "context_length_exceeded",
        ),
    ),
    (400, error("This model's maximum context length is 128000 tokens; your items have 200000.", None, None)),
    (400, error("The response was filtered due to the prompt triggering content policy.", "content_filter", "prompt")),
    (
        400,
        error(
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "invalid_prompt", None
        ),
    ),
    (400, error("Your organization must be verified to use the model `gpt-5`.", None, None)),
    (400, error("Missing required parameter: 'input'.", "missing_required_parameter", "input")),
    (400, error("Missing required parameter: 'tools[0].name'.", "missing_required_parameter", "tools[0].name")),
    (400, error("Unknown parameter: 'tools[0].output'.", "unknown_parameter", "tools[0].output")),
    (400, error("Unknown parameter: 'messages'.", "unsupported_parameter", "messages")),
    (400, error("Unknown parameter: 'metadata.status'.", "unknown_parameter", "metadata.status")),
    (
        400,
        error(
            "Invalid schema for function 'find_items': In context=('properties', 'items'), 'items' is not found.",
            "invalid_function_parameters",
            "tools[0].parameters",
        ),
    ),
    (
        400,
        error(
            "Invalid schema for function 'f': In context=('properties', 'list'), array schema missing items.",
            "invalid_function_parameters",
            "tools[0].parameters",
        ),
    ),
    (
        400,
        error(
            "Invalid schema for response_format 'items': 'required' is missing 'item_id'.",
            "invalid_json_schema",
            "text.format.schema",
        ),
    ),
    (400, error("Invalid 'tools[0].name': 'rs_1 not found'. Expected a string.", "invalid_value", "tools[0].name")),
    (
        400,
        error(
            "Invalid 'input[0].content[0].text': string too long.",
            "string_above_max_length",
            "input[0].content[0].text",
        ),
    ),
    (400, error("Invalid 'input[3].call_id': empty string.", "empty_string", "input[3].call_id")),
    (
        400,
        error(
            "Missing required parameter: 'input[0].content[0].text'.",
            "missing_required_parameter",
            "input[0].content[0].text",
        ),
    ),
    (400, error("Invalid 'input[0].content': array too long.", "array_above_max_length", "input[0].content")),
    (400, error("Unknown parameter: 'input[0].content'.", "unknown_parameter", "input[0].content")),
    (400, error("Invalid 'metadata': too many properties, item limit 16.", "object_above_max_properties", "metadata")),
    (
        400,
        error(
            "Invalid image data: item 'msg_1.png' could not be found in the data URL.",
            "invalid_image_format",
            "input[0].content[1].image_url",
        ),
    ),
    (400, error("Failed to download image from https://x/item_1 not found", "invalid_image_url", "url")),
    (400, error("Could not parse your JSON body: unexpected token at 'Item with id rs_1'.", "invalid_json", None)),
    (400, error("User message 'item rs_1 not found' was flagged.", "moderation_blocked", None)),
    (400, error("Output token limit: max_output_tokens is missing or invalid.", None, "max_output_tokens")),
    (400, error("Function call arguments are not valid JSON.", None, "tools")),
    (400, error("Tool 'lookup' has no output schema.", None, "tools[0]")),
    (400, error("MCP server 'items' could not be found.", "mcp_server_error", "tools")),
    (
        424,
        error(
            "Error retrieving tool list from MCP server: 'items'. Http status code: 404 (Not Found)",
            "external_connector_error",
            "tools",
        ),
    ),
    (400, error("Background mode requires store to be true; the response would be missing.", None, "background")),
    (400, error("Unknown parameter: 'input_items'.", "unknown_parameter", "input_items")),
    # Other statuses.
    (401, error("Incorrect API key provided: item rs_1 not found.", "invalid_api_key", None)),
    (401, error(NOT_STORED)),
    (401, error("API key does not belong to this connection", "")),
    (400, error(f"Your prompt '{NOT_STORED}' was flagged.", "invalid_prompt", None)),
    (404, error("The model was not found. Received Model Group=item_1")),
    (403, error(NOT_STORED)),
    (407, error(NOT_STORED)),
    (413, error(NO_PARENT)),
    (429, error(NOT_STORED)),
    (402, error(NO_OUTPUT)),
    (500, error(NOT_STORED)),
    (503, error(NO_PARENT, "previous_response_not_found")),
    (200, error(NOT_STORED)),
    (304, error(NOT_STORED)),
    (400, error("Rate limit reached for item calls.", "rate_limit_exceeded", None)),
    (400, error(NOT_STORED, "insufficient_quota", None)),
    # Sentences in which somebody else speaks of items, calls and reasoning.
    (400, error("Invalid request: the model does not support reasoning items.", None, None)),
    (400, error("Your text 'the function call has no output' was flagged.", None, None)),
    (400, error("Rejected by our safety system: 'Item with id rs_1 not found'", None, "input")),
    (400, error("The response to 'no tool call found for x' violates our content policy.", None, None)),
    (400, error("Context window exceeded; previous response not supported.", None, None)),
    (400, error("Organization ID is required", None, None)),
    (400, error("Deployment id is required", None, None)),
    (400, error("File ID is required", None, None)),
    (400, error("Tool call id is required", None, None)),
    (400, error("Missing required parameter: 'tools[1].id'.", "missing_required_parameter", "tools[1].id")),
    (400, {"detail": [{"loc": ["body", "tools", 0, "id"], "msg": "field required"}]}),
    (400, {"detail": [{"loc": ["body", "metadata"], "msg": "item could not be found"}]}),
    (404, {"error": {"code": "NotFound", "message": "Deployment 'item' not found."}}),
    (404, {"message": "no Route matched with those values"}),
    (400, "Bad Request: invalid header, no response"),
    (400, error("Too many items in input: at most 1000 are allowed.", None, "input")),
    (400, error("Input item 3 has an invalid role.", None, "input[3].role")),
    (400, error("The call could not be completed.", None, None)),
    (400, error("Parallel tool calls are not supported without tools.", None, "parallel_tool_calls")),
]
