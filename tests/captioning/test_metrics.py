"""BLEU, ROUGE-L, CIDEr-D and METEOR against their definitions, written here once more: from the papers and, for the
small numbers, the COCO evaluation (https://github.com/salaniz/pycocoevalcap). FOVEA_CASES sets how many sets."""
import json
import math
import os
import random
import re
import subprocess
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

SETS = int(os.environ.get("FOVEA_CASES", "1000"))
TOOL = Path(os.environ["FOVEA_BIN"]) / "metrics_tool"
NOUNS = ["cat", "cats", "dog", "dogs", "apple", "apples", "boy", "running", "runs", "runner", "table", "two", "red", "the",
         "a", "of", "on", "to", "left", "sitting", "sits", "happily", "happiness", "relational", "hopping"]


def ask(**request):
    run = subprocess.run([TOOL], input=json.dumps(request) + "\n", capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def sentence(rng, low=1, high=14):
    return " ".join(rng.choice(NOUNS) for _ in range(rng.randint(low, high)))


def caption_sets(count, seed):
    rng = random.Random(seed)
    sets = []
    for _ in range(count):
        references = [sentence(rng, 3) for _ in range(rng.randint(1, 5))]
        words = rng.choice(references).split()
        for _ in range(rng.randint(0, 6)):
            words[rng.randrange(len(words))] = rng.choice(NOUNS)
        candidate = " ".join(words[:rng.randint(0, len(words) + 4)]) if rng.random() < 0.8 else sentence(rng)
        sets.append({"candidate": candidate, "references": references})
    return sets


def grams(words, n):
    return Counter(tuple(words[i:i + n]) for i in range(len(words) - n + 1))


def reference_bleu(pairs):
    matched, made = [0] * 4, [0] * 4
    length = sum(len(candidate) for candidate, _ in pairs)
    wanted = sum(min((abs(len(r) - len(c)), len(r)) for r in refs)[1] for c, refs in pairs)
    for candidate, references in pairs:
        for n in range(4):
            counts = grams(candidate, n + 1)
            limit = Counter()
            for reference in references:
                limit |= grams(reference, n + 1)
            matched[n] += sum((counts & limit).values())
            made[n] += max(0, len(candidate) - n)
    scores, product = [], 1.0
    ratio = (length + 1e-15) / (wanted + 1e-9)
    for n in range(4):
        product *= (matched[n] + 1e-15) / (made[n] + 1e-9)
        scores.append(product ** (1 / (n + 1)) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1))
    return scores


def reference_rouge(pairs):
    def lcs(a, b):
        @lru_cache(None)
        def at(i, j):
            if i == 0 or j == 0:
                return 0
            return at(i - 1, j - 1) + 1 if a[i - 1] == b[j - 1] else max(at(i - 1, j), at(i, j - 1))
        return at(len(a), len(b))

    total = 0
    for candidate, references in pairs:
        common = [lcs(tuple(candidate), tuple(reference)) for reference in references]
        p = max(c / len(candidate) for c in common) if candidate else 0
        r = max(c / len(reference) for c, reference in zip(common, references))
        total += (1 + 1.44) * p * r / (r + 1.44 * p) if p and r else 0
    return total / len(pairs)


def reference_cider(pairs):
    document = Counter()
    for _, references in pairs:
        document.update({gram for reference in references for n in range(1, 5) for gram in grams(reference, n)})
    images = math.log(len(pairs))

    def vector(words, n):
        return {gram: count * (images - math.log(max(1, document[gram]))) for gram, count in grams(words, n).items()}

    total = 0
    for candidate, references in pairs:
        score = 0
        for reference in references:
            for n in range(1, 5):
                a, b = vector(candidate, n), vector(reference, n)
                value = sum(min(weight, b[gram]) * b[gram] for gram, weight in a.items() if gram in b)
                norm = math.sqrt(sum(w * w for w in a.values())) * math.sqrt(sum(w * w for w in b.values()))
                value = value / norm if norm else value
                delta = max(0, len(candidate) - 1) - max(0, len(reference) - 1)
                score += value * math.exp(-delta**2 / 72)
        total += 10 * score / 4 / len(references)
    return total / len(pairs)


def reference_meteor(pairs, stems):
    def one(candidate, reference):
        left = list(enumerate(candidate))
        right = list(enumerate(reference))
        matches = []
        for form in (lambda word: word, lambda word: stems[word]):
            for i in reversed(range(len(left))):
                for j in reversed(range(len(right))):
                    if form(left[i][1]) == form(right[j][1]):
                        matches.append((left.pop(i)[0], right.pop(j)[0]))
                        break
        if not matches:
            return 0
        matches.sort()
        chunks = 1 + sum(b != (a[0] + 1, a[1] + 1) for a, b in zip(matches, matches[1:]))
        p, r = len(matches) / len(candidate), len(matches) / len(reference)
        return p * r / (0.9 * p + 0.1 * r) * (1 - 0.5 * (chunks / len(matches)) ** 3)

    return sum(max(one(candidate, reference) for reference in references) for candidate, references in pairs) / len(pairs)


