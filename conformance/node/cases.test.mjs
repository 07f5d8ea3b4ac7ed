import assert from 'node:assert/strict';
import { before, after } from 'node:test';
import { check } from '../check.mjs';
import './backups.mjs';
import { anyKey, client, closeTo, impatient, major, pc, refused, serverless, unique, withIndex } from './sdk.mjs';

let dense, dot, sparse;
const shared = [];

before(async () => {
  const made = async (shape) => {
    const name = unique('shared');
    await pc.createIndex({ name, spec: serverless(), waitUntilReady: true, ...shape });
    shared.push(name);
    return pc.index({ name });
  };
  dense = await made({ dimension: 3, metric: 'cosine' });
  dot = await made({ dimension: 3, metric: 'dotproduct' });
  sparse = await made({ metric: 'dotproduct', vectorType: 'sparse' });
});
after(async () => {
  for (const name of shared) await pc.deleteIndex(name);
});

const names = async () => (await pc.listIndexes()).indexes.map((index) => index.name);
const idsOf = (found) => found.matches.map((match) => match.id);
const THREE = [
  { id: 'x', values: [1, 0, 0], metadata: { axis: 'x' } },
  { id: 'y', values: [0, 2, 0], metadata: { axis: 'y' } },
  { id: 'xy', values: [1, 1, 0], metadata: { axis: 'both' } },
];

// --- the index control plane

for (const metric of ['cosine', 'euclidean', 'dotproduct']) {
  check(`a dense ${metric} index is described as it was created`, () =>
    withIndex({ dimension: 8, metric, tags: { env: 'test' } }, async (_, name) => {
      const found = await pc.describeIndex(name);
      assert.equal(found.name, name);
      assert.equal(found.dimension, 8);
      assert.equal(found.metric, metric);
      assert.equal(found.vectorType, 'dense');
      assert.equal(found.status.ready, true);
      assert.equal(found.status.state, 'Ready');
      assert.equal(found.deletionProtection, 'disabled');
      assert.deepEqual(found.tags, { env: 'test' });
      assert.equal(found.spec.serverless.cloud, 'aws');
      assert.ok((await names()).includes(name));
    }),
  );
}

check('a sparse index has no dimension', () =>
  withIndex({ metric: 'dotproduct', vectorType: 'sparse' }, async (_, name) => {
    const found = await pc.describeIndex(name);
    assert.equal(found.vectorType, 'sparse');
    assert.equal(found.metric, 'dotproduct');
    assert.ok(!found.dimension);
  }),
);

// From 9 on the SDK itself refuses to create pod indexes.
if (major < 9) {
  check('a pod index is created and scaled', () =>
    withIndex({ dimension: 4, metric: 'euclidean', spec: { pod: { environment: 'us-east1-gcp', podType: 'p1.x1', pods: 1, replicas: 1, shards: 1 } } }, async (index, name) => {
      await index.upsert({ records: [{ id: 'a', values: [1, 0, 0, 0] }] });
      assert.equal((await index.describeIndexStats()).totalRecordCount, 1);
      await pc.configureIndex({ name, podReplicas: 2, podType: 'p1.x2' });
      const pod = (await pc.describeIndex(name)).spec.pod;
      assert.equal(pod.replicas, 2);
      assert.equal(pod.podType, 'p1.x2');
    }),
  );
}

check('a BYOC index is created', () =>
  withIndex(
    { dimension: 4, metric: 'cosine', spec: { byoc: { environment: 'aws-us-east-1-b921', readCapacity: { mode: 'Dedicated', nodeType: 'b1', manual: { shards: 1, replicas: 1 } } } } },
    async (_, name) => assert.equal((await pc.describeIndex(name)).spec.byoc.environment, 'aws-us-east-1-b921'),
  ),
);

