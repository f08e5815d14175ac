// A page of another origin that shows the Sign-In Widget, as an application would, and leaves what comes of it in window.outcome.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('./node_modules/@okta/okta-signin-widget/dist/', import.meta.url));
const types = { '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml', '.png': 'image/png' };

// generations: their files, where one clicks, and whether too many wrong codes end the sign-in on the page.
export const generations = {
  2: { script: 'okta-sign-in.min.js', style: 'okta-sign-in.min.css', submit: 'input[type=submit]', setUp: 'a.button:has-text("Set up")', number: 'input[name="authenticator.phoneNumber"]', ends: false },
  3: { script: 'okta-sign-in.next.js', style: 'okta-sign-in.next.css', submit: 'button[type=submit]', setUp: 'button:has-text("Set up")', number: 'input[type=tel]', ends: true },
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

// A Watch sees what a page says and fetches, and judges it.
export class Watch {
  complaints = [];
  fetched = new Set(); // beyond the pages' own files: method, path and status

  constructor(page, site, env) {
    const [own, engine] = [new URL(site).origin, new URL(env.ISSUER).origin];
    const idx = (url) => url.origin === engine && url.pathname.startsWith('/idp/idx/');
    // A refused answer is logged by the browser itself; anything else on the console is a complaint of the widget.
    page.on('console', (line) => {
      const refused = /status of 4\d\d/.test(line.text()) && idx(new URL(line.location().url));
      if (line.type() === 'error' && !refused) this.complaints.push(line.text());
    });
    page.on('pageerror', (error) => this.complaints.push(error.message));
    page.context().on('request', (request) => {
      const url = new URL(request.url());
      if (![own, engine].includes(url.origin) && url.protocol.startsWith('http')) this.complaints.push(`${request.method()} ${url} goes elsewhere`);
    });
    page.context().on('response', (response) => {
      const url = new URL(response.url());
      const line = `${response.request().method()} ${url.pathname} ${response.status()}`;
      if (response.status() >= 400 && !(idx(url) && response.status() < 500)) this.complaints.push(`${line} from ${url.origin}`);
      if (url.origin === engine && !idx(url)) this.fetched.add(line);
    });
  }
}

// beyond is all that the widget fetches beside IDX when somebody signs in and out. It may fetch less, and nothing else.
export const beyond = [
  'GET /oauth2/default/.well-known/openid-configuration 200',
  'GET /oauth2/default/v1/keys 200',
  'GET /oauth2/default/v1/logout 302',
  'POST /oauth2/default/v1/interact 200',
  'POST /oauth2/default/v1/revoke 200',
  'POST /oauth2/default/v1/token 200',
];
