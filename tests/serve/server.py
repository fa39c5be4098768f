"""The server as its own process, and the ways of talking to it."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

SOURCE = Path(os.environ["FOVEA_SOURCE"])
FOVEA = Path(os.environ["FOVEA_BIN"]) / "fovea"
SAMPLES = SOURCE / "datasets/samples"
COAT = SAMPLES / "coat.png"


class Server:
    def __init__(self, *arguments, before=()):
        self.process = subprocess.Popen([*before, FOVEA, "serve", "--port", "0", *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", self.address)
        if not match:
            self.process.kill()
            raise AssertionError(self.address + self.process.stderr.read())
        self.port = int(match[1])

    def connect(self, timeout=20):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()

    def post(self, path, image, **headers):
        status, _, body = self.ask("POST", path, image.read_bytes() if isinstance(image, Path) else image, headers)
        return status, json.loads(body)

    def send(self, *pieces, timeout=20):
        """Everything that comes back for these bytes until the server closes."""
        with self.connect(timeout) as connection:
            for piece in pieces:
                connection.sendall(piece)
            return read_all(connection)

    def rss(self):
        """Bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        """Of the program and the kernel for it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def alive(self):
        return self.process.poll() is None

    def stop(self, how=signal.SIGTERM):
        """Its exit code and what it wrote to the standard error."""
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.alive():
            self.process.kill()
        self.process.communicate()


def read_all(connection):
    data = b""
    while piece := connection.recv(1 << 16):
        data += piece
    return data


def statuses(data):
    return [int(code) for code in re.findall(rb"^HTTP/1\.1 (\d{3}) ", data, re.MULTILINE)]


def form(image, name="coat.png", boundary="----edge", **fields):
    """Body and headers as a browser sends them."""
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
             for key, value in fields.items()]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
                 f'Content-Type: image/png\r\n\r\n'.encode() + image + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def command(*arguments):
    run = subprocess.run([FOVEA, *arguments], capture_output=True, text=True, cwd=SAMPLES)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def add_path(folder):
    sys.path.insert(0, str(SOURCE / "tests" / folder))