check('read capacity is echoed', () =>
  withIndex({ dimension: 2, metric: 'cosine', spec: serverless({ readCapacity: { mode: 'Dedicated', nodeType: 'b1', manual: { shards: 1, replicas: 2 } } }) }, async (_, name) => {
    assert.match(JSON.stringify(await pc.describeIndex(name)), /Dedicated/);
    await pc.configureIndex({ name, readCapacity: { mode: 'OnDemand' } });
    assert.match(JSON.stringify(await pc.describeIndex(name)), /OnDemand/);
  }),
);

check('tags merge, and an empty value removes one', () =>
  withIndex({ dimension: 2, metric: 'cosine', tags: { env: 'test', team: 'search' } }, async (_, name) => {
    await pc.configureIndex({ name, tags: { env: '', owner: 'me' } });
    assert.deepEqual((await pc.describeIndex(name)).tags, { team: 'search', owner: 'me' });
  }),
);

check('a protected index is not deleted', () =>
  withIndex({ dimension: 2, metric: 'cosine', deletionProtection: 'enabled' }, async (_, name) => {
    await refused(403, () => pc.deleteIndex(name), { text: 'Deletion protection is enabled for this index' });
    await pc.configureIndex({ name, deletionProtection: 'disabled' });
    assert.equal((await pc.describeIndex(name)).deletionProtection, 'disabled');
  }),
);

check('a name that is taken is a conflict, unless conflicts are suppressed', () =>
  withIndex({ dimension: 2, metric: 'cosine' }, async (_, name) => {
    await refused(409, () => pc.createIndex({ name, dimension: 2, metric: 'cosine', spec: serverless() }));
    await pc.createIndex({ name, dimension: 2, metric: 'cosine', spec: serverless(), suppressConflicts: true });
  }),
);

check('a bad name is refused and the answer says what is allowed', () =>
  refused(400, () => pc.createIndex({ name: 'Not_Allowed', dimension: 2, metric: 'cosine', spec: serverless() }), { text: 'alphanumeric character' }),
);

check('an unknown source collection is refused', () =>
  refused(400, () =>
    impatient.createIndex({ name: unique('none'), dimension: 2, metric: 'cosine', spec: { pod: { environment: 'us-east1-gcp', podType: 'p1.x1', pods: 1, sourceCollection: 'non-existent-collection' } } }),
    { byClient: true },
  ),
);

check('a dimension out of range is refused', () =>
  refused(400, () => pc.createIndex({ name: unique('none'), dimension: 20001, metric: 'cosine', spec: serverless() }), { byClient: true }),
);

check('an unknown index is not found', async () => {
  const name = unique('none');
  await refused(404, () => pc.describeIndex(name));
  await refused(404, () => pc.deleteIndex(name));
  await refused(404, () => pc.configureIndex({ name, deletionProtection: 'enabled' }));
});

if (!anyKey) {
  check('a wrong key is unauthorized on both planes', async () => {
    const wrong = client({ apiKey: 'pk_not-a-key' });
    await refused(401, () => wrong.listIndexes());
    const host = (await pc.describeIndex(shared[0])).host;
    await refused(401, () => wrong.index({ host }).query({ vector: [1, 0, 0], topK: 1 }));
  });
}

check('a deleted index is gone', async () => {
  const name = unique('gone');
  await pc.createIndex({ name, dimension: 2, metric: 'cosine', spec: serverless() });
  await pc.deleteIndex(name);
  assert.ok(!(await names()).includes(name));
  await refused(404, () => pc.describeIndex(name));
});

check('an index client from a host', async () => {
  const host = (await pc.describeIndex(shared[0])).host;
  assert.equal((await pc.Index({ host }).describeIndexStats()).dimension, 3);
});

