// The code: wrong, malformed, too often, too late, sent again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as messages from '../lib/messages.mjs';
import * as steps from '../lib/steps.mjs';
import { wrong } from '../lib/server.mjs';
import { inEveryMode, suite } from '../lib/suite.mjs';
import { number, toEnrollCode, toVerifyCode } from '../lib/walk.mjs';

// The clients' clock stays where it is when the server's is moved; so much may they differ.
const later = { maxClockSkew: 3600 };

// Everything holds for the code to a new number and for the code to a known one.
const pages = {
  enrolling: {
    to: toEnrollCode,
    step: steps.enrollCode,
    answer: (client, code) => client.enrollCode(code),
    resend: (client) => client.resend('currentAuthenticator'),
    number: () => number,
    sentBy: 'credential/enroll',
  },
  verifying: {
    to: toVerifyCode,
    step: steps.verifyCode,
    answer: (client, code) => client.verifyCode(code),
    resend: (client) => client.resend('currentAuthenticatorEnrollment'),
    number: (env) => env.PHONE_ENROLLED,
    sentBy: 'challenge',
  },
};

for (const [name, page] of Object.entries(pages)) {
  suite(`the code, ${name}`, {}, (house) => inEveryMode((mode) => {
    const begin = async (options) => {
      const client = house.client(mode, options);
      await page.to(client);
      return [client, await house.server.code(page.number(house.env))];
    };
    const wrongly = async (client, code) => {
      const said = messages.wrongCode;
      client.pending(await page.answer(client, code), steps.withFieldMessages(page.step, said), { messages: said });
      const { status, body } = client.last('answer');
      assert.equal(status, 401);
      assert.ok(!body.messages, 'said beside the field, and there alone');
    };
    const refused = async (client, code) => {
      client.terminal(await page.answer(client, code), messages.tooMany);
      const { status, body } = client.last('answer');
      assert.equal(status, 429);
      assert.ok(!body.cancel, 'an action would make the client keep this answer');
    };

    test('a wrong code shows the page again, and the right one goes on', async () => {
      const [client, code] = await begin();
      await wrongly(client, wrong(code));
      client.success(await page.answer(client, code));
    });

    test('S-11 what is not six digits is not counted', async () => {
      const [client, code] = await begin();
      for (const bad of ['12345', '1234567', 'abcdef', '１２３４５６', '12 345', '+12345', '1e5000']) {
        client.pending(await page.answer(client, bad), page.step, { messages: messages.malformed });
        assert.equal(client.last('answer').status, 400, bad);
      }
      for (let n = 1; n <= 4; n++) await wrongly(client, wrong(code, n));
      client.success(await page.answer(client, code));
    });

    test('S-09 the sixth answer is refused, right or wrong; a new code then works', async () => {
      const [client, code] = await begin();
      for (let n = 1; n <= 5; n++) await wrongly(client, wrong(code, n));
      await refused(client, code);
      await refused(client, wrong(code, 6));
      if (!mode.step) {
        client.pending(await client.look(), page.step);
        const again = client.reloaded();
        again.pending(await again.look(), page.step);
      }
      await house.server.advance('31s');
      client.pending(await page.resend(client), page.step);
      const fresh = await house.server.code(page.number(house.env), 2);
      if (fresh !== code) await wrongly(client, code);
      client.success(await page.answer(client, fresh));
    });

    test('S-08 a code that came too late is a wrong one', async () => {
      const [client, code] = await begin(later);
      await house.server.advance('5m1s');
      await wrongly(client, code);
      client.pending(await page.resend(client), page.step);
      const fresh = await house.server.code(page.number(house.env), 2);
      client.success(await page.answer(client, fresh));
    });

    test('S-14 the code is sent again as it was, and its tries go on counting', async () => {
      const [client, code] = await begin();
      for (let n = 1; n <= 3; n++) await wrongly(client, wrong(code, n));
      client.pending(await page.resend(client), page.step);
      assert.equal(await house.server.code(page.number(house.env), 2), code);
      for (let n = 4; n <= 5; n++) await wrongly(client, wrong(code, n));
      await refused(client, code);
    });

    test('S-14 with less than a minute left a new code is sent, and the old one is dead', async () => {
      const [client, code] = await begin();
      await house.server.advance('4m10s');
      client.pending(await page.resend(client), page.step);
      const fresh = await house.server.code(page.number(house.env), 2);
      assert.notEqual(fresh, code);
      await wrongly(client, code);
      client.success(await page.answer(client, fresh));
    });

    test('S-12 a code opens only the sign-in that it was sent for', async () => {
      const [, code] = await begin();
      await house.server.advance('31s');
      const second = house.client(mode);
      await page.to(second);
      const other = await house.server.code(page.number(house.env), 2);
      if (other !== code) await wrongly(second, code);
      second.success(await page.answer(second, other));
    });
  }));
}

suite('ten wrong codes', {}, (house) => inEveryMode((mode) => {
  const suspended = [[
    'ERROR', 'authfactor.challenge.suspended_factor', 'This factor is suspended for your account due to too many failed attempts',
  ]];

  test('S-10 suspend the phone of the account for a quarter of an hour', async () => {
    const { server, env } = house;
    const page = pages.verifying;
    const wrongly = async (client, code) => {
      const said = messages.wrongCode;
      client.pending(await page.answer(client, code), steps.withFieldMessages(page.step, said), { messages: said });
    };
    const refused = (client, transaction, path) => {
      client.terminal(transaction, suspended);
      assert.equal(client.last(path).status, 429);
      assert.ok(Number(client.last(path).headers.get('retry-after')) > 0);
    };

    let client;
    let code;
    for (const [texts, guesses] of [[1, 5], [2, 4], [3, 1]]) {
      client = house.client(mode);
      await page.to(client);
      code = await server.code(env.PHONE_ENROLLED, texts);
      for (let n = 1; n <= guesses; n++) await wrongly(client, wrong(code, n));
      await server.advance('31s');
    }
    refused(client, await page.answer(client, code), 'answer');
    refused(client, await page.resend(client), 'resend');
    const other = house.client(mode);
    await other.begin();
    other.pending(await other.identify(env.USERNAME_ENROLLED, env.PASSWORD_ENROLLED), steps.phoneMethod);
    refused(other, await other.method('sms'), 'challenge');
    assert.equal((await server.outbox(env.PHONE_ENROLLED)).length, 3, 'nothing is sent meanwhile');

    await server.advance('15m1s');
    const patient = house.client(mode, later);
    await page.to(patient);
    patient.success(await page.answer(patient, await server.code(env.PHONE_ENROLLED, 4)));
  });
}));
