// A person at a browser, who is sent to the hosted pages by an application and comes back with what they give.

import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { chromium } from 'playwright-core';

// The application's side, where browsers arrive: it keeps the last arrival for whoever waits for it.
let arrived = () => {};
const application = createServer(async (request, response) => {
  const at = new URL(request.url, home);
  const posted = request.method === 'POST';
  if (posted) at.search = await text(request);
  response.setHeader('content-type', 'text/html');
  response.end('<!doctype html><link rel="icon" href="data:,"><title>back</title>');
  arrived({ at, posted });
});
await new Promise((ready) => application.listen(0, '127.0.0.1', ready));
application.unref();
export const home = `http://127.0.0.1:${application.address().port}`;
export const callback = `${home}/callback`;
export const signedOut = `${home}/signed-out`;

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

export class Person {
  troubles = [];

  static async arrive(browser) {
    const context = await browser.newContext({ locale: 'en-US' });
    context.setDefaultTimeout(20_000);
    const person = new Person();
    Object.assign(person, { context, page: await context.newPage() });
    person.page.on('pageerror', (error) => person.troubles.push(error.message));
    person.page.on('console', (line) => {
      if (['error', 'warning'].includes(line.type())) person.troubles.push(line.text());
    });
    return person;
  }

  // visit goes to the hosted pages and does there what is asked for; it returns the address with which the browser comes
  // back, and what it posted as the address's query.
  async visit(url, { username, password, code } = {}) {
    const back = new Promise((done) => { arrived = done; });
    await this.page.goto(String(url));
    if (username) await this.signIn(username, password, code);
    const late = new Promise((_, fail) => setTimeout(fail, 20_000, new Error('the browser does not come back')).unref());
    const { at, posted } = await Promise.race([back, late]);
    this.posted = posted;
    return at;
  }

  async signIn(username, password, code) {
    await this.page.getByLabel('Username', { exact: true }).fill(username);
    await this.page.getByLabel('Password', { exact: true }).fill(password);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
    if (!code) return;
    await this.page.getByRole('button', { name: 'Send code' }).click();
    await this.page.getByLabel('Code', { exact: true }).pressSequentially(await code());
  }

  leave() {
    return this.context.close();
  }
}
