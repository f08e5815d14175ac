// A server that is killed between any two steps, and goes on when it is back.

import { test } from 'node:test';
import * as steps from '../lib/steps.mjs';
import * as messages from '../lib/messages.mjs';
import { wrong } from '../lib/server.mjs';
import { inEveryMode, suite } from '../lib/suite.mjs';
import { number } from '../lib/walk.mjs';

suite('kill -9', {}, (house) => inEveryMode((mode) => {
  test('S-75 between any two steps loses nothing', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    const crash = () => server.crash();

    await client.begin();
    await crash();
    client.pending(await client.identify(env.USERNAME, env.PASSWORD), steps.chooseEnroll);
    await crash();
    client.pending(await client.enroll('phone_number'), steps.phoneNumber);
    await crash();
    client.pending(await client.number(number), steps.enrollCode);
    const code = await server.code(number);
    await crash();
    const said = messages.wrongCode;
    for (let n = 1; n <= 4; n++) {
      client.pending(await client.enrollCode(wrong(code, n)), steps.withFieldMessages(steps.enrollCode, said), { messages: said });
    }
    await crash(); // the tries used are used
    client.pending(await client.enrollCode(wrong(code, 5)), steps.withFieldMessages(steps.enrollCode, said), { messages: said });
    client.terminal(await client.enrollCode(code), messages.tooMany);
    await crash();
    client.pending(await client.resend(), steps.enrollCode);
    const fresh = await server.code(number);
    await crash();
    const { accessToken, idToken } = client.success(await client.enrollCode(fresh));
    await crash();
    await client.run((auth) => auth.token.getUserInfo(accessToken, idToken));

    const next = house.client(mode);
    await next.begin();
    next.pending(await next.identify(env.USERNAME, env.PASSWORD), steps.phoneMethod);
  });
}));
