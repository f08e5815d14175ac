// The application of docs/integrating.md that mounts the pages: built, started, and signed in to.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { suite } from '../lib/suite.mjs';

const top = fileURLToPath(new URL('../../../', import.meta.url));
let folder;
const apps = new Set();
process.on('exit', () => { for (const app of apps) app.kill('SIGKILL'); });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-pages-'));
  execFileSync('go', ['build', '-o', join(folder, 'pages'), './examples/pages'], { cwd: top });
});

after(async () => {
  for (const app of apps) app.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

// free is an address that nobody listens at.
async function free() {
  const listener = createServer();
  await new Promise((ready) => listener.listen(0, '127.0.0.1', ready));
  const address = `127.0.0.1:${listener.address().port}`;
  await new Promise((done) => listener.close(done));
  return address;
}

async function run(env) {
  const address = await free();
  const app = spawn(join(folder, 'pages'), { env: { ...process.env, ...env, APP_URL: `http://${address}`, LISTEN: address }, stdio: 'inherit' });
  apps.add(app);
  for (let tries = 0; tries < 200; tries++) {
    if (await fetch(`http://${address}/callback`, { redirect: 'manual' }).catch(() => undefined)) return { app, url: `http://${address}/` };
    await new Promise((next) => setTimeout(next, 25));
  }
  throw new Error('the application does not answer');
}

suite('an application with its own pages', [], (each) => {
  each('signs somebody in', async ({ v, server, env }) => {
    const { app, url } = await run(env);
    try {
      await v.open(url);
      await v.signIn(env.USERNAME_ENROLLED, env.PASSWORD_ENROLLED);
      await v.press('Send code');
      await v.reads('Enter your code');
      await v.code(await server.code(env.PHONE_ENROLLED));
      await v.page.getByRole('heading', { name: 'Hello, Paul Poole.' }).waitFor();
      assert.equal(v.page.url(), url);
    } finally {
      app.kill('SIGKILL');
      apps.delete(app);
    }
  }, { where: (host) => host.axe });
});
