"""Clients that send a mix of good and bad requests, each knowing the right answer: python mix.py prints the figures.

REQUESTS for each client: 25, or FOVEA_SERVE_REQUESTS."""
import concurrent.futures
import json
import os
import random
import statistics
import time
from dataclasses import dataclass, field

from server import COAT, SAMPLES, Server, form, statuses

REQUESTS = int(os.environ.get("FOVEA_SERVE_REQUESTS", "25"))
MODELS = ("fovea_seresnet_fashion", "fovea_vit_fashion", "fovea_swin_fashion")
PNG = COAT.read_bytes()
PICTURES = [path.read_bytes() for path in sorted(SAMPLES.glob("*.png"))]
UPLOAD_CAP = 2_000_000


@dataclass
class Result:
    wrong: list = field(default_factory=list)
    times: dict = field(default_factory=dict)  # seconds, by kind of request
    rss: int = 0
    growth: int = 0
    seconds: float = 0


def expected(server):
    """What a quiet server answers."""
    return {(path, model, i): server.ask("POST", f"{path}?model={model}", picture)[2]
            for path in ("/classify", "/view") for model in MODELS for i, picture in enumerate(PICTURES)}


def close_to(text, right):
    """The same but for the last digits of its numbers, which depend on nothing that a client sees."""
    a, b = json.loads(text), json.loads(right)
    if a == b:
        return True
    ours, theirs = a[0]["predictions"], b[0]["predictions"]
    return [p["label"] for p in ours] == [p["label"] for p in theirs] and \
        all(abs(p["score"] - q["score"]) < 1e-5 for p, q in zip(ours, theirs))


def one(server, dice, right):
    """Sends a request; the kind, whether the answer was right, and what came."""
    kind = dice.choices(("classify", "view", "form", "truncated", "oversized", "hostile", "gone"), (8, 4, 3, 2, 1, 2, 1))[0]
    model, i = dice.choice(MODELS), dice.randrange(len(PICTURES))
    picture = PICTURES[i]
    if kind in ("classify", "view"):
        status, _, body = server.ask("POST", f"/{kind}?model={model}", picture)
        return kind, status == 200 and close_to(body, right[f"/{kind}", model, i]), (status, body[:200])
    if kind == "form":
        body, headers = form(picture, "image", model=model)
        status, _, body = server.ask("POST", "/classify", body, headers)
        return kind, status == 200 and close_to(body, right["/classify", model, i]), (status, body[:200])
    if kind == "truncated":
        status, _, body = server.ask("POST", "/classify", picture[:dice.randrange(8, len(picture))])
        return kind, status == 422, (status, body[:200])
    if kind == "oversized":
        status, _, body = server.ask("POST", "/classify", picture + bytes(UPLOAD_CAP))
        return kind, status == 413, (status, body[:200])
    if kind == "hostile":
        data, codes = dice.choice((
            (b"POST /classify HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", [403]),
            (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", [404]),
            (b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", [413]),
            (dice.randbytes(300) + b"\r\n\r\n", [400]),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"x: y\r\n" * 4000 + b"\r\n", [431])))
        answer = server.send(data)
        return kind, statuses(answer) == codes, (data[:40], answer[:200])
    with server.connect() as connection:  # leaves before the answer, or before it has said all
        data = b"POST /view HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG
        connection.sendall(data[:dice.randrange(1, len(data) + 1)])
    return kind, True, None


def run(clients, requests):
    result = Result()
    with Server("--queue", "64", "--max-upload", "2", "--timeout", "30") as server:
        right = expected(server)

        def client(seed, count):
            dice = random.Random(seed)
            for _ in range(count):
                start = time.monotonic()
                kind, good, what = one(server, dice, right)
                result.times.setdefault(kind, []).append(time.monotonic() - start)
                if not good:
                    result.wrong.append((kind, what))

        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            list(pool.map(client, range(clients), [max(5, requests // 4)] * clients))  # until all memory was used once
            before = server.rss()
            result.times.clear()
            start = time.monotonic()
            list(pool.map(client, range(100, 100 + clients), [requests] * clients))
            result.seconds = time.monotonic() - start
        result.rss = server.rss()
        result.growth = result.rss - before
        if not server.alive():
            result.wrong.append(("server", "gone"))
        code, said = server.stop()
        if code != 143 or said:
            result.wrong.append(("end", (code, said)))
    return result


def main():
    result = run(clients=8, requests=REQUESTS)
    total = sum(map(len, result.times.values()))
    print(f"{total} requests in {result.seconds:.1f} s, {len(result.wrong)} wrong, "
          f"memory {result.rss / 1e6:.0f} MB, grown by {result.growth / 1e6:.1f} MB")
    print("| request | count | p50 ms | p99 ms |\n|---|---|---|---|")
    for kind, times in sorted(result.times.items()):
        cuts = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
        print(f"| {kind} | {len(times)} | {1e3 * cuts[49]:.1f} | {1e3 * cuts[98]:.1f} |")


if __name__ == "__main__":
    main()
