// One way to drive every major version of the Node SDK, so that the cases are written once.
//
// The runner says what to connect to:
//   PINYON_SDK      folder whose node_modules holds the SDK
//   PINYON_CONTROL  URL of the control plane
//   PINYON_KEY      an API key that may do everything in its project
//   PINYON_ANY_KEY  set when the server takes any key, as `dev` does
//   PINYON_RESULTS  where to write the results
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { results } from '../check.mjs';

const folder = join(process.env.PINYON_SDK, 'node_modules/@pinecone-database/pinecone');
const sdk = createRequire(join(process.env.PINYON_SDK, 'package.json'))('@pinecone-database/pinecone');
export const version = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version.split('.').map(Number);
export const major = version[0];

const CONTROL = process.env.PINYON_CONTROL;
const KEY = process.env.PINYON_KEY;
export const anyKey = 'PINYON_ANY_KEY' in process.env;

// Groups of operations of the index control plane and the data plane that hang on a client.
const GROUPS = { Pinecone: ['indexes', 'collections', 'backups', 'restoreJobs', 'backupSchedules'], Index: ['documents'] };
// Public, but no operation of the API; and the planes that are not the index control plane nor the data plane.
const NOT_OPERATIONS = /^(constructor|_.*|getConfig|namespace|assistant|Assistant|.*Assistants?|evaluate)$/;

const called = new Set();

/** Passes everything on to the SDK's object and notes the name of each operation that a case calls. */
export function recorded(target, name) {
  return new Proxy(target, {
    get(object, property) {
      const value = object[property];
      const path = `${name}.${String(property)}`;
      if (typeof value === 'function') {
        called.add(path);
        return (...args) => {
          const result = value.apply(object, args);
          return ['index', 'Index', 'namespace'].includes(property) ? recorded(result, 'Index') : result;
        };
      }
      return (GROUPS[name] ?? []).includes(property) ? recorded(value, path) : value;
    },
  });
}

const operationsOf = (object, name) =>
  Object.getOwnPropertyNames(Object.getPrototypeOf(object))
    .filter((property) => !NOT_OPERATIONS.test(property) && typeof object[property] === 'function')
    .map((property) => `${name}.${property}`);

function allOperations() {
  const client = new sdk.Pinecone({ apiKey: 'none', controllerHostUrl: CONTROL });
  const index = major >= 8 ? client.index({ host: 'http://localhost:1' }) : client.index('none', 'http://localhost:1');
  const found = [...operationsOf(client, 'Pinecone'), ...operationsOf(index, 'Index')];
  for (const [object, name] of [[client, 'Pinecone'], [index, 'Index']]) {
    for (const group of GROUPS[name]) {
      if (object[group]) found.push(...operationsOf(object[group], `${name}.${group}`));
    }
  }
  return found.sort();
}

// What the server really said last: the SDK turns each 5xx into "retries exceeded", whatever it was.
let lastStatus = 0;
async function watchedFetch(url, init) {
  const response = await fetch(url, init);
  lastStatus = response.status;
  return response;
}

export const client = (options = {}) => recorded(new sdk.Pinecone({ apiKey: KEY, controllerHostUrl: CONTROL, fetchApi: watchedFetch, ...options }), 'Pinecone');
export const pc = client();
/** A client that does not try again after a 5xx, for what is not built yet. */
export const impatient = client({ maxRetries: 0 });

export const unique = (prefix) => `${prefix}-${randomBytes(5).toString('hex')}`;
export const serverless = (more = {}) => ({ serverless: { cloud: 'aws', region: 'us-east-1', ...more } });

const ERRORS = {
  400: ['PineconeBadRequestError'],
  401: ['PineconeAuthorizationError'],
  403: ['PineconeBadRequestError', 'PineconeForbiddenError'],
  404: ['PineconeNotFoundError'],
  409: ['PineconeConflictError'],
  413: ['PineconeUnmappedHttpError'],
  422: ['PineconeUnprocessableEntityError'],
  501: ['PineconeNotImplementedError', 'PineconeMaxRetriesExceededError'],
};

/** The call must be refused by the server with one of these statuses, and say `text`; `byClient` lets the SDK's own check pass too. */
export async function refused(status, call, { text = '', byClient = false } = {}) {
  const statuses = Array.isArray(status) ? status : [status];
  const names = statuses.flatMap((s) => ERRORS[s]);
  lastStatus = 0;
  try {
    await call();
  } catch (error) {
    if (byClient && lastStatus === 0) return;
    assert.ok(statuses.includes(lastStatus), `expected ${statuses}, got ${lastStatus}: ${error.name}: ${error.message}`);
    assert.ok(names.includes(error.name), `expected ${names}, got ${error.name}: ${error.message}`);
    assert.ok(error.message.toLowerCase().includes(text.toLowerCase()), `expected "${text}" in: ${error.message}`);
    return;
  }
  assert.fail(`expected a refusal with ${statuses}, but the call was accepted`);
}

export function closeTo(found, expected, tolerance = 1e-5) {
  assert.equal(found.length, expected.length);
  found.forEach((value, n) => assert.ok(Math.abs(value - expected[n]) <= tolerance * Math.max(1, Math.abs(expected[n])), `${found} is not ${expected}`));
}

/** Creates an index for the length of a case. */
export async function withIndex(shape, body) {
  const name = unique('case');
  await pc.createIndex({ name, spec: serverless(), waitUntilReady: true, ...shape });
  try {
    await body(pc.index({ name }), name);
  } finally {
    await pc.configureIndex({ name, deletionProtection: 'disabled' });
    await pc.deleteIndex(name);
  }
}

after(() => {
  const operations = allOperations();
  const found = { ...results, version: version.join('.'), host_from: 'describe', operations, covered: operations.filter((o) => called.has(o)) };
  if (process.env.PINYON_RESULTS) writeFileSync(process.env.PINYON_RESULTS, JSON.stringify(found));
});