if (major >= 9) {
  check('the operations of the index group', async () => {
    const name = unique('group');
    await pc.indexes.create({ name, schema: { fields: { _values: { type: 'dense_vector', dimension: 2, metric: 'cosine' } } }, waitUntilReady: true });
    assert.equal((await pc.indexes.describe(name)).name, name);
    assert.ok((await pc.indexes.list()).indexes.some((index) => index.name === name));
    await pc.indexes.configure(name, { tags: { a: 'b' } });
    assert.deepEqual((await pc.indexes.describe(name)).tags, { a: 'b' });
    await pc.indexes.delete(name);
    await refused(404, () => pc.indexes.describe(name));
  });

  check('a schema with document fields is not built yet', () =>
    refused(501, () => impatient.indexes.create({ name: unique('none'), schema: { fields: { body: { type: 'string', fullTextSearch: { language: 'en' } } } } })),
  );
}

// --- records

check('values and metadata come back as they were', async () => {
  const index = dense.namespace(unique('ns'));
  const metadata = { text: 'Grüße, 世界', number: 1.5, whole: 7, yes: true, no: false, list: ['a', 'b'], empty: '' };
  await index.upsert({ records: [{ id: 'a', values: [0.1, -0.25, 3e-5], metadata }] });
  const record = (await index.fetch({ ids: ['a'] })).records.a;
  closeTo(record.values, [0.1, -0.25, 3e-5], 1e-7);
  assert.deepEqual(record.metadata, metadata);
});

check('an upsert replaces the whole record, and of equal ids the last wins', async () => {
  const index = dense.namespace(unique('ns'));
  await index.upsert({ records: [{ id: 'a', values: [1, 0, 0], metadata: { old: 1 } }] });
  await index.upsert({ records: [{ id: 'a', values: [0, 0, 1] }, { id: 'a', values: [0, 1, 0] }] });
  const record = (await index.fetch({ ids: ['a'] })).records.a;
  closeTo(record.values, [0, 1, 0]);
  assert.ok(!record.metadata || Object.keys(record.metadata).length === 0);
});

check('fetch leaves out what is not there', async () => {
  const index = dense.namespace(unique('ns'));
  await index.upsert({ records: THREE });
  assert.deepEqual(Object.keys((await index.fetch({ ids: ['x', 'missing'] })).records), ['x']);
});

check('fetch by metadata, in pages', async () => {
  const index = dense.namespace(unique('ns'));
  await index.upsert({ records: Array.from({ length: 10 }, (_, n) => ({ id: `m${n}`, values: [1, 0, 0], metadata: { n } })) });
  const seen = [];
  let paginationToken;
  do {
    const page = await index.fetchByMetadata({ filter: { n: { $gte: 3 } }, limit: 3, paginationToken });
    seen.push(...Object.keys(page.records));
    paginationToken = page.pagination?.next;
  } while (paginationToken);
  assert.deepEqual(seen.sort(), ['m3', 'm4', 'm5', 'm6', 'm7', 'm8', 'm9']);
  await refused(400, () => index.fetchByMetadata({ filter: {} }), { byClient: true });
});

check('update replaces values and merges metadata', async () => {
  const index = dense.namespace(unique('ns'));
  await index.upsert({ records: [{ id: 'a', values: [1, 0, 0], metadata: { keep: 'k', change: 1 } }] });
  await index.update({ id: 'a', values: [0, 0, 1], metadata: { change: 2 } });
  const record = (await index.fetch({ ids: ['a'] })).records.a;
  closeTo(record.values, [0, 0, 1]);
  assert.deepEqual(record.metadata, { keep: 'k', change: 2 });
  await index.update({ id: 'missing', metadata: { a: 'b' } });
});

check('update by filter', async () => {
  const index = dense.namespace(unique('ns'));
  await index.upsert({ records: THREE });
  await index.update({ filter: { axis: { $in: ['x', 'y'] } }, metadata: { seen: true } });
  const { records } = await index.fetch({ ids: ['x', 'y', 'xy'] });
  assert.deepEqual([records.x, records.y, records.xy].map((r) => r.metadata.seen ?? false), [true, true, false]);
});

