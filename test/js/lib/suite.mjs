// The frame of every suite: one server per file, the seed before each test, what always holds after it.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe } from 'node:test';
import { Client, modes } from './clients.mjs';
import { bearers, check } from './document.mjs';
import { start } from './server.mjs';

// suite runs tests(house) with a server of its own. house.server and house.env are there inside the
// tests; house.client() makes clients whose whole traffic is judged when the test ends.
export function suite(name, { flags = [] } = {}, tests) {
  describe(name, () => {
    const house = {
      clients: [],
      secrets: [],
      client(mode, options) {
        const client = new Client(mode, house.env, options);
        house.clients.push(client);
        return client;
      },
      // keep makes sure that a value is in no answer of this test, and in nothing the server writes down.
      keep(secret) {
        house.secrets.push(secret);
        return secret;
      },
    };
    before(async () => {
      house.server = await start(...flags);
      house.env = house.server.env;
    });
    after(() => house.server?.stop());
    beforeEach(async () => {
      house.clients = [];
      house.secrets = [];
      await house.server.reset();
    });
    afterEach(() => {
      const written = house.server.output.replaceAll(/^.* then a text to \+\d+$/gm, ''); // the greeting tells the seeded number
      for (const client of house.clients) {
        check(client.log, house.secrets);
        for (const secret of [...bearers(client.log), ...house.secrets]) { // S-72
          assert.ok(!written.includes(secret), `the server wrote ${secret} down`);
        }
      }
    });
    tests(house);
  });
}

// inEveryMode runs tests(mode) for each way of using okta-auth-js.
export function inEveryMode(tests) {
  for (const mode of modes) describe(mode.name, () => tests(mode));
}
