#!/usr/bin/env python3
"""Writes unicode_tables.cpp: what the tokenizers package says of each character. Run where it is installed:

    python captioning/tokenizers/make_unicode_tables.py > captioning/tokenizers/unicode_tables.cpp
"""
import unicodedata

import tokenizers
from tokenizers import normalizers, pre_tokenizers

CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
WIDTH = 120


def bert(**options):
    settings = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**settings, **options}).normalize_str


def splits(splitter, text):
    return len(splitter.pre_tokenize_str(text))


def classes():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bert_splitter, clean, apart, stripped = (
        pre_tokenizers.BertPreTokenizer(), bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True))
    found = {name: [] for name in ("letter", "number", "space", "white", "punctuation", "control", "clean_space",
                                   "ideograph", "removed_mark")}
    for c in CHARACTERS:
        # A run of one class is one word.
        if splits(byte_level, "a" + c) == 1:
            found["letter"].append(c)
        elif splits(byte_level, "1" + c) == 1:
            found["number"].append(c)
        elif splits(byte_level, "!" + c) == 2:
            found["space"].append(c)
        words = [word for word, _ in bert_splitter.pre_tokenize_str("a" + c + "a")]
        if words == ["a", c, "a"]:
            found["punctuation"].append(c)
        elif words == ["a", "a"]:
            found["white"].append(c)
        elif words != ["a" + c + "a"]:
            raise SystemExit(f"U+{ord(c):04X}: {words}")
        if clean(c) == "":
            found["control"].append(c)
        elif clean(c) == " " and c != " ":
            found["clean_space"].append(c)
        if apart(c) == f" {c} ":
            found["ideograph"].append(c)
        if stripped(c) == "":
            found["removed_mark"].append(c)
    return found


def mappings(function, skip=lambda c: False):
    return [(c, function(c)) for c in CHARACTERS if not skip(c) and function(c) not in (c, "")]


def hangul(c):
    return 0xAC00 <= ord(c) <= 0xD7A3


def kept_marks():
    """Marks that stripping keeps although decomposition puts them in order, with their classes. The package's marks and
    its classes are of two versions of Unicode, so a class is found by what a character changes places with."""
    nfd, stripped = normalizers.NFD().normalize_str, bert(strip_accents=True)
    known = {unicodedata.combining(chr(code)): chr(code) for code in range(0x300, 0x1000)
             if unicodedata.combining(chr(code)) and nfd(chr(code)) == chr(code)}
    least, most = known[1], known[max(known)]
    marks = []
    for c in CHARACTERS:
        if stripped(c) != c or (nfd(c + least) == c + least and nfd(most + c) == most + c):
            continue
        same = [order for order, mark in known.items() if nfd(c + mark) == c + mark and nfd(mark + c) == mark + c]
        if len(same) != 1:  # of a class that no other mark has: any number between its neighbours does
            below = max(order for order, mark in known.items() if nfd(c + mark) != c + mark)
            same = [below + 1]
            assert same[0] not in known, hex(ord(c))
        marks.append((c, same[0]))
    return marks


def ranges(characters):
    result = []
    for code in map(ord, characters):
        if result and code in (result[-1][1] + 1, 0xE000 if result[-1][1] == 0xD7FF else -1):
            result[-1][1] = code
        else:
            result.append([code, code])
    return result


def table(type_name, name, items):
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH:
            lines.append(line)
            line = "   "
        line += f" {item},"
    lines.append(line)
    print(f"constexpr {type_name} {name}[] = {{\n" + "\n".join(lines) + "\n};\n")


def main():
    found = classes()
    stripped = bert(strip_accents=True)
    assert all(stripped(chr(code)) == unicodedata.normalize("NFD", chr(code)) for code in range(0xAC00, 0xD7A4))
    print(f"// Written by make_unicode_tables.py from tokenizers {tokenizers.__version__}.")
    print("// clang-format off\n#include \"fovea/captioning/tokenizers/unicode.h\"\n\nnamespace fovea::unicode_tables {\nnamespace {\n")
    for name, characters in found.items():
        table("Range", f"{name}_ranges", [f"{{{a:#x}, {b:#x}}}" for a, b in ranges(characters)])
    for name, rows in (("lower_mappings", mappings(bert(lowercase=True))), ("decomposed_mappings", mappings(stripped, hangul))):
        assert max(len(to) for _, to in rows) <= 3
        table("Mapping", name, [f"{{{ord(c):#x}, {{{', '.join(f'{ord(part):#x}' for part in to)}}}}}" for c, to in rows])
    table("Order", "mark_orders", [f"{{{ord(c):#x}, {order}}}" for c, order in kept_marks()])
    print("}  // namespace\n\nstd::span<const Range> ranges(CharacterClass wanted) {\n  switch (wanted) {")
    for name in found:
        print(f"    case CharacterClass::{name}:\n      return {name}_ranges;")
    print("  }\n  return {};\n}\nstd::span<const Mapping> lower() { return lower_mappings; }\n"
          "std::span<const Mapping> decomposed() { return decomposed_mappings; }\n"
          "std::span<const Order> kept_marks() { return mark_orders; }\n\n}  // namespace fovea::unicode_tables")


if __name__ == "__main__":
    main()
