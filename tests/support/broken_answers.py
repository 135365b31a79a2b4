"""What upstreams send that is no answer, each a name and the bytes.

`NO_HTTP` no client takes for one; `AMBIGUOUS` some read in one way and some in another, and ours does not read at all.
"""

NO_HTTP = {
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no status": b"HTTP/1.1 abc\r\n\r\n",
    "a status beyond": b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
    "an upgrade": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "no field": b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    "a control character": b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
}

AMBIGUOUS = {
    "HTTP/2": b"\0\0\x12\4\0\0\0\0\0" + bytes(18),
    "a TLS alert": b"\x15\3\1\0\2\2\x28",
    "HTTP/0.9": b"hello\n",
    "a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "another version": b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "a short status": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nab",
    "a long status": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nab",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks inside": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunks and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
    "a length beyond": b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nab",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nab",
    "a folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nab",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nab",
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab",
    "a carriage return alone": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nab",
    "a zero octet": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nab",
    "a field without a name": b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nab",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X: 1234567890\r\n" * 20_000,
}
