// The handle of a sign-in: looked at, cancelled, expired, finished, used twice, used at the wrong place.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { match } from '../lib/match.mjs';
import * as messages from '../lib/messages.mjs';
import * as steps from '../lib/steps.mjs';
import { wrong } from '../lib/server.mjs';
import { inEveryMode, suite } from '../lib/suite.mjs';
import { json, post } from '../lib/wire.mjs';
import { modes } from '../lib/clients.mjs';
import { number, toEnroll, toEnrollCode, toMethod, toNumber, toVerifyCode } from '../lib/walk.mjs';

const idx = (env, path) => `${env.LATCHKEY_URL.replace(/\/$/, '')}/idp/idx/${path}`;
const keyOf = ({ body }) => body.messages?.value[0].i18n.key;

// dead checks an answer to a handle that names no sign-in.
function dead(exchange) {
  assert.equal(exchange.status, 401);
  assert.match(exchange.type, json);
  match(exchange.body, {
    version: '1.0.0',
    messages: { type: 'array', value: messages.expired.map(([kind, key, message]) => ({ message, i18n: { key }, class: kind })) },
  });
}

suite('cancelled and expired sign-ins', {}, (house) => inEveryMode((mode) => {
  const restart = (client) => client.run(({ idx: api }) => api.start(mode.idx ?? {}));

  test('cancel forgets, and the next sign-in begins anew', async () => {
    const { env, server } = house;
    const client = house.client(mode);
    const before = await toEnrollCode(client);
    const cancelled = await client.cancel();
    assert.equal(cancelled.status, 'CANCELED');
    const answer = client.last('cancel');
    assert.equal(answer.status, 200);
    assert.equal(answer.body.remediation.value[0].name, 'identify');
    assert.notEqual(answer.body.stateHandle, before.context.stateHandle, 'a sign-in of its own');

    dead(await post(idx(env, 'introspect'), { stateToken: before.context.stateHandle }));
    dead(await post(idx(env, 'introspect'), { interactionHandle: client.last('interact').body.interaction_handle }));
    dead(await post(idx(env, 'challenge/answer'), {
      stateHandle: before.context.stateHandle, credentials: { passcode: await server.code(number) },
    }));
    if (mode.step) {
      await assert.rejects(client.enrollCode('000000'), /Unable to proceed: saved transaction could not be loaded/);
    }
    const begun = await client.begin();
    assert.equal(begun.status, 'PENDING');
    assert.equal(client.log.filter(({ path }) => path.endsWith('interact')).length, 2);
    client.pending(await client.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
  });

  test('cancel after too many codes', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    const code = await server.code(env.PHONE_ENROLLED);
    for (let n = 1; n <= 6; n++) await client.verifyCode(wrong(code, n));
    assert.equal((await client.cancel()).status, 'CANCELED');
  });

  test('S-18 after an hour the page is over, until the application starts again', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toEnrollCode(client);
    await server.advance('1h1m');
    client.terminal(await client.enrollCode('000000'), messages.expired);
    client.terminal(await client.enrollCode('000000'), messages.expired);
    assert.equal((await client.cancel()).status, 'TERMINAL');
    dead(client.last('cancel'));

    assert.equal((await restart(client)).status, 'PENDING');
    client.pending(await client.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
  });

  test('S-18 an expired sign-in is over after a page load too', async () => {
    const { server } = house;
    const client = house.client(mode);
    await toEnroll(client);
    await server.advance('1h1m');
    const again = client.reloaded();
    again.terminal(await again.look(), messages.expired);
    dead(again.last('introspect'));
  });

  test('S-18 two hours are the end, however busy', async () => {
    const { server } = house;
    const client = house.client(mode);
    await toNumber(client);
    const { remediation, stateHandle } = client.last('enroll').body;
    const again = { stateHandle, authenticator: { id: remediation.value[0].value[0].form.value[0].value } };
    for (let n = 0; n < 3; n++) {
      await server.advance('39m');
      assert.equal((await post(remediation.value[0].href, again)).status, 200, 'each step is one hour more');
    }
    await server.advance('4m');
    dead(await post(remediation.value[0].href, again));
    client.terminal(await client.number(number), messages.expired);
  });

  test('what succeeded is over', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    const { stateHandle } = client.last('challenge').body;
    client.success(await client.verifyCode(await server.code(env.PHONE_ENROLLED)));
    await server.advance('11s');
    dead(await post(idx(env, 'introspect'), { stateToken: stateHandle }));
    dead(await post(idx(env, 'introspect'), { interactionHandle: client.last('interact').body.interaction_handle }));
    dead(await post(idx(env, 'challenge'), { stateHandle, authenticator: { id: 'aut1', methodType: 'sms' } }));
  });
}));

