"""One peer in a process of its own, told what to do by lines of JSON on stdin; each is answered by one line on stdout.

    {"do": "build"}                                         build CPU and wall seconds, resident memory
    {"do": "least", "recall": 0.95, "k": 10}                the effort with the highest speed among the least that reach it
    {"do": "run", "effort": [40], "k": 10}                  one pass over all queries: recall, speed, latencies

A process of its own keeps one peer's memory and threads out of another's figures, and lets passes of several peers alternate.
"""

import argparse
import json
import os
import resource
import sys
import time

import numpy as np

import engines

# Queries that efforts are first tried with.
PART = 400


def load(path):
    """A matrix of float32 rows from a .npy or .fvecs file."""
    if path.endswith(".npy"):
        return np.ascontiguousarray(np.load(path).astype(np.float32))
    if path.endswith((".fvecs", ".ivecs")):
        raw = np.fromfile(path, np.int32)
        rows = raw.reshape(-1, raw[0] + 1)[:, 1:]
        return np.ascontiguousarray(rows.view(np.float32) if path.endswith(".fvecs") else rows)
    raise SystemExit(f"{path}: neither .npy nor .fvecs nor .ivecs")


def unit(rows):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1, norms)


def resident_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Peer:
    def __init__(self, settings):
        self.settings = settings
        self.metric = settings.metric
        rows, queries = load(settings.base), load(settings.query)
        if settings.limit:
            queries = queries[: settings.limit]
        if self.metric == "cosine":
            rows, queries = unit(rows), unit(queries)
        self.rows, self.queries, self.count = rows, np.ascontiguousarray(queries), len(rows)
        self.truth = np.load(settings.truth)[: len(queries)] if settings.truth else engines.nearest(rows, queries, 100, self.metric)
        self.engine = engines.ALL[settings.peer]()
        self.path = settings.cache and os.path.join(settings.cache, f"{settings.peer}-{settings.set}-{self.metric}.index")

    def do(self, order):
        return {"build": self.build, "least": self.least, "run": self.run, "info": self.info}[order.pop("do")](**order)

    def info(self):
        return {"rows": self.count, "dimension": int(self.queries.shape[1]), "queries": len(self.queries)}

    def build(self):
        path, before = self.path, resident_mib()
        if path and os.path.exists(f"{path}.json"):
            self.engine.load(path, self.rows, self.metric)
            with open(f"{path}.json") as kept:
                told = json.load(kept) | {"cached": True}
        else:
            wall, cpu = time.perf_counter(), cpu_seconds()
            self.engine.build(self.rows, self.metric, self.settings.build_threads)
            told = {"build_cpu_s": cpu_seconds() - cpu, "build_wall_s": time.perf_counter() - wall, "index_mib": resident_mib() - before}
            if path:
                self.engine.save(path)
                with open(f"{path}.json", "w") as kept:
                    json.dump(told, kept)
        # The rows were needed to build; what searches is the index alone.
        self.rows = None
        return told | {"rss_mib": resident_mib()}

    def run(self, effort, k=10, queries=None):
        self.engine.effort(effort)
        query, clock = self.engine.query, time.perf_counter_ns
        rows = [self.queries[at : at + 1] for at in range(len(self.queries))][:queries]
        times, answers = np.empty(len(rows), np.int64), []
        for row in rows[:20]:
            query(row, k)
        cpu = time.process_time()
        for at, row in enumerate(rows):
            begun = clock()
            answer = query(row, k)
            times[at] = clock() - begun
            answers.append(answer)
        cpu = time.process_time() - cpu
        found = sum(len(set(answer.tolist()) & set(true[:k].tolist())) for answer, true in zip(answers, self.truth))
        micros = np.percentile(times, [50, 95, 99]) / 1e3
        return {
            "effort": effort, "k": k, "recall": found / (k * len(rows)), "qps": len(rows) / (times.sum() / 1e9),
            "p50_us": micros[0], "p95_us": micros[1], "p99_us": micros[2], "cpu_us": cpu / len(rows) * 1e6, "rss_mib": resident_mib(),
        }  # fmt: skip

    def least(self, recall, k=10):
        """Bisects on a part of the queries, keeps the fastest of the ladders, and settles its last steps on all of them."""
        kept = self.kept_efforts()
        name = f"{recall:.4f} at {k} of {len(self.queries)}"
        if name in kept:
            return self.run(kept[name], k)
        best = None
        for ladder in self.engine.ladders(k, self.count):
            low, high = 0, len(ladder) - 1
            found = self.run(ladder[high], k, PART)
            if found["recall"] < recall:
                continue
            while low < high:
                middle = (low + high) // 2
                tried = self.run(ladder[middle], k, PART)
                if tried["recall"] >= recall:
                    high, found = middle, tried
                else:
                    low = middle + 1
            if best is None or found["cpu_us"] < best["cpu_us"]:
                best = found
        if best is None:
            return {"effort": None, "k": k}
        found = self.settle(best["effort"], recall, k)
        if found["effort"] is not None:
            self.keep_effort(kept | {name: found["effort"]})
        return found

    def settle(self, effort, recall, k):
        """From an effort that nearly reaches the recall to the least that does, by steps of a fortieth."""
        step = lambda first, sign: first + sign * max(1, first // 40)
        found = self.run(effort, k)
        while found["recall"] < recall:
            effort = [step(effort[0], 1), *effort[1:]]
            if effort[0] > 2 * self.count:
                return {"effort": None, "k": k, "recall": found["recall"]}
            found = self.run(effort, k)
        while effort[0] > 1:
            lower = self.run([step(effort[0], -1), *effort[1:]], k)
            if lower["recall"] < recall:
                break
            effort, found = lower["effort"], lower
        return found

    def kept_efforts(self):
        if not self.path or not os.path.exists(f"{self.path}.efforts.json"):
            return {}
        with open(f"{self.path}.efforts.json") as kept:
            return json.load(kept)

    def keep_effort(self, efforts):
        if self.path:
            with open(f"{self.path}.efforts.json", "w") as kept:
                json.dump(efforts, kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, choices=list(engines.ALL))
    parser.add_argument("--base", required=True)
    parser.add_argument("--query", required=True)
    parser.add_argument("--truth", help="rows of neighbours, best first; computed if absent")
    parser.add_argument("--metric", default="cosine", choices=engines.METRICS)
    parser.add_argument("--limit", type=int, help="use only the first so many queries")
    parser.add_argument("--cache", help="folder to keep built indexes in")
    parser.add_argument("--set", default="set", help="name of the set, for the cache")
    parser.add_argument("--build-threads", type=int, default=1)
    peer = Peer(parser.parse_args())
    for line in sys.stdin:
        try:
            told = peer.do(json.loads(line))
        except Exception as error:  # whatever a library throws is the answer, not the end
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
