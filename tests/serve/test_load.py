"""Slow clients, many clients, full queues, the end."""
import concurrent.futures
import signal
import socket
import subprocess
import threading
import time

import pytest

import mix
from server import COAT, FOVEA, Server, read_all, statuses
from test_protocol import CLOSE, HOST, request, upload

SLOW_VIEW = b"/view?model=fovea_vit_fashion&scores=1"


def trickle(server, data, every, stop):
    """Sends a byte now and then; returns what came back and after how many seconds."""
    start = time.monotonic()
    with server.connect() as connection:
        connection.settimeout(every)
        answer = b""
        for i in range(len(data)):
            if stop.is_set():
                break
            try:
                connection.sendall(data[i:i + 1])
                piece = connection.recv(1 << 16)
                answer += piece
                if not piece:
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return answer, time.monotonic() - start


def test_slow_clients_are_cut_and_block_nobody():
    """Some send headers byte by byte, some a body, some nothing, some take no answer."""
    with Server("--timeout", "2", "--workers", "1", "--connections", "64") as server, \
            concurrent.futures.ThreadPoolExecutor(48) as pool:
        stop = threading.Event()
        heads = [pool.submit(trickle, server, request(b"GET /models", HOST, b"X: " + b"y" * 900), 0.1, stop) for _ in range(16)]
        bodies = [pool.submit(trickle, server, upload(), 0.1, stop) for _ in range(16)]
        silent = [server.connect() for _ in range(8)]
        deaf = []
        for _ in range(4):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(upload(path=b"/view?model=fovea_vit_fashion") * 20)
            deaf.append(connection)
        for _ in range(20):  # each waits 20 seconds; the slow ones after each other would keep the one worker for 64
            assert server.post("/classify", COAT)[0] == 200
        for slow in heads + bodies:
            answer, seconds = slow.result(timeout=60)
            assert statuses(answer) == [408] and 1.5 < seconds < 45  # all of it takes 90 seconds
        for connection in silent:
            connection.settimeout(20)
            assert connection.recv(10) == b""  # closed without a word
            connection.close()
        for connection in deaf:
            connection.close()
        stop.set()
        assert server.post("/classify", COAT)[0] == 200


def test_a_full_queue_says_so():
    with Server("--workers", "1", "--queue", "1") as server, concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: server.send(upload(CLOSE, path=SLOW_VIEW)), range(10)))
        codes = [statuses(answer)[0] for answer in answers]
        assert set(codes) == {200, 503} and codes.count(200) >= 2
        assert all(b"Retry-After: 1\r\n" in answer for answer in answers if statuses(answer) == [503])
        assert server.post("/classify", COAT)[0] == 200


def test_too_many_connections():
    with Server("--connections", "3") as server:
        waiting = [server.connect() for _ in range(3)]  # taken in the order in which they come
        assert statuses(server.send(upload())) == [503]
        for connection in waiting:
            connection.close()
        deadline = time.monotonic() + 20
        while (answer := statuses(server.send(upload(CLOSE)))) != [200]:
            assert answer == [503] and time.monotonic() < deadline


@pytest.mark.parametrize("how,code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_end(how, code):
    """What is being answered is answered; idle connections close; nothing new is taken."""
    with Server("--workers", "1") as server:
        idle = server.connect()
        with server.connect() as busy:
            before = server.cpu_seconds()
            busy.sendall(upload(path=SLOW_VIEW))
            while server.cpu_seconds() < before + 0.05:  # then it is at work on it
                time.sleep(0.01)
            server.process.send_signal(how)
            assert statuses(read_all(busy)) == [200]
        assert idle.recv(10) == b""
        assert server.process.wait(timeout=20) == code
        assert server.process.stderr.read() == ""
        with pytest.raises(OSError):
            server.connect(timeout=1)


@pytest.mark.parametrize("arguments,code,cause", [
    (["--port", "{port}"], 4, "127.0.0.1:{port}: Address already in use"),
    (["--port", "70000"], 2, "--port: expected an integer of 0 to 65535"),
    (["--host", "example.com"], 2, "--host: expected an address of this machine or localhost, got example.com"),
    (["--host", "203.0.113.7"], 4, "203.0.113.7:8080: "),
    (["--workers", "0"], 2, "--workers"),
    (["--model", "fovea_vit_fashion", "--also", "fovea_vit_fashion"], 2, "there is a network fovea_vit_fashion already"),
    (["--also", "vit_tiny_patch16_224"], 2, "needs --weights"),
])
def test_refused_at_the_start(server, arguments, code, cause):
    run = subprocess.run([FOVEA, "serve", *(a.format(port=server.port) for a in arguments)], capture_output=True, text=True,
                         timeout=60)
    assert run.returncode == code and run.stdout == "" and run.stderr.count("\n") == 1
    assert cause.format(port=server.port) in run.stderr


def test_eight_clients():
    """Good, broken, oversized and hostile requests at once: no wrong answer, memory flat."""
    result = mix.run(clients=8, requests=mix.REQUESTS)
    assert result.wrong == []
    assert result.growth < 0.05 * result.rss + 8e6, (result.growth, result.rss)
