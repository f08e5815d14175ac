// What a browser asks before it lets a page of another origin in, and what it may read then.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../lib/suite.mjs';

const trusted = 'http://localhost:3000';

// Each address as okta-auth-js calls it from a page: method, headers it must ask for, a body that fails.
const calls = (env) => [
  ['GET', `${env.ISSUER}/.well-known/openid-configuration`, 'content-type,x-okta-user-agent-extended'],
  ['GET', `${env.ISSUER}/v1/keys`, 'content-type,x-okta-user-agent-extended'],
  ['POST', `${env.ISSUER}/v1/interact`, 'x-okta-user-agent-extended', 'client_id=nobody', 'application/x-www-form-urlencoded'],
  ['POST', `${env.ISSUER}/v1/token`, 'x-okta-user-agent-extended', 'grant_type=nothing', 'application/x-www-form-urlencoded'],
  ['POST', `${env.ISSUER}/v1/revoke`, 'authorization,x-okta-user-agent-extended', 'token=x', 'application/x-www-form-urlencoded'],
  ['GET', `${env.ISSUER}/v1/userinfo`, 'authorization,content-type,x-okta-user-agent-extended'],
  ...['introspect', 'identify', 'challenge', 'challenge/answer', 'challenge/resend', 'credential/enroll', 'skip', 'cancel'].map((path) => [
    'POST', `${env.LATCHKEY_URL}/idp/idx/${path}`, 'content-type,x-okta-user-agent-extended', '{"stateHandle":"02nobody"}', 'application/json',
  ]),
];

suite('CORS', {}, (house) => {
  test('every preflight of a trusted origin is let in', async () => {
    for (const [method, url, headers] of calls(house.env)) {
      const answer = await fetch(url, {
        method: 'OPTIONS',
        headers: { origin: trusted, 'access-control-request-method': method, 'access-control-request-headers': headers },
      });
      const at = `OPTIONS ${url}`;
      assert.ok([200, 204].includes(answer.status), `${at}: ${answer.status}`);
      const open = answer.headers.get('access-control-allow-origin');
      const anyone = open === '*' && /well-known|keys$/.test(url);
      assert.ok(open === trusted || anyone, `${at}: ${open}`);
      const granted = answer.headers.get('access-control-allow-headers').toLowerCase().split(/ *, */);
      for (const header of headers.split(',')) assert.ok(granted.includes(header), `${at}: ${header}`);
      assert.ok(answer.headers.get('access-control-allow-methods').includes(method), at);
      if (!anyone) {
        assert.equal(answer.headers.get('access-control-allow-credentials'), 'true', at);
        assert.match(answer.headers.get('vary') ?? '', /origin/i, at);
      }
    }
  });

  test('answers and failures alike can be read', async () => {
    for (const [method, url, , body, type] of calls(house.env)) {
      const answer = await fetch(url, { method, body, headers: { origin: trusted, ...(type && { 'content-type': type }) } });
      const at = `${method} ${url} ${answer.status}`;
      const open = answer.headers.get('access-control-allow-origin');
      if (open === '*' && /well-known|keys$/.test(url)) continue;
      assert.equal(open, trusted, at);
      assert.equal(answer.headers.get('access-control-allow-credentials'), 'true', at);
      assert.match(answer.headers.get('vary') ?? '', /origin/i, at);
      if (/well-known|keys$/.test(url)) continue;
      const exposed = (answer.headers.get('access-control-expose-headers') ?? '').toLowerCase();
      for (const header of ['www-authenticate', 'x-okta-request-id', 'retry-after', 'x-rate-limit-reset']) {
        assert.ok(exposed.includes(header), `${at}: ${header} is hidden`);
      }
    }
  });

  test('an error before any handler can be read too', async () => {
    const url = `${house.env.LATCHKEY_URL}/idp/idx/identify`;
    for (const [init, status] of [
      [{ method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } }, 415],
      [{ method: 'POST', body: '{', headers: { 'content-type': 'application/json' } }, 400],
      [{ method: 'PUT', body: '{}', headers: { 'content-type': 'application/json' } }, 405],
      [{ method: 'POST', body: `{"a":"${'x'.repeat(70_000)}"}`, headers: { 'content-type': 'application/json' } }, 413],
    ]) {
      const answer = await fetch(url, { ...init, headers: { ...init.headers, origin: trusted } });
      assert.equal(answer.status, status);
      assert.equal(answer.headers.get('access-control-allow-origin'), trusted, `${status}`);
      assert.ok(answer.headers.get('x-okta-request-id'), `${status}`);
      assert.equal(typeof JSON.parse(await answer.text()), 'object', `${status}: JSON, whatever happens`);
    }
  });

  test('S-42 other origins get nothing, and are answered all the same', async () => {
    for (const origin of ['https://elsewhere.example', 'null', 'http://localhost.elsewhere.example', 'http://localhost:3000.elsewhere.example']) {
      for (const [method, url, headers, body, type] of calls(house.env)) {
        if (/well-known|keys$/.test(url)) continue;
        const at = `${origin} at ${url}`;
        const before = await fetch(url, {
          method: 'OPTIONS',
          headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': headers },
        });
        assert.equal(before.headers.get('access-control-allow-origin'), null, at);
        const own = await fetch(url, { method, body, headers: type && { 'content-type': type } });
        const theirs = await fetch(url, { method, body, headers: { origin, ...(type && { 'content-type': type }) } });
        assert.equal(theirs.headers.get('access-control-allow-origin'), null, at);
        assert.equal(theirs.headers.get('access-control-allow-credentials'), null, at);
        assert.equal(theirs.status, own.status, `${at}: the origin alone is no reason to refuse`);
      }
    }
  });
});

suite('CORS in production', { flags: ['--production-limits'] }, (house) => {
  test('S-42 an origin is trusted to the letter', async () => {
    const url = `${house.env.LATCHKEY_URL}/idp/idx/introspect`;
    const own = new URL(house.env.REDIRECT_URI).origin;
    const granted = async (origin) => {
      const answer = await fetch(url, { method: 'POST', body: '{}', headers: { origin, 'content-type': 'application/json' } });
      return answer.headers.get('access-control-allow-origin');
    };
    assert.equal(await granted(own), own);
    for (const origin of [trusted, `${own}0`, own.replace('http:', 'https:'), `${own}/`, own.toUpperCase(), own.replace('//', '//x.')]) {
      assert.equal(await granted(origin), null, origin);
    }
  });

  test('S-54 so is a redirect URI', async () => {
    const { env } = house;
    const interact = async (redirect_uri) => {
      const answer = await fetch(`${env.ISSUER}/v1/interact`, {
        method: 'POST',
        body: new URLSearchParams({
          client_id: env.CLIENT_ID, redirect_uri, scope: 'openid', state: 's', code_challenge: 'x'.repeat(43), code_challenge_method: 'S256',
        }),
      });
      return [answer.status, (await answer.json()).error];
    };
    assert.deepEqual(await interact(env.REDIRECT_URI), [200, undefined]);
    for (const other of [`${env.REDIRECT_URI}/`, `${env.REDIRECT_URI}?x`, env.REDIRECT_URI.replace('callback', 'CALLBACK'), 'https://elsewhere.example/']) {
      assert.deepEqual(await interact(other), [400, 'invalid_request'], other);
    }
  });
});
