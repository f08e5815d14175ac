// openid-client (certified by the OpenID Foundation as a relying party) against the built binary: everything that it can
// ask of a provider and that we announce.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer as createSite } from 'node:http';
import { createServer } from 'node:net';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as oidc from 'openid-client';
import { start } from '../../js/lib/server.mjs';
import { Person, callback, launch, signedOut } from '../person.mjs';

let server;
let browser;
let person;

before(async () => {
  server = await start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

beforeEach(async () => {
  await server.reset();
  person = await Person.arrive(browser);
});

afterEach(async () => { await person.leave(); });

const insecure = { execute: [oidc.allowInsecureRequests] }; // the loopback has no certificate

const publicApp = () => oidc.discovery(new URL(server.env.ISSUER), server.env.CLIENT_ID_1FA, undefined, oidc.None(), insecure);
const webApp = (auth) => oidc.discovery(new URL(server.env.ISSUER), server.env.WEB_CLIENT_ID, undefined, auth(server.env.WEB_CLIENT_SECRET), insecure);
const olivia = () => ({ username: server.env.USERNAME_1FA, password: server.env.PASSWORD_1FA });
const paul = () => ({
  username: server.env.USERNAME_ENROLLED, password: server.env.PASSWORD_ENROLLED, code: () => server.code(server.env.PHONE_ENROLLED),
});

// request makes the parameters of an authorization request, and what is to be checked when the browser is back.
async function request(more = {}) {
  const checks = { pkceCodeVerifier: oidc.randomPKCECodeVerifier(), expectedNonce: oidc.randomNonce(), expectedState: oidc.randomState() };
  const parameters = {
    redirect_uri: callback, scope: 'openid profile email offline_access', state: checks.expectedState, nonce: checks.expectedNonce,
    code_challenge: await oidc.calculatePKCECodeChallenge(checks.pkceCodeVerifier), code_challenge_method: 'S256', ...more,
  };
  return { checks, parameters };
}

// signIn is the code flow with PKCE.
async function signIn(config, who, more) {
  const { checks, parameters } = await request(more);
  const back = await person.visit(oidc.buildAuthorizationUrl(config, parameters), who);
  return oidc.authorizationCodeGrant(config, back, checks);
}

const refused = (error) => (thrown) => {
  assert.equal(thrown.error ?? thrown.cause?.error, error, String(thrown));
  return true;
};

// gone wants userinfo to refuse a token.
async function gone(config, tokens) {
  const answer = await oidc.fetchProtectedResource(config, tokens.access_token, new URL(config.serverMetadata().userinfo_endpoint), 'GET').catch((error) => error);
  assert.equal(answer.status ?? answer.response?.status, 401);
}

describe('a public application', () => {
  test('discovery', async () => {
    const metadata = (await publicApp()).serverMetadata();
    assert.equal(metadata.issuer, server.env.ISSUER);
    assert.ok(metadata.supportsPKCE());
    assert.equal(metadata.authorization_response_iss_parameter_supported, true);
  });

  test('code flow with PKCE, and userinfo', async () => {
    const config = await publicApp();
    const tokens = await signIn(config, olivia());
    const claims = tokens.claims();
    assert.equal(claims.iss, server.env.ISSUER);
    assert.equal(claims.aud, server.env.CLIENT_ID_1FA);
    const who = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(who.email, server.env.USERNAME_1FA);
    assert.deepEqual(person.troubles, []);
  });

  test('who is signed in is not asked again; max_age and prompt=login ask', async () => {
    const config = await publicApp();
    const first = (await signIn(config, olivia())).claims();
    const second = (await signIn(config, undefined, { prompt: 'none' })).claims();
    assert.deepEqual([second.sub, second.auth_time], [first.sub, first.auth_time]);
    await server.advance('5s');
    const third = (await signIn(config, olivia(), { prompt: 'login' })).claims();
    assert.ok(third.auth_time > first.auth_time);
    await server.advance('5s');
    const fourth = (await signIn(config, olivia(), { max_age: '1' })).claims();
    assert.ok(fourth.auth_time > third.auth_time);
  });

  test('prompt=none with nobody signed in', async () => {
    const config = await publicApp();
    await assert.rejects(signIn(config, undefined, { prompt: 'none' }), refused('login_required'));
  });

  test('form_post', async () => {
    const config = await publicApp();
    const { checks, parameters } = await request({ response_mode: 'form_post' });
    const back = await person.visit(oidc.buildAuthorizationUrl(config, parameters), olivia());
    assert.ok(person.posted);
    const posted = new Request(callback, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: back.search.slice(1) });
    const tokens = await oidc.authorizationCodeGrant(config, posted, checks);
    assert.ok(tokens.claims().sub);
  });

  test('refresh', async () => {
    const config = await publicApp();
    const first = await signIn(config, olivia());
    const second = await oidc.refreshTokenGrant(config, first.refresh_token);
    assert.notEqual(second.access_token, first.access_token);
    assert.equal(second.claims().sub, first.claims().sub);
    await oidc.fetchUserInfo(config, second.access_token, first.claims().sub);
    await server.advance('5m');
    await assert.rejects(oidc.refreshTokenGrant(config, first.refresh_token), refused('invalid_grant'));
  });

  test('introspection and revocation', async () => {
    const config = await publicApp();
    const tokens = await signIn(config, olivia());
    const known = await oidc.tokenIntrospection(config, tokens.access_token);
    assert.equal(known.active, true);
    assert.equal(known.client_id, server.env.CLIENT_ID_1FA);
    await oidc.tokenRevocation(config, tokens.refresh_token);
    assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
    await gone(config, tokens);
    await assert.rejects(oidc.refreshTokenGrant(config, tokens.refresh_token), refused('invalid_grant'));
  });

  test('logout', async () => {
    const config = await publicApp();
    const tokens = await signIn(config, olivia());
    const state = oidc.randomState();
    const back = await person.visit(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: signedOut, state }));
    assert.equal(back.pathname, '/signed-out');
    assert.equal(back.searchParams.get('state'), state);
    await assert.rejects(signIn(config, undefined, { prompt: 'none' }), refused('login_required'));
  });
});

