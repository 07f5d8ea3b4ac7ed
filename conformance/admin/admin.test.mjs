// The whole surface of Node's admin client, through an injected fetch: the host of its tokens is written in.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after } from "node:test";

import { check, results } from "../check.mjs";

const { AdminClient } = createRequire(`${process.env.PINYON_SDK}/package.json`)("@pinecone-database/pinecone");
const control = process.env.PINYON_CONTROL;
const fetchApi = (url, options) => fetch(String(url).replace("https://login.pinecone.io", control), options);
const open = (clientId, clientSecret) => new AdminClient({ clientId, clientSecret, controllerHostUrl: control, fetchApi });
const admin = open(process.env.PINYON_CLIENT_ID, process.env.PINYON_CLIENT_SECRET);

const called = new Set();
const operations = [];
for (const resource of ["organizations", "projects", "apiKeys", "serviceAccounts", "users", "invites", "roleBindings"]) {
  const prototype = Object.getPrototypeOf(admin[resource]);
  for (const method of Object.getOwnPropertyNames(prototype).filter((name) => name !== "constructor")) {
    const original = prototype[method];
    operations.push(`${resource}.${method}`);
    prototype[method] = function (...args) {
      called.add(`${resource}.${method}`);
      return original.apply(this, args);
    };
  }
}

const unique = (name) => `${name}-${randomUUID().slice(0, 8)}`;
const refused = async (promise, name) => assert.rejects(promise, (error) => (assert.match(error.name, name), true));

async function withProject(body) {
  const project = await admin.projects.create({ name: unique("case") });
  try {
    await body(project);
  } finally {
    await admin.projects.delete(project.id);
  }
}

check("organizations", async () => {
  const [own] = (await admin.organizations.list()).data;
  assert.equal((await admin.organizations.describe(own.id)).name, own.name);
  assert.equal((await admin.organizations.update(own.id, { name: "Trees" })).name, "Trees");
  await admin.organizations.update(own.id, { name: own.name });
  await refused(admin.organizations.delete(own.id), /FailedPrecondition|Unmapped/);
});

check("projects", async () => {
  const made = await admin.projects.create({ name: unique("project"), maxPods: 1 });
  assert.equal(made.maxPods, 1);
  assert.ok((await admin.projects.list()).data.some((p) => p.id === made.id));
  assert.equal((await admin.projects.update(made.id, { name: made.name + "-2" })).name, made.name + "-2");
  await admin.projects.delete(made.id);
  await refused(admin.projects.describe(made.id), /NotFound/);
});

check("API keys", () =>
  withProject(async (project) => {
    const made = await admin.apiKeys.create(project.id, { name: "k", roles: ["ProjectViewer"] });
    assert.ok(made.value.startsWith("pcsk_"));
    assert.deepEqual((await admin.apiKeys.list(project.id)).data.map((k) => k.id), [made.key.id]);
    assert.deepEqual((await admin.apiKeys.update(made.key.id, { roles: ["ProjectEditor"] })).roles, ["ProjectEditor"]);
    assert.deepEqual((await admin.apiKeys.describe(made.key.id)).roles, ["ProjectEditor"]);
    await admin.apiKeys.delete(made.key.id);
    await refused(admin.apiKeys.describe(made.key.id), /NotFound/);
  }));

check("service accounts", async () => {
  const made = await admin.serviceAccounts.create({ name: "ci", roleBindings: [{ resourceType: "organization", role: "OrgMember" }] });
  const { id, clientId } = made.serviceAccount;
  const theirs = open(clientId, made.clientSecret);
  assert.equal((await theirs.organizations.list()).data.length, 1);
  assert.ok((await admin.serviceAccounts.list({ limit: 100 })).data.some((a) => a.id === id));
  assert.equal((await admin.serviceAccounts.update(id, { name: "cd" })).name, "cd");
  assert.equal((await admin.serviceAccounts.describe(id)).name, "cd");
  const rotated = await admin.serviceAccounts.rotateSecret(id);
  assert.notEqual(rotated.clientSecret, made.clientSecret);
  await refused(open(clientId, made.clientSecret).organizations.list(), /./);
  await admin.serviceAccounts.delete(id);
  await refused(admin.serviceAccounts.describe(id), /NotFound/);
});

check("invites", async () => {
  const email = `${unique("ada")}@example.com`;
  const made = await admin.invites.create({ email, roleBindings: [{ resourceType: "organization", role: "OrgMember" }] });
  assert.equal(made.status, "pending");
  assert.equal((await admin.invites.describe(made.id)).email, email);
  assert.ok((await admin.invites.list()).data.some((i) => i.id === made.id));
  assert.equal((await admin.invites.resend(made.id)).id, made.id);
  await admin.invites.delete(made.id);
  await refused(admin.invites.describe(made.id), /NotFound/);
});

check("users", async () => {
  assert.deepEqual((await admin.users.list({ email: "nobody@example.com" })).data, []);
  await refused(admin.users.describe(randomUUID()), /NotFound/);
  await refused(admin.users.delete(randomUUID()), /NotFound/);
});

check("role bindings", () =>
  withProject(async (project) => {
    const { key } = await admin.apiKeys.create(project.id, { name: "k", roles: ["DataPlaneViewer"] });
    const wanted = { principalType: "api_key", principalId: key.id, resourceType: "project", resourceId: project.id };
    const made = await admin.roleBindings.create({ ...wanted, role: "ControlPlaneViewer" });
    assert.equal((await admin.roleBindings.describe(made.id)).role, "ControlPlaneViewer");
    const found = await admin.roleBindings.list({ principalType: "api_key", principalId: key.id, limit: 1 });
    assert.equal(found.data.length, 1);
    assert.ok(found.pagination.next);
    await refused(admin.roleBindings.create({ ...wanted, role: "ControlPlaneViewer" }), /Conflict/);
    await admin.roleBindings.delete(made.id);
    await refused(admin.roleBindings.describe(made.id), /NotFound/);
  }));

check("nothing is left out", async () => {
  assert.deepEqual(operations.filter((operation) => !called.has(operation)), []);
});

after(() => writeFileSync(process.env.PINYON_RESULTS, JSON.stringify({ ...results, host_from: "-", operations, covered: [...called] })));