check('delete one, many, by filter and all', async () => {
  const index = dense.namespace(unique('ns'));
  const left = async () => idsOf(await index.query({ vector: [1, 1, 1], topK: 10 })).sort();
  await index.upsert({ records: [...THREE, { id: 'z', values: [0, 0, 1], metadata: { axis: 'z' } }] });
  await index.deleteOne({ id: 'x' });
  assert.deepEqual(await left(), ['xy', 'y', 'z']);
  await index.deleteMany({ ids: ['y', 'missing'] });
  assert.deepEqual(await left(), ['xy', 'z']);
  await index.deleteMany({ filter: { axis: 'z' } });
  assert.deepEqual(await left(), ['xy']);
  await index.deleteAll();
  assert.deepEqual(await left(), []);
});

check('delete in a namespace that never existed is not found', () => refused(404, () => dense.namespace(unique('never')).deleteMany({ ids: ['a'] })));

check('list in pages and by prefix', async () => {
  const index = dense.namespace(unique('ns'));
  const ids = Array.from({ length: 12 }, (_, n) => `doc1#${String(n).padStart(2, '0')}`);
  await index.upsert({ records: [...ids, 'doc2#00'].map((id) => ({ id, values: [1, 0, 0] })) });
  const pages = [];
  let paginationToken;
  do {
    const page = await index.listPaginated({ prefix: 'doc1#', limit: 5, paginationToken });
    pages.push(page.vectors.map((v) => v.id));
    paginationToken = page.pagination?.next;
  } while (paginationToken);
  assert.deepEqual(pages, [ids.slice(0, 5), ids.slice(5, 10), ids.slice(10)]);
});

check('stats count each namespace, and a filter is refused', async () => {
  const name = unique('ns');
  await dense.namespace(name).upsert({ records: THREE });
  const stats = await dense.describeIndexStats();
  assert.equal(stats.dimension, 3);
  assert.equal(stats.namespaces[name].recordCount, 3);
  assert.equal(stats.totalRecordCount, Object.values(stats.namespaces).reduce((sum, n) => sum + n.recordCount, 0));
  await refused(400, () => dense.describeIndexStats({ filter: { a: 'b' } }));
});

check('a wrong dimension is refused and nothing of the batch is written', async () => {
  const index = dense.namespace(unique('ns'));
  await refused(400, () => index.upsert({ records: [{ id: 'good', values: [1, 0, 0] }, { id: 'bad', values: [1, 0] }] }), {
    text: 'Vector dimension 2 does not match the dimension of the index 3',
  });
  assert.deepEqual((await index.fetch({ ids: ['good'] })).records, {});
});

for (const [label, count, dimension, bytes] of [['245 x 1536 with 2000 bytes of metadata', 245, 1536, 2000], ['100 x 3072', 100, 3072, 0]]) {
  check(`a batch of ${label} is written and found`, () =>
    withIndex({ dimension, metric: 'cosine' }, async (index) => {
      const text = 'x'.repeat(Math.max(0, bytes - '{"text":""}'.length));
      const records = Array.from({ length: count }, (_, n) => ({
        id: `r${n}`,
        values: Array.from({ length: dimension }, (_, d) => Math.sin(n * 7919 + d * 31 + 1)),
        ...(bytes ? { metadata: { text } } : {}),
      }));
      await index.upsert({ records });
      assert.equal((await index.describeIndexStats()).totalRecordCount, count);
      for (const record of [records[0], records[count - 1]]) {
        const [best] = (await index.query({ vector: record.values, topK: 1, includeValues: true, includeMetadata: true })).matches;
        assert.equal(best.id, record.id);
        closeTo([best.score], [1]);
        closeTo(best.values, record.values, 1e-6);
        if (bytes) assert.equal(best.metadata.text, text);
      }
    }),
  );
}

// --- search

