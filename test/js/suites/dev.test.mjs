// What `latchkey dev` gives to tests: codes known beforehand, an outbox that waits, the seed back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modes } from '../lib/clients.mjs';
import { codeIn } from '../lib/server.mjs';
import * as steps from '../lib/steps.mjs';
import { suite } from '../lib/suite.mjs';
import { number, toEnrollCode } from '../lib/walk.mjs';

suite('the means of play', {}, (house) => {
  const mode = modes[0];

  test('the env file says everything that a test needs', () => {
    const names = ['LATCHKEY_URL', 'ISSUER', 'CLIENT_ID', 'WEB_CLIENT_ID', 'WEB_CLIENT_SECRET', 'REDIRECT_URI', 'USERNAME', 'PASSWORD',
      'USERNAME_ENROLLED', 'PASSWORD_ENROLLED', 'PHONE_ENROLLED', 'CLIENT_ID_1FA', 'USERNAME_1FA', 'PASSWORD_1FA', 'CLIENT_ID_OPTIONAL',
      'CLIENT_ID_IDFIRST', 'OUTBOX_URL', 'SIGNIN_URL', 'CONTROL_URL'];
    for (const name of names) assert.ok(house.env[name], name);
    assert.equal(house.env.ISSUER, `${house.env.LATCHKEY_URL}/oauth2/default`);
  });

  test('a code pinned to a pattern of numbers', async () => {
    const { server } = house;
    await server.control('PUT', 'codes', { pattern: '+1555*', code: '424242' });
    const client = house.client(mode);
    await toEnrollCode(client);
    assert.equal(await server.code(number), '424242');
    client.success(await client.enrollCode('424242'));
  });

  test('the outbox waits for a text', async () => {
    const { server, env } = house;
    const waiting = fetch(`${env.OUTBOX_URL}?to=${encodeURIComponent(number)}&wait=5s`, { headers: { accept: 'application/json' } });
    await toEnrollCode(house.client(mode));
    const [text] = await (await waiting).json();
    assert.deepEqual(Object.keys(text).sort(), ['body', 'channel', 'id', 'sent_at', 'to']);
    assert.equal(text.channel, 'sms');
    assert.equal(text.to, number);
    assert.ok(!Number.isNaN(Date.parse(text.sent_at)));
    assert.equal(codeIn(text.body), await server.code(number));
    assert.match(text.body, new RegExp(`@\\S+ #${codeIn(text.body)}$`), 'S-15: bound to the origin, for autofill');
  });

  test('reset brings the seed back', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toEnrollCode(client);
    client.success(await client.enrollCode(await server.code(number)));
    await server.reset();
    const again = house.client(mode);
    await again.begin();
    again.pending(await again.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
  });
});
