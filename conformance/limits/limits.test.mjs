// What Node's SDK makes of limits: it does not try again, and the error has the server's own words.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { check, results } from '../check.mjs';

const { Pinecone } = createRequire(join(process.env.PINYON_SDK, 'package.json'))('@pinecone-database/pinecone');
const client = new Pinecone({ apiKey: process.env.PINYON_KEY, controllerHostUrl: process.env.PINYON_CONTROL });
const make = (name) => client.createIndex({ name, dimension: 2, metric: 'cosine', spec: { serverless: { cloud: 'aws', region: 'us-east-1' } } });
await make('first');
const { host } = await client.describeIndex('first');
const index = client.index({ name: 'first', host });
await index.upsert({ records: [{ id: 'a', values: [1, 0] }] });

check('a limit of a second', async () => {
  const asked = await Promise.allSettled(Array.from({ length: 40 }, () => index.query({ vector: [1, 0], topK: 1 })));
  const refused = asked.filter((one) => one.status === 'rejected');
  assert.ok(refused.length > 0 && refused.length < 40, `${refused.length} of 40 were refused`);
  for (const { reason } of refused) {
    assert.match(reason.message, /limit of 5 queries per second/);
  }
});

check('a limit that never lets anything through', async () => {
  await assert.rejects(index.deleteOne({ id: 'a' }), (error) => (assert.match(error.message, /namespace-deletes/), true));
});

check('a limit of a month', async () => {
  const upsert = () => index.upsert({ records: [{ id: 'a', values: [1, 0] }] });
  await upsert();
  await assert.rejects(upsert(), (error) => (assert.match(error.message, /limit of 6 write units per month/), true));
});

check('a quota', async () => {
  await assert.rejects(make('second'), (error) => (assert.match(error.message, /limit of 1 serverless indexes/), true));
});

after(() => writeFileSync(process.env.PINYON_RESULTS, JSON.stringify({ ...results, host_from: 'describe', operations: [], covered: [] })));