suite('handles on the wire', {}, (house) => {
  const mode = modes[0];

  test('introspect repeats the last good answer, sends nothing, and moves nothing', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    const still = async (path) => {
      const last = client.last(path);
      const handle = client.last('interact').body.interaction_handle;
      for (const by of [{ interactionHandle: handle }, { stateToken: last.body.stateHandle }, { interactionHandle: handle }]) {
        const seen = await post(idx(env, 'introspect'), by, {
          'content-type': 'application/ion+json; okta-version=1.0.0', accept: 'application/ion+json; okta-version=1.0.0',
        });
        assert.equal(seen.status, 200);
        assert.deepEqual({ ...seen.body, expiresAt: '' }, { ...last.body, expiresAt: '' });
      }
    };
    await client.begin();
    await still('introspect');
    await client.identify(env.USERNAME, env.PASSWORD);
    await still('identify');
    await client.enroll('phone_number');
    await still('enroll');
    await client.number(number);
    await still('enroll');
    const sent = client.last('enroll');
    const code = await server.code(number);
    await client.enrollCode(wrong(code));
    const seen = await post(idx(env, 'introspect'), { stateToken: sent.body.stateHandle });
    assert.deepEqual({ ...seen.body, expiresAt: '' }, { ...sent.body, expiresAt: '' }, 'without the messages of the failure');
    client.success(await client.enrollCode(code));
    assert.equal((await server.outbox(number)).length, 1);

    await server.advance('31s');
    const second = house.client(mode);
    await second.begin();
    await second.identify(env.USERNAME, env.PASSWORD);
    const shown = second.last('identify').body;
    for (const by of [{ stateToken: shown.stateHandle }]) {
      assert.deepEqual({ ...(await post(idx(env, 'introspect'), by)).body, expiresAt: '' }, { ...shown, expiresAt: '' });
    }
  });

  test('S-23 the same right answer within ten seconds is the same code, later it is over', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    const answer = {
      stateHandle: client.last('challenge').body.stateHandle,
      credentials: { passcode: await server.code(env.PHONE_ENROLLED) },
    };
    const codeOf = ({ status, body }) => {
      assert.equal(status, 200);
      return body.successWithInteractionCode.value.find(({ name }) => name === 'interaction_code').value;
    };
    const first = codeOf(await post(idx(env, 'challenge/answer'), answer));
    assert.equal(codeOf(await post(idx(env, 'challenge/answer'), answer)), first);
    dead(await post(idx(env, 'challenge/answer'), { ...answer, credentials: { passcode: wrong(answer.credentials.passcode) } }));
    await server.advance('11s');
    dead(await post(idx(env, 'challenge/answer'), answer));
  });

  test('S-23 the same right answer many times at once is one success', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    const answer = {
      stateHandle: client.last('challenge').body.stateHandle,
      credentials: { passcode: await server.code(env.PHONE_ENROLLED) },
    };
    // As many as the code has tries: each is counted before it is known to be the same.
    const answers = await Promise.all(Array.from({ length: 5 }, () => post(idx(env, 'challenge/answer'), answer)));
    const won = answers.filter(({ status }) => status === 200);
    assert.ok(won.length >= 1);
    assert.equal(new Set(won.map(({ body }) => body.successWithInteractionCode.value[1].value)).size, 1);
    for (const other of answers.filter(({ status }) => status !== 200)) dead(other);
  });

  test('S-16 no handle is taken for one of another kind', async () => {
    const { env } = house;
    const client = house.client(mode);
    await client.begin();
    const interactionHandle = client.last('interact').body.interaction_handle;
    const { stateHandle } = client.last('introspect').body;
    dead(await post(idx(env, 'introspect'), { stateToken: interactionHandle }));
    dead(await post(idx(env, 'introspect'), { interactionHandle: stateHandle }));
    dead(await post(idx(env, 'identify'), { stateHandle: interactionHandle, identifier: env.USERNAME }));
    const last = stateHandle.at(-1);
    dead(await post(idx(env, 'introspect'), { stateToken: stateHandle.slice(0, -1) + (last === 'A' ? 'B' : 'A') }));
  });

  test('S-19 a step that is not offered changes nothing', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await client.begin();
    const { stateHandle } = client.last('introspect').body;
    const refuse = async (path, body) => {
      const before = (await post(idx(env, 'introspect'), { stateToken: stateHandle })).body;
      const refused = await post(idx(env, path), { stateHandle, ...body });
      assert.equal(refused.status, 400, path);
      assert.match(refused.type, json);
      assert.equal(keyOf(refused), 'errors.E0000020');
      const { messages: _, ...document } = refused.body;
      assert.deepEqual({ ...document, expiresAt: '' }, { ...before, expiresAt: '' }, `${path} shows where we are`);
    };
    await refuse('challenge/answer', { credentials: { passcode: '123456' } });
    await refuse('challenge', { authenticator: { id: 'aut1' } });
    await refuse('challenge/resend', {});
    await refuse('credential/enroll', { authenticator: { id: 'aut1', methodType: 'sms', phoneNumber: number } });
    await refuse('skip', {});

    await client.identify(env.USERNAME_ENROLLED, env.PASSWORD_ENROLLED);
    const { remediation } = client.last('identify').body;
    const id = remediation.value[0].value[0].form.value[0].value;
    await refuse('credential/enroll', { authenticator: { id, methodType: 'sms', phoneNumber: number } }); // S-22
    await refuse('challenge', { authenticator: { id, methodType: 'sms', enrollmentId: 'sms1somebodyelse' } }); // S-22
    await refuse('challenge/resend', {});
    await refuse('skip', {});
    assert.deepEqual(await server.outbox(number), []);
    assert.deepEqual(await server.outbox(env.PHONE_ENROLLED), []);
    client.pending(await client.method('sms'), steps.verifyCode);
  });

  test('S-22 a number sent along with the choice of a known phone is ignored', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toMethod(client);
    const { remediation, stateHandle } = client.last('identify').body;
    const [id, , enrollmentId] = remediation.value[0].value[0].form.value.map(({ value }) => value);
    const answer = await post(remediation.value[0].href, {
      stateHandle, authenticator: { id, enrollmentId, methodType: 'sms', phoneNumber: number },
    });
    assert.equal(answer.status, 200);
    assert.deepEqual(await server.outbox(number), []);
    await server.code(env.PHONE_ENROLLED);
  });

  test('number and method arrive with the choice, as other clients send them', async () => {
    const { server } = house;
    const client = house.client(mode);
    await toEnroll(client);
    const { remediation, stateHandle } = client.last('identify').body;
    const [choice] = remediation.value;
    const id = choice.value[0].options[0].value.form.value[0].value;
    const send = (authenticator) => post(choice.href, { stateHandle, authenticator: { id, ...authenticator } });
    const form = ({ status, body }) => [status, body.remediation.value[0].name];

    assert.deepEqual(form(await send({ methodType: 'sms' })), [200, 'authenticator-enrollment-data']);
    assert.deepEqual(form(await send({ methodType: 'phone' })), [200, 'authenticator-enrollment-data']);
    const refused = await send({ methodType: 'sms', phoneNumber: '555-CALL' });
    assert.deepEqual(form(refused), [400, 'authenticator-enrollment-data']);
    assert.equal(keyOf(refused), 'api.factors.error.sms.invalid_phone');
    assert.deepEqual(form(await send({ methodType: 'sms', phoneNumber: number })), [200, 'enroll-authenticator']);
    await server.code(number);
  });

  test('a method that is none leads to the page for the method', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toMethod(client);
    const { remediation, stateHandle } = client.last('identify').body;
    const [id] = remediation.value[0].value[0].form.value.map(({ value }) => value);
    for (const authenticator of [{ id }, { id, methodType: 'phone' }, { id, methodType: 'pigeon' }]) {
      const answer = await post(remediation.value[1].href, { stateHandle, authenticator });
      assert.deepEqual([answer.status, answer.body.remediation.value[0].name], [200, 'authenticator-verification-data']);
    }
    assert.deepEqual(await server.outbox(env.PHONE_ENROLLED), []);
    const chosen = await post(remediation.value[1].href, { stateHandle, authenticator: { id, methodType: 'sms' } });
    assert.equal(chosen.body.remediation.value[0].name, 'challenge-authenticator');
    await server.code(env.PHONE_ENROLLED);
  });

  test('S-21 another name on the same handle resets what was proved', async () => {
    const { env } = house;
    const client = house.client(mode);
    await client.begin();
    const { stateHandle } = client.last('introspect').body;
    await client.identify(env.USERNAME, env.PASSWORD);
    const wrongly = await post(idx(env, 'identify'), {
      stateHandle, identifier: env.USERNAME_ENROLLED, credentials: { passcode: 'nope' },
    });
    const now = (await post(idx(env, 'introspect'), { stateToken: stateHandle })).body;
    assert.equal(wrongly.status, 401);
    assert.equal(now.remediation.value[0].name, 'identify', 'the password of the one does not count for the other');
    assert.ok(!now.user);
  });

  test('media types and bodies that are none', async () => {
    const { env } = house;
    const client = house.client(mode);
    await client.begin();
    const { stateHandle } = client.last('introspect').body;
    const to = idx(env, 'identify');
    const body = { stateHandle, identifier: env.USERNAME, credentials: { passcode: 'nope' } };
    const cases = [
      [415, 'errors.E0000021', body, { 'content-type': 'text/plain' }],
      [415, 'errors.E0000021', body, { 'content-type': 'application/x-www-form-urlencoded' }],
      [400, undefined, body, { 'content-type': 'application/json; okta-version=9.9.9' }],
      [400, 'errors.E0000003', '{"stateHandle":', {}],
      [400, 'errors.E0000003', '[]', {}],
      [400, 'errors.E0000003', { ...body, identifier: ['x'] }, {}],
      [400, 'errors.E0000003', { ...body, credentials: { passcode: 7 } }, {}],
      [401, 'errors.E0000004', body, { 'content-type': 'application/ion+json; okta-version=1.0.0; charset=utf-8' }],
      [401, 'errors.E0000004', body, { 'content-type': 'application/json;charset=UTF-8' }],
      [401, 'errors.E0000004', body, { origin: 'https://elsewhere.example' }],
    ];
    for (const [status, key, sent, headers] of cases) {
      const answer = await post(to, sent, headers);
      assert.equal(answer.status, status, JSON.stringify([sent, headers]));
      assert.match(answer.type, json);
      assert.equal(answer.body.version, '1.0.0');
      if (key) assert.equal(keyOf(answer), key, JSON.stringify([sent, headers]));
    }
  });
});
