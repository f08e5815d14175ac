// What holds of every IDX answer, whatever the step.

import assert from 'node:assert/strict';
import { ion, json } from './wire.mjs';

// check judges every IDX exchange of a log, and that none of the secrets got out in any answer.
export function check(log, secrets = []) {
  for (const exchange of log) {
    assert.ok(exchange.status < 500 || exchange.status === 503, `${exchange.path} ${exchange.status}: ${exchange.text}`);
    for (const secret of secrets) assert.ok(!exchange.text.includes(secret), `${exchange.path} answers with ${secret}`);
    if (exchange.path.startsWith('/idp/idx/')) checkExchange(exchange);
  }
}

// bearers returns what opened something in a log: handles, codes and tokens, and the verifiers of their owner.
export function bearers(log) {
  const found = new Set();
  const name = /"(?:stateHandle|interaction_handle|access_token|id_token|refresh_token)":"([^"]+)"|"interaction_code","required":true,"value":"([^"]+)"/g;
  for (const { text, request } of log) {
    for (const [, value, code] of text.matchAll(name)) found.add(value ?? code);
    const verifier = /(?:^|&)code_verifier=([^&]+)/.exec(typeof request.body === 'string' ? request.body : '');
    if (verifier) found.add(verifier[1]);
  }
  return found;
}

function checkExchange({ path, status, type, headers, body }) {
  const at = `${path} ${status}`;
  assert.match(type, status === 200 ? ion : json, `${at}: media type`);
  assert.match(headers.get('cache-control') ?? '', /no-store/, `${at}: Cache-Control`);
  assert.ok(headers.get('x-okta-request-id'), `${at}: request id`);
  assert.equal(headers.get('x-content-type-options'), 'nosniff', at);
  assert.equal(headers.get('www-authenticate'), null, `${at}: would be taken for a step up`);
  assert.equal(body.version, '1.0.0', at);
  assert.ok(!('error' in body) && !('stateToken' in body) && !('headers' in body), `${at}: a member that hides others`);
  walk(body, body, at);

  const dead = body.messages?.value.some(({ i18n }) => i18n?.key === 'idx.session.expired');
  if (dead) {
    assert.deepEqual(Object.keys(body).sort(), ['messages', 'version'], `${at}: nothing else belongs to a dead handle`);
    return;
  }
  if (!body.stateHandle) return; // an answer about no sign-in at all
  assert.match(body.stateHandle, /^02[\w-]{43,}$/, at);
  assert.match(body.expiresAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, at);
  assert.equal(body.intent, 'LOGIN', at);
  if (body.remediation) {
    assert.equal(body.cancel?.name, 'cancel', `${at}: cancel is in every pending answer`);
    assert.ok(!body.successWithInteractionCode, at);
    for (const form of body.remediation.value) checkForm(form, body, at);
  }
  if (body.cancel) checkForm(body.cancel, body, at);
}

function checkForm(form, body, at) {
  const where = `${at}: ${form.name}`;
  assert.deepEqual(form.rel, ['create-form'], where);
  assert.equal(form.method, 'POST', where);
  assert.match(form.href, /^https?:\/\/[^/]+\/idp\/idx\//, where);
  assert.equal(form.accepts, 'application/json; okta-version=1.0.0', where);
  assert.equal(form.produces, 'application/ion+json; okta-version=1.0.0', where);
  assert.deepEqual(
    form.value.find(({ name }) => name === 'stateHandle'),
    { name: 'stateHandle', required: true, value: body.stateHandle, visible: false, mutable: false },
    where,
  );
  if (form.relatesTo) assert.ok(Array.isArray(form.relatesTo), `${where}: relatesTo of a form is an array`);
}

// walk visits every value: no nulls, nothing empty that has to be left out, every path leads somewhere.
function walk(value, top, at) {
  assert.notEqual(value, null, `${at}: a null`);
  if (typeof value !== 'object') return;
  for (const [name, member] of Object.entries(value)) {
    const where = `${at}.${name}`;
    if (name === 'messages') {
      assert.equal(member.type, 'array', where);
      assert.ok(member.value.length > 0, `${where}: empty`);
      for (const message of member.value) assert.ok(message.class && message.message && message.i18n?.key, where);
    }
    if (name === 'remediation') assert.ok(member.value.length > 0, `${where}: empty`);
    if (name === 'relatesTo') {
      for (const path of [member].flat()) assert.ok(resolve(top, path), `${where}: ${path} leads nowhere`);
    }
    if (name === 'options') {
      for (const option of member) {
        if (option.relatesTo !== undefined) assert.equal(typeof option.relatesTo, 'string', `${where}: relatesTo of an option`);
        if (option.value.form) assert.equal(option.value.form.value[0].name, 'id', `${where}: the id comes first`);
      }
    }
    walk(member, top, where);
  }
}

function resolve(top, path) {
  return path.replace(/^\$\./, '').split(/[.[\]]+/).filter(Boolean).reduce((value, name) => value?.[name], top);
}
