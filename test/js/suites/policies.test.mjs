// Applications that ask for less: a password alone, or a phone for those who like.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as messages from '../lib/messages.mjs';
import * as steps from '../lib/steps.mjs';
import { inEveryMode, suite } from '../lib/suite.mjs';
import { number } from '../lib/walk.mjs';

suite('a password is enough', {}, (house) => inEveryMode((mode) => {
  test('one step, and the token says that it was one', async () => {
    const { env } = house;
    const client = house.client(mode, { clientId: env.CLIENT_ID_1FA });
    await client.begin();
    const { idToken } = client.success(await client.identify(env.USERNAME_1FA, env.PASSWORD_1FA));
    assert.deepEqual(idToken.claims.amr, ['pwd']);
    assert.equal(idToken.claims.aud, env.CLIENT_ID_1FA);
    const { successWithInteractionCode: issue } = client.last('identify').body;
    assert.deepEqual(issue.value.map(({ name }) => name), ['grant_type', 'interaction_code', 'client_id', 'code_verifier']);
    assert.equal(issue.accepts, 'application/x-www-form-urlencoded');
  });

  test('but it is asked for', async () => {
    const { env } = house;
    const client = house.client(mode, { clientId: env.CLIENT_ID_1FA });
    await client.begin();
    client.pending(await client.identify(env.USERNAME_1FA, 'nope'), steps.identify, { messages: messages.wrongPassword });
  });

  test('a password alone does not open the application that asks for both', async () => {
    const { env } = house;
    const one = house.client(mode, { clientId: env.CLIENT_ID_1FA });
    await one.begin();
    one.success(await one.identify(env.USERNAME, env.PASSWORD));
    const both = house.client(mode);
    await both.begin();
    both.pending(await both.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
  });
}));

suite('a phone for those who like', {}, (house) => inEveryMode((mode) => {
  const optional = async () => {
    const { env } = house;
    const client = house.client(mode, { clientId: env.CLIENT_ID_OPTIONAL });
    await client.begin();
    client.pending(await client.identify(env.USERNAME, env.PASSWORD), steps.mayEnroll);
    const names = client.last('identify').body.remediation.value.map(({ name }) => name);
    assert.deepEqual(names, ['select-authenticator-enroll', 'skip']);
    return client;
  };

  test('skip goes on without', async () => {
    const client = await optional();
    const { idToken } = client.success(await client.skip());
    assert.deepEqual(idToken.claims.amr, ['pwd']);
  });

  test('enrolling counts as both', async () => {
    const { server } = house;
    const client = await optional();
    await client.enroll('phone_number');
    await client.number(number);
    const { idToken } = client.success(await client.enrollCode(await server.code(number)));
    assert.deepEqual([...idToken.claims.amr].sort(), ['mca', 'mfa', 'pwd', 'sms']);
  });

  test('one may think better of it half way', async () => {
    const { server, env } = house;
    const client = await optional();
    await client.enroll('phone_number');
    await client.number(number);
    await server.code(number);
    const { idToken } = client.success(await client.skip());
    assert.deepEqual(idToken.claims.amr, ['pwd']);

    const next = house.client(mode);
    await next.begin();
    next.pending(await next.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
  });
}));
