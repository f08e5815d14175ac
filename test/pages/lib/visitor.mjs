// A visitor is a person at a browser: they see pages by what is written on them, type, press, and go back. Every page
// they see is judged on the way: axe-core in light and dark, nothing wider than the screen, nothing in the console. With
// SCREENSHOTS=1 each page is filed as a picture, too, in test-artifacts/pages.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const artifacts = fileURLToPath(new URL('../../../test-artifacts/pages/', import.meta.url));
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

// hosts are where somebody sits: a desk or a phone, with scripts or without. axe-core looks from two of them, which is
// each width and each document once: it takes its time.
export const hosts = [
  { name: '1280 px with scripts', width: 1280, height: 900, scripts: true, axe: true },
  { name: '1280 px without scripts', width: 1280, height: 900, scripts: false },
  { name: '390 px with scripts', width: 390, height: 844, scripts: true },
  { name: '390 px without scripts', width: 390, height: 844, scripts: false, axe: true },
];

export async function launch() {
  if (!existsSync(executablePath)) throw new Error(`${executablePath} is not there: install Chromium or name it in CHROMIUM`);
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

// judged are the views that were looked at already, by where: a page that looks the same is the same.
const judged = new Set();
const twins = new Map(); // by browser

export class Visitor {
  troubles = [];

  // context is a browser profile of its own.
  static async context(browser, host, locale = 'en-US') {
    const context = await browser.newContext({
      viewport: { width: host.width, height: host.height },
      javaScriptEnabled: host.scripts,
      reducedMotion: 'reduce',
      locale,
      isMobile: host.width < 500,
      hasTouch: host.width < 500,
    });
    context.setDefaultTimeout(30_000);
    return context;
  }

  // arrive is somebody else, in a browser of their own.
  static async arrive(browser, host) {
    const context = await Visitor.context(browser, host);
    return new Visitor(context, host, await context.newPage());
  }

  constructor(context, host, page) {
    this.context = context;
    this.host = host;
    this.page = page;
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.troubles.push(`${message.type()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.troubles.push(`exception: ${error.message}`));
  }

  // tab is another page of the same browser.
  async tab() {
    return new Visitor(this.context, this.host, await this.context.newPage());
  }

  async open(url) {
    await this.page.goto(url);
    return this;
  }

  // sees waits for a page with that heading, and judges it. name files its picture.
  async sees(heading, ...texts) {
    await this.page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
    for (const text of texts) await this.reads(text);
    await this.judge(heading);
    return this;
  }

  // reads waits for a text on the page.
  async reads(text) {
    await this.page.getByText(text).first().waitFor();
    return this;
  }

  async type(label, value) {
    await this.page.getByLabel(label, { exact: true }).fill(value);
    return this;
  }

  async press(name) {
    await this.page.getByRole('button', { name }).click();
    return this;
  }

  async follow(name) {
    await this.page.getByRole('link', { name }).click();
    return this;
  }

  async value(label) {
    return this.page.getByLabel(label, { exact: true }).inputValue();
  }

  // focused is the name of what has the focus.
  async focused() {
    return this.page.locator(':focus').evaluate((e) => e.labels?.[0]?.textContent || e.getAttribute('role') || e.tagName);
  }

  async signIn(username, password) {
    await this.type('Username', username);
    await this.type('Password', password);
    return this.press('Sign in');
  }

  // code types a code as it comes: with scripts the sixth digit sends it.
  async code(digits) {
    if (!this.host.scripts) {
      await this.type('Code', digits);
      return this.press('Verify');
    }
    await this.page.getByLabel('Code', { exact: true }).pressSequentially(digits);
    return this;
  }

  // resend asks for another code; with scripts the button first counts down, which nobody here waits for.
  async resend() {
    if (this.host.scripts) {
      await this.page.getByRole('button', { name: /Send a new code/ }).evaluate((button) => button.form.requestSubmit());
      return this;
    }
    return this.press('Send a new code');
  }

  // judge looks at the page as it stands, unless the same has been seen from here before.
  async judge(heading) {
    const said = await this.page.locator('.notice, .wrong').allTextContents();
    const view = `${heading} ${said.join(' ').trim()}`.trim();
    const place = `${this.host.name}: ${view}`;
    if (judged.has(place)) return;
    judged.add(place);
    const { scroll, client } = await this.page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth }));
    assert.ok(scroll <= client, `${view}: the page is ${scroll} px wide on a screen of ${client} px`);
    if (!this.host.axe && !process.env.SCREENSHOTS) return;
    const page = this.host.scripts ? this.page : await this.twin();
    for (const [scheme, rules] of [['light', undefined], ['dark', ['color-contrast']]]) {
      await wear(page, scheme);
      if (process.env.SCREENSHOTS) await shoot(page, `${this.host.width}-${this.host.scripts ? 'scripts' : 'plain'}-${scheme}`, view);
      if (this.host.axe) assert.deepEqual(await violations(page, rules), [], `${view}, in ${scheme}`);
    }
    await wear(page, 'light');
  }

  // twin is a page with the same document that may run axe, where this one may run nothing. The pages' own script stays out.
  async twin() {
    const { width, height } = this.host;
    const browser = this.context.browser();
    const context = twins.get(browser) ?? await browser.newContext({ reducedMotion: 'reduce' });
    twins.set(browser, context);
    const page = context.pages()[0] ?? await context.newPage();
    const [url, body] = [this.page.url(), await this.page.content()];
    await page.setViewportSize({ width, height });
    await page.unrouteAll();
    await page.route('**/*.js*', (route) => route.abort());
    await page.route(url, (route) => route.fulfill({ body, contentType: 'text/html; charset=utf-8' }));
    await page.goto(url);
    return page;
  }

  // troubled returns what the browser complained about, but for what was to be expected.
  troubled(...expected) {
    return this.troubles.filter((t) => !expected.some((e) => t.includes(e)));
  }

  async leave() {
    await this.context.close();
  }
}

// wear shows a page in light or dark, and waits until it is drawn so.
async function wear(page, colorScheme) {
  await page.emulateMedia({ colorScheme });
  await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))));
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
}

// violations are what axe-core finds wrong.
async function violations(page, rules) {
  await page.evaluate(axe);
  const found = await page.evaluate(
    (rules) => window.axe.run(document, { resultTypes: ['violations'], ...(rules && { runOnly: rules }) }).then((r) => r.violations),
    rules,
  );
  return found.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target.join(' ')} ${n.failureSummary ?? ''}`).join('; ')}`);
}

// shoot files a picture of the page.
export async function shoot(page, folder, name) {
  const file = name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 80).replace(/-$/, '');
  await mkdir(join(artifacts, folder), { recursive: true });
  await page.screenshot({ path: join(artifacts, folder, `${file}.png`) });
}
