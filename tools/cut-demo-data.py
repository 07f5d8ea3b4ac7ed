#!/usr/bin/env python3
"""Cuts the data set of `pinyon demo` out of the full WordNet set.

    tools/cut-demo-data.py SOURCE_FOLDER [TARGET_FOLDER]

SOURCE_FOLDER holds the 117,659 WordNet entries as `wordnet.base.jsonl.gz`, their embeddings as a NumPy array of
float16, 2,000 query sentences with theirs, and the exact nearest rows of each query. The cut is deterministic: the
same source gives the same bytes. It needs the Python standard library alone.

What is taken, in the order of the source:
  1. for each query below, its 100 exact nearest entries, so that a search of the cut answers as a search of the whole;
  2. the first entries of the (randomly ordered) source, until ROWS are there, so that the rest is a fair sample.
"""

import array
import gzip
import json
import shutil
import struct
import sys
from pathlib import Path

ROWS = 4800
DIMENSION = 384

# Row numbers of sentences whose own entry is their nearest one, from different corners of the dictionary.
QUERIES = [
    1565,  # a tempest swept over the island
    1131,  # a semiarid region with little annual rainfall
    31,  # we were part of a caravan of almost a thousand camels
    1749,  # the florist made up an attractive bouquet
    374,  # understanding protein folding is the next step in deciphering the genetic code
    261,  # a disgruntled employee planted a logic bomb
    1343,  # the spruce bark beetle is the major tree-killing insect pest of Alaska spruce forests
    116,  # Nunavut is the homeland of the Inuit people
    1821,  # boys who once pulled rickshaws now pedal pedicabs
    1827,  # the Spanish ships had superior speed and weatherliness
    540,  # there was a round of applause
    1776,  # the main body of the sound ran parallel to the coast
]


class Npy:
    """A two-dimensional little-endian NumPy file, read a row at a time."""

    def __init__(self, path, descr, item_bytes):
        self.file = open(path, "rb")
        head = self.file.read(10)
        if head[:8] != b"\x93NUMPY\x01\x00":
            sys.exit(f"{path}: not a NumPy file of format 1.0")
        (length,) = struct.unpack("<H", head[8:10])
        header = self.file.read(length).decode("latin-1")
        if f"'descr': '{descr}'" not in header or "'fortran_order': False" not in header:
            sys.exit(f"{path}: expected rows of {descr}, found {header.strip()}")
        shape = header.split("'shape': (")[1].split(")")[0].split(",")
        self.rows, self.columns = int(shape[0]), int(shape[1])
        self.start, self.row_bytes = 10 + length, self.columns * item_bytes

    def row(self, number):
        self.file.seek(self.start + number * self.row_bytes)
        data = self.file.read(self.row_bytes)
        if len(data) != self.row_bytes:
            sys.exit(f"row {number} is cut short")
        return data


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent.parent / "crates/server/demo"
    target.mkdir(parents=True, exist_ok=True)

    base = lines(source / "wordnet.base.jsonl.gz")
    queries = lines(source / "wordnet.query.jsonl.gz")
    base_vectors = Npy(source / "wordnet-minilm-384.base.f16.npy", "<f2", 2)
    query_vectors = Npy(source / "wordnet-minilm-384.query.f16.npy", "<f2", 2)
    nearest = Npy(source / "wordnet-minilm-384.gt-cosine.i32.npy", "<i4", 4)
    if base_vectors.columns != DIMENSION or query_vectors.columns != DIMENSION:
        sys.exit(f"expected vectors of {DIMENSION} values")
    if base_vectors.rows != len(base) or query_vectors.rows != len(queries) or nearest.rows != len(queries):
        sys.exit("texts and vectors do not have the same number of rows")

    taken = set()
    for query in QUERIES:
        rows = array.array("i", nearest.row(query))
        if sys.byteorder == "big":
            rows.byteswap()
        taken.update(rows)
    for row in range(len(base)):
        if len(taken) == ROWS:
            break
        taken.add(row)

    with open(target / "entries.jsonl", "w", encoding="utf-8", newline="\n") as out:
        for row in sorted(taken):
            out.write(json.dumps(json.loads(base[row]), ensure_ascii=False, separators=(",", ":")) + "\n")
    with open(target / "entries.f16", "wb") as out:
        for row in sorted(taken):
            out.write(base_vectors.row(row))
    with open(target / "queries.jsonl", "w", encoding="utf-8", newline="\n") as out:
        for row in QUERIES:
            out.write(json.dumps(json.loads(queries[row]), ensure_ascii=False, separators=(",", ":")) + "\n")
    with open(target / "queries.f16", "wb") as out:
        for row in QUERIES:
            out.write(query_vectors.row(row))
    shutil.copyfile(source / "LICENSE-wordnet.txt", target / "LICENSE-wordnet.txt")
    print(f"{len(taken)} entries and {len(QUERIES)} queries of {DIMENSION} values written to {target}")


if __name__ == "__main__":
    main()
