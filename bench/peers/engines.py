"""The peers: libraries that answer the same question in the same process, one class each.

Every class builds from unit-length or raw float32 rows, takes an effort, and answers one query on one thread. An effort is a
list of whole numbers, so that it can be sent and repeated; `ladder` gives the efforts to try, each list in rising order of work.
"""

import math

import numpy as np

METRICS = ("cosine", "dotproduct", "euclidean")


def nearest(rows, queries, k, metric, block=4096):
    """Exact neighbours as a queries x k array of row numbers, best first, ties by row."""
    out = np.empty((len(queries), k), np.int32)
    norms = (rows.astype(np.float64) ** 2).sum(1) if metric == "euclidean" else None
    step = max(1, (256 << 20) // (8 * len(rows)))
    for first in range(0, len(queries), step):
        scores = (queries[first : first + step] @ rows.T).astype(np.float64)
        if norms is not None:
            scores = 2 * scores - norms
        part = np.argpartition(-scores, min(k, scores.shape[1] - 1), 1)[:, :k]
        picked = np.take_along_axis(scores, part, 1)
        for line in range(len(part)):
            out[first + line] = part[line][np.lexsort((part[line], -picked[line]))]
    return out


def _ladder(least, most, ratio=1.25):
    """Whole numbers from least to most, each at least one more and about `ratio` times the last."""
    rungs, at = [], float(least)
    while at < most:
        if not rungs or int(at) > rungs[-1]:
            rungs.append(int(at))
        at = max(at * ratio, at + 1)
    return rungs + [most]


class Hnswlib:
    """hnswlib with M 16 and ef_construction 200: the graph that most others are measured against."""

    name = "hnswlib"

    def build(self, rows, metric, threads):
        import hnswlib

        space = {"cosine": "ip", "dotproduct": "ip", "euclidean": "l2"}[metric]
        self.index = hnswlib.Index(space, rows.shape[1])
        self.index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=100)
        self.index.add_items(rows, num_threads=threads)
        self.index.set_num_threads(1)

    def ladders(self, k, count):
        return [[[ef] for ef in _ladder(k, min(count, 4096))]]

    def effort(self, effort):
        self.index.set_ef(effort[0])

    def query(self, row, k):
        return self.index.knn_query(row, k, num_threads=1)[0][0]

    def save(self, path):
        self.index.save_index(path)

    def load(self, path, rows, metric):
        import hnswlib

        space = {"cosine": "ip", "dotproduct": "ip", "euclidean": "l2"}[metric]
        self.index = hnswlib.Index(space, rows.shape[1])
        self.index.load_index(path)
        self.index.set_num_threads(1)


class _Faiss:
    def _module(self):
        import faiss

        return faiss

    def _metric(self, metric):
        faiss = self._module()
        return faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT

    def query(self, row, k):
        return self.index.search(row, k)[1][0]

    def save(self, path):
        self._module().write_index(self.index, path)

    def load(self, path, rows, metric):
        self.index = self._module().read_index(path)
        self._prepared()

    def _prepared(self):
        self._module().omp_set_num_threads(1)


class FaissHnsw(_Faiss):
    """faiss' own HNSW with the same two parameters."""

    name = "faiss-hnsw"

    def build(self, rows, metric, threads):
        faiss = self._module()
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexHNSWFlat(rows.shape[1], 16, self._metric(metric))
        self.index.hnsw.efConstruction = 200
        self.index.add(rows)
        self._prepared()

    def ladders(self, k, count):
        return [[[ef] for ef in _ladder(k, min(count, 4096))]]

    def effort(self, effort):
        self.index.hnsw.efSearch = effort[0]


class _FaissLists(_Faiss):
    """Inverted lists with codes, and a second pass over the exact rows."""

    REFINE = (2, 4, 8, 16)

    def code(self, dimension):
        raise NotImplementedError

    def build(self, rows, metric, threads):
        faiss = self._module()
        faiss.omp_set_num_threads(threads)
        lists = 2 ** round(math.log2(3 * math.sqrt(len(rows))))
        self.index = faiss.index_factory(rows.shape[1], f"IVF{lists},{self.code(rows.shape[1])},RFlat", self._metric(metric))
        self.index.train(rows)
        self.index.add(rows)
        self._prepared()

    def _prepared(self):
        super()._prepared()
        self.lists = self._module().extract_index_ivf(self._base())

    def _base(self):
        faiss = self._module()
        return faiss.downcast_index(self.index.base_index)

    def ladders(self, k, count):
        return [[[probes, refine] for probes in _ladder(1, self.lists.nlist)] for refine in self.REFINE]

    def effort(self, effort):
        self.lists.nprobe = effort[0]
        self.index.k_factor = effort[1]


class FaissIvfPq(_FaissLists):
    """4-bit product quantizer scanned in registers."""

    name = "faiss-ivfpq"

    def code(self, dimension):
        return f"PQ{dimension // 2}x4fs"


class FaissIvfRabitq(_FaissLists):
    """One bit a dimension, scanned in registers."""

    name = "faiss-ivfrabitq"
    REFINE = (4, 8, 16, 32, 64)

    def code(self, dimension):
        return "RaBitQfs"


class Usearch:
    """usearch's HNSW on float32 rows, with the same two parameters."""

    name = "usearch"

    def build(self, rows, metric, threads):
        from usearch.index import Index

        self.index = Index(ndim=rows.shape[1], metric="l2sq" if metric == "euclidean" else "ip", dtype="f32", connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(rows)), rows, threads=threads)

    def ladders(self, k, count):
        return [[[ef] for ef in _ladder(k, min(count, 8192))]]

    def effort(self, effort):
        self.index.expansion_search = effort[0]

    def query(self, row, k):
        return self.index.search(row[0], k, threads=1).keys

    def save(self, path):
        self.index.save(path)

    def load(self, path, rows, metric):
        from usearch.index import Index

        self.index = Index.restore(path)


class SvsVamana:
    """Scalable Vector Search: a Vamana graph over float32 rows."""

    name = "svs-vamana"

    def build(self, rows, metric, threads):
        import svs

        parameters = svs.VamanaBuildParameters(graph_max_degree=32, window_size=200)
        distance = svs.DistanceType.L2 if metric == "euclidean" else svs.DistanceType.MIP
        # By default alpha is 1.2 for distances and 0.95 for inner products.
        self.index = svs.Vamana.build(parameters, rows, distance, num_threads=threads)
        self.index.num_threads = 1

    def ladders(self, k, count):
        return [[[window] for window in _ladder(k, min(count, 4096))]]

    def effort(self, effort):
        self.index.search_window_size = effort[0]

    def query(self, row, k):
        return self.index.search(row, k)[0][0]

    def save(self, path):
        self.index.save(f"{path}.config", f"{path}.graph", f"{path}.data")

    def load(self, path, rows, metric):
        import svs

        distance = svs.DistanceType.L2 if metric == "euclidean" else svs.DistanceType.MIP
        self.index = svs.Vamana(f"{path}.config", svs.GraphLoader(f"{path}.graph"), svs.VectorDataLoader(f"{path}.data", svs.float32), distance, num_threads=1)


ALL = {peer.name: peer for peer in (Hnswlib, FaissHnsw, FaissIvfPq, FaissIvfRabitq, Usearch, SvsVamana)}
