// Okta's own Sign-In Widget against the engine: what its user does, what it shows, what it ends with.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { start, wrong } from '../../js/lib/server.mjs';
import { Watch, beyond, generations, serve, show } from '../page.mjs';

const artefacts = fileURLToPath(new URL('../../../test-artifacts/widget/', import.meta.url));
const number = '+15551234567';
let server;
let browser;

before(async () => {
  await mkdir(artefacts, { recursive: true });
  server = await start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const [generation, where] of Object.entries(generations)) {
  describe(`generation ${generation}`, () => {
    let site;
    let page;
    let watch;

    before(async () => { site = await serve(generation, server.env); });
    after(async () => { await site.close(); });

    beforeEach(async () => {
      await server.reset();
      page = await browser.newPage();
      page.setDefaultTimeout(20_000);
      watch = new Watch(page, site.url, server.env);
      await page.goto(site.url);
      await page.locator('input[name="identifier"]').waitFor();
    });

    afterEach(async () => {
      await page.close();
      assert.deepEqual(watch.complaints, []);
      assert.deepEqual([...watch.fetched].filter((line) => !beyond.includes(line)), []);
    });

    const fill = (name, value) => page.locator(`input[name="${name}"]`).fill(value);
    const submit = () => page.locator(where.submit).click();
    const says = (text) => page.locator('#widget', { hasText: text }).waitFor();
    const picture = (name) => page.screenshot({ path: `${artefacts}generation-${generation}-${name}.png`, fullPage: true });
    const signIn = async (username, password) => {
      await fill('identifier', username);
      await fill('credentials.passcode', password);
      await submit();
    };
    const phone = async () => {
      await page.locator(where.setUp).click();
      await says('Enter your phone number');
    };
    // again types into a form that was refused once, and returns the status it gets. The older generation draws its
    // form anew some time after a refusal, and takes no notice of what was typed and sent meanwhile: then one tries
    // again. On a slow machine it may have taken notice after all, so that what is sent twice must do no harm.
    const again = async (field, value, path) => {
      for (let tries = 0; tries < 10; tries++) {
        const sent = page.waitForRequest((request) => request.method() === 'POST' && request.url().endsWith(path), { timeout: 3_000 }).catch(() => undefined);
        await page.locator(field).fill(value);
        await submit();
        const request = await sent;
        if (request) return (await request.response()).status();
      }
      throw new Error(`nothing is sent to ${path}`);
    };
    const passcode = 'input[name="credentials.passcode"]';
    const answer = (code) => again(passcode, code, '/idp/idx/challenge/answer');
    const outcome = async () => {
      const handle = await page.waitForFunction(() => window.outcome);
      return handle.jsonValue();
    };
    const signedIn = async (username) => {
      const { claims, accessToken, error } = await outcome();
      assert.equal(error, undefined);
      assert.equal(claims.email, username);
      assert.deepEqual([...claims.amr].sort(), ['mca', 'mfa', 'pwd', 'sms']);
      const profile = await (await fetch(`${server.env.ISSUER}/v1/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })).json();
      assert.equal(profile.sub, claims.sub);
    };

    test('first sign-in, the phone set up on the way, and everything that can be typed wrong', async () => {
      const { USERNAME, PASSWORD } = server.env;
      await signIn(USERNAME, 'nope');
      await says('Unable to sign in');
      await picture('wrong-password');
      assert.equal(await again(passcode, PASSWORD, '/idp/idx/identify'), 200);
      await says('Set up security methods');
      await picture('choose');
      await phone();
      await page.locator(where.number).fill('12');
      await submit();
      await says('Invalid Phone Number.');
      await picture('bad-number');
      assert.equal(await again(where.number, '(555) 123-4567', '/idp/idx/credential/enroll'), 200);
      await says('A code was sent to your phone');
      await picture('code');
      const code = await server.code(number);
      assert.equal(await answer(wrong(code)), 401);
      await says('Invalid code. Try again.');
      await picture('wrong-code');
      assert.equal(await answer(code), 200);
      await signedIn(USERNAME);
      await picture('signed-in');
    });

    test('second sign-in', async () => {
      const { USERNAME_ENROLLED, PASSWORD_ENROLLED, PHONE_ENROLLED } = server.env;
      await signIn(USERNAME_ENROLLED, PASSWORD_ENROLLED);
      await says(PHONE_ENROLLED.slice(-4));
      await picture('send');
      await submit();
      await page.locator('input[name="credentials.passcode"]').waitFor();
      await fill('credentials.passcode', await server.code(PHONE_ENROLLED));
      await submit();
      await signedIn(USERNAME_ENROLLED);
    });

    test('too many wrong codes, and a new one', async () => {
      const { USERNAME_ENROLLED, PASSWORD_ENROLLED, PHONE_ENROLLED } = server.env;
      await page.clock.install(); // the offer to send again comes after half a minute
      await signIn(USERNAME_ENROLLED, PASSWORD_ENROLLED);
      await submit();
      await page.locator('input[name="credentials.passcode"]').waitFor();
      const code = await server.code(PHONE_ENROLLED);
      const statuses = [];
      page.on('response', (response) => { if (response.url().endsWith('/challenge/answer')) statuses.push(response.status()); });
      for (let n = 1; n <= 6; n++) await answer(wrong(code, n));
      assert.deepEqual(statuses.slice(0, 6), [401, 401, 401, 401, 401, 429]);
      await says(/Too many (attempts|requests)/i);
      await picture('too-many');
      if (where.ends) { // this one shows a way back, and nothing else
        await page.getByText('Back to sign in').click();
        await page.locator('input[name="identifier"]').waitFor();
        await signIn(USERNAME_ENROLLED, PASSWORD_ENROLLED);
        await says(PHONE_ENROLLED.slice(-4));
        await submit();
        await page.locator(passcode).waitFor();
      } else {
        assert.equal(await answer(code), 429, 'the right code is worth nothing any more');
        await page.clock.runFor(60_000);
        await page.getByText('Send again').click();
      }
      assert.equal(await answer(await server.code(PHONE_ENROLLED, 2)), 200);
      await signedIn(USERNAME_ENROLLED);
    });

    test('the code is sent again', async () => {
      const { USERNAME_ENROLLED, PASSWORD_ENROLLED, PHONE_ENROLLED } = server.env;
      await page.clock.install(); // the offer to send again comes after half a minute
      await signIn(USERNAME_ENROLLED, PASSWORD_ENROLLED);
      await says(PHONE_ENROLLED.slice(-4));
      await submit();
      await page.locator(passcode).waitFor();
      await server.code(PHONE_ENROLLED);
      await page.clock.runFor(60_000);
      await page.getByText('Send again').click();
      const code = await server.code(PHONE_ENROLLED, 2);
      await picture('sent-again');
      await fill('credentials.passcode', code);
      await submit();
      await signedIn(USERNAME_ENROLLED);
    });

    test('signed out, and in again', async () => {
      const { USERNAME_ENROLLED, PASSWORD_ENROLLED, PHONE_ENROLLED, ISSUER } = server.env;
      const enter = async () => {
        await signIn(USERNAME_ENROLLED, PASSWORD_ENROLLED);
        await says(PHONE_ENROLLED.slice(-4));
        await submit();
        await page.locator(passcode).waitFor();
        await fill('credentials.passcode', await server.code(PHONE_ENROLLED));
        await submit();
        await signedIn(USERNAME_ENROLLED);
      };
      await enter();
      const { accessToken } = await outcome();
      const revoked = page.waitForResponse((response) => response.url().endsWith('/v1/revoke'));
      const gone = page.waitForResponse((response) => response.url().includes('/v1/logout'));
      await page.evaluate(() => { // authClient.signOut() revokes the tokens and goes to the end-session endpoint
        const { accessToken, idToken } = window.tokens;
        widget.authClient.tokenManager.setTokens({ accessToken, idToken });
        widget.authClient.signOut({ postLogoutRedirectUri: location.origin + '/callback' });
      });
      assert.equal((await revoked).status(), 200);
      const way = await gone;
      assert.ok(way.status() < 400, `${way.status()}`);
      assert.ok(way.request().url().startsWith(`${ISSUER}/v1/logout?`) && way.request().url().includes('id_token_hint='), way.request().url());
      await page.waitForURL((url) => url.pathname === '/callback');
      const refused = await fetch(`${ISSUER}/v1/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } });
      assert.equal(refused.status, 401, 'the access token is revoked');
      await picture('signed-out');
      await server.empty();
      await page.goto(site.url);
      await page.locator('input[name="identifier"]').waitFor();
      await enter();
      assert.deepEqual([...watch.fetched].sort(), beyond, 'what the widget fetches beside IDX');
    });

    test('back to the list, and back to sign in', async () => {
      const { USERNAME, PASSWORD } = server.env;
      await signIn(USERNAME, PASSWORD);
      await phone();
      await page.getByText('Return to authenticator list').click();
      await says('Set up security methods');
      await page.getByText('Back to sign in').click();
      await page.locator('input[name="identifier"]').waitFor();
      await signIn(USERNAME, PASSWORD);
      await phone();
      await page.locator(where.number).fill('5551234567');
      await submit();
      await says('A code was sent to your phone');
      await fill('credentials.passcode', await server.code(number));
      await submit();
      await signedIn(USERNAME);
    });

    test('a reload in the middle goes on where it was', async () => {
      const { USERNAME, PASSWORD } = server.env;
      await signIn(USERNAME, PASSWORD);
      await phone();
      await page.locator(where.number).fill('5551234567');
      await submit();
      await says('A code was sent to your phone');
      await page.reload();
      await page.locator('input[name="credentials.passcode"]').waitFor();
      await fill('credentials.passcode', await server.code(number));
      await submit();
      await signedIn(USERNAME);
    });
  });
}

