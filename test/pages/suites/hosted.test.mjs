// The engine's own pages: an application somewhere else sends a browser there and gets it back, and people look after
// their account.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { number, scripts, suite } from '../lib/suite.mjs';

// application is a server on another origin, which keeps what it was come back to with.
async function application() {
  const app = { arrived: null, posted: null };
  app.server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    if (url.pathname === '/callback') app.arrived = url.searchParams;
    if (request.method === 'POST') {
      const form = new URLSearchParams((await request.toArray()).join(''));
      app.posted = { error: form.get('error'), state: form.get('state') };
    }
    response.setHeader('Content-Type', 'text/html');
    response.end('<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Application</title><main><h1>Welcome back</h1></main></html>');
  });
  await new Promise((listening) => app.server.listen(0, '127.0.0.1', listening));
  app.callback = `http://127.0.0.1:${app.server.address().port}/callback`;
  return app;
}

function authorize(env, app, more = {}) {
  const verifier = randomBytes(32).toString('base64url');
  return `${env.ISSUER}/v1/authorize?${new URLSearchParams({
    client_id: env.CLIENT_ID, response_type: 'code', scope: 'openid profile', redirect_uri: app.callback, state: 'a-state-of-ours', nonce: 'n',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256', ...more,
  })}`;
}

async function signIn({ v, server, env }, password = env.PASSWORD_ENROLLED) {
  await server.empty();
  await v.type('Username', env.USERNAME_ENROLLED);
  await v.type('Password', password);
  await v.press('Sign in');
  await v.sees('Verify it’s you');
  await v.press('Send code');
  await v.sees('Enter your code');
  await v.code(await server.code(env.PHONE_ENROLLED));
}

