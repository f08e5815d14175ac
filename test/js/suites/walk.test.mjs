// The twelve steps, and the second time, when the number is known.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { match } from '../lib/match.mjs';
import * as messages from '../lib/messages.mjs';
import * as steps from '../lib/steps.mjs';
import { inEveryMode, suite } from '../lib/suite.mjs';
import { masked, number, signIn, toEnroll, toMethod, toVerifyCode } from '../lib/walk.mjs';

for (const flags of [[], ['--production-limits']]) suite(['the walk', ...flags].join(' '), { flags }, (house) => inEveryMode((mode) => {
  test('the first sign-in enrolls the phone and ends with tokens and profile', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    house.keep(number);

    const begun = await client.begin();
    assert.equal(begun.status, 'PENDING');
    if (mode.step) assert.equal(begun.nextStep, undefined, 'start() shows no step');
    else match(JSON.parse(JSON.stringify(begun.nextStep)), steps.identify.read);
    assert.deepEqual(client.paths(), ['.well-known/openid-configuration', 'interact', 'idx/introspect']);
    assert.equal(client.last('introspect').status, 200);
    assert.equal(begun.availableSteps[0].name, 'identify');
    assert.ok(begun.availableSteps.some(({ name }) => name === 'cancel'));

    client.pending(await client.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
    assert.deepEqual(await server.outbox(number), [], 'no text before there is a number');

    client.pending(await client.enroll('phone_number'), steps.phoneNumber);
    assert.deepEqual(await server.outbox(number), []);

    client.pending(await client.number(number), steps.enrollCode);
    const code = house.keep(await server.code(number));

    const tokens = client.success(await client.enrollCode(code));
    assert.deepEqual(client.paths(3), [
      'idx/identify', 'idx/credential/enroll', 'idx/credential/enroll', 'idx/challenge/answer', 'token', 'keys',
    ]);

    const profile = await client.run((auth) => auth.token.getUserInfo(tokens.accessToken, tokens.idToken));
    assert.equal(profile.sub, tokens.idToken.claims.sub);
    assert.equal(profile.email, env.USERNAME);
    assert.equal(profile.preferred_username, env.USERNAME);
    assert.ok(profile.name);
    assert.equal((await server.outbox(number)).length, 1, 'one text in all');
  });

  test('the second sign-in shows the number masked and asks for the code', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    house.keep(env.PHONE_ENROLLED);

    const tail = env.PHONE_ENROLLED.slice(-4);
    const shown = client.pending(await toMethod(client), steps.phoneMethod);
    const holder = mode.step ? shown.nextStep.relatesTo.value : shown.nextStep.authenticator;
    assert.equal(holder.profile.phoneNumber, `+1 XXX-XXX-${tail}`);
    assert.deepEqual(await server.outbox(env.PHONE_ENROLLED), [], 'nothing is sent before it is asked for');

    client.pending(await client.method('sms'), steps.verifyCode);
    const code = house.keep(await server.code(env.PHONE_ENROLLED));
    client.success(await client.verifyCode(code));
    assert.deepEqual(client.paths(4), ['idx/challenge', 'idx/challenge/answer', 'token', 'keys']);
  });

  test('a phone enrolled in one sign-in is known in the next', async () => {
    const { server, env } = house;
    const first = house.client(mode);
    await toEnroll(first);
    await first.enroll('phone_number');
    await first.number(number);
    first.success(await first.enrollCode(await server.code(number)));

    await server.advance('31s');
    const second = house.client(mode);
    await second.begin();
    const shown = second.pending(await second.identify(env.USERNAME, env.PASSWORD), steps.phoneMethod);
    const holder = mode.step ? shown.nextStep.relatesTo.value : shown.nextStep.authenticator;
    assert.equal(holder.profile.phoneNumber, masked);
    second.pending(await second.method('sms'), steps.verifyCode);
    second.success(await second.verifyCode(await server.code(number, 2)));
  });

  test('the next sign-in of the same client begins anew', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    client.success(await signIn(client, server));
    const from = client.log.length;
    await server.advance('31s');
    await server.empty();
    client.success(await signIn(client, server));
    assert.deepEqual(client.paths(from).slice(0, 2), ['interact', 'idx/introspect'], 'discovery is kept');
    assert.equal((await server.outbox(env.PHONE_ENROLLED)).length, 1);
  });

  test('a page load in the middle of it goes on where it was', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    const again = client.reloaded();
    const shown = await again.look();
    assert.equal(again.log.at(-1).path, '/idp/idx/introspect');
    if (!mode.step) again.pending(shown, steps.verifyCode);
    assert.equal((await server.outbox(env.PHONE_ENROLLED)).length, 1, 'looking sends nothing');
    again.success(await again.verifyCode(await server.code(env.PHONE_ENROLLED)));
  });

  test('two people at once do not meet', async () => {
    const { server, env } = house;
    const ada = house.client(mode);
    const mary = house.client(mode);
    await Promise.all([toVerifyCode(ada), toEnroll(mary)]);
    await mary.enroll('phone_number');
    await mary.number(number);
    const [hers, other] = [await server.code(env.PHONE_ENROLLED), await server.code(number)];
    if (hers !== other) {
      mary.pending(await mary.enrollCode(hers), steps.withFieldMessages(steps.enrollCode, messages.wrongCode), { messages: messages.wrongCode });
    }
    const [a, m] = await Promise.all([ada.verifyCode(hers), mary.enrollCode(other)]);
    const [first, second] = [ada.success(a), mary.success(m)];
    assert.equal(first.idToken.claims.preferred_username, env.USERNAME_ENROLLED);
    assert.equal(second.idToken.claims.preferred_username, env.USERNAME);
    assert.notEqual(first.idToken.claims.sub, second.idToken.claims.sub);
  });
}));

suite('the walk, all values known in advance', {}, (house) => inEveryMode((mode) => {
  if (mode.step) return; // step mode posts one form per call
  test('one call posts identify and challenge', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await client.begin();
    const known = await client.run(({ idx }) => idx.authenticate({
      username: env.USERNAME_ENROLLED,
      password: env.PASSWORD_ENROLLED,
      authenticators: [{ key: 'phone_number', methodType: 'sms' }],
    }));
    client.pending(known, steps.verifyCode);
    assert.deepEqual(client.paths(3), ['idx/identify', 'idx/challenge']);
    client.success(await client.verifyCode(await server.code(env.PHONE_ENROLLED)));
  });

  test('naming the phone again waits for its method', async () => {
    const client = house.client(mode);
    await toMethod(client);
    const from = client.log.length;
    client.pending(await client.run(({ idx }) => idx.authenticate({ authenticator: 'phone_number' })), steps.phoneMethod);
    assert.deepEqual(client.paths(from), [], 'nothing to send yet');
    client.pending(await client.method('sms'), steps.verifyCode);
  });
}));
