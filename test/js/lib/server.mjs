// A Latchkey of one's own: the built binary as `latchkey dev`, its env file, its outbox and its control.

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = fileURLToPath(new URL('.', import.meta.url));
const binary = resolve(process.env.LATCHKEY_BIN ?? join(here, '../../../bin/latchkey'));
const patience = 20_000;

// start runs `latchkey dev` with the flags given and resolves once it answers.
export async function start(...flags) {
  if (!existsSync(binary)) throw new Error(`${binary} is not there: run \`make build\` first`);
  const server = new Server(await mkdtemp(join(tmpdir(), 'latchkey-js-')), flags);
  try {
    await server.run('127.0.0.1:0');
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

function parse(text) {
  const lines = text.split('\n').filter((line) => line.includes('=') && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1).replace(/^(["'])(.*)\1$/, '$2')];
  }));
}

// A test runner that is stopped takes its servers with it.
const running = new Set();
process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

class Server {
  env = {};
  output = '';

  constructor(home, flags) {
    this.home = home;
    this.flags = flags;
  }

  // run starts the process and waits for the env file and for the discovery document that it leads to.
  async run(addr) {
    const envFile = join(this.home, 'dev.env');
    await rm(envFile, { force: true });
    // A program takes more steps in five seconds, all from one address, than the general limits let a person take.
    const flags = ['--addr', addr, '--data', join(this.home, 'data'), '--env-file', envFile, '--requests', '1000000', ...this.flags];
    this.child = spawn(binary, ['dev', ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { child } = this;
    running.add(child);
    child.once('exit', () => running.delete(child));
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (text) => { this.output += text; });
    const until = Date.now() + patience;
    while (Date.now() < until) {
      if (this.child.exitCode !== null) throw new Error(`latchkey dev ended with ${this.child.exitCode}:\n${this.output}`);
      this.env = parse(await readFile(envFile, 'utf8').catch(() => ''));
      if (this.env.ISSUER) {
        const answer = await fetch(`${this.env.ISSUER}/.well-known/openid-configuration`).catch(() => undefined);
        if (answer?.ok) return;
      }
      await new Promise((next) => setTimeout(next, 25));
    }
    throw new Error(`latchkey dev was not ready within ${patience} ms:\n${this.output}`);
  }

  // end sends the process a signal and waits until it is gone.
  async end(signal) {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((done) => this.child.once('exit', done));
    this.child.kill(signal);
    const late = setTimeout(() => this.child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(late);
  }

  // crash kills the process as it stands and starts it again where it was.
  async crash() {
    await this.end('SIGKILL');
    await this.run(new URL(this.env.LATCHKEY_URL).host);
  }

  async stop() {
    await this.end('SIGTERM');
    await rm(this.home, { recursive: true, force: true });
  }

  // reset brings the seeded organisation back, and with it clock, gateway, pinned codes and outbox.
  async reset() {
    await this.control('POST', 'reset');
    await this.control('POST', 'clock', { reset: true });
    await this.control('DELETE', 'codes');
    await this.control('DELETE', 'gateway');
    await this.empty();
  }

  // apply changes the organisation as an operator does, while the server runs.
  async apply(org) {
    const [config, file] = [join(this.home, 'latchkey.yaml'), join(this.home, 'org.yaml')];
    const data = join(this.home, 'data');
    await writeFile(config, JSON.stringify({
      origin: this.env.LATCHKEY_URL, data: join(data, 'db'), keys: { master: [{ file: join(data, 'master.key') }] }, countries: [],
    }));
    await writeFile(file, JSON.stringify(org)); // JSON is YAML
    await promisify(execFile)(binary, ['apply', '-f', file], { env: { ...process.env, LATCHKEY_CONFIG: config } });
  }

  // advance moves the server's clock; the clients keep theirs.
  advance(duration) {
    return this.control('POST', 'clock', { advance: duration });
  }

  async control(method, what, body) {
    const answer = await fetch(`${this.env.CONTROL_URL.replace(/\/$/, '')}/${what}`, {
      method,
      headers: body && { 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${what}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  // outbox returns what was sent to one number, oldest first.
  async outbox(to) {
    const answer = await fetch(`${this.env.OUTBOX_URL}?to=${encodeURIComponent(to)}`, { headers: { accept: 'application/json' } });
    if (!answer.ok) throw new Error(`outbox: ${answer.status}`);
    return answer.json();
  }

  async empty() {
    const answer = await fetch(this.env.OUTBOX_URL, { method: 'DELETE' });
    if (!answer.ok) throw new Error(`emptying the outbox: ${answer.status}`);
  }

  // code returns the code in the newest of the count texts that a number is to have got.
  async code(to, count = 1) {
    const until = Date.now() + 5_000;
    for (;;) {
      const texts = await this.outbox(to);
      if (texts.length > count) throw new Error(`${texts.length} texts to ${to}, expected ${count}`);
      if (texts.length === count) return codeIn(texts.at(-1).body);
      if (Date.now() > until) throw new Error(`${texts.length} texts to ${to}, expected ${count}`);
      await new Promise((next) => setTimeout(next, 20));
    }
  }
}

// codeIn finds the six digits in a text.
export function codeIn(text) {
  const found = text.match(/(?<!\d)\d{6}(?!\d)/);
  if (!found) throw new Error(`no code in ${JSON.stringify(text)}`);
  return found[0];
}

// wrong returns a well-formed code that is not this one.
export function wrong(code, n = 1) {
  return String((Number(code) + n) % 1_000_000).padStart(6, '0');
}
