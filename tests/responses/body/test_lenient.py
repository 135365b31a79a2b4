"""The slower reader finds the spans of what upstream may well take, and refuses what is no JSON."""

import json

import pytest

from proxy.responses.body import lenient
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.member import Member

VALUES = [
    b"0",
    b"-0",
    b"1e400",
    b"1e-400",
    b"18446744073709551616",
    b"1234567890123456789012345678901234567890",
    b"-1.5E+10",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"true",
    b"false",
    b"null",
    b'""',
    b'"\\"\\\\"',
    b'"\\ud800"',
    b'"\xed\xa0\x80"',
    b'"\xff"',
    b'"a\nb"',
    b"[]",
    b"{}",
    b"[ ]",
    b"{ }",
    b'[1,[2,{"a":[]}],"]"]',
    b'{"a":{"b":"}"},"a":1,"\\u0061":2}',
    b'{ "a" : [ 1 , 2 ] , "b" : { } }',
    b"[" * 2000 + b"]" * 2000,
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b'"' + b"\\n" * 1_000_000 + b'"',
    b'"' + b"x" * 1_000_000 + b'"',
    b'{%b"a"%b:%b1%b,%b"b"%b:%b[%b1%b,%b2%b]%b}'.replace(b"%b", b" \n" * 100_000),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:20]))
@pytest.mark.parametrize("around", [(b"", b""), (b" \t\r\n", b" ,")])
def test_the_end_of_a_value(value: bytes, around: tuple[bytes, bytes]) -> None:
    """The end of any value is found, white space in front and anything behind."""
    before, behind = around
    assert lenient.value_end(before + value + behind, 0) == len(before + value)


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b" ", b"[", b"{", b'"', b'"\\', b'"\\"', b"]", b"}", b",", b"tru", b"-", b"+1", b".5", b"nan"),
        *(b"[1", b"[1,", b"[1,]", b"[,1]", b"[1 2]", b"[1}", b'{"a":1]', b'{"a"', b'{"a":', b'{"a":}', b'{"a" 1}'),
        *(b"{a:1}", b'{"a":1,}', b'{"a":1,2}', b"{1:2}", b"{,}", b"[01]", b"[1.]", b"[1e]", b"['a']", b"\xff"),
        *(b"[" * 5000, b'{"a":' * 5000),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_no_json(value: bytes) -> None:
    """What no reader of JSON takes is refused."""
    with pytest.raises(MalformedError):
        lenient.value_end(value, 0)


def test_members() -> None:
    """Members are found in order, twice where they stand twice, their names without escapes."""
    body = b'x{ "a" : 1 ,"\\u0069d":"y", "a":[2] , "\\ud800":{} }'
    found = lenient.members(body, 1)
    assert [member.name for member in found] == ["a", "id", "a", "\ud800"]
    assert [body[member.start : member.end] for member in found] == [
        b'"a" : 1',
        b'"\\u0069d":"y"',
        b'"a":[2]',
        b'"\\ud800":{}',
    ]
    assert [body[member.value : member.end] for member in found] == [b"1", b'"y"', b"[2]", b"{}"]
    assert lenient.members(b"{}", 0) == lenient.members(b"{ \n}", 0) == []
    assert found[0] == Member("a", 3, 9, 10)


def test_elements() -> None:
    """Elements are found in order, whatever they are."""
    body = b' [ 1 , "a,]" ,{} , [ ] ] '
    found = lenient.elements(body, 1)
    assert [body[start:end] for start, end in found] == [b"1", b'"a,]"', b"{}", b"[ ]"]
    assert lenient.elements(b"[ ]", 0) == []
    assert found[0] == (3, 4)


@pytest.mark.parametrize("body", [b'{"a":1]', b"{1:2}", b'{"a":1,}', b'{"a":1 "b":2}', b'{"\\x":1}', b"{"])
def test_broken_objects(body: bytes) -> None:
    """An object that is none is refused."""
    with pytest.raises(MalformedError):
        lenient.members(body, 0)


@pytest.mark.parametrize("body", [b"[1}", b"[1 2]", b"[1,]", b"["])
def test_broken_arrays(body: bytes) -> None:
    """An array that is none is refused."""
    with pytest.raises(MalformedError):
        lenient.elements(body, 0)


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        (b'"a"', "a"),
        (b'""', ""),
        (b'"\\u00e9"', "é"),
        (json.dumps("\ud800").encode(), "\ud800"),
        ('"é"'.encode(), "é"),
        (b'"\xff"', "\udcff"),
        (b'"a\\n\nb"', "a\n\nb"),
        (b'"\\x"', None),
        (b"1", None),
        (b"null", None),
        (b"", None),
    ],
)
def test_text(literal: bytes, expected: str | None) -> None:
    """A string's text is read with its escapes; anything else is no text."""
    assert lenient.text(literal) == expected


def test_skip_space() -> None:
    """Only JSON's white space is skipped, and the end of the body is an end."""
    assert lenient.skip_space(b" \t\r\n\x0bx", 0) == 4
    assert lenient.skip_space(b"  ", 0) == 2
    assert lenient.skip_space(b"x", 1) == 1


@pytest.mark.parametrize("runs", [0, 1, 4095, 4096, 4097, 9000])
@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_long_strings_end_where_they_end(runs: int, length: int) -> None:
    """A string is read in slices, by length and by escapes, and ends at its quote, as a value and as a key."""
    literal = b'"%b%b"' % (b"x" * length, b"\\ud800y" * runs)
    body = b"{%b : %b}" % (literal, literal)
    assert lenient.value_end(literal + b",", 0) == len(literal)
    [member] = lenient.members(body, 0)
    assert (len(member.name), body[member.value : member.end]) == (length + runs * 2, literal)
    for broken in (literal[:-1], literal[:-1] + b"\\", literal[:-1] + b'\\"'):
        with pytest.raises(MalformedError):
            lenient.value_end(broken, 0)
        with pytest.raises(MalformedError):
            lenient.members(b"{" + broken, 0)


def test_a_long_key_is_known_by_its_beginning() -> None:
    """A key that is longer than any that is looked for is not copied whole; where its member stands is exact."""
    body = b'{"%b": 1, "id": 2}' % (b"k" * 2_000_000)
    long, short = lenient.members(body, 0)
    assert (len(long.name), long.name[1:4]) == (1024 * 1024, "kkk")
    assert body[long.value : long.end] == b"1"
    assert short.name == "id"
