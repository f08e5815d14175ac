// What the README shows in JavaScript, run as it stands there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start } from '../lib/server.mjs';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
let server;
let folder;

before(async () => {
  server = await start();
  folder = await mkdtemp(path('../readme-')); // within this package, so that the script finds the client
});

after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

test('the journey of the README, with okta-auth-js', async () => {
  const script = await readFile(path('../../../examples/journey.mjs'), 'utf8');
  assert.ok((await readFile(path('../../../README.md'), 'utf8')).includes('```js\n' + script + '```\n'), 'the README shows another script');
  await cp(path('../../../examples/journey.mjs'), join(folder, 'journey.mjs'));

  const node = spawn(process.execPath, ['journey.mjs'], { cwd: folder, env: { ...process.env, ...server.env } });
  let output = '';
  for (const stream of [node.stdout, node.stderr]) stream.on('data', (text) => { output += text; });
  const [status] = await once(node, 'close');
  assert.equal(status, 0, output);
  for (const line of ['PENDING select-authenticator-enroll', 'PENDING authenticator-enrollment-data', 'PENDING enroll-authenticator', 'SUCCESS',
    `email: '${server.env.USERNAME}'`]) {
    assert.ok(output.includes(line), `no "${line}" in what it prints:\n${output}`);
  }
});