def test_scores_of_whole_sets():
    stems = dict(zip(NOUNS, ask(stem=NOUNS)))
    for size, seed in ((SETS, 0), (1, 1), (2, 2), (7, 3)):
        sets = caption_sets(size, seed)
        pairs = [(one["candidate"].split(), [r.split() for r in one["references"]]) for one in sets]
        found = ask(sets=sets)
        assert found["bleu"] == pytest.approx(reference_bleu(pairs), abs=1e-6)
        assert found["rouge_l"] == pytest.approx(reference_rouge(pairs), abs=1e-6)
        assert found["cider_d"] == pytest.approx(reference_cider(pairs), abs=1e-6)
        assert found["meteor"] == pytest.approx(reference_meteor(pairs, stems), abs=1e-6)


def test_each_set_alone():
    for one in caption_sets(40, 5):
        pairs = [(one["candidate"].split(), [r.split() for r in one["references"]])]
        found = ask(sets=[one])
        assert found["bleu"] == pytest.approx(reference_bleu(pairs), abs=1e-6)
        assert found["rouge_l"] == pytest.approx(reference_rouge(pairs), abs=1e-6)


def test_known_scores():
    same = "a cat on the red table"
    found = ask(sets=[{"candidate": same, "references": [same]}, {"candidate": "two dogs", "references": ["two dogs"]}])
    assert found["bleu"] == pytest.approx([1, 1, 1, 1], abs=1e-6) and found["rouge_l"] == pytest.approx(1)
    assert found["meteor"] == pytest.approx((1 - 0.5 / 6**3 + 1 - 0.5 / 2**3) / 2)
    found = ask(sets=[{"candidate": "zebra", "references": ["a cat"]}])
    assert max(found["bleu"]) < 1e-5 and found["rouge_l"] == found["meteor"] == 0


# The paper's own examples, and words that meet each of its exceptions.
STEMS = {
    "caresses": "caress", "ponies": "poni", "ties": "ti", "caress": "caress", "cats": "cat", "feed": "feed",
    "agreed": "agre", "plastered": "plaster", "bled": "bled", "motoring": "motor", "sing": "sing", "conflated": "conflat",
    "troubled": "troubl", "sized": "size", "hopping": "hop", "tanned": "tan", "falling": "fall", "hissing": "hiss",
    "fizzed": "fizz", "failing": "fail", "filing": "file", "happy": "happi", "sky": "sky", "relational": "relat",
    "conditional": "condit", "rational": "ration", "valenci": "valenc", "hesitanci": "hesit", "digitizer": "digit",
    "conformabli": "conform", "radicalli": "radic", "differentli": "differ", "vileli": "vile", "analogousli": "analog",
    "vietnamization": "vietnam", "predication": "predic", "operator": "oper", "feudalism": "feudal",
    "decisiveness": "decis", "hopefulness": "hope", "callousness": "callous", "formaliti": "formal",
    "sensitiviti": "sensit", "sensibiliti": "sensibl", "triplicate": "triplic", "formative": "form",
    "formalize": "formal", "electriciti": "electr", "electrical": "electr", "hopeful": "hope", "goodness": "good",
    "revival": "reviv", "allowance": "allow", "inference": "infer", "airliner": "airlin", "gyroscopic": "gyroscop",
    "adjustable": "adjust", "defensible": "defens", "irritant": "irrit", "replacement": "replac",
    "adjustment": "adjust", "dependent": "depend", "adoption": "adopt", "homologou": "homolog", "communism": "commun",
    "activate": "activ", "angulariti": "angular", "homologous": "homolog", "effective": "effect", "bowdlerize": "bowdler",
    "probate": "probat", "rate": "rate", "cease": "ceas", "controll": "control", "roll": "roll", "at": "at", "": "",
    "opinion": "opinion", "syzygy": "syzygi",
}


def test_stems():
    assert dict(zip(STEMS, ask(stem=list(STEMS)))) == STEMS


def test_words():
    cases = {
        "A man's dog doesn't bark.": "a man 's dog does n't bark",
        "Two e-mails, (one) \"quoted\"; 3 cats!": "two e-mails one quoted 3 cats",
        "They’re here: I'm… we've we'll he'd": "they 're here i 'm we 've we 'll he 'd",
        " -- \t 'tis the dogs' - day": "tis the dogs day", "": "", "Éclair ÜBER": "éclair über",
    }
    found = ask(words=list(cases))
    assert [" ".join(words or []) for words in found] == list(cases.values())
    assert not any(re.search(r"\s", word) for words in found for word in words or [])
