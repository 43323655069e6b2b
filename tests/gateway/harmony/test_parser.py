from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, assert_never

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.harmony.encoding import Encoding
from gateway.harmony.parser import (
    HEADER_LIMIT_TOKENS,
    HarmonyEvent,
    HarmonyParser,
    MessageEnded,
    MessageStarted,
    TextDelta,
)
from gateway.harmony.render import encode
from wire.vocabulary import CALL, CHANNEL, CONSTRAIN, CONTROL_TOKENS, END, MESSAGE, RETURN, START

Ids = Callable[[str], list[int]]
Item = dict[str, str]

CASES = json.loads(Path(__file__).with_name("cases.json").read_text())


def parse(encoding: Encoding, chunks: Iterable[Sequence[int]]) -> list[HarmonyEvent]:
    parser = HarmonyParser(encoding.token_bytes)
    return [event for chunk in chunks for event in parser.receive(chunk)] + parser.finish()


def joined(events: Iterable[HarmonyEvent]) -> list[HarmonyEvent]:
    """*events* with neighbouring texts joined: what must not depend on the chunks."""
    result: list[HarmonyEvent] = []
    for event in events:
        if isinstance(event, TextDelta) and result and isinstance(result[-1], TextDelta):
            result[-1] = TextDelta(result[-1].text + event.text)
        else:
            result.append(event)
    return result


def one_by_one(token_ids: Sequence[int]) -> list[Sequence[int]]:
    return [[token_id] for token_id in token_ids]


# Real output, each with its source. The items are those of the Responses API.


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_gpt_oss_has_really_said_is_understood(
    encoding: Encoding, ids: Ids, case: dict[str, Any]
) -> None:
    token_ids = ids(case["raw"])

    assert items(parse(encoding, [token_ids]), case) == case["expect"]
    assert items(parse(encoding, one_by_one(token_ids)), case) == case["expect"]


def items(events: Iterable[HarmonyEvent], case: dict[str, Any]) -> list[Item]:
    found: list[Item] = []
    item: Item = {}
    for event in events:
        match event:
            case MessageStarted():
                item = new_item(event, case)
            case TextDelta(text):
                item["arguments" if "arguments" in item else "text"] += text
            case MessageEnded(whole):
                item["status"] = "completed" if whole else "incomplete"
                if item["type"] == "function_call":
                    item["arguments"] = item["arguments"] or "{}"
                if item["type"] == "function_call" or item["text"]:
                    found.append(item)
            case _:
                assert_never(event)
    return found


def new_item(message: MessageStarted, case: dict[str, Any]) -> Item:
    if message.recipient is not None:
        name = message.recipient.removeprefix("functions.")
        if name in case["tools"] and case["tool_choice"] != "none":
            return {"type": "function_call", "name": name, "arguments": ""}
        return {"type": "reasoning", "text": ""}
    if message.channel == "final":
        return {"type": "message", "phase": "final_answer", "text": ""}
    if message.channel == "commentary" and case["format"] == "text":
        return {"type": "message", "phase": "commentary", "text": ""}
    return {"type": "reasoning", "text": ""}


# Events


def test_a_message_is_its_start_its_text_and_its_end(encoding: Encoding, ids: Ids) -> None:
    token_ids = ids(
        "<|channel|>analysis<|message|>Hm, hm.<|end|>"
        "<|start|>assistant to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>"
    )

    assert parse(encoding, [token_ids]) == [
        MessageStarted("analysis", None),
        TextDelta("Hm, hm."),
        MessageEnded(whole=True, token_count=4),
        MessageStarted("commentary", "functions.f"),
        TextDelta("{}"),
        MessageEnded(whole=True, token_count=1),
    ]


def test_the_text_of_one_call_is_one_delta(encoding: Encoding, ids: Ids) -> None:
    parser = HarmonyParser(encoding.token_bytes)

    assert parser.receive(ids("<|channel|>final<|message|>")) == [MessageStarted("final", None)]
    assert parser.receive(ids("one two three")) == [TextDelta("one two three")]
    assert parser.receive([]) == []
    assert parser.receive(ids(" four<|return|>")) == [
        TextDelta(" four"),
        MessageEnded(whole=True, token_count=4),
    ]
    assert parser.finish() == []


