// What the sign-in was for: tokens that verify, renew, and can be taken back.

import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { inEveryMode, suite } from '../lib/suite.mjs';
import { match } from '../lib/match.mjs';
import { form } from '../lib/wire.mjs';
import { signIn, toVerifyCode } from '../lib/walk.mjs';

const decode = (part) => JSON.parse(Buffer.from(part, 'base64url'));
const number = (value) => Number.isInteger(value);
const sorted = (...want) => (got) => JSON.stringify([...got].sort()) === JSON.stringify(want.sort());

// open verifies a token without any help of the client's, and returns its claims.
async function open(env, token) {
  const [head, payload, signature] = token.split('.');
  const header = decode(head);
  assert.deepEqual(Object.keys(header).sort(), ['alg', 'kid'], 'other verifiers refuse any more');
  assert.equal(header.alg, 'RS256');
  const { keys } = await (await fetch(`${env.ISSUER}/v1/keys`)).json();
  const jwk = keys.find(({ kid }) => kid === header.kid);
  assert.equal(jwk.alg, 'RS256');
  assert.equal(jwk.use, 'sig');
  assert.ok(verify('RSA-SHA256', Buffer.from(`${head}.${payload}`), createPublicKey({ key: jwk, format: 'jwk' }), Buffer.from(signature, 'base64url')));
  return decode(payload);
}

