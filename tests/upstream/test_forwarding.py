"""What crosses the wire on either side of the proxy, byte for byte."""

import gzip

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from proxy.upstream.reverse_proxy import ReverseProxy
from tests.support.raw_client import Fields, exchange, request
from tests.support.scripts import answer, head, json_answer, script
from tests.support.serving import serving
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import Proxied, Start

METHODS = [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"QUERY"]


@pytest.mark.parametrize(
    "target",
    [
        b"/", b"/v1/responses", b"/a%2Fb/%7euser/%C3%BC", b"//evil.test/x", b"/a/../b/./c", b"/a?b=%20&b=+&c", b"/a??b",
        b"/a;b=c,d/~e!$&()*:@|^`{}'<>[]", b'/?q={"a":"<>|\\^`"}',
    ],
)  # fmt: skip
def test_a_target_goes_as_it_came(proxied: Proxied, upstream: ScriptedUpstream, target: bytes) -> None:
    """Path and query reach upstream in the bytes the client wrote, neither decoded nor made canonical."""
    upstream.will_answer(answer())
    assert proxied.exchange(request(b"GET", target)).status == 200
    assert upstream.received[0].target == target


def test_the_origin_is_never_the_clients(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A request line with a whole URL, and a Host of another site, go to the one upstream there is."""
    upstream.will_answer(answer())
    assert proxied.exchange(request(b"GET", b"http://evil.test/v1/models?a")).status == 200
    assert upstream.received[0].target == b"/v1/models?a"
    assert upstream.received[0].values(b"host") == [b"127.0.0.1:%d" % upstream.port]


def test_a_path_that_climbs_above_the_base_path_is_refused(start: Start, upstream: ScriptedUpstream) -> None:
    """Where upstream has a base path, dot segments cannot leave it."""
    refused = start(path="/openai/v1").exchange(request(b"GET", b"/v1/%2e%2e/admin"))
    assert (refused.status, upstream.received) == (400, [])
    assert b'"invalid_path"' in refused.body


@pytest.mark.parametrize("target", [b"/v1/responses?a=1", b"/responses?a=1"])
def test_clients_may_leave_the_version_out(start: Start, upstream: ScriptedUpstream, target: bytes) -> None:
    """A client finds the API below the base path whether or not its own base URL ends in /v1."""
    upstream.will_answer(answer())
    start(path="/openai/v1").exchange(request(b"GET", target))
    assert upstream.received[0].target == b"/openai/v1/responses?a=1"


@pytest.mark.parametrize(("target", "sent"), [(b"/a%20b/x%2Fy?z", b"/x%2Fy?z"), (b"/a%20b/v1/", b"/v1/")])
def test_below_the_path_of_another_app(upstream: ScriptedUpstream, target: bytes, sent: bytes) -> None:
    """Mounted under a path, what is below that path reaches upstream in the bytes the client wrote."""
    upstream.will_answer(answer())
    app = Starlette(routes=[Mount("/a b", ReverseProxy.to(upstream.url))])
    with serving(app) as port:
        assert exchange(port, request(b"GET", target, [(b"Connection", b"close")])).status == 200
        upstream.close()
    assert upstream.received[0].target == sent


def test_a_base_url_that_is_none() -> None:
    """What is no base URL is refused with a sentence when the proxy is made."""
    with pytest.raises(ValueError, match="must be an http:// or https:// URL with a host"):
        ReverseProxy.to("api.openai.com")


@pytest.mark.parametrize("method", METHODS)
def test_any_method_is_forwarded(proxied: Proxied, upstream: ScriptedUpstream, method: bytes) -> None:
    """Methods are none of the proxy's business."""
    upstream.will_answer(answer(200, b"yes"))
    assert proxied.exchange(request(method, b"/x", body=b"body")).body == b"yes"
    assert (upstream.received[0].method, upstream.received[0].body) == (method, b"body")


def test_nothing_is_added_to_a_request(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Upstream gets the client's end-to-end fields in their order, with its own Host, and not one field more."""
    upstream.will_answer(answer())
    fields = [(b"X-B", b"1"), (b"Authorization", b"Bearer k"), (b"X-A", b"\xc3\xa4 b"), (b"X-B", b"2"), (b"X-C", b"")]
    proxied.exchange(request(b"POST", b"/x", fields, b"{}"))
    sent = [(b"host", b"127.0.0.1:%d" % upstream.port), *((n.lower(), v) for n, v in fields), (b"content-length", b"2")]
    assert upstream.received[0].fields == sent


def test_fields_of_one_connection_stay_on_it(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Hop-by-hop fields, and those that Connection names, are removed in both directions."""
    hop: Fields = [
        (b"Connection", b"keep-alive, X-Mine"),
        (b"X-Mine", b"1"),
        (b"Keep-Alive", b"9"),
        (b"TE", b"trailers"),
    ]
    upstream.will_answer(answer(200, b"", [*hop, (b"X-Yours", b"3")]))
    got = proxied.exchange(request(b"GET", b"/x", [*hop, (b"X-Ours", b"2"), (b"Proxy-Authorization", b"Basic eA==")]))
    assert [name for name, _ in upstream.received[0].fields] == [b"host", b"x-ours"]
    assert got.fields == [(b"x-yours", b"3"), (b"content-length", b"0")]


def test_credentials_cannot_be_made_to_disappear(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Connection cannot name away the credentials and the length of the body."""
    upstream.will_answer(answer())
    fields = [(b"Connection", b"authorization, content-length, content-type"), (b"Authorization", b"Bearer k")]
    proxied.exchange(request(b"POST", b"/x", fields, b"body"))
    assert upstream.received[0].values(b"authorization") == [b"Bearer k"]
    assert upstream.received[0].body == b"body"


def test_an_answer_is_relayed_as_it_came(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Status, fields with their order and duplicates, and the body's bytes, compressed or not, reach the client."""
    body = gzip.compress(b'{"a": 1e400}')
    fields = [(b"Content-Encoding", b"gzip"), (b"Set-Cookie", b"a=1; Path=/"), (b"X-Request-Id", b"req_1"),
              (b"Set-Cookie", b"b=2"), (b"Openai-Version", b"2020-10-01"), (b"X-Latin", b"\xe4")]  # fmt: skip
    upstream.will_answer(answer(418, body, fields))
    got = proxied.exchange(request(b"GET", b"/x"))
    assert (got.status, got.body, got.complete) == (418, body, True)
    assert got.fields == [(n.lower(), v) for n, v in fields] + [(b"content-length", b"%d" % len(body))]


def test_redirects_are_relayed_and_not_followed(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A redirect is the client's affair."""
    upstream.will_answer(answer(302, b"", [(b"Location", b"/elsewhere")]))
    got = proxied.exchange(request(b"GET", b"/x"))
    assert (got.status, got.values(b"location"), len(upstream.received)) == (302, [b"/elsewhere"], 1)


def test_no_cookie_is_kept(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A cookie that upstream sets for one client is never sent with another's request."""
    upstream.will_answer(answer(200, b"", [(b"Set-Cookie", b"session=1; Path=/")]), answer())
    for _ in range(2):
        proxied.exchange(request(b"GET", b"/x"))
    assert upstream.received[1].values(b"cookie") == []


def test_the_environments_proxies_and_netrc_are_not_used(
    start: Start, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """Neither HTTP_PROXY nor a netrc changes where requests go or what they say."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", f"{tmp_path}/netrc")
    with open(f"{tmp_path}/netrc", "w") as netrc:  # noqa: PTH123 - the fixture's path is a plain string here
        netrc.write("machine 127.0.0.1 login a password b")
    upstream.will_answer(answer())
    assert start().exchange(request(b"GET", b"/x")).status == 200
    assert upstream.received[0].values(b"authorization") == []


def test_connections_to_upstream_are_kept(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Requests one after the other share a connection."""
    upstream.will_answer(*(json_answer({}) for _ in range(5)))
    for _ in range(5):
        proxied.exchange(request(b"POST", b"/x", body=b"{}"))
    assert upstream.connections == 1


@pytest.mark.parametrize(
    ("status", "fields", "relayed"),
    [
        (204, [(b"ETag", b"1")], [(b"etag", b"1")]),
        (304, [(b"ETag", b"1"), (b"Content-Length", b"99")], [(b"etag", b"1")]),
    ],
)
def test_statuses_without_a_body_end_at_their_head(
    proxied: Proxied, upstream: ScriptedUpstream, status: int, fields: Fields, relayed: Fields
) -> None:
    """204 and 304 are complete with their head, on both connections, which stay in use."""
    upstream.will_answer(script(head(status, fields)), answer(200, b"next"))
    with proxied.connect() as client:
        client.send(request(b"GET", b"/x"))
        got = client.answer()
        assert (got.status, got.fields) == (status, relayed)
        client.send(request(b"GET", b"/y"))
        assert client.answer().body == b"next"
    assert upstream.connections == 1


def test_head_has_the_fields_of_get_and_no_body(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """HEAD is relayed with the length that a GET would have, and the connections stay in use."""
    upstream.will_answer(script(head(200, [(b"Content-Length", b"1234")])), answer(200, b"next"))
    with proxied.connect() as client:
        client.send(request(b"HEAD", b"/x"))
        assert client.answer(bodiless=True).values(b"content-length") == [b"1234"]
        client.send(request(b"GET", b"/y"))
        assert client.answer().body == b"next"
    assert upstream.connections == 1


def test_interim_answers_are_never_final(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Any number of 1xx may come before the answer."""
    hints = head(103, [(b"Link", b"</style>")])
    upstream.will_answer(script(head(100) + hints + hints, head(102), *answer(201, b"made")[1:]))
    got = proxied.exchange(request(b"POST", b"/x", body=b"{}"))
    assert (got.status, got.body) == (201, b"made")


def test_expect_reaches_upstream_and_the_body_follows(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A client that waits for 100 Continue gets it, and its body arrives."""
    upstream.will_answer(script(head(100), *answer(200, b"thanks")))
    whole = request(b"POST", b"/x", [(b"Expect", b"100-continue")], b"body")
    with proxied.connect() as client:
        client.send(whole[:-4])
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(whole[-4:])
        assert client.answer().body == b"thanks"
    assert upstream.received[0].values(b"expect") == [b"100-continue"]
    assert upstream.received[0].body == b"body"


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
def test_bodies_of_any_size_arrive_whole(proxied: Proxied, upstream: ScriptedUpstream, size: int) -> None:
    """Both bodies arrive in their bytes and with the length that was announced."""
    body = bytes(i % 251 for i in range(size))
    upstream.will_answer(answer(200, body))
    got = proxied.exchange(request(b"POST", b"/x", body=body))
    assert (got.body, got.values(b"content-length")) == (body, [b"%d" % size])
    assert (upstream.received[0].body, upstream.received[0].values(b"content-length")) == (body, [b"%d" % size])


def test_a_chunked_body_stays_chunked(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A body of unknown length goes on in chunks."""
    upstream.will_answer(answer(200, b"thanks"))
    raw = (
        request(b"POST", b"/x", [(b"Transfer-Encoding", b"chunked")])
        + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    )
    assert proxied.exchange(raw).body == b"thanks"
    assert upstream.received[0].values(b"transfer-encoding") == [b"chunked"]
    assert (upstream.received[0].body, upstream.received[0].values(b"content-length")) == (b"abcde", [])