// OpenID Connect Front-Channel Logout 3: the browser loads a page of each application that was entered, which has cookies of
// its own to end, and only then goes back: the two seconds of our page begin when its frames are loaded, however long that takes.
describe('front-channel logout', () => {
  let site;
  let loaded;

  before(async () => {
    site = createSite((request, response) => {
      const { pathname, searchParams } = new URL(request.url, 'http://site');
      loaded.push({ method: request.method, to: request.headers['sec-fetch-dest'], pathname, ...Object.fromEntries(searchParams) });
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>signed out</title>');
    });
    await new Promise((ready) => site.listen(0, '127.0.0.1', ready));
  });

  beforeEach(async () => {
    loaded = [];
    const at = (path) => `http://127.0.0.1:${site.address().port}${path}`;
    const app = { type: 'public', grant_types: ['authorization_code'], redirect_uris: [callback], post_logout_redirect_uris: [signedOut], scopes: ['openid'], policy: { require: ['password'] } };
    await server.apply({ apps: [
      { ...app, id: 'told', name: 'Told', frontchannel_logout_uri: at('/front?of=us') },
      { ...app, id: 'alsotold', name: 'Also told', frontchannel_logout_uri: at('/also') },
      { ...app, id: 'stranger', name: 'Stranger', frontchannel_logout_uri: at('/stranger') },
    ] });
  });

  after(() => {
    site.close();
    site.closeAllConnections();
  });

  test('those that were entered are told, each in a frame', async () => {
    const app = (id) => oidc.discovery(new URL(server.env.ISSUER), id, undefined, oidc.None(), insecure);
    const config = await app('told');
    const tokens = await signIn(config, olivia(), { scope: 'openid' });
    await signIn(await app('alsotold'), undefined, { scope: 'openid' });
    const { sid } = tokens.claims();
    assert.ok(sid);
    const state = oidc.randomState();
    const back = await person.visit(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: signedOut, state }));
    assert.equal(back.pathname, '/signed-out');
    assert.equal(back.searchParams.get('state'), state);
    await person.page.waitForURL((url) => url.pathname === '/signed-out'); // the page went on by itself: let it be there
    const frame = { method: 'GET', to: 'iframe', iss: server.env.ISSUER, sid };
    assert.deepEqual(loaded.filter(({ pathname }) => pathname !== '/favicon.ico').sort((a, b) => a.pathname.localeCompare(b.pathname)), [
      { ...frame, pathname: '/also' }, { ...frame, pathname: '/front', of: 'us' },
    ]);
    assert.deepEqual(person.troubles, []);
    await assert.rejects(signIn(config, undefined, { scope: 'openid', prompt: 'none' }), refused('login_required'));
  });
});

