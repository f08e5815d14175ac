// The number: right, wrong, changed, and a network that does not take it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as messages from '../lib/messages.mjs';
import * as steps from '../lib/steps.mjs';
import { inEveryMode, suite } from '../lib/suite.mjs';
import { post } from '../lib/wire.mjs';
import { number, toEnrollCode, toNumber, toVerifyCode } from '../lib/walk.mjs';

suite('the phone number', {}, (house) => inEveryMode((mode) => {
  test('a number that is none shows the page again, and a right one goes on', async () => {
    const { server } = house;
    const client = house.client(mode);
    await toNumber(client);
    for (const bad of ['555-CALL', '5551230001', '+1', '+1555123000199999', '+999555123000']) {
      client.pending(await client.number(bad), steps.phoneNumber, { messages: messages.badNumber });
      assert.equal(client.last('enroll').status, 400, bad);
    }
    client.pending(await client.number(number), steps.enrollCode);
    client.success(await client.enrollCode(await server.code(number)));
  });

  test('S-30 numbers that cost the operator money are refused', async () => {
    const client = house.client(mode);
    await toNumber(client);
    for (const bad of ['+19005550100', '+881600000000', '+97912345678']) {
      client.pending(await client.number(bad), steps.phoneNumber, { messages: messages.badNumber });
    }
  });

  test('a number is taken as people write it', async () => {
    const { server } = house;
    const client = house.client(mode);
    await toNumber(client);
    client.pending(await client.number('+1 (555) 123-0001'), steps.enrollCode);
    client.success(await client.enrollCode(await server.code(number)));
  });

  test('going back for another number replaces the one before', async () => {
    const { server } = house;
    const other = '+15551230002';
    const client = house.client(mode);
    await toEnrollCode(client);
    const first = await server.code(number);
    if (mode.step) {
      client.pending(await client.enroll('phone_number'), steps.phoneNumber);
    } else {
      // Legacy mode never chooses the current authenticator again; what a page's back button does is this.
      const { remediation, stateHandle } = client.last('enroll').body;
      const choice = remediation.value.find(({ name }) => name === 'select-authenticator-enroll');
      const [id] = choice.value[0].options[0].value.form.value.map(({ value }) => value);
      assert.equal((await post(choice.href, { stateHandle, authenticator: { id } })).status, 200);
    }
    const again = mode.step ? client : client.reloaded();
    again.pending(await again.number(other), steps.enrollCode);
    const second = await server.code(other);
    if (first !== second) {
      const said = messages.wrongCode;
      again.pending(await again.enrollCode(first), steps.withFieldMessages(steps.enrollCode, said), { messages: said });
    }
    again.success(await again.enrollCode(second));

    await server.advance('31s');
    const next = house.client(mode);
    await next.begin();
    const shown = await next.identify(next.env.USERNAME, next.env.PASSWORD);
    next.pending(shown, steps.phoneMethod);
    assert.match(next.last('identify').text, /\+1 XXX-XXX-0002/);
  });

  test('a number that the network refuses is told, and another one works', async () => {
    const { server } = house;
    const client = house.client(mode);
    await toNumber(client);
    await server.control('PUT', 'gateway', { fault: 'refuse', to: number });
    client.pending(await client.number(number), steps.phoneNumber, { messages: messages.badNumber });
    assert.equal(client.last('enroll').status, 400);
    const other = '+15551230002';
    client.pending(await client.number(other), steps.enrollCode);
    client.success(await client.enrollCode(await server.code(other)));
  });

  test('S-81 a network that fails loses nothing', async () => {
    const { server } = house;
    const client = house.client(mode);
    await toNumber(client);
    await server.control('PUT', 'gateway', { fault: 'fail', to: number });
    const said = [['ERROR', 'latchkey.sms.unavailable', 'Text messages cannot be sent at the moment. Please try again in a few minutes.']];
    client.pending(await client.number(number), steps.phoneNumber, { messages: said });
    assert.equal(client.last('enroll').status, 503);
    await server.control('DELETE', 'gateway');
    client.pending(await client.number(number), steps.enrollCode);
    client.success(await client.enrollCode(await server.code(number)));
  });

  test('a network that hangs does not hold the page', async () => {
    const { server } = house;
    const client = house.client(mode);
    await toNumber(client);
    await server.control('PUT', 'gateway', { fault: 'hang', to: number });
    const from = performance.now();
    client.pending(await client.number(number), steps.enrollCode);
    assert.ok(performance.now() - from < 4_000, 'the answer came in time');
  });
}));

suite('the messages of production', { flags: ['--production-limits'] }, (house) => inEveryMode((mode) => {
  const limit = [['ERROR', 'errors.E0000150', 'You have reached the limit of sms requests, please try again later.']];

  test('S-14 an early resend waits, a later one is the same code', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    const code = await server.code(env.PHONE_ENROLLED);
    client.pending(await client.resend('currentAuthenticatorEnrollment'), steps.verifyCode, { messages: messages.tooMany });
    const early = client.last('resend');
    assert.equal(early.status, 429);
    assert.ok(Number(early.headers.get('retry-after')) > 0);
    assert.ok(early.headers.get('x-rate-limit-reset'));
    assert.equal((await server.outbox(env.PHONE_ENROLLED)).length, 1);

    await server.advance('31s');
    client.pending(await client.resend('currentAuthenticatorEnrollment'), steps.verifyCode);
    assert.equal(await server.code(env.PHONE_ENROLLED, 2), code);
    client.success(await client.verifyCode(code));
  });

  test('S-32 the sixth text in ten minutes is refused, and the page stays', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    for (let n = 2; n <= 5; n++) {
      await server.advance('31s');
      client.pending(await client.resend('currentAuthenticatorEnrollment'), steps.verifyCode);
      await server.code(env.PHONE_ENROLLED, n);
    }
    await server.advance('31s');
    client.pending(await client.resend('currentAuthenticatorEnrollment'), steps.verifyCode, { messages: limit });
    const refused = client.last('resend');
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    assert.equal((await server.outbox(env.PHONE_ENROLLED)).length, 5);
  });

  test('S-37 no answer shows more of a number than its country and four digits', async () => {
    const { env } = house;
    house.keep(env.PHONE_ENROLLED);
    house.keep(env.PHONE_ENROLLED.slice(-5));
    await toVerifyCode(house.client(mode));
  });
}));
