// node --env-file=latchkey.env app.mjs     (npm install openid-client@6)
import { createServer } from 'node:http';
import * as oidc from 'openid-client';

const { ISSUER, CLIENT_ID_1FA: CLIENT_ID, APP_URL = 'http://127.0.0.1:3000' } = process.env;
const redirect_uri = `${APP_URL}/callback`;
// Latchkey's metadata says the rest. Plain http is for latchkey dev on this machine, and for nothing else.
const config = await oidc.discovery(new URL(ISSUER), CLIENT_ID, undefined, oidc.None(), { execute: [oidc.allowInsecureRequests] });
const begun = new Map(); // sign-ins on their way, by state; an application of several processes keeps them in a cookie

createServer(async (request, response) => {
  const url = new URL(request.url, APP_URL);
  if (url.pathname === '/') {
    const [pkceCodeVerifier, expectedNonce, expectedState] = [oidc.randomPKCECodeVerifier(), oidc.randomNonce(), oidc.randomState()];
    begun.set(expectedState, { pkceCodeVerifier, expectedNonce, expectedState });
    const to = oidc.buildAuthorizationUrl(config, {
      redirect_uri, scope: 'openid profile email', state: expectedState, nonce: expectedNonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
    });
    return response.writeHead(302, { location: to.href, 'set-cookie': `state=${expectedState}; HttpOnly; SameSite=Lax; Path=/` }).end();
  }
  const state = /(?:^|; )state=([^;]*)/.exec(request.headers.cookie ?? '')?.[1]; // the browser that began is the one that ends
  const checks = begun.get(state);
  if (url.pathname !== '/callback' || !checks) return response.writeHead(404).end();
  begun.delete(state);
  try {
    const tokens = await oidc.authorizationCodeGrant(config, url, checks); // verifies the ID token
    const who = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(`Hello, ${who.name}.`);
  } catch (error) {
    response.writeHead(400, { 'content-type': 'text/plain; charset=utf-8' }).end(`That did not work: ${error.error ?? error.code}`);
  }
}).listen(new URL(APP_URL).port, '127.0.0.1');
