"""HTTP itself: methods, paths, hosts, limits, connections that misbehave."""
import json
import re
import shutil

import pytest

from server import COAT, Server, form, read_all, statuses

PNG = COAT.read_bytes()
HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"


def request(line, *headers, body=b""):
    return line + b" HTTP/1.1\r\n" + b"".join(headers) + b"\r\n" + body


def upload(*headers, path=b"/classify"):
    return request(b"POST " + path, HOST, b"Content-Length: %d\r\n" % len(PNG), *headers, body=PNG)


def test_the_page_and_its_parts(server):
    for path, kind in (("/", "text/html"), ("/viewer.css", "text/css"), ("/viewer.js", "text/javascript"),
                       ("/serve.css", "text/css"), ("/serve.js", "text/javascript"), ("/models", "application/json")):
        status, headers, body = server.ask("GET", path)
        assert status == 200 and headers["Content-Type"].startswith(kind) and len(body) > 100
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        status, head, nothing = server.ask("HEAD", path)
        assert status == 200 and nothing == b"" and head["Content-Length"] == str(len(body))


@pytest.mark.parametrize("method,path,allowed", [
    ("GET", "/classify", "POST"), ("PUT", "/classify", "POST"), ("DELETE", "/view", "POST"), ("POST", "/", "GET, HEAD"),
    ("OPTIONS", "/attention", "POST"), ("TRACE", "/", "GET, HEAD"), ("PATCH", "/models", "GET, HEAD"),
    ("BREW", "/caption", "POST"),
])
def test_wrong_methods(server, method, path, allowed):
    status, headers, body = server.ask(method, path)
    assert status == 405 and headers["Allow"] == allowed and allowed in json.loads(body)["error"]


@pytest.mark.parametrize("path", [
    b"/../../../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"//etc/passwd", b"/viewer.js/../../main.cpp", b"/viewer.js%00",
    b"/classify/", b"/favicon.ico", b"/apps/web/serve.js", b"/.", b"/;", b"http://localhost/", b"*", b"/\xff\xfe",
])
def test_no_path_leads_out(server, path):
    answer = server.send(request(b"GET " + path, HOST, CLOSE))
    assert statuses(answer) == [404] or statuses(answer) == [400]
    assert b"root:" not in answer and b"#include" not in answer


@pytest.mark.parametrize("host", [b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil.example", b"evil.example:80", b"",
                                  b"[::1", b"a b"])
def test_foreign_hosts(server, host):
    answer = server.send(request(b"GET /models", b"Host: " + host + b"\r\n", CLOSE))
    assert statuses(answer)[0] in (400, 403) and b"fovea_vit" not in answer


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:99", b"127.0.0.1:1234", b"[::1]:8080", b"192.168.0.7"])
def test_own_hosts(server, host):
    assert statuses(server.send(request(b"GET /models", b"Host: " + host + b"\r\n", CLOSE))) == [200]


@pytest.mark.parametrize("origin,status", [
    (b"http://localhost", 200), (b"http://localhost:81", 403), (b"https://localhost", 403), (b"null", 403),
    (b"http://evil.example", 403), (b"http://127.0.0.1", 403), (b"", 403),
])
def test_other_sites_cannot_post(server, origin, status):
    assert statuses(server.send(upload(b"Origin: " + origin + b"\r\n", CLOSE))) == [status]