check('cosine, what is included, and by id', async () => {
  const index = dense.namespace(unique('ns'));
  await index.upsert({ records: THREE });
  const found = await index.query({ vector: [2, 0, 0], topK: 3 });
  assert.deepEqual(idsOf(found), ['x', 'xy', 'y']);
  closeTo(found.matches.map((m) => m.score), [1, Math.SQRT1_2, 0]);
  assert.ok(!found.matches[0].metadata);
  const [both] = (await index.query({ vector: [2, 0, 0], topK: 1, includeValues: true, includeMetadata: true })).matches;
  closeTo(both.values, [1, 0, 0]);
  assert.deepEqual(both.metadata, { axis: 'x' });
  assert.equal(idsOf(await index.query({ id: 'y', topK: 2 }))[0], 'y');
});

check('euclidean gives the squared distance and the least first', () =>
  withIndex({ dimension: 3, metric: 'euclidean' }, async (index) => {
    await index.upsert({ records: THREE });
    const found = await index.query({ vector: [1, 0, 0], topK: 3 });
    assert.deepEqual(idsOf(found), ['x', 'xy', 'y']);
    closeTo(found.matches.map((m) => m.score), [0, 1, 5]);
  }),
);

check('sparse search', async () => {
  const index = sparse.namespace(unique('ns'));
  await index.upsert({
    records: [
      { id: 'a', sparseValues: { indices: [1, 5], values: [1, 2] } },
      { id: 'b', sparseValues: { indices: [5, 4000000000], values: [1, 1] } },
      { id: 'c', sparseValues: { indices: [9], values: [7] } },
    ],
  });
  const found = await index.query({ sparseVector: { indices: [5, 4000000000], values: [1, 3] }, topK: 10 });
  assert.deepEqual(idsOf(found), ['b', 'a']);
  closeTo(found.matches.map((m) => m.score), [4, 2]);
});

check('hybrid score is the sum of dense and sparse', async () => {
  const index = dot.namespace(unique('ns'));
  await index.upsert({
    records: [
      { id: 'dense', values: [2, 0, 0], sparseValues: { indices: [1], values: [0.5] } },
      { id: 'sparse', values: [0.5, 0, 0], sparseValues: { indices: [1, 7], values: [1, 3] } },
      { id: 'plain', values: [1, 0, 0] },
    ],
  });
  const found = await index.query({ vector: [1, 0, 0], sparseVector: { indices: [1, 7], values: [1, 1] }, topK: 3 });
  assert.deepEqual(idsOf(found), ['sparse', 'dense', 'plain']);
  closeTo(found.matches.map((m) => m.score), [4.5, 2.5, 1]);
});

const FILMS = [
  { id: 'alien', metadata: { genre: 'horror', year: 1979, seen: true, tags: ['space', 'classic'] } },
  { id: 'airplane', metadata: { genre: 'comedy', year: 1980, seen: true, tags: ['classic'] } },
  { id: 'brazil', metadata: { genre: 'drama', year: 1985, seen: false, tags: ['future'] } },
  { id: 'cube', metadata: { genre: 'horror', year: 1997 } },
];
const FILTERS = [
  [{ genre: 'horror' }, 'alien cube'],
  [{ genre: { $ne: 'horror' } }, 'airplane brazil'],
  [{ year: { $gt: 1980 } }, 'brazil cube'],
  [{ year: { $gte: 1980, $lt: 1997 } }, 'airplane brazil'],
  [{ year: { $lte: 1979 } }, 'alien'],
  [{ genre: { $in: ['comedy', 'drama'] } }, 'airplane brazil'],
  [{ genre: { $nin: ['comedy', 'drama'] } }, 'alien cube'],
  [{ tags: 'classic' }, 'airplane alien'],
  [{ seen: { $exists: false } }, 'cube'],
  [{ $and: [{ genre: 'horror' }, { seen: true }] }, 'alien'],
  [{ $or: [{ genre: 'comedy' }, { year: { $eq: 1997 } }] }, 'airplane cube'],
];
let films;
for (const [filter, expected] of FILTERS) {
  check(`filter ${JSON.stringify(filter)}`, async () => {
    if (!films) {
      films = dense.namespace(unique('films'));
      await films.upsert({ records: FILMS.map((film) => ({ ...film, values: [1, 0, 0] })) });
    }
    assert.deepEqual(idsOf(await films.query({ vector: [1, 0, 0], topK: 10, filter })).sort(), expected.split(' ').sort());
  });
}
check('an unknown operator is refused', () => refused(400, () => dense.query({ vector: [1, 0, 0], topK: 1, filter: { a: { $like: 'b' } } })));

