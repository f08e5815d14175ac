// The page of docs/integrating.md that signs in by redirect with okta-auth-js: shown by a server, opened in a browser.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start } from '../../js/lib/server.mjs';
import { Person, launch } from '../person.mjs';

const library = join(dirname(createRequire(import.meta.url).resolve('@okta/okta-auth-js/package.json')), 'dist/okta-auth-js.min.js');
let server;
let browser;
let site;

before(async () => {
  server = await start();
  browser = await launch();
  const text = await readFile(fileURLToPath(new URL('../../../examples/redirect.html', import.meta.url)), 'utf8');
  const names = { ISSUER: server.env.ISSUER, CLIENT_ID: server.env.CLIENT_ID_1FA };
  const page = text.replaceAll(/{{(\w+)}}/g, (_, name) => names[name]);
  const script = await readFile(library);
  site = createServer((request, response) => {
    const isScript = request.url === '/okta-auth-js.min.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : page);
  });
  await new Promise((ready) => site.listen(0, '127.0.0.1', ready));
});

after(async () => {
  await browser?.close();
  site?.close();
  site?.closeAllConnections();
  await server?.stop();
});

test('okta-auth-js, by redirect', async () => {
  const person = await Person.arrive(browser);
  try {
    await person.page.goto(`http://localhost:${site.address().port}/`);
    await person.page.getByRole('button', { name: 'Sign in' }).click();
    await person.signIn(server.env.USERNAME_1FA, server.env.PASSWORD_1FA);
    await person.page.getByText('Hello, Olivia Ortega.').waitFor();
    await person.page.reload();
    await person.page.getByText('Hello, Olivia Ortega.').waitFor();
    assert.deepEqual(person.troubles, []);
  } finally {
    await person.leave();
  }
});