@pytest.mark.parametrize("data,status", [
    (request(b"GET /models", CLOSE), 400),  # no host
    (request(b"GET /models", HOST, HOST, CLOSE), 400),
    (b"GET /models\r\n\r\n", 400),
    (b"GET /models HTTP/9.9\r\n" + HOST + b"\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400),  # TLS
    (b"\0" * 100, 400),
    (request(b"POST /classify", HOST, b"Content-Length: -1\r\n"), 400),
    (request(b"POST /classify", HOST, b"Content-Length: 5x\r\n"), 400),
    (request(b"POST /classify", HOST, b"Content-Length: 99999999999999999999999\r\n"), 400),
    (request(b"POST /classify", HOST, b"Content-Length: 9223372036854775807\r\n"), 413),
    (request(b"POST /classify", HOST, b"Content-Length: 5\r\n", b"Content-Length: 6\r\n"), 400),
    (request(b"POST /classify", HOST, b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"), 400),
    (request(b"POST /classify", HOST, b"Transfer-Encoding: gzip, chunked\r\n"), 501),
    (request(b"POST /classify", HOST, b"Transfer-Encoding: chunked\r\n", body=b"zz\r\n"), 400),
    (request(b"POST /classify", HOST, b"Transfer-Encoding: chunked\r\n", body=b"fffffffffffffff\r\n"), 413),
    (request(b"POST /classify", HOST, b"Content-Encoding: gzip\r\n", b"Content-Length: 0\r\n"), 415),
    (request(b"GET /models", HOST, b"X: " + b"y" * 20_000 + b"\r\n"), 431),
    (request(b"GET /models", HOST, b"x: y\r\n" * 5_000), 431),
    (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 431),
    (request(b"GET /models", HOST, b"bad header\r\n"), 400),
    (request(b"GET /models", HOST, b"X: a\0b\r\n"), 400),
    (request(b"GET /models", HOST, b"X : y\r\n"), 400),
])
def test_what_is_no_request(server, data, status):
    answer = server.send(data)
    assert statuses(answer) == [status], answer[:200]
    assert "error" in json.loads(answer.split(b"\r\n\r\n", 1)[1])


def test_chunks(server):
    pieces = [PNG[i:i + 100] for i in range(0, len(PNG), 100)]
    body = b"".join(b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    answer = server.send(request(b"POST /classify", HOST, CLOSE, b"Transfer-Encoding: chunked\r\n"), body)
    assert statuses(answer) == [200]
    endless = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    answer = server.send(request(b"POST /classify", HOST, b"Transfer-Encoding: chunked\r\n"), endless * 40)
    assert statuses(answer) == [413]


def test_many_requests_on_one_connection(server):
    """One after the other, and all at once before the first answer."""
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(upload())
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1 << 16)
            rest = int(re.search(rb"Content-Length: (\d+)", head)[1]) - len(head.split(b"\r\n\r\n", 1)[1])
            while rest > 0:
                rest -= len(connection.recv(rest))
            assert statuses(head) == [200]
    answers = server.send(upload(path=b"/classify?top_k=1") + request(b"GET /none", HOST) + upload(path=b"/classify?top_k=0") +
                          upload(CLOSE, path=b"/classify?top_k=2"))
    assert statuses(answers) == [200, 404, 400, 200]
    assert answers.count(b'"label"') == 3


def test_expect_continue(server):
    with server.connect() as connection:
        connection.sendall(request(b"POST /classify", HOST, CLOSE, b"Expect: 100-continue\r\n", b"Content-Length: %d\r\n" % len(PNG)))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(PNG)
        assert statuses(read_all(connection)) == [200]
    refused = server.send(request(b"POST /classify", HOST, b"Expect: 100-continue\r\n", b"Content-Length: 3000000\r\n"))
    assert statuses(refused) == [413]


def test_who_sends_no_more_still_gets_the_answer(server):
    with server.connect() as connection:
        connection.sendall(upload(CLOSE))
        connection.shutdown(1)
        assert statuses(read_all(connection)) == [200]


def test_who_leaves_is_forgotten(server):
    for cut in (5, 60, len(upload()) - 1):
        with server.connect() as connection:
            connection.sendall(upload()[:cut])
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(upload(path=b"/view?model=fovea_vit_fashion"))
    assert server.post("/classify", COAT)[0] == 200


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_nothing_of_a_request_reaches_the_file_system(tmp_path):
    """Every system call with a path is written down; none holds what the requests said."""
    log = tmp_path / "calls"
    with Server("--model", "fovea_vit_fashion", before=("strace", "-D", "-f", "-qq", "-e", "trace=%file", "-s", "300", "-o", str(log))) as server:
        mark = "marked-by-the-test"
        for path in (f"/{mark}", f"/../{mark}", f"/classify?model={mark}", f"/view?model=fovea_vit_fashion&method={mark}",
                     f"/caption?prompt={mark}"):
            server.ask("POST", path, PNG, {"X": mark, "Content-Type": "image/png"})
            server.ask("GET", path)
        body, headers = form(PNG, f"/tmp/{mark}.png", prompt=mark)
        server.ask("POST", "/caption", body, headers)
        body, headers = form(PNG, f"/tmp/{mark}.png")
        assert server.ask("POST", "/view", body, headers)[0] == 200
        code, _ = server.stop()
    calls = log.read_text()
    assert "fovea_vit_fashion" in calls and mark not in calls


def test_log(tmp_path):
    with Server("--model", "fovea_vit_fashion", "--verbose", "--device", "cpu") as server:
        server.post("/classify", COAT)
        server.send(request(b"GET /a%0aerror:\x7f", HOST, CLOSE))
        server.send(b"nonsense\r\n\r\n")
        _, said = server.stop()
    lines = [line for line in said.splitlines() if "127.0.0.1" in line]
    assert len(lines) == 3
    assert re.fullmatch(r"info: 127\.0\.0\.1 POST /classify 200 \d+\.\d ms", lines[0])
    assert re.fullmatch(r"info: 127\.0\.0\.1 (GET \S+|-) 40[04] \d+\.\d ms", lines[1])
    assert re.fullmatch(r"info: 127\.0\.0\.1 - 400 \d+\.\d ms", lines[2])
