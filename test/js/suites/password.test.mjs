// The first page: right and wrong passwords, names that nobody has.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as messages from '../lib/messages.mjs';
import * as steps from '../lib/steps.mjs';
import { inEveryMode, suite } from '../lib/suite.mjs';

suite('name and password on one page', {}, (house) => inEveryMode((mode) => {
  test('a wrong password shows the page again, and the right one goes on', async () => {
    const { env } = house;
    const client = house.client(mode);
    const begun = await client.begin();
    for (let n = 0; n < 3; n++) {
      client.pending(await client.identify(env.USERNAME, `nope ${n}`), steps.identify, { messages: messages.wrongPassword });
      const { status, body } = client.last('identify');
      assert.equal(status, 401);
      assert.equal(body.stateHandle, begun.context.stateHandle, 'the handle stays');
      assert.ok(!body.user, 'nobody is known yet');
    }
    client.pending(await client.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
  });

  test('a name that nobody has is told where the mode is to tell', async () => {
    const { env } = house;
    const client = house.client(mode);
    await client.begin();
    const told = await client.identify('nobody@example.com', 'whatever it is');
    client.pending(told, steps.identify, { messages: messages.unknownUser('nobody@example.com'), failed: false });
    assert.equal(client.last('identify').status, 200);
    client.pending(await client.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
  });

}));

suite('the name first', {}, (house) => inEveryMode((mode) => {
  const idFirst = () => house.client(mode, { clientId: house.env.CLIENT_ID_IDFIRST });

  test('the name, then the password, then the phone', async () => {
    const { env, server } = house;
    const client = idFirst();
    const begun = await client.begin();
    assert.deepEqual(begun.enabledFeatures, []);
    assert.ok(!client.last('introspect').body.currentAuthenticator);
    client.pending(await client.identify(env.USERNAME_ENROLLED), steps.passwordPage);
    assert.ok(!client.last('identify').body.user.value.id, 'no id before the password');
    client.pending(await client.password(env.PASSWORD_ENROLLED), steps.phoneMethod);
    client.pending(await client.method('sms'), steps.verifyCode);
    client.success(await client.verifyCode(await server.code(env.PHONE_ENROLLED)));
  });

  test('a wrong password shows the password page again', async () => {
    const { env } = house;
    const client = idFirst();
    await client.begin();
    await client.identify(env.USERNAME_ENROLLED);
    client.pending(await client.password('nope'), steps.passwordPage, { messages: messages.wrongPassword });
    assert.equal(client.last('answer').status, 401);
    client.pending(await client.password(env.PASSWORD_ENROLLED), steps.phoneMethod);
  });

  test('a name that nobody has is told before there is a password', async () => {
    const { env } = house;
    const client = idFirst();
    await client.begin();
    const told = await client.identify('nobody@example.com');
    client.pending(told, steps.identifyFirst, { messages: messages.unknownUser('nobody@example.com'), failed: false });
    assert.equal(client.last('identify').status, 200);
    client.pending(await client.identify(env.USERNAME_ENROLLED), steps.passwordPage);
  });

  if (mode.step) return;
  test('both at once are posted one after the other', async () => {
    const { env } = house;
    const client = idFirst();
    await client.begin();
    client.pending(await client.identify(env.USERNAME_ENROLLED, 'nope'), steps.passwordPage, { messages: messages.wrongPassword });
    assert.deepEqual(client.paths(3), ['idx/identify', 'idx/challenge/answer']);
    // The client kept neither answer: it goes on from the first page, which has to be possible still.
    client.pending(await client.identify(env.USERNAME_ENROLLED, env.PASSWORD_ENROLLED), steps.phoneMethod);
    assert.deepEqual(client.paths(5), ['idx/identify', 'idx/challenge/answer']);
  });
}));

suite('a name that nobody has, hidden', { flags: ['--production-limits'] }, (house) => inEveryMode((mode) => {
  // strange blanks what may differ: handles, times, the name echoed, and the ids derived from it.
  const strange = (exchange, name) => {
    const { stateHandle } = exchange.body;
    return JSON.parse(exchange.text.replaceAll(stateHandle, '«handle»').replaceAll(name, '«name»')
      .replaceAll(exchange.body.expiresAt, '«time»').replace(/"lae[\w-]+"/g, '"«enrollment»"'));
  };
  const headers = (exchange) => [...exchange.headers.keys()].sort();

  test('S-24 one page: the same answer as a wrong password', async () => {
    const { env } = house;
    const [known, unknown] = [house.client(mode), house.client(mode)];
    await known.begin();
    await unknown.begin();
    known.pending(await known.identify(env.USERNAME, 'nope'), steps.identify, { messages: messages.wrongPassword });
    unknown.pending(await unknown.identify('nobody@example.com', 'nope'), steps.identify, { messages: messages.wrongPassword });
    const [a, b] = [known.last('identify'), unknown.last('identify')];
    assert.equal(a.status, b.status);
    assert.deepEqual(strange(a, env.USERNAME), strange(b, 'nobody@example.com'));
    assert.deepEqual(headers(a), headers(b));
  });

  test('S-24 name first: the password page, and then the same answer', async () => {
    const { env } = house;
    const clientId = env.CLIENT_ID_IDFIRST;
    const [known, unknown] = [house.client(mode, { clientId }), house.client(mode, { clientId })];
    await known.begin();
    await unknown.begin();
    known.pending(await known.identify(env.USERNAME), steps.passwordPage);
    unknown.pending(await unknown.identify('nobody@example.com'), steps.passwordPage);
    known.pending(await known.password('nope'), steps.passwordPage, { messages: messages.wrongPassword });
    unknown.pending(await unknown.password('nope'), steps.passwordPage, { messages: messages.wrongPassword });
    for (const path of ['identify', 'answer']) {
      const [a, b] = [known.last(path), unknown.last(path)];
      assert.equal(a.status, b.status);
      assert.deepEqual(strange(a, env.USERNAME), strange(b, 'nobody@example.com'));
      assert.deepEqual(headers(a), headers(b));
    }
    const enrollment = (client) => client.last('identify').body.authenticatorEnrollments.value[0].id;
    assert.equal(enrollment(unknown).length, enrollment(known).length, 'the made-up id looks like a real one');

    const later = house.client(mode, { clientId });
    await later.begin();
    await later.identify('nobody@example.com');
    assert.equal(enrollment(later), enrollment(unknown), 'and stays the same');
  });
}));
