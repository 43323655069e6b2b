"""The items of a request's input: what a client may put into the conversation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Never

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from gateway.responses.validation import ApiModel, refuse, refused

MAX_INPUT_CHARS = 10_485_760
MAX_CALL_ID_CHARS = 64
# Each takes 10 us to validate, on the loop, and an item some 4 tokens of context.
# So too do wrong ones: all lists here fail fast, with their first error.
MAX_ITEMS = 10_000
MAX_PARTS = 10_000  # of all items together

Text = Annotated[str, Field(max_length=MAX_INPUT_CHARS)]


class TextPart(ApiModel):
    """A piece of text. Output parts come back as input, so all their types are known."""

    type: Literal["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    """Which kind of text; all are read alike."""
    text: Text
    """The text, at most 10,485,760 characters."""


class RefusalPart(ApiModel):
    """A refusal that a model gave in an earlier response."""

    type: Literal["refusal"]
    """Always `refusal`."""
    refusal: Text
    """What it said."""


# As responses call them, and as chat completions do.
_OTHER_MEDIA = (
    *("input_image", "input_file", "input_audio", "input_video"),
    *("image_url", "file", "audio_url", "video_url"),
)


def _tag_of_part(part: Any) -> str:
    type_ = part.get("type") if isinstance(part, dict) else None
    if type_ == "refusal":
        return "=refusal"
    if type_ in _OTHER_MEDIA:
        return "=other_media"
    return "=text"


ContentPart = Annotated[
    Annotated[TextPart, Tag("=text")]
    | Annotated[RefusalPart, Tag("=refusal")]
    | Annotated[
        Never,
        refuse(
            "unsupported_content_type",
            "This model reads text only: content of type '{type}' is not supported.",
        ),
        Tag("=other_media"),
    ],
    Discriminator(_tag_of_part),
]


def _tag_of_content(content: Any) -> str:
    return "=parts" if isinstance(content, list) else "=string"


Content = Annotated[
    Annotated[Text, Tag("=string")]
    | Annotated[list[ContentPart], Field(max_length=MAX_PARTS, fail_fast=True), Tag("=parts")],
    Discriminator(_tag_of_content),
]


class MessageItem(ApiModel):
    """A message of the conversation; a string among the items is one of the user's."""

    type: Literal["message"] = "message"
    """Always `message`; may be left out."""
    role: Literal["user", "system", "developer", "assistant"]
    """Who speaks. system and developer instruct the model, wherever they stand."""
    content: Content
    """The text, or parts of it. The model reads text only."""
    phase: Literal["commentary", "final_answer"] | None = None
    """For the assistant's messages: a preamble to a call, or the answer."""

    @model_validator(mode="before")
    @classmethod
    def _string_is_from_the_user(cls, data: Any) -> Any:
        # The spec lets an array of inputs hold plain strings.
        return {"role": "user", "content": data} if isinstance(data, str) else data


class ReasoningItem(ApiModel):
    """What the model thought in an earlier response."""

    type: Literal["reasoning"]
    """Always `reasoning`."""
    content: Annotated[list[TextPart], Field(max_length=MAX_PARTS, fail_fast=True)] = []
    """The thoughts as text. The model reads them only while the turn they belong to goes on."""
    encrypted_content: str | None = None
    """The thoughts in encrypted form, as a response returned them; read if there is no content."""
    summary: Annotated[list[TextPart], Field(max_length=MAX_PARTS, fail_fast=True)] = []
    """Read if there is neither of the others: some clients send the thoughts back as that."""


class FunctionCallItem(ApiModel):
    """A call that the model made in an earlier response."""

    type: Literal["function_call"]
    """Always `function_call`."""
    call_id: Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID_CHARS)]
    """Ties the call to its output; at most 64 characters."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    """The function that was called."""
    arguments: Text
    """The arguments as the model wrote them: JSON in a string."""


class FunctionCallOutputItem(ApiModel):
    """What the client's function returned for a call."""

    type: Literal["function_call_output"]
    """Always `function_call_output`."""
    call_id: Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID_CHARS)]
    """The call_id of an earlier function_call."""
    output: Content
    """What the function returned, as text."""


class ItemReference(ApiModel):
    """Names an item instead of sending it; nothing is stored here to look it up in. References to
    reasoning and to preambles are ignored, others are refused with 404."""

    type: Literal["item_reference"] = "item_reference"
    """Always `item_reference`; may be left out."""
    id: str
    """The id of an item of an earlier response."""


_TAGS = {
    "message": "=message",
    "reasoning": "=reasoning",
    "function_call": "=function_call",
    "function_call_output": "=function_call_output",
    "item_reference": "=item_reference",
}


def _tag_of_item(item: Any) -> str:
    if not isinstance(item, dict):
        return "=message"  # whose model says that an object is expected
    type_ = item.get("type")
    if type_ is None:
        # Clients leave the type of messages out; "id" alone is a reference.
        return "=item_reference" if "role" not in item and "id" in item else "=message"
    return _TAGS.get(type_, "=unsupported") if isinstance(type_, str) else "=unsupported"


InputItem = Annotated[
    Annotated[MessageItem, Tag("=message")]
    | Annotated[ReasoningItem, Tag("=reasoning")]
    | Annotated[FunctionCallItem, Tag("=function_call")]
    | Annotated[FunctionCallOutputItem, Tag("=function_call_output")]
    | Annotated[ItemReference, Tag("=item_reference")]
    | Annotated[
        Never,
        refuse(
            "unsupported_item",
            "Items of type '{type}' are not supported. Supported are messages, reasoning,"
            " function_call and function_call_output.",
            field="type",
        ),
        Tag("=unsupported"),
    ],
    Discriminator(_tag_of_item),
]


def _tag_of_input(value: Any) -> str:
    return "=items" if isinstance(value, list) else "=string"


def _parts_are_bounded(items: Any) -> Any:
    if isinstance(items, list) and len(items) <= MAX_ITEMS:
        contents = [
            item.get("output" if item.get("type") == "function_call_output" else "content")
            for item in items
            if isinstance(item, dict)
        ]
        if sum(len(content) for content in contents if isinstance(content, list)) > MAX_PARTS:
            raise refused(
                "array_above_max_length",
                f"Invalid 'input': expected at most {MAX_PARTS} content parts in all.",
            )
    return items


Input = Annotated[
    Annotated[Text, Tag("=string")]
    | Annotated[
        list[InputItem],
        Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True),
        BeforeValidator(_parts_are_bounded),
        Tag("=items"),
    ],
    Discriminator(_tag_of_input),
]


def text_of(content: str | list[TextPart | RefusalPart]) -> str:
    """The text of a content, its parts joined without a separator."""
    if isinstance(content, str):
        return content
    return "".join(part.text if isinstance(part, TextPart) else part.refusal for part in content)