describe('a confidential application', () => {
  for (const [name, auth] of [['client_secret_basic', oidc.ClientSecretBasic], ['client_secret_post', oidc.ClientSecretPost]]) {
    test(`${name}: password and phone, userinfo, introspection`, async () => {
      const config = await webApp(auth);
      const tokens = await signIn(config, paul());
      assert.deepEqual([...tokens.claims().amr].sort(), ['mca', 'mfa', 'pwd', 'sms']);
      const who = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
      assert.equal(who.email, server.env.USERNAME_ENROLLED);
      assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, true);
    });
  }
});

describe('pushed requests', () => {
  test('the request is pushed, and good once', async () => {
    const config = await publicApp();
    const { checks, parameters } = await request();
    const to = await oidc.buildAuthorizationUrlWithPAR(config, parameters);
    assert.deepEqual([...to.searchParams.keys()].sort(), ['client_id', 'request_uri']);
    const tokens = await oidc.authorizationCodeGrant(config, await person.visit(to, olivia()), checks);
    assert.ok(tokens.claims().sub);
  });
});

describe('bound tokens', () => {
  test('code flow, userinfo and refresh with DPoP', async () => {
    const config = await publicApp();
    const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256'));
    const { checks, parameters } = await request();
    const to = oidc.buildAuthorizationUrl(config, { ...parameters, dpop_jkt: await DPoP.calculateThumbprint() });
    const tokens = await oidc.authorizationCodeGrant(config, await person.visit(to, olivia()), checks, undefined, { DPoP });
    assert.equal(tokens.token_type, 'dpop');
    const who = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP });
    assert.equal(who.email, server.env.USERNAME_1FA);
    await gone(config, tokens); // without the key it is worth nothing
    const other = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256'));
    await assert.rejects(oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: other }));
    const next = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
    assert.equal(next.token_type, 'dpop');
  });
});

test('the application of docs/integrating.md', async () => {
  const listener = createServer();
  await new Promise((ready) => listener.listen(0, '127.0.0.1', ready));
  const url = `http://127.0.0.1:${listener.address().port}`;
  await new Promise((done) => listener.close(done));
  const app = spawn(process.execPath, ['app.mjs'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)), env: { ...process.env, ...server.env, APP_URL: url }, stdio: 'inherit',
  });
  try {
    for (let tries = 0; tries < 200 && !(await fetch(`${url}/callback`).catch(() => undefined)); tries++) await new Promise((next) => setTimeout(next, 25));
    await person.page.goto(`${url}/`);
    await person.signIn(server.env.USERNAME_1FA, server.env.PASSWORD_1FA);
    await person.page.getByText('Hello, Olivia Ortega.').waitFor();
  } finally {
    app.kill('SIGKILL');
  }
});
