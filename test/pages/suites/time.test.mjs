// What does not go straight ahead: too late, too early, twice, in two tabs, backwards, or not at all.

import assert from 'node:assert/strict';
import { number, suite, toCode } from '../lib/suite.mjs';
import { wrong } from '../../js/lib/server.mjs';
import { Visitor } from '../lib/visitor.mjs';

suite('time and tabs', [], (each) => {
  each('a sign-in that took too long', async (at) => {
    const { v, server, env } = at;
    const code = await toCode(at);
    await server.advance('2h1m');
    await v.code(code);
    await v.sees('Your sign-in took too long');
    await v.follow('Start again');
    await v.sees('Sign in');
    await server.advance('2h1m'); // and a name with a password is not lost even then
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.sees('Add a way to verify it’s you');
  });

  each('two tabs, two people', async (at) => {
    const { v: one, server, env } = at;
    await one.open(env.SIGNIN_URL);
    const two = await one.tab();
    await two.open(env.SIGNIN_URL);
    await one.signIn(env.USERNAME, env.PASSWORD);
    await one.sees('Add a way to verify it’s you', env.USERNAME);
    await two.signIn(env.USERNAME_ENROLLED, env.PASSWORD_ENROLLED);
    await two.sees('Verify it’s you', env.USERNAME_ENROLLED);
    assert.equal(await two.page.getByText(env.USERNAME).count(), 0);
    await one.page.reload();
    await one.sees('Add a way to verify it’s you', env.USERNAME);
    await two.press('Send code');
    await two.sees('Enter your code');
    await two.code(await server.code(env.PHONE_ENROLLED));
    await two.sees('Hello, Paul.');
    await one.press(/Phone/);
    await one.type('Phone number', number);
    await one.press('Send code');
    await one.sees('Enter your code');
    await one.code(await server.code(number));
    await one.sees('Hello, Mary.');
    assert.deepEqual(two.troubled(), []);
  });

  each('finished in another tab', async (at) => {
    const { v: one } = at;
    const code = await toCode(at);
    const two = await one.tab();
    await two.open(one.page.url());
    await two.sees('Enter your code');
    await two.code(code);
    await two.sees('Hello, Mary.');
    await one.code(wrong(code));
    await one.sees('You’re signed in', 'You signed in from another tab.');
    await one.follow('Continue');
    await one.sees('Hello, Mary.');
  });

  each('the back button', async (at) => {
    const { v, server, env } = at;
    const code = await toCode(at);
    await v.page.goBack();
    await v.page.waitForLoadState();
    await v.open(env.SIGNIN_URL);
    await v.sees('Enter your code');
    assert.equal((await server.outbox(number)).length, 1, 'going back sent nothing');
    await v.code(code);
    await v.sees('Hello, Mary.');
    await v.page.goBack();
    await v.sees('You’re signed in');
    await v.page.goForward();
    await v.sees('Hello, Mary.');
  });

  each('another number', async (at) => {
    const { v, server } = at;
    await toCode(at);
    await v.follow('Use another number');
    await v.sees('Add your phone');
    assert.equal(await v.value('Phone number'), number);
    await v.follow('Back');
    await v.sees('Enter your code', '4567');
    await v.follow('Use another number');
    await v.type('Phone number', '+1 555 999 8888');
    await v.press('Send code');
    await v.sees('Enter your code', '+1 ••• ••• 8888');
    await v.code(await server.code('+15559998888'));
    await v.sees('Hello, Mary.');
  });

  each('cancel and start again', async (at) => {
    const { v, env } = at;
    await toCode(at);
    await v.press('Not you?');
    await v.sees('Sign in');
    await v.signIn(env.USERNAME_ENROLLED, env.PASSWORD_ENROLLED);
    await v.sees('Verify it’s you', env.USERNAME_ENROLLED);
  });

  each('close the page and come back', async (at) => {
    const { v, env } = at;
    const code = await toCode(at);
    const again = await v.tab();
    await v.page.close();
    await again.open(env.SIGNIN_URL);
    await again.sees('Enter your code', '+1 ••• ••• 4567');
    await again.code(code);
    await again.sees('Hello, Mary.');
    v.page = again.page;
  });

  each('an answer sent twice at once', async (at) => {
    const { v } = at;
    const code = await toCode(at);
    await v.page.getByLabel('Code', { exact: true }).evaluate((e, code) => { e.value = code; }, code); // no sixth key is pressed
    await v.page.getByRole('button', { name: 'Verify' }).dblclick({ noWaitAfter: true });
    await v.sees('Hello, Mary.');
    await v.open(at.env.SIGNIN_URL);
    await v.sees('You’re signed in');
  });

  each('somebody else’s address', async (at) => {
    const { v, browser, host } = at;
    await toCode(at);
    const other = await Visitor.arrive(browser, host);
    await other.open(v.page.url());
    await other.sees('Your sign-in took too long');
    assert.equal(await other.page.getByText(at.env.USERNAME).count(), 0);
    await other.leave();
  });

  each('a browser that keeps no cookies', async ({ v, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.context.clearCookies();
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.sees('We couldn’t accept that', 'Allow cookies for this site and start again.');
  }, { expected: ['status of 403'] });

  each('an address that is none', async ({ v, env }) => {
    await v.open(`${env.SIGNIN_URL}/nothing`);
    await v.sees('There is no such page');
  }, { expected: ['status of 404'] });
});

suite('as in production', ['--production-limits'], (each) => {
  each('unknown user, hidden', async ({ v, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.signIn('nobody@example.com', 'whatever it is');
    await v.sees('Sign in', 'That username and password don’t match. Check both and try again.');
  });

  each('another code too early, and in time', async ({ v, server, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.signIn(env.USERNAME_ENROLLED, env.PASSWORD_ENROLLED);
    await v.press('Send code');
    await v.sees('Enter your code');
    if (v.host.scripts) {
      const resend = v.page.getByRole('button', { name: /Send a new code in 0:\d\d/ });
      await resend.click({ force: true }); // it does nothing yet
      assert.equal(await resend.getAttribute('aria-disabled'), 'true');
    } else {
      await v.press('Send a new code');
      await v.sees('Enter your code', 'A code is already on its way. Give it half a minute before you ask for another.');
    }
    await server.advance('31s');
    await v.page.reload();
    await v.press(/^Send a new code$/);
    await v.sees('Enter your code', 'We sent a new code to');
    assert.equal((await server.outbox(env.PHONE_ENROLLED)).length, 2);
  });
});
