// A page of another origin that shows the Sign-In Widget, as an application would, and leaves what comes of it in window.outcome.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('./node_modules/@okta/okta-signin-widget/dist/', import.meta.url));
const types = { '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml', '.png': 'image/png' };

// generations: their files, and where one clicks.
export const generations = {
  2: { script: 'okta-sign-in.min.js', style: 'okta-sign-in.min.css', submit: 'input[type=submit]', setUp: 'a.button:has-text("Set up")', number: 'input[name="authenticator.phoneNumber"]' },
  3: { script: 'okta-sign-in.next.js', style: 'okta-sign-in.next.css', submit: 'button[type=submit]', setUp: 'button:has-text("Set up")', number: 'input[type=tel]' },
};

const html = ({ script, style }, config) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>An application</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/dist/css/${style}">
<main id="widget"></main>
<script src="/dist/js/${script}"></script>
<script>
  const widget = new OktaSignIn(Object.assign(${JSON.stringify(config)}, { redirectUri: location.origin + '/callback', assets: { baseUrl: location.origin + '/dist' } }));
  widget.showSignInToGetTokens({ el: '#widget' }).then(
    (tokens) => { window.tokens = tokens; window.outcome = { claims: tokens.idToken.claims, accessToken: tokens.accessToken.accessToken }; },
    (error) => { window.outcome = { error: String(error) }; });
</script></html>`;

// serve gives the page of one generation an origin of its own.
export function serve(generation, env) {
  const config = {
    issuer: env.ISSUER, clientId: env.CLIENT_ID, scopes: ['openid', 'profile', 'email'], authScheme: 'oauth2', useInteractionCodeFlow: true,
  };
  return show(html(generations[generation], config));
}

// show gives a document an origin of its own, with the widget's files below /dist/.
export async function show(document) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://page');
    if (!pathname.startsWith('/dist/')) {
      response.setHeader('content-type', 'text/html');
      response.end(document);
      return;
    }
    const file = join(dist, normalize(decodeURIComponent(pathname.slice('/dist/'.length))));
    if (!(await stat(file).catch(() => undefined))?.isFile()) {
      response.statusCode = 404;
      response.end();
      return;
    }
    response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream');
    createReadStream(file).pipe(response);
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return { url: `http://localhost:${server.address().port}/`, close: () => new Promise((done) => { server.close(done); server.closeAllConnections(); }) };
}
