// A program as people write it for Pinecone Local. It runs unmodified against `pinyon dev`.
import { Pinecone } from '@pinecone-database/pinecone';

const pc = new Pinecone({ apiKey: 'pclocal', controllerHostUrl: 'http://localhost:5080' });
const name = 'emulator-node';
await pc.createIndex({ name, dimension: 2, metric: 'cosine', spec: { serverless: { cloud: 'aws', region: 'us-east-1' } }, waitUntilReady: true });

const host = (await pc.describeIndex(name)).host;
const index = pc.index(name, 'http://' + host);
await index.namespace('example-namespace').upsert([
  { id: 'vec1', values: [1.0, -2.5], metadata: { genre: 'drama' } },
  { id: 'vec2', values: [3.0, -2.0], metadata: { genre: 'documentary' } },
]);
const answer = await index.namespace('example-namespace').query({ vector: [3.0, -2.0], filter: { genre: { $eq: 'documentary' } }, topK: 1, includeMetadata: true });
if (answer.matches[0]?.id !== 'vec2') throw new Error(JSON.stringify(answer));
await pc.deleteIndex(name);
console.log('ok');
