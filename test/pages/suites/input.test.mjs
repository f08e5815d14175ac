// What people type wrong. Each case is a page that says what happened in plain words, and loses nothing.

import assert from 'node:assert/strict';
import { number, scripts, suite, toCode } from '../lib/suite.mjs';
import { wrong } from '../../js/lib/server.mjs';

suite('bad input', [], (each) => {
  each('wrong password', async ({ v, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.signIn(env.USERNAME, 'nope');
    await v.sees('Sign in', 'That username and password don’t match. Check both and try again.');
    assert.equal(await v.value('Username'), env.USERNAME);
    assert.equal(await v.value('Password'), '');
    assert.equal(await v.focused(), 'Password');
    assert.match(await v.page.title(), /^Error: /);
    await v.page.reload();
    await v.sees('Sign in', 'That username and password don’t match.');
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.sees('Add a way to verify it’s you');
    assert.equal(await v.page.getByText('don’t match').count(), 0);
  });

  each('nothing typed', async ({ v, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.press('Sign in');
    await v.sees('Sign in', 'Type your username.', 'Type your password.');
    assert.equal(await v.focused(), 'Username');
  });

  each('unknown user, revealed', async ({ v, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.signIn('nobody@example.com', 'whatever it is');
    await v.sees('Sign in', 'We don’t know that username. Check the spelling and try again.');
    assert.equal(await v.value('Username'), 'nobody@example.com');
    assert.equal(await v.focused(), 'Username');
  });

  each('numbers that are none', async ({ v, server, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.press(/Phone/);
    for (const [typed, says] of [
      ['', 'Type your phone number.'],
      ['555-CALL', 'A phone number has only a + and digits.'],
      ['5551234567', /Start with \+ and the country code, for example \+1.555.123.4567\./],
      ['+1555', 'That number is too short or too long.'],
      ['+882 1234 5678', 'We can’t send a code to that number.'],
    ]) {
      await v.type('Phone number', typed);
      await v.press('Send code');
      await v.sees('Add your phone');
      await v.page.locator('.wrong').getByText(says).waitFor();
      assert.equal(await v.value('Phone number'), typed);
      assert.equal(await v.focused(), 'Phone number');
    }
    await v.type('Phone number', number);
    await v.press('Send code');
    await v.sees('Enter your code');
    assert.equal((await server.outbox(number)).length, 1);
  });

  each('wrong code', async (at) => {
    const { v } = at;
    const code = await toCode(at);
    await v.code(wrong(code));
    await v.sees('Enter your code', 'That code isn’t right or no longer works.');
    assert.equal(await v.value('Code'), '');
    assert.equal(await v.focused(), 'Code');
    await v.code(code);
    await v.sees('Hello, Mary.');
  });

  each('a code that is none', async (at) => {
    const { v } = at;
    const code = await toCode(at);
    for (const typed of ['12', 'abcdef']) {
      await v.type('Code', typed);
      await v.press('Verify');
      await v.sees('Enter your code', scripts(v.host) && typed === 'abcdef' ? 'Type the code we sent you.' : 'The code has six digits.');
    }
    await v.code(code);
    await v.sees('Hello, Mary.');
  });

  each('the sixth try, and a new code after it', async (at) => {
    const { v, server } = at;
    const code = await toCode(at);
    for (let n = 1; n <= 5; n++) {
      await v.code(wrong(code, n));
      await v.sees('Enter your code', 'That code isn’t right or no longer works.');
      await v.page.waitForLoadState();
    }
    await v.code(code);
    await v.sees('Enter your code', 'That was one wrong code too many, so this code no longer works. Send a new one.');
    await server.empty();
    await v.resend();
    await v.sees('Enter your code', 'We sent a new code to +1 ••• ••• 4567.');
    await v.code(await server.code(number));
    await v.sees('Hello, Mary.');
  });
});
