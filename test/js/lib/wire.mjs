// What travelled. Every fetch made inside record() is kept with its answer, whoever made it: the
// clients' own transport stays in use, and the tests see exactly what it did.

import { AsyncLocalStorage } from 'node:async_hooks';

const logs = new AsyncLocalStorage();
const fetched = globalThis.fetch;

globalThis.fetch = async (url, options = {}) => {
  const log = logs.getStore();
  if (!log) return fetched(url, options);
  const answer = await fetched(url, options);
  const text = await answer.clone().text();
  log.push({
    method: (options.method ?? 'GET').toUpperCase(),
    url: String(url),
    path: new URL(url).pathname,
    request: { headers: new Headers(options.headers), body: options.body },
    status: answer.status,
    type: answer.headers.get('content-type'),
    headers: answer.headers,
    text,
    get body() {
      return JSON.parse(text);
    },
  });
  return answer;
};

// record runs work and adds every exchange in it to log.
export function record(log, work) {
  return logs.run(log, work);
}

// ion is the media type of IDX requests and successes, json that of IDX failures.
export const ion = /^application\/ion\+json; *okta-version=1\.0\.0$/;
export const json = /^application\/json; *okta-version=1\.0\.0(; *charset=utf-8)?$/i;

// post sends one IDX request as okta-auth-js does and returns the exchange.
export async function post(url, body, headers = {}) {
  const log = [];
  await record(log, () => fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json; okta-version=1.0.0', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  }));
  return log[0];
}

// form sends one OAuth request and returns the exchange.
export async function form(url, fields, headers = {}) {
  const log = [];
  await record(log, () => fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', ...headers },
    body: new URLSearchParams(fields).toString(),
  }));
  return log[0];
}