// --- namespaces

check('namespaces: create, describe, list, delete', async () => {
  const name = unique('made');
  assert.equal((await dense.createNamespace({ name, schema: { fields: { axis: { filterable: true } } } })).name, name);
  await refused(409, () => dense.createNamespace({ name }));
  await dense.namespace(name).upsert({ records: THREE });
  assert.equal(Number((await dense.describeNamespace(name)).recordCount), 3);
  const seen = [];
  let paginationToken;
  do {
    const page = await dense.listNamespaces({ limit: 2, paginationToken });
    seen.push(...page.namespaces.map((n) => n.name));
    paginationToken = page.pagination?.next;
  } while (paginationToken);
  assert.ok(seen.includes(name));
  assert.deepEqual(seen, [...seen].sort());
  assert.deepEqual((await dense.listNamespaces({ prefix: name })).namespaces.map((n) => n.name), [name]);
  await dense.deleteNamespace(name);
  await refused(404, () => dense.describeNamespace(name));
});

for (const name of ['it docs/xxxx', 'a b', '100%25', 'q?x=y&z#f', 'plus+plus']) {
  check(`a namespace called ${name}`, async () => {
    await dense.namespace(name).upsert({ records: THREE });
    assert.equal((await dense.describeNamespace(name)).name, name);
    assert.deepEqual(idsOf(await dense.namespace(name).query({ vector: [1, 0, 0], topK: 1 })), ['x']);
    await dense.deleteNamespace(name);
    await refused(404, () => dense.describeNamespace(name));
  });
}

// --- what is not built yet

check('integrated indexes answer 501', async () => {
  const embed = { model: 'multilingual-e5-large', fieldMap: { text: 'body' } };
  const options = () => ({ name: unique('none'), cloud: 'aws', region: 'us-east-1', embed });
  await refused(501, () => impatient.createIndexForModel(options()));
  if (major >= 9) await refused(501, () => impatient.indexes.createForModel(options()));
});

check('records, imports and documents answer 501', async () => {
  const index = impatient.index({ name: shared[0] });
  const calls = [
    () => index.upsertRecords({ records: [{ _id: 'a', body: 'text' }] }),
    () => index.searchRecords({ query: { topK: 1, inputs: { text: 'a' } } }),
    () => index.startImport({ uri: 's3://bucket/folder' }),
    () => index.listImports(),
    () => index.describeImport('1'),
    () => index.cancelImport('1'),
  ];
  if (major >= 9) {
    const documents = [{ _id: 'a', body: 'text' }];
    const search = { scoreBy: [{ type: 'text', fields: ['body'], query: 'text' }], topK: 1 };
    calls.push(
      () => index.upsertDocuments({ documents }),
      () => index.searchDocuments(search),
      () => index.fetchDocuments({ ids: ['a'] }),
      () => index.updateDocuments({ documents }),
      () => index.listDocuments(),
      () => index.deleteDocuments({ ids: ['a'] }),
      () => index.documents.upsert({ documents }),
      () => index.documents.search(search),
      () => index.documents.fetch({ ids: ['a'] }),
      () => index.documents.update({ documents }),
      () => index.documents.list(),
      () => index.documents.delete({ ids: ['a'] }),
    );
  }
  for (const call of calls) await refused(501, call);
});