suite('tokens', {}, (house) => inEveryMode((mode) => {
  const tokens = async (options) => {
    const client = house.client(mode, options);
    await house.server.empty();
    return [client, client.success(await signIn(client, house.server))];
  };
  const userinfo = (accessToken) => fetch(`${house.env.ISSUER}/v1/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } });

  test('the ID token says who signed in, how, and for whom', async () => {
    const { env } = house;
    const [client, { idToken, accessToken }] = await tokens();
    const asked = new URLSearchParams(client.last('interact').request.body);
    const claims = await open(env, idToken.idToken);
    const hash = createHash('sha256').update(accessToken.accessToken).digest();
    match(claims, {
      iss: env.ISSUER,
      aud: env.CLIENT_ID,
      sub: /^00u/,
      ver: 1,
      jti: /^ID\./,
      iat: number,
      exp: claims.iat + 3600,
      auth_time: number,
      amr: sorted('pwd', 'sms', 'mca', 'mfa'),
      idp: /^00o/,
      nonce: asked.get('nonce'),
      at_hash: hash.subarray(0, 16).toString('base64url'),
      name: /./,
      email: env.USERNAME_ENROLLED,
      email_verified: true,
      preferred_username: env.USERNAME_ENROLLED,
    });
    assert.ok(Math.abs(claims.auth_time - claims.iat) <= 5);
    assert.deepEqual(idToken.claims, claims, 'what the client read');
  });

  test('the access token says for what', async () => {
    const { env } = house;
    const [client, { idToken, accessToken }] = await tokens();
    const claims = await open(env, accessToken.accessToken);
    match(claims, {
      iss: env.ISSUER,
      aud: /^api:\/\//,
      sub: env.USERNAME_ENROLLED,
      uid: idToken.claims.sub,
      cid: env.CLIENT_ID,
      scp: sorted('openid', 'profile', 'email'),
      ver: 1,
      jti: /^AT\./,
      iat: number,
      exp: number,
      auth_time: number,
    });
    const { body, headers } = client.last('token');
    match(body, {
      token_type: 'Bearer',
      expires_in: claims.exp - claims.iat,
      scope: (scope) => sorted('openid', 'profile', 'email')(scope.split(' ')),
      access_token: accessToken.accessToken,
      id_token: idToken.idToken,
    });
    assert.match(headers.get('cache-control'), /no-store/);
    assert.ok(claims.exp - claims.iat <= 3600, 'S-59');
  });

  test('scopes open claims, and no others', async () => {
    const { env } = house;
    const [client, { idToken, accessToken }] = await tokens({ scopes: ['openid'] });
    for (const claim of ['name', 'email', 'preferred_username', 'phone_number']) assert.ok(!(claim in idToken.claims), claim);
    const profile = await client.run((auth) => auth.token.getUserInfo(accessToken, idToken));
    assert.deepEqual(Object.keys(profile).filter((name) => name !== 'headers'), ['sub']);
    const [other, got] = await tokens({ scopes: ['openid', 'phone'] });
    const phone = await other.run((auth) => auth.token.getUserInfo(got.accessToken, got.idToken));
    assert.equal(phone.phone_number, env.PHONE_ENROLLED);
    assert.equal(phone.phone_number_verified, true);
  });

  test('S-56 an interaction code opens once, and its replay takes the tokens back', async () => {
    const { env } = house;
    const [client, { accessToken }] = await tokens();
    const request = Object.fromEntries(new URLSearchParams(client.last('token').request.body));
    assert.equal((await userinfo(accessToken.accessToken)).status, 200);
    const replay = await form(`${env.ISSUER}/v1/token`, request);
    assert.equal(replay.status, 400);
    assert.deepEqual(replay.body, {
      error: 'invalid_grant', error_description: 'The interaction code is invalid or has expired.',
    });
    assert.equal((await userinfo(accessToken.accessToken)).status, 401);
  });

  test('S-18 an interaction code lives a minute', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    const code = await server.code(env.PHONE_ENROLLED);
    const done = await client.run(({ idx }) => (mode.step
      ? idx.proceed({ step: 'challenge-authenticator', verificationCode: code, exchangeCodeForTokens: false })
      : idx.authenticate({ verificationCode: code, exchangeCodeForTokens: false })));
    assert.equal(done.status, 'SUCCESS');
    await server.advance('61s');
    await assert.rejects(
      client.run((auth) => auth.token.exchangeCodeForTokens({
        interactionCode: done.interactionCode, codeVerifier: done.meta.codeVerifier, redirectUri: env.REDIRECT_URI, clientId: env.CLIENT_ID,
      })),
      ({ errorCode, errorSummary }) => errorCode === 'invalid_grant' && errorSummary === 'The interaction code is invalid or has expired.',
    );
  });

  test('S-55 the wrong verifier burns the code', async () => {
    const { server, env } = house;
    const client = house.client(mode);
    await toVerifyCode(client);
    const code = await server.code(env.PHONE_ENROLLED);
    const done = await client.run(({ idx }) => (mode.step
      ? idx.proceed({ step: 'challenge-authenticator', verificationCode: code, exchangeCodeForTokens: false })
      : idx.authenticate({ verificationCode: code, exchangeCodeForTokens: false })));
    const redeem = (code_verifier) => form(`${env.ISSUER}/v1/token`, {
      grant_type: 'interaction_code', client_id: env.CLIENT_ID, interaction_code: done.interactionCode, code_verifier,
    });
    const refused = await redeem('x'.repeat(43));
    assert.deepEqual([refused.status, refused.body.error], [400, 'invalid_grant']);
    assert.equal((await redeem(done.meta.codeVerifier)).status, 400);
  });

  test('S-60 a refresh token renews once and leaves a new one', async () => {
    const { env } = house;
    const [client, first] = await tokens({ scopes: ['openid', 'profile', 'email', 'offline_access'] });
    assert.ok(first.refreshToken.refreshToken);
    assert.match((await open(env, first.accessToken.accessToken)).jti, /^AT\..+\.oar/);
    const renewed = await client.run((auth) => auth.token.renewTokensWithRefresh({ scopes: ['openid', 'profile', 'email', 'offline_access'] }, first.refreshToken));
    assert.notEqual(renewed.accessToken.accessToken, first.accessToken.accessToken);
    assert.notEqual(renewed.refreshToken.refreshToken, first.refreshToken.refreshToken);
    assert.equal(renewed.idToken.claims.sub, first.idToken.claims.sub);
    assert.deepEqual([...renewed.idToken.claims.amr].sort(), [...first.idToken.claims.amr].sort());
    assert.equal((await userinfo(renewed.accessToken.accessToken)).status, 200);

    await house.server.advance('61s'); // past any grace
    await assert.rejects(
      client.run((auth) => auth.token.renewTokensWithRefresh({ scopes: ['openid'] }, first.refreshToken)),
      ({ errorCode, errorSummary }) => errorCode === 'invalid_grant' && errorSummary === 'The refresh token is invalid or expired.',
    );
    assert.equal((await userinfo(renewed.accessToken.accessToken)).status, 401, 'the whole family is taken back');
  });

  test('revoke and introspect agree', async () => {
    const [client, { accessToken, refreshToken }] = await tokens({ scopes: ['openid', 'offline_access'] });
    const asked = (kind, token) => client.run((auth) => auth.token.introspect(kind, token));
    if (client.auth.token.introspect) {
      const live = await asked('accessToken', accessToken);
      assert.equal(live.active, true);
      assert.equal(live.client_id, house.env.CLIENT_ID);
      assert.equal(live.username, house.env.USERNAME_ENROLLED);
    }
    await client.run((auth) => auth.token.revoke(accessToken));
    const revoked = client.last('revoke');
    assert.equal(revoked.status, 200);
    assert.equal(revoked.text, '');
    assert.ok(!/json/.test(revoked.type ?? ''), 'an empty body of a JSON type cannot be parsed');
    if (client.auth.token.introspect) {
      const { headers: _, ...gone } = await asked('accessToken', accessToken);
      assert.deepEqual(gone, { active: false });
    }
    const refused = await userinfo(accessToken.accessToken);
    assert.equal(refused.status, 401);
    assert.match(refused.headers.get('www-authenticate'), /^Bearer .*error="invalid_token"/);

    await client.run((auth) => auth.token.revoke(refreshToken));
    await assert.rejects(
      client.run((auth) => auth.token.renewTokensWithRefresh({ scopes: ['openid'] }, refreshToken)),
      ({ errorCode }) => errorCode === 'invalid_grant',
    );
  });

  test('getUserInfo tells a refusal as the server worded it', async () => {
    const [client, { accessToken, idToken }] = await tokens();
    await client.run((auth) => auth.token.revoke(accessToken));
    await assert.rejects(
      client.run((auth) => auth.token.getUserInfo(accessToken, idToken)),
      ({ errorCode, errorSummary }) => errorCode === 'invalid_token' && errorSummary.length > 0,
    );
  });

  test('signOut takes the tokens back and returns to the application', async (t) => {
    const [client, got] = await tokens({ scopes: ['openid', 'profile', 'email', 'offline_access'] });
    const back = new URL('/', house.env.REDIRECT_URI).href;
    const went = [];
    globalThis.window = { location: { origin: new URL(back).origin, href: `${back}home`, assign: (url) => went.push(url) } };
    t.after(() => {
      client.auth.tokenManager.stop();
      delete globalThis.window;
    });
    client.auth.tokenManager.setTokens(got);
    await client.run((auth) => auth.signOut({ postLogoutRedirectUri: back, state: 'st-1' }));
    assert.equal(client.log.filter(({ path, status }) => path.endsWith('/revoke') && status === 200).length, 2);
    assert.equal((await userinfo(got.accessToken.accessToken)).status, 401);

    assert.equal(went.length, 1);
    const answer = await fetch(went[0], { redirect: 'manual' });
    assert.ok([302, 303].includes(answer.status), `${answer.status}`);
    assert.equal(answer.headers.get('location'), `${back}?state=st-1`);
  });

  test('S-65 logout leads nowhere that was not agreed', async () => {
    const [, { idToken }] = await tokens();
    const url = new URL(`${house.env.ISSUER}/v1/logout`);
    url.search = new URLSearchParams({ id_token_hint: idToken.idToken, post_logout_redirect_uri: 'https://elsewhere.example/' });
    const answer = await fetch(url, { redirect: 'manual' });
    assert.ok(!(answer.headers.get('location') ?? '').startsWith('https://elsewhere.example'));
  });

  test('S-58 an application with a secret proves itself wherever tokens change hands', async () => {
    const { env } = house;
    const web = { clientId: env.WEB_CLIENT_ID, clientSecret: env.WEB_CLIENT_SECRET, scopes: ['openid', 'offline_access'] };
    const [client, { accessToken, refreshToken, idToken }] = await tokens(web);
    assert.equal(idToken.claims.aud, env.WEB_CLIENT_ID);
    const { successWithInteractionCode: issue } = client.last('answer').body;
    const names = issue.value.map(({ name }) => name);
    assert.deepEqual(names, ['grant_type', 'interaction_code', 'client_id', 'client_secret', 'code_verifier']);
    assert.ok(!issue.value.some(({ name, value }) => name === 'client_secret' && value), 'the secret is not told');

    for (const client_secret of [undefined, 'wrong', '']) {
      const refused = await form(`${env.ISSUER}/v1/token`, {
        grant_type: 'refresh_token', client_id: env.WEB_CLIENT_ID, refresh_token: refreshToken.refreshToken, ...(client_secret !== undefined && { client_secret }),
      });
      assert.deepEqual([refused.status, refused.body.error], [401, 'invalid_client']);
    }
    await client.run((auth) => auth.token.revoke(accessToken));
    assert.match(client.last('revoke').request.headers.get('authorization'), /^Basic /);
    assert.equal((await userinfo(accessToken.accessToken)).status, 401);
  });

  test('S-57 nothing that opens a door travels in an address', async () => {
    const { env } = house;
    const [client] = await tokens();
    const request = new URLSearchParams(client.last('token').request.body);
    const refused = await form(`${env.ISSUER}/v1/token?${request}`, {});
    assert.deepEqual([refused.status, refused.body.error], [400, 'invalid_request']);
    for (const { url } of client.log) {
      assert.ok(!/(code|token|secret|verifier|handle)=/.test(url), url);
    }
  });
}));
