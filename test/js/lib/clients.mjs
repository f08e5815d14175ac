// One face for the ways in which okta-auth-js is used: version 7, version 8 as 7 was (legacy mode), and
// version 8 as it wants to be (step mode). A scenario says what a person does; the client says it its way.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { match, plain } from './match.mjs';
import { record } from './wire.mjs';

const require = createRequire(import.meta.url);
const { OktaAuth: OktaAuth7 } = require('@okta/okta-auth-js');
const { OktaAuth: OktaAuth8 } = require('okta-auth-js-8');

export const modes = [
  { name: 'okta-auth-js 7', OktaAuth: OktaAuth7, step: false },
  { name: 'okta-auth-js 8 in legacy mode', OktaAuth: OktaAuth8, step: false, idx: { enableLegacyMode: true } },
  { name: 'okta-auth-js 8 in step mode', OktaAuth: OktaAuth8, step: true },
];

// memory is a store for one person; in Node the library would otherwise share one among all.
export function memory() {
  const items = new Map();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => { items.set(key, value); },
    removeItem: (key) => { items.delete(key); },
  };
}

const sections = ['token', 'cache', 'transaction', 'shared-transaction', 'original-uri', 'idx-response'];

export class Client {
  log = []; // every exchange of this client, in order

  constructor(mode, env, { storage = memory(), ...options } = {}) {
    this.mode = mode;
    this.env = env;
    this.storage = storage;
    this.options = options;
    this.auth = new mode.OktaAuth({
      issuer: env.ISSUER,
      clientId: env.CLIENT_ID,
      redirectUri: env.REDIRECT_URI,
      scopes: ['openid', 'profile', 'email'],
      devMode: false,
      storageManager: Object.fromEntries(sections.map((name) => [name, { storageProvider: storage }])),
      ...(mode.idx && { idx: mode.idx }),
      ...options,
    });
  }

  // reloaded is this client after a page load: it has the handle, and no document.
  reloaded() {
    const again = new Client(this.mode, this.env, {
      ...this.options,
      storage: this.storage,
      transactionManager: { saveLastResponse: false },
    });
    again.log = this.log;
    return again;
  }

  // last is the newest exchange with a path that ends so.
  last(path) {
    const found = this.log.findLast((exchange) => exchange.path.endsWith(path));
    assert.ok(found, `nothing was sent to ${path}`);
    return found;
  }

  paths(from = 0) {
    return this.log.slice(from).map(({ path }) => path.replace(/^.*\/(?=idx\/)|^.*\/v1\/|^.*\/(?=\.well-known)/, ''));
  }

  run(work) {
    return record(this.log, () => work(this.auth));
  }

  // go takes one step with values: by name where the client wants to be told, by what is known where it finds out.
  go(step, values) {
    return this.run(({ idx }) => (this.mode.step ? idx.proceed({ step, ...values }) : idx.authenticate(values)));
  }

  begin() {
    return this.run(({ idx }) => (this.mode.step ? idx.start() : idx.authenticate()));
  }

  identify(username, password) {
    return this.go('identify', { username, ...(password !== undefined && { password }) });
  }

  password(password) {
    return this.go('challenge-authenticator', { password });
  }

  enroll(authenticator) {
    return this.go('select-authenticator-enroll', { authenticator });
  }

  number(phoneNumber, methodType = 'sms') {
    return this.go('authenticator-enrollment-data', { methodType, phoneNumber });
  }

  method(methodType) {
    return this.go('authenticator-verification-data', { methodType });
  }

  enrollCode(verificationCode) {
    return this.go('enroll-authenticator', { verificationCode });
  }

  verifyCode(verificationCode) {
    return this.go('challenge-authenticator', { verificationCode });
  }

  // resend asks for the text again. member is where the document keeps the form: an authenticator or an enrollment.
  resend(member = 'currentAuthenticator') {
    return this.run(({ idx }) => idx.proceed(this.mode.step ? { actions: [`${member}-resend`] } : { resend: true }));
  }

  skip() {
    return this.run(({ idx }) => idx.proceed(this.mode.step ? { step: 'skip' } : { skip: true }));
  }

  cancel() {
    return this.run(({ idx }) => idx.cancel());
  }

  // look goes nowhere: it shows where the sign-in stands, from the saved document or by asking.
  look() {
    return this.run(({ idx }) => idx.proceed(this.mode.step ? { autoRemediate: false } : {}));
  }

  // pending checks an answer that asks for more. step is one of steps.mjs, after the successes and
  // failures of this client's way of reading; messages are those expected, each [class, key, text].
  pending(transaction, step, { messages = [], failed = messages.length > 0 } = {}) {
    assert.equal(transaction.status, 'PENDING', JSON.stringify(plain(transaction.messages ?? transaction)));
    const raw = this.mode.step && !failed;
    match(plain(transaction.nextStep), raw ? step.raw : step.read, 'nextStep');
    this.said(transaction, messages);
    assert.deepEqual(transaction.enabledFeatures, [], 'recovery is offered on the day it works');
    assert.ok(transaction.availableSteps.some(({ name }) => name === step.read.name), 'the next step is available');
    return transaction;
  }

  // terminal checks an answer that leads nowhere.
  terminal(transaction, messages) {
    assert.equal(transaction.status, 'TERMINAL');
    assert.equal(transaction.nextStep, undefined);
    this.said(transaction, messages);
    return transaction;
  }

  // success checks an answer that holds tokens, and returns them.
  success(transaction) {
    assert.equal(transaction.status, 'SUCCESS', JSON.stringify(plain(transaction.messages ?? transaction.nextStep)));
    assert.equal(transaction.nextStep, undefined);
    this.said(transaction, []);
    assert.ok(transaction.tokens.accessToken.accessToken);
    assert.ok(transaction.tokens.idToken.idToken);
    return transaction.tokens;
  }

  said(transaction, messages) {
    const said = (transaction.messages ?? []).map(({ class: kind, i18n, message }) => [kind, i18n?.key, message]);
    assert.deepEqual(said, messages);
  }
}