for (const [generation, where] of Object.entries(generations)) {
  test(`the page of docs/integrating.md, generation ${generation}`, async () => {
    await server.reset();
    const text = await readFile(fileURLToPath(new URL('../../../examples/widget.html', import.meta.url)), 'utf8');
    const { script, style } = generations[2]; // the page names the files of this one
    const site = await show(text.replaceAll(/{{(\w+)}}/g, (_, name) => server.env[name]).replace(script, where.script).replace(style, where.style));
    const page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    const watch = new Watch(page, site.url, server.env);
    try {
      const { USERNAME_ENROLLED, PASSWORD_ENROLLED, PHONE_ENROLLED, ISSUER } = server.env;
      await page.goto(site.url);
      await page.locator('input[name="identifier"]').fill(USERNAME_ENROLLED);
      await page.locator('input[name="credentials.passcode"]').fill(PASSWORD_ENROLLED);
      await page.locator(where.submit).click();
      await page.locator('#widget', { hasText: PHONE_ENROLLED.slice(-4) }).waitFor();
      await page.locator(where.submit).click();
      await page.locator('input[name="credentials.passcode"]').fill(await server.code(PHONE_ENROLLED));
      await page.locator(where.submit).click();
      await page.getByText('Hello, Paul Poole.').waitFor();
      const bearer = await page.evaluate(() => widget.authClient.getAccessToken());
      const userinfo = async () => (await fetch(`${ISSUER}/v1/userinfo`, { headers: { authorization: `Bearer ${bearer}` } })).status;
      assert.equal(await userinfo(), 200);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.locator('input[name="identifier"]').waitFor(); // back at the page, to sign in anew
      assert.equal(page.url(), site.url);
      assert.equal(await userinfo(), 401, 'the access token is revoked');
      assert.equal(await page.evaluate(() => widget.authClient.getAccessToken()), undefined);
      assert.deepEqual([...watch.fetched].sort(), beyond);
      assert.deepEqual(watch.complaints, []);
    } finally {
      await page.close();
      await site.close();
    }
  });
}