suite('hosted pages', [], (each) => {
  each('from an application and back', async (at) => {
    const { v, env } = at;
    const app = await application();
    try {
      await v.open(authorize(env, app, { login_hint: env.USERNAME_ENROLLED }));
      await v.sees('Sign in');
      assert.equal(new URL(v.page.url()).origin, new URL(env.LATCHKEY_URL).origin);
      assert.equal(await v.value('Username'), env.USERNAME_ENROLLED);
      await signIn(at);
      await v.sees('Welcome back'); // the policy of the page let the form lead here
      assert.ok(app.arrived.get('code'), 'there is a code');
      assert.equal(app.arrived.get('state'), 'a-state-of-ours');
      assert.equal(app.arrived.get('iss'), env.ISSUER);
      app.arrived = null;
      await v.open(authorize(env, app));
      await v.sees('Welcome back'); // who is signed in is asked nothing
      assert.ok(app.arrived.get('code'));
      await v.open(authorize(env, app, { prompt: 'login', ui_locales: 'pt de' }));
      await v.sees('Anmelden');
    } finally {
      app.server.close();
      app.server.closeAllConnections();
    }
  });

  each('giving up', async (at) => {
    const { v, env } = at;
    const app = await application();
    try {
      await v.open(authorize(env, app));
      await v.sees('Sign in');
      await v.type('Username', env.USERNAME_ENROLLED);
      await v.type('Password', env.PASSWORD_ENROLLED);
      await v.press('Sign in');
      await v.sees('Verify it’s you', /Back to /);
      await v.follow(/^Back to /);
      await v.sees('Welcome back');
      assert.equal(app.arrived.get('error'), 'access_denied');
      assert.ok(app.arrived.get('error_description'));
      assert.equal(app.arrived.get('state'), 'a-state-of-ours');
      assert.equal(app.arrived.get('iss'), env.ISSUER);
      assert.equal(app.arrived.get('code'), null);
      await v.open(authorize(env, app, { response_mode: 'form_post', ui_locales: 'de' }));
      await v.sees('Anmelden');
      await v.follow(/^Zurück zu /);
      if (!at.host.scripts) {
        await v.sees('Zurück zur Anwendung');
        await v.press('Weiter');
      }
      await v.sees('Welcome back');
      assert.deepEqual(app.posted, { error: 'access_denied', state: 'a-state-of-ours' });
    } finally {
      app.server.close();
      app.server.closeAllConnections();
    }
  });

  each('what goes wrong, and signing out, in the language of the person', async (at) => {
    const { v, env } = at;
    const app = await application();
    try {
      await v.open(authorize(env, app, { client_id: 'nobody' }));
      await v.sees('This link does not work', 'is not known to this server');
      await v.open(authorize(env, app, { client_id: 'nobody', ui_locales: 'de' }));
      await v.sees('Dieser Link funktioniert nicht', 'nicht bekannt');
      await v.open(`${env.LATCHKEY_URL}/login/token/redirect?ui_locales=de`);
      await v.sees('Dieser Link funktioniert nicht', 'invalid_request: The parameter');
      await v.open(authorize(env, app));
      await v.sees('Sign in');
      await signIn(at);
      await v.sees('Welcome back');
      await v.open(`${env.ISSUER}/v1/logout?ui_locales=de`);
      await v.sees('Möchten Sie sich abmelden?');
      await v.press('Abmelden');
      await v.sees('Sie sind abgemeldet', 'Sie können dieses Fenster schließen.');
      await v.open(`${env.ISSUER}/v1/logout`);
      await v.sees('You are signed out');
    } finally {
      app.server.close();
      app.server.closeAllConnections();
    }
  }, { expected: ['400'] });

  each('letting a device in', async (at) => {
    const { v, env } = at;
    await v.open(`${env.LATCHKEY_URL}/activate`);
    await signIn(at);
    await v.sees('Sign in on a device', 'Type the code that your device shows.');
    await v.type('Code', 'BBBB-BBBB');
    await v.press('Continue');
    await v.sees('Sign in on a device', 'That code is not right');
  }, { expected: ['400'] });

  each('nothing to sign in to', async ({ v, env }) => {
    await v.open(`${env.LATCHKEY_URL}/signin`);
    await v.sees('There is nothing to sign in to here');
  });

  // Somebody stops the page while it loads, or its answer is lost: the form is not dead, and what comes twice is one.
  each('a form that was stopped', async ({ v, env }) => {
    await v.open(`${env.LATCHKEY_URL}/account`);
    await v.sees('Sign in');
    await v.page.clock.install();
    let held = 0;
    await v.page.route('**/signin/*', async (route) => {
      if (route.request().method() !== 'POST' || held++ > 0) return route.continue();
      return route.abort('aborted'); // what Escape does
    });
    const submit = () => v.page.getByRole('button', { name: 'Sign in' }).click({ noWaitAfter: true });
    await v.type('Username', env.USERNAME_ENROLLED);
    await v.type('Password', env.PASSWORD_ENROLLED);
    await submit();
    await submit();
    assert.equal(held, 1, 'a second click sends nothing');
    assert.equal(await v.page.getByRole('button', { name: 'Sign in' }).getAttribute('aria-busy'), 'true');
    await v.page.clock.runFor(11_000);
    assert.equal(await v.page.getByRole('button', { name: 'Sign in' }).getAttribute('aria-busy'), null);
    await submit();
    await v.sees('Verify it’s you');
  }, { where: scripts, expected: ['ERR_ABORTED'] });

  each('the phone', async (at) => {
    const { v, server, env } = at;
    const another = '+12025550143';
    await v.open(`${env.LATCHKEY_URL}/account`);
    await v.sees('Sign in');
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.sees('Add a way to verify it’s you');
    await v.press('Skip for now');
    await v.sees('Your account');
    const setUp = async (link, to) => {
      await server.empty();
      await v.follow(/Your phone/);
      await v.sees('Your phone');
      await v.follow(link);
      await v.sees('Add a way to verify it’s you');
      await v.press(/Phone/);
      await v.sees('Add your phone');
      await v.type('Phone number', to);
      await v.press('Send code');
      await v.sees('Enter your code');
      await v.code(await server.code(to));
      await v.sees('Your phone', to.slice(-4));
      await v.follow('Back to your account');
      await v.sees('Your account');
    };
    await setUp(/Set up a phone/, number);
    await setUp(/Use another phone/, another);
    await v.follow(/Your phone/);
    await v.press(/Remove/);
    await v.sees('Your account', 'Your phone is removed');
    await v.follow(/Your phone/);
    await v.sees('Your phone', 'no phone on your account');
  });

  each('the account', async (at) => {
    const { v, env } = at;
    await v.open(`${env.LATCHKEY_URL}/account`);
    await signIn(at);
    await v.sees('Your account', env.USERNAME_ENROLLED, 'Recent sign-ins');
    await v.follow(/Recent sign-ins/);
    await v.sees('Recent sign-ins', '127.0.0.1');
    await v.follow('Back to your account');
    await v.follow(/Where you’re signed in/);
    await v.sees('Where you’re signed in', 'This device');
    await v.follow('Back to your account');
    await v.follow(/Change your password/);
    await v.sees('Change your password');
    assert.equal(await v.page.getByRole('textbox', { name: /.*/ }).count(), 2, 'the username is for the password manager alone');
    await v.type('Current password', env.PASSWORD_ENROLLED);
    await v.type('New password', 'password-password1');
    await v.press('Change password');
    await v.sees('Change your password', 'That password is on lists of common passwords.');
    await v.type('Current password', env.PASSWORD_ENROLLED);
    await v.type('New password', 'seven purple lanterns');
    await v.press('Change password');
    await v.sees('Your account', 'Your password is changed');
    await v.follow(/Where you’re signed in/);
    await v.press('Sign out everywhere');
    await v.sees('You’re signed out');
    await v.open(`${env.LATCHKEY_URL}/account`);
    await v.sees('Sign in');
  });
});