def test_half_a_character_waits_for_its_other_half(encoding: Encoding) -> None:
    parser = HarmonyParser(encoding.token_bytes)
    parser.receive([MESSAGE])
    *first, last = encoding.encode_text("🏴")

    assert parser.receive(first) == []
    assert parser.receive([last]) == [TextDelta("🏴")]


def test_a_character_that_never_gets_whole_is_shown_as_broken(encoding: Encoding) -> None:
    half = encoding.encode_text("🏴")[:-1]

    assert parse(encoding, [[MESSAGE, *half]]) == [
        MessageStarted("final", None),
        TextDelta("\ufffd"),
        MessageEnded(whole=False, token_count=len(half)),
    ]


def test_a_message_without_its_end_is_not_whole(encoding: Encoding, ids: Ids) -> None:
    parser = HarmonyParser(encoding.token_bytes)
    parser.receive(ids("<|channel|>final<|message|>Once upon"))

    assert parser.finish() == [MessageEnded(whole=False, token_count=2)]
    assert parser.finish() == []


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ("user", "user"),
        ("system", "system"),
        ("developer", "developer"),
        ("tool", "tool"),
        ("functions.get_weather to=assistant<|channel|>commentary", "functions.get_weather"),
        ("browser.search to=assistant<|channel|>commentary", "browser.search"),
        ("python to=assistant<|channel|>commentary", "python"),
        ("assistant", "assistant"),
        ("users", "assistant"),
        ("", "assistant"),
    ],
)
def test_a_message_says_whom_the_model_plays(
    encoding: Encoding, ids: Ids, header: str, role: str
) -> None:
    token_ids = ids(f"<|end|><|start|>{header}<|message|>hi<|end|>")

    channel = "commentary" if "commentary" in header else "final"
    assert parse(encoding, [token_ids])[0] == MessageStarted(channel, None, role)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipient", ["all", "assistant", "user"])
def test_a_message_to_everybody_is_to_no_tool(encoding: Encoding, ids: Ids, recipient: str) -> None:
    token_ids = ids(f"<|channel|>final to={recipient}<|message|>hi<|return|>")

    assert parse(encoding, [token_ids])[0] == MessageStarted("final", None)


# Messages without <|message|>


def test_an_answer_without_any_markup_is_shown_before_it_ends(encoding: Encoding) -> None:
    parser = HarmonyParser(encoding.token_bytes)
    token_ids = encoding.encode_text("word" + " word" * 999)
    events = parser.receive(token_ids[:HEADER_LIMIT_TOKENS])

    assert events == [
        MessageStarted("final", None),
        TextDelta("word" + " word" * (HEADER_LIMIT_TOKENS - 1)),
    ]
    assert parser.receive(token_ids[HEADER_LIMIT_TOKENS:]) == [TextDelta(" word" * 840)]
    assert parser.receive([RETURN]) == [MessageEnded(whole=True, token_count=1000)]


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (
            "<|channel|>analysis We need to think<|end|>",
            [
                MessageStarted("analysis", None),
                TextDelta("We need to think"),
                MessageEnded(whole=True, token_count=4),
            ],
        ),
        (
            "<|channel|>commentary to=functions.f <|constrain|>json{}<|call|>",
            [
                MessageStarted("commentary", "functions.f"),
                TextDelta("{}"),
                MessageEnded(whole=True, token_count=1),
            ],
        ),
        (
            "<|channel|>commentary to=functions.now<|call|>",
            [
                MessageStarted("commentary", "functions.now"),
                MessageEnded(whole=True, token_count=0),
            ],
        ),
        (
            "My final analysis goes to=you<|return|>",
            [
                MessageStarted("final", None),
                TextDelta("My final analysis goes to=you"),
                MessageEnded(whole=True, token_count=7),
            ],
        ),
        (
            "<|start|>user hello<|end|>",
            [
                MessageStarted("final", None, "user"),
                TextDelta("hello"),
                MessageEnded(whole=True, token_count=1),
            ],
        ),
        ("<|channel|>commentary to=functions.get_wea", []),  # who knows the rest of the name
        ("<|start|>assistant<|channel|>", []),
        ("<|start|><|start|>assistant<|end|><|end|><|return|>", []),
    ],
)
def test_what_stands_where_a_header_should_is_text(
    encoding: Encoding, ids: Ids, raw: str, events: list[HarmonyEvent]
) -> None:
    assert parse(encoding, [ids(raw)]) == events


