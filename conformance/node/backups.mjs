// Backups, restore jobs, schedules and collections, by every way that a version has to ask for them.
//
// With PINYON_CMEK, the id of a customer's key, every index lies under that key, and so does every backup of it.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { check } from '../check.mjs';
import { impatient, major, pc, refused, serverless, unique } from './sdk.mjs';

const NOBODYS = '8f4a3a2e-1111-4222-8333-444455556666';
const CMEK = process.env.PINYON_CMEK;
const RECORDS = Array.from({ length: 7 }, (_, n) => ({ id: `r${n}`, values: [1, n, 0.5], metadata: { n } }));

/** A request that this version of the SDK cannot make: a pod index, or an index under a key. */
async function raw(method, path, body, version = '2025-10') {
  const headers = { 'Api-Key': process.env.PINYON_KEY, 'X-Pinecone-Api-Version': version, 'Content-Type': 'application/json' };
  const answer = await fetch(process.env.PINYON_CONTROL + path, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
}

async function until(describe, status = 'Ready') {
  for (const end = Date.now() + 60_000; ; await sleep(20)) {
    const found = await describe();
    if (found.status === status) return found;
    assert.ok(['Initializing', 'Pending'].includes(found.status) && Date.now() < end, JSON.stringify(found));
  }
}

async function ready(name) {
  for (const end = Date.now() + 60_000; !(await pc.describeIndex(name)).status.ready; await sleep(20)) assert.ok(Date.now() < end);
}

async function content(name) {
  const { records } = await pc.index({ name, namespace: 'n' }).fetch({ ids: RECORDS.map((r) => r.id) });
  return Object.fromEntries(Object.entries(records).map(([id, r]) => [id, [r.values, r.metadata]]));
}

/** An index with some records. */
async function source(body) {
  const name = unique('source');
  if (CMEK) {
    const fields = { _values: { type: 'dense_vector', dimension: 3, metric: 'cosine' } };
    const deployment = { deployment_type: 'managed', cloud: 'aws', region: 'us-east-1' };
    await raw('POST', '/indexes', { name, schema: { fields }, deployment, cmek_id: CMEK }, '2026-07');
  } else {
    await pc.createIndex({ name, dimension: 3, metric: 'cosine', spec: serverless(), waitUntilReady: true });
  }
  await pc.index({ name, namespace: 'n' }).upsert({ records: RECORDS });
  try {
    await body(name);
  } finally {
    await pc.deleteIndex(name).catch(() => {});
  }
}

/** Restores by this way, waits, and compares. */
async function restored(restore, from) {
  const name = unique('restored');
  const before = await content(from);
  const made = await restore(name);
  await ready(name);
  assert.deepEqual(await content(name), before);
  assert.equal(Object.keys(before).length, RECORDS.length);
  if (CMEK) assert.equal((await raw('GET', `/indexes/${name}`, undefined, '2026-07')).cmek_id, CMEK);
  await pc.deleteIndex(name);
  return made;
}

check('a backup is made, listed, restored and deleted', () =>
  source(async (index) => {
    const made = await pc.createBackup({ indexName: index, name: 'nightly', description: 'all of it' });
    assert.equal(made.status, 'Initializing');
    const backup = await until(() => pc.describeBackup(made.backupId));
    assert.deepEqual([backup.name, backup.description, backup.sourceIndexName, backup.recordCount, backup.namespaceCount], ['nightly', 'all of it', index, 7, 1]);
    assert.ok(backup.sizeBytes > 0 && backup.createdAt);
    assert.deepEqual((await pc.listBackups({ indexName: index })).data.map((b) => b.backupId), [made.backupId]);
    assert.ok((await pc.listBackups({ limit: 100 })).data.some((b) => b.backupId === made.backupId));
    const { restoreJobId } = await restored((name) => pc.createIndexFromBackup({ backupId: made.backupId, name, tags: { by: 'test' } }), index);
    const job = await pc.describeRestoreJob(restoreJobId);
    assert.deepEqual([job.status, job.percentComplete, job.backupId], ['Completed', 100, made.backupId]);
    assert.ok((await pc.listRestoreJobs({ limit: 100 })).data.some((j) => j.restoreJobId === restoreJobId));
    await pc.deleteBackup(made.backupId);
    await refused(404, () => pc.describeBackup(made.backupId));
  }),
);

check('lists of backups go on from page to page', () =>
  source(async (index) => {
    const made = [];
    for (const name of ['a', 'b', 'c']) made.push((await pc.createBackup({ indexName: index, name })).backupId);
    const first = await pc.listBackups({ indexName: index, limit: 2 });
    assert.equal(first.data.length, 2);
    const rest = await pc.listBackups({ indexName: index, paginationToken: first.pagination.next });
    assert.deepEqual([...first.data, ...rest.data].map((b) => b.backupId).sort(), made.sort());
    for (const id of made) {
      await until(() => pc.describeBackup(id));
      await pc.deleteBackup(id);
    }
  }),
);

if (major >= 9) {
  check('backups by their own namespace, also of an index that is gone', () =>
    source(async (index) => {
      const made = await pc.backups.create(index, { name: 'nightly' });
      const backup = await until(() => pc.backups.describe(made.backupId));
      assert.equal(backup.schema.fields._values.dimension, 3);
      assert.ok((await pc.backups.list({ limit: 100 })).data.some((b) => b.backupId === made.backupId));
      const { restoreJobId } = await restored((name) => pc.backups.createIndex(made.backupId, { name, readCapacity: { mode: 'OnDemand' } }), index);
      assert.equal((await pc.restoreJobs.describe(restoreJobId)).status, 'Completed');
      assert.ok((await pc.restoreJobs.list({ limit: 100 })).data.some((j) => j.restoreJobId === restoreJobId));
      await pc.deleteIndex(index);
      await refused(404, () => pc.backups.listByIndex(index));
      const [orphan] = (await pc.backups.listByIndex(index, { includeDeleted: true })).data;
      assert.ok(orphan.backupId === made.backupId && orphan.sourceIndexDeletedAt instanceof Date);
      await pc.backups.delete(made.backupId);
      await refused(404, () => pc.backups.delete(made.backupId));
    }),
  );

  check('a schedule is made, paused, enabled again and deleted', () =>
    source(async (index) => {
      const nightly = { name: 'nightly', frequency: 'daily', retentionDays: 7 };
      const made = await pc.backupSchedules.create(index, nightly);
      assert.deepEqual([made.name, made.frequency, made.retentionExpireAfterDays, made.enabled], ['nightly', 'daily', 7, true]);
      assert.ok(made.nextScheduledRun > made.createdAt);
      const id = made.scheduleId;
      assert.deepEqual(await pc.backupSchedules.describe(id), made);
      assert.deepEqual((await pc.backupSchedules.list(index)).data, [made]);
      await refused(409, () => pc.backupSchedules.create(index, nightly));
      const [planned] = (await pc.backupSchedules.history(id)).data;
      assert.equal(planned.status, 'Scheduled');
      assert.deepEqual(planned.scheduledExecutionAt, made.nextScheduledRun);
      const paused = await pc.backupSchedules.update(id, { frequency: 'weekly', retentionDays: 30, enabled: false });
      assert.deepEqual([paused.enabled, paused.nextScheduledRun ?? null, paused.frequency], [false, null, 'weekly']);
      assert.equal((await pc.backupSchedules.update(id, { enabled: true })).enabled, true);
      const [taken] = (await pc.backupSchedules.history(id)).data;
      await until(() => pc.backups.describe(taken.backupId));
      await pc.backupSchedules.delete(id);
      await refused(404, () => pc.backupSchedules.describe(id));
      await pc.backups.delete(taken.backupId);
    }),
  );
}

check('what is not there is not found', () =>
  source(async (index) => {
    await refused(404, () => impatient.createBackup({ indexName: unique('none'), name: 'b' }));
    await refused(404, () => impatient.describeBackup(NOBODYS));
    await refused(404, () => impatient.deleteBackup(NOBODYS));
    await refused(404, () => impatient.createIndexFromBackup({ backupId: NOBODYS, name: unique('none') }));
    await refused(404, () => impatient.describeRestoreJob(NOBODYS));
    await refused(404, () => impatient.describeCollection(unique('none')));
    await refused(404, () => impatient.deleteCollection(unique('none')));
    await refused(400, () => impatient.createCollection({ name: unique('col'), source: index }));
  }),
);

check('a collection of a pod index', async () => {
  const [name, again] = [unique('pod'), unique('again')];
  const pod = { environment: 'us-east1-gcp', pod_type: 'p1.x1' };
  const create = (name, more = {}) => raw('POST', '/indexes', { name, dimension: 3, metric: 'cosine', spec: { pod: { ...pod, ...more } } });
  await create(name);
  await pc.index({ name, namespace: 'n' }).upsert({ records: RECORDS });
  const before = await content(name);
  const ways = [{
    create: (options) => pc.createCollection(options), describe: (col) => pc.describeCollection(col),
    list: () => pc.listCollections(), delete: (col) => pc.deleteCollection(col),
  }];
  if (major >= 9) {
    ways.push({
      create: (options) => pc.collections.create(options), describe: (col) => pc.collections.describe(col),
      list: () => pc.collections.list(), delete: (col) => pc.collections.delete(col),
    });
  }
  for (const way of ways) {
    const col = unique('col');
    await way.create({ name: col, source: name });
    const found = await until(() => way.describe(col));
    assert.deepEqual([found.vectorCount, found.dimension, found.environment], [7, 3, 'us-east1-gcp']);
    assert.ok((await way.list()).collections.some((c) => c.name === col));
    await refused(409, () => way.create({ name: col, source: name }));
    await create(again, { source_collection: col });
    await ready(again);
    assert.deepEqual(await content(again), before);
    await pc.deleteIndex(again);
    await way.delete(col);
    await refused(404, () => way.describe(col));
  }
  await pc.deleteIndex(name);
});
