// What the suites of this folder share: one browser, a server for each set of flags, and each test from every place that a
// person may sit at.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { start } from '../../js/lib/server.mjs';
import { Visitor, hosts, launch, shoot } from './visitor.mjs';

let browser;
const contexts = new Map(); // by place and language: what a browser has loaded once it need not load for every test
const servers = new Map(); // by flags; started when first asked for

function server(flags) {
  const key = flags.join(' ');
  if (!servers.has(key)) servers.set(key, start(...flags));
  return servers.get(key);
}

// arrive is somebody at a host, with no cookies and nothing open.
async function arrive(host, locale) {
  browser ??= launch();
  const key = `${host.name} ${locale}`;
  if (!contexts.has(key)) contexts.set(key, await Visitor.context(await browser, host, locale));
  const context = contexts.get(key);
  await context.clearCookies();
  return new Visitor(context, host, await context.newPage());
}

after(async () => {
  await (await browser)?.close();
  for (const s of servers.values()) await (await s).stop();
});

// suite runs define(each) against a server that was started with flags. each(name, walk, options) is one test per host.
export function suite(title, flags, define) {
  describe(title, () => {
    define((name, walk, { where = () => true, expected = [], locale } = {}) => {
      for (const host of hosts.filter(where)) {
        test(`${name}, ${host.name}`, { timeout: 240_000 }, async () => {
          const house = await server(flags);
          await house.reset();
          const v = await arrive(host, locale);
          try {
            await walk({ v, host, browser: await browser, server: house, env: house.env });
            assert.deepEqual(v.troubled(...expected), [], 'the console is silent');
          } catch (error) {
            await shoot(v.page, 'failed', `${title} ${name} ${host.name}`).catch(() => {});
            const shown = await v.page.locator('main').innerText({ timeout: 1000 }).catch(() => '');
            throw new Error(`${error.message}\nat ${v.page.url()}: ${shown.replace(/\s+/g, ' ')}`, { cause: error });
          } finally {
            await Promise.all(v.context.pages().map((page) => page.close()));
          }
        });
      }
    });
  });
}

export const scripts = (host) => host.scripts;

// number is one of those that the engine takes and that nobody has.
export const number = '+15551234567';

// toCode walks through a first sign-in up to the code, and returns the code.
export async function toCode({ v, server, env }, typed = number) {
  await v.open(env.SIGNIN_URL);
  await v.signIn(env.USERNAME, env.PASSWORD);
  await v.sees('Add a way to verify it’s you');
  await v.press(/Phone/);
  await v.sees('Add your phone');
  await v.type('Phone number', typed);
  await v.press('Send code');
  await v.sees('Enter your code', '4567');
  return server.code(number);
}