def test_a_function_with_a_name_of_128_letters_can_be_called(encoding: Encoding) -> None:
    name = "_aB3" * 32  # hard to merge: nearly a token a letter
    header: list[int | str] = ["assistant", f" to=functions.{name}", CHANNEL, "commentary", " "]
    pieces = [START, *header, CONSTRAIN, "json", MESSAGE, "{}", CALL]

    assert parse(encoding, [encode(pieces, encoding.encode_text)]) == [
        MessageStarted("commentary", f"functions.{name}"),
        TextDelta("{}"),
        MessageEnded(whole=True, token_count=1),
    ]


# Any ids at all

TEXT_IDS = st.integers(0, 199_997)
ANY_IDS = st.lists(
    st.one_of(
        st.sampled_from(list(CONTROL_TOKENS.values())),
        st.sampled_from([0, 78191, 17196, 12606, 316, 28]),  # analysis, final, comment, ·to, =
        TEXT_IDS,
        st.integers(),
    ),
    max_size=400,
)


@given(token_ids=ANY_IDS, data=st.data())
def test_any_ids_are_read_and_the_chunks_make_no_difference(
    encoding: Encoding, token_ids: list[int], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(token_ids)), max_size=9)))
    chunks = [token_ids[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    whole = parse(encoding, [token_ids])

    assert joined(parse(encoding, chunks)) == joined(whole)
    assert joined(parse(encoding, one_by_one(token_ids))) == joined(whole)
    assert all(event.text for event in whole if isinstance(event, TextDelta))


@given(text_ids=st.lists(TEXT_IDS))
def test_a_text_that_is_no_header_is_never_lost(encoding: Encoding, text_ids: list[int]) -> None:
    token_ids = encoding.encode_text("So: ") + text_ids

    assert joined(parse(encoding, one_by_one(token_ids))) == [
        MessageStarted("final", None),
        TextDelta(encoding.decode(token_ids)),
        MessageEnded(whole=False, token_count=len(token_ids)),
    ]


# Well-formed conversations: openai-harmony is right about those.

MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["analysis", "commentary", "final"]),
        st.none() | st.from_regex(r"functions\.[A-Za-z0-9_-]{1,64}", fullmatch=True),
        st.booleans(),  # <|constrain|>json
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    min_size=1,
)


@given(messages=MESSAGES)
@example(messages=[("final", None, False, "")])
def test_well_formed_messages_are_read_as_openai_harmony_reads_them(
    encoding: Encoding, oracle: Any, messages: list[tuple[str, str | None, bool, str]]
) -> None:
    from openai_harmony import Role, StreamableParser

    pieces: list[int | str] = []
    for channel, recipient, constrained, text in messages:
        pieces += [START, "assistant"]
        pieces += [f" to={recipient}"] if recipient else []
        pieces += [CHANNEL, channel]
        # Its parser takes a content type without a recipient for the recipient.
        pieces += [" ", CONSTRAIN, "json"] if constrained and recipient else []
        pieces += [MESSAGE, text, CALL if recipient else END]
    token_ids = encode(pieces, encoding.encode_text)[2:]
    reference = StreamableParser(oracle, Role.ASSISTANT)
    for token_id in token_ids:
        reference.process(token_id)

    expected: list[HarmonyEvent] = []
    for message in reference.messages:
        text = message.content[0].text
        expected.append(MessageStarted(message.channel, message.recipient))
        expected += [TextDelta(text)] if text else []
        expected.append(MessageEnded(whole=True, token_count=len(encoding.encode_text(text))))
    assert parse(encoding, [token_ids]) == expected
